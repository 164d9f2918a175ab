"""sqlite_group — the units of one commit: what they assumed is checked, what they write is kept.

https://hl7.org/fhir/R4/http.html#transaction

Rows are collected in lists and written at the end of the group, sorted, many to a statement: each
statement lets go of the interpreter's lock, and getting it back while the loop is busy costs more
than the statement. For the same reason the newest version of everything a group touches is looked
up in one question, and its bodies are packed in one call. A unit that must look at an index, or
touches a resource that an earlier unit of the group wrote, has the lists written first. All of a
unit's checks come before its first row, so that refusing it undoes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from fhir_server.foundation.outcome import Conflict
from fhir_server.foundation.resource import Key
from fhir_server.store.audit import ENTRY, Lane
from fhir_server.store.codec import Codec
from fhir_server.store.condition import storable
from fhir_server.store.contract import (
    Committed,
    IndexRows,
    NewVersion,
    Position,
    Stale,
    Unit,
    rid,
)
from fhir_server.store.contract.audit import Entry
from fhir_server.store.contract.lineage import Earlier
from fhir_server.store.contract.log import Mark
from fhir_server.store.contract.parameter import without
from fhir_server.store.descent import LineageRow, changed_owner, lineage_rows, owner_of
from fhir_server.store.row import INDEX, SHARED, bits, halves, id_of, moves, packed_id
from fhir_server.store.sqlite_beside import Beside, demand
from fhir_server.store.sqlite_connection import Reader, Row
from fhir_server.store.sqlite_read import find
from fhir_server.store.types import METHOD_NUMBERS, NAMES, NUMBERS

LOOK = 2.0  # seconds that what a unit assumed may take to be looked up
MANY = 64  # rows to a statement: 0.8 us a row instead of 1.1
REMOVE = {
    table: f"DELETE FROM {table} WHERE " + " AND ".join(f"{column} = ?" for column in columns)
    for table, columns in INDEX.items()
}
VERSION = (
    "seq", "rid", "updated", "digest_hi", "digest_lo", "generation", "type", "method", "id",
    "dictionary", "body",
)  # fmt: skip
FIRST = (
    "rid", "owner", "born", "seq", "main_lo", "main_hi", "keys", "type", "deleted", "facility",
)  # fmt: skip
CARE = ("basis", "patient", "facility", "until")
# Naming what is in the index of `current` would rewrite it even where that stays as it was.
NEXT = "UPDATE current SET seq = ?, main_hi = ? WHERE rid = ?"
MOVE = (
    "UPDATE current SET owner = ?, seq = ?, main_hi = ?, deleted = ?, keys = ?, main_lo = ?,"
    " born = coalesce(?, born) WHERE rid = ?"
)
FACILITY = "UPDATE current SET facility = ?1 WHERE rid = ?2 AND facility <> ?1"
CARELESS = "DELETE FROM care WHERE basis = ?"
MOVED = "INSERT INTO moved (seq, rid, main_lo) VALUES (?,?,?)"
REMEMBER = "INSERT INTO idempotency (key, digest, at, answer) VALUES (?,?,?,?)"
TALLY = (
    "INSERT INTO tally (type, n) VALUES (?,?) ON CONFLICT (type) DO UPDATE SET n = n + excluded.n"
)
CURRENT = "SELECT rid, seq FROM current WHERE rid IN (SELECT value FROM json_each(?))"
NAMED = "SELECT v.type, v.id FROM current c JOIN version v ON v.seq = c.seq WHERE c.rid = ?"


@dataclass(frozen=True, slots=True)
class Planned:
    """A NewVersion with all that can be computed before the transaction."""

    new: NewVersion
    rid: int
    follows: int | None  # the seq it follows
    returns: bool  # it brings back what was deleted
    owner: int
    keys: int  # current.keys
    version: Row  # digest_hi .. id
    earlier: Sequence[tuple[Row, bytes | None]]  # the same of the rows before it, and their tails
    lineage: Sequence[LineageRow]
    left: Mark | None  # it is no longer the patient's whose it was
    remove: dict[str, set[Row]]
    add: dict[str, set[Row]]


def plan(new: NewVersion) -> Planned:
    """What one version changes, but for its place and its time."""
    number = rid(new.key)
    type = NUMBERS[new.key.type]
    before, after = _rows(new.before, number), _rows(new.rows, number)
    there = _rows(without(new.before, new.unsure), number) if new.unsure else before
    id = packed_id(new.key.id)
    rows: Sequence[Earlier | NewVersion] = (*new.earlier, new)
    named = [
        ((*halves(row.digest), row.generation, type, METHOD_NUMBERS[row.method], id), row.tail)
        for row in rows
    ]
    return Planned(
        new,
        number,
        None if new.follows is None else new.follows.position.seq,
        new.follows is not None and new.follows.deleted,
        owner_of(new),
        bits(new.rows.keys),
        named[-1][0],
        named[:-1],
        lineage_rows(new),
        changed_owner(new),
        {table: before[table] - after[table] for table in INDEX if table != SHARED},
        {table: after[table] - there[table] for table in INDEX},
    )


def touches(unit: Unit, planned: Sequence[Planned]) -> set[int]:
    """The numbers of the resources a unit writes, or relies on."""
    touched = {p.rid for p in planned}
    touched.update(rid(unchanged.key) for unchanged in unit.unchanged)
    return touched


def _rows(rows: IndexRows, rid: int) -> dict[str, set[Row]]:
    """Index rows as they lie in the tables, in the order of COLUMNS."""
    main = rows.main[0]
    return {
        "index_key": {(row.v, main, rid, row.w) for row in rows.keys if not row.dominant},
        "index_string": {
            (row.param, row.word, rid, row.whole) for row in rows.strings if storable(row.word)
        },
        "index_date": {(row.param, row.lo, row.hi, rid) for row in rows.dates},
        "index_quantity": {(row.param, row.unit, row.lo, row.hi, rid) for row in rows.quantities},
        SHARED: {tuple(row) for row in rows.uris if storable(row.uri)},
    }


@dataclass(slots=True)
class Lists:
    """Rows waiting to be written."""

    versions: list[Row] = field(default_factory=list)
    tails: list[bytes | None] = field(default_factory=list)
    first: list[Row] = field(default_factory=list)
    next: list[Row] = field(default_factory=list)
    move: list[Row] = field(default_factory=list)
    moved: list[Row] = field(default_factory=list)
    facility: list[Row] = field(default_factory=list)
    careless: list[Row] = field(default_factory=list)  # what said something of care before
    care: list[Row] = field(default_factory=list)
    remember: list[Row] = field(default_factory=list)
    remove: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    add: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    tally: Counter[int] = field(default_factory=Counter)
    beside: Beside | None = None  # most units have nothing there


class Group:
    """One transaction, from BEGIN IMMEDIATE to COMMIT, at one `updated`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        reader: Reader,
        codec: Codec,
        *,
        seq: int,
        now: int,
        rules: int = 0,
        known: Set[Row] = frozenset(),
        lane: Lane | None = None,
    ) -> None:
        """rules: see Unit. known: rows of SHARED that are there. lane: where the audit goes on."""
        self._connection = connection
        self._reader = reader
        self._codec = codec
        self._lists = Lists()
        self._told: list[Entry] = []
        self._waiting: set[int] = set()  # rids of what is in the lists
        self._newest: dict[int, int] = {}  # rid -> seq
        self._keys: set[str] = set()  # Idempotency-Keys in the lists
        self._rules = rules
        self._known = known
        self.shared: set[Row] = set()  # rows of SHARED that are there after it
        self.lane = lane or Lane.begun()
        self.seq = seq
        self.now = now

    def look(self, rids: set[int]) -> None:
        """Learn the newest version of each resource that the group's units touch."""
        self._newest.update(self._connection.execute(CURRENT, (json.dumps(list(rids)),)))

    def take(self, unit: Unit, planned: Sequence[Planned]) -> Committed:
        """Check the unit and keep its rows. Raises Stale, Conflict, or what its answer raises."""
        if unit.only_tells:
            self._told += unit.audit
            return Committed(self.now, ())
        touched = touches(unit, planned)
        if unit.assumptions or unit.expects or not touched.isdisjoint(self._waiting):
            self.flush()
        self._check(unit, planned)
        answer = None if unit.remember is None else unit.remember.answer(self.now)
        first = Position(self.seq + 1)
        positions = [self._keep(p) for p in planned]
        committed = Committed(self.now, positions, first, apart=True)
        self._keep_beside(unit, committed)
        if unit.remember is not None:
            kept = (unit.remember.key, unit.remember.digest, self.now, answer)
            self._lists.remember.append(kept)
            self._keys.add(unit.remember.key)
        self._told += unit.audit
        return committed

    def _check(self, unit: Unit, planned: Sequence[Planned]) -> None:
        if len({p.rid for p in planned}) < len(planned):
            raise Conflict("One resource is written twice at once. Write it once.")
        if unit.rules != self._rules:
            raise Stale
        for p in planned:
            if self._newest.get(p.rid) != p.follows:
                self._refuse_other(p.rid, p.new.key)
                raise Stale
        for unchanged in unit.unchanged:
            if self._newest.get(rid(unchanged.key)) != unchanged.position.seq:
                raise Stale
        for assumption in unit.assumptions:
            # Only reading is stopped: a write that is stopped takes the transaction with it.
            with self._reader.within(LOOK):
                found = find(self._reader, assumption.select, assumption.at_most)
            if found != assumption.found:
                raise Stale
        if unit.remember is not None and self._remembered(unit.remember.key):
            raise Stale
        demand(self._connection, unit.expects)

    def _refuse_other(self, rid: int, key: Key) -> None:
        """Two ids with one number, in 2^63: the second cannot be stored."""
        row = self._connection.execute(NAMED, (rid,)).fetchone()
        if row is not None and (NAMES[row[0] - 1], id_of(row[1])) != key:
            raise Conflict(f"`{key}` cannot be stored beside another resource. Choose another id.")

    def _remembered(self, key: str) -> bool:
        if key in self._keys:
            return True
        asked = "SELECT 1 FROM idempotency WHERE key = ?"
        return self._connection.execute(asked, (key,)).fetchone() is not None

    def _keep(self, p: Planned) -> Position:
        lists, rows = self._lists, p.new.rows
        for version, tail in (*p.earlier, (p.version, p.new.tail)):
            self.seq += 1
            lists.versions.append((self.seq, p.rid, self.now, *version))
            lists.tails.append(tail)
        seq = self.seq
        self._waiting.add(p.rid)
        self._newest[p.rid] = seq
        gone = p.new.tail is None
        if p.follows is None:
            low, high = rows.main
            type = p.version[3]
            whose = (type, int(gone), p.new.facility)
            lists.first.append((p.rid, p.owner, seq, seq, low, high, p.keys, *whose))
        else:
            self._follow(p, seq, gone=gone)
        if p.new.cares is not None:
            lists.careless += [(p.rid,)] if p.follows is not None else []
            lists.care += p.new.cares
        lived = p.follows is not None and not p.returns
        if lived == gone:
            lists.tally[p.version[3]] += -1 if gone else 1
        for table, removed in p.remove.items():
            if removed:
                lists.remove[table].extend(removed)
        for table, added in p.add.items():
            new = added - self._known - self.shared if table == SHARED else added
            if new:
                lists.add[table].extend(new)
        self.shared |= p.add[SHARED]
        if p.lineage or p.left is not None:
            self._beside().descend(seq, p.lineage, p.left)
        return Position(seq)

    def _beside(self) -> Beside:
        if self._lists.beside is None:
            self._lists.beside = Beside()
        return self._lists.beside

    def _keep_beside(self, unit: Unit, committed: Committed) -> None:
        for mark in unit.marks:
            self.seq += 1
            self._beside().mark(self.seq, mark)
        if unit.side:
            self._beside().keep(unit, committed)

    def _follow(self, p: Planned, seq: int, *, gone: bool) -> None:
        """A deletion keeps its place in the order, where it is passed over."""
        lists, before = self._lists, p.new.before
        low, high = before.main if gone else p.new.rows.main
        indexed = (p.owner, low, p.keys) != (before.owner, before.main[0], bits(before.keys))
        if gone or p.returns or indexed or p.new.unsure:
            born = seq if p.returns and not gone else None
            lists.move.append((p.owner, seq, high, int(gone), p.keys, low, born, p.rid))
        else:
            lists.next.append((seq, high, p.rid))
        if p.new.facility:
            lists.facility.append((p.new.facility, p.rid))
        if not gone and not p.returns and moves(before, p.new.rows):
            lists.moved.append((seq, p.rid, before.main[0]))

    def tell(self) -> int:
        """Write down, as one, what all units of the group tell: how much that is."""
        if self._told:
            self.lane = told(self._connection, self.lane, self._told)
        return len(self._told)

    def flush(self) -> None:
        """Write what waits."""
        lists, many = self._lists, self._connection.executemany
        self._lists, self._waiting, self._keys = Lists(), set(), set()
        packed = self._codec.pack_all(lists.tails)
        bodied = [(*row, *body) for row, body in zip(lists.versions, packed, strict=True)]
        _insert(self._connection, "version", VERSION, bodied)
        _insert(self._connection, "current", FIRST, sorted(lists.first))
        for sql, rows in (
            (NEXT, lists.next),
            (MOVE, lists.move),
            (MOVED, lists.moved),
            (FACILITY, lists.facility),
            (CARELESS, lists.careless),
            (REMEMBER, lists.remember),
            (TALLY, [(type, n) for type, n in lists.tally.items() if n]),
        ):
            if rows:
                many(sql, rows)
        for table, removed in lists.remove.items():
            many(REMOVE[table], sorted(removed))
        for table, added in lists.add.items():
            insert_index(self._connection, table, added)
        _insert(self._connection, "care", CARE, sorted(set(lists.care)), on_conflict="OR REPLACE ")
        if lists.beside is not None:
            lists.beside.write(self._connection)


def told(connection: sqlite3.Connection, lane: Lane, entries: Sequence[Entry]) -> Lane:
    """Write entries of the audit down; where the chain goes on."""
    rows, after = lane.onward(entries)
    _insert(connection, "audit", ENTRY, rows.entries)
    return after


def insert_index(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Rows of the index, in its order; what is there already stays."""
    _insert(connection, table, INDEX[table], sorted(rows), on_conflict="OR IGNORE ")


def _insert(
    connection: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    *,
    on_conflict: str = "",
) -> None:
    head = f"INSERT {on_conflict}INTO {table} ({','.join(columns)}) VALUES "
    marks = f"({','.join('?' * len(columns))})"
    for start in range(0, len(rows), MANY):
        some = rows[start : start + MANY]
        values = [value for row in some for value in row]
        connection.execute(head + ",".join([marks] * len(some)), values)
