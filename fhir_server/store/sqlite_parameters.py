"""sqlite_parameters — the parameters that are not R4's own, in a database that is one file.

https://hl7.org/fhir/R4/searchparameter.html

All that is changed is changed by the one writer, between two groups of units, so that a unit is
made either by the rules before or by those after.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from fhir_server.store.codec import Codec
from fhir_server.store.contract import (
    PARAM_SHIFT,
    WHOLE_TEXT,
    NewVersion,
    Position,
    Stored,
    rid,
)
from fhir_server.store.contract.parameter import (
    BUILDING,
    GONE,
    READY,
    REMOVED,
    Declaration,
    Filling,
    Parameterised,
    Reached,
    changes,
    source_key,
)
from fhir_server.store.dialect import SQLITE
from fhir_server.store.parameters import COLUMNS, Elsewhere, read
from fhir_server.store.row import stored
from fhir_server.store.sqlite_connection import Reader, Row
from fhir_server.store.sqlite_group import COLUMNS as INDEX
from fhir_server.store.sqlite_group import plan
from fhir_server.store.sqlite_writer import Writer
from fhir_server.store.types import NUMBERS, type_numbers

T = TypeVar("T")


class Ask(Protocol):
    """The store's way to put a question to a reader."""

    async def __call__(self, question: Callable[[Reader], T], /) -> T: ...


SWEPT = 2000  # rows of one table taken away by one transaction
ALL = f"SELECT {COLUMNS} FROM parameter ORDER BY number"
CHANGE = "SELECT coalesce(max(change), 0) FROM parameter"
GENERATION = "SELECT v.generation FROM current c JOIN version v ON v.seq = c.seq WHERE c.rid = ?"
HELD = "SELECT coalesce(sum(n), 0) FROM tally WHERE type IN (SELECT value FROM json_each(?))"
LEAVE = "UPDATE parameter SET state = ?, change = ?, began = 0 WHERE number = ?"
GIVE = f"INSERT INTO parameter ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,0,0,-1,0,0,0,0,0.0)"
ASK = (
    f"UPDATE parameter SET began = ?, total = ? WHERE number = ? AND state = '{BUILDING}'"
    " AND began = 0"
)
CANCEL = f"UPDATE parameter SET began = 0 WHERE number = ? AND state = '{BUILDING}'"
NEXT = (
    f"SELECT {SQLITE.columns} FROM version v CROSS JOIN current c ON c.rid = v.rid AND c.seq ="
    " v.seq WHERE v.type = ? AND v.seq > ? AND v.seq <= ? AND v.body IS NOT NULL"
    " ORDER BY v.seq LIMIT ?"
)
STANDS = (
    f"number = ? AND state = '{BUILDING}' AND began <> 0 AND reached_type = ? AND reached_seq = ?"
    " AND reached_num = ?"
)
REACH = (
    "UPDATE parameter SET reached_type = ?, reached_seq = ?, reached_num = ?, done = done + ?,"
    f" refused = refused + ?, rate = ? WHERE {STANDS}"
)
FINISH = f"UPDATE parameter SET state = '{READY}', total = done, began = 0 WHERE {STANDS}"
CURRENT = "SELECT rid, seq FROM current WHERE rid IN (SELECT value FROM json_each(?))"
SWEEP = (
    "DELETE FROM index_key WHERE (v, main, rid, w) IN"
    " (SELECT v, main, rid, w FROM index_key WHERE v >= :from AND v < :to LIMIT :many)",
    "DELETE FROM index_string WHERE (param, word, rid, whole) IN (SELECT param, word, rid, whole"
    " FROM index_string WHERE param = :number LIMIT :many)",
    "DELETE FROM index_string WHERE (param, word, rid, whole) IN (SELECT param, word, rid, whole"
    " FROM index_string WHERE param = :whole LIMIT :many)",
    "DELETE FROM index_date WHERE (param, lo, hi, rid) IN"
    " (SELECT param, lo, hi, rid FROM index_date WHERE param = :number LIMIT :many)",
    "DELETE FROM index_quantity WHERE (param, unit, lo, hi, rid) IN"
    " (SELECT param, unit, lo, hi, rid FROM index_quantity WHERE param = :number LIMIT :many)",
    "DELETE FROM uri WHERE param = :number",
)
SWEPT_ALL = f"UPDATE parameter SET state = '{REMOVED}' WHERE number = ? AND state = '{GONE}'"


class SqliteParameters:
    """Implements contract.ParameterTable."""

    def __init__(
        self,
        codec: Codec,
        writer: Writer,
        ask: Ask,
    ) -> None:
        self._codec = codec
        self._writer = writer
        self._ask = ask

    async def all(self) -> Parameterised:
        return await self._ask(lambda reader: read(reader.rows(ALL)))

    async def declare(
        self, source: str, generation: int | None, wanted: Sequence[Declaration]
    ) -> bool:
        return await self._do(lambda connection: declare(connection, source, generation, wanted))

    async def ask(self, numbers: Sequence[int], *, began: int, total: int) -> None:
        await self._each(ASK, [(began, total, number) for number in numbers])

    async def cancel(self, numbers: Sequence[int]) -> None:
        await self._each(CANCEL, [(number,) for number in numbers])

    async def finish(self, numbers: Sequence[int], before: Reached) -> None:
        await self._each(FINISH, [(number, *before) for number in numbers])

    async def following(
        self, type: str, after: Position, until: int, *, limit: int
    ) -> Sequence[Stored]:
        values = (NUMBERS[type], after.seq, until, limit)
        return await self._ask(
            lambda reader: [stored(row, self._codec) for row in reader.rows(NEXT, values)]
        )

    async def fill(self, filling: Filling) -> bool:
        try:
            await self._writer.do(lambda connection: fill(connection, filling))
        except Elsewhere:
            return False
        return True

    async def sweep(self, number: int) -> bool:
        return await self._do(lambda connection: sweep(connection, number))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """The process that has the file open to write is always alone."""
        yield True

    async def _each(self, statement: str, values: Sequence[tuple[object, ...]]) -> None:
        await self._writer.do(lambda connection: _many(connection, statement, values))

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        told: list[T] = []
        await self._writer.do(lambda connection: told.append(work(connection)))
        return told[0]


def _many(
    connection: sqlite3.Connection, statement: str, values: Sequence[tuple[object, ...]]
) -> None:
    connection.executemany(statement, values)


def declare(
    connection: sqlite3.Connection,
    source: str,
    generation: int | None,
    wanted: Sequence[Declaration],
) -> bool:
    if generation is not None:
        key = source_key(source)
        assert key is not None, "a version is of a resource"
        newest = connection.execute(GENERATION, (rid(key),)).fetchone()
        if newest is None or newest[0] != generation:
            return False
    before = read(connection.execute(ALL).fetchall())
    gone, new = changes(before.rows, source, wanted)
    change = before.change + 1
    connection.executemany(LEAVE, [(GONE, change, number) for number in gone])
    for number, one in new:
        held = connection.execute(HELD, (json.dumps(type_numbers(one.types)),)).fetchone()[0]
        state = BUILDING if held else READY
        horizon = connection.execute("SELECT coalesce(max(seq), 0) FROM version").fetchone()[0]
        told = (number, source, one.base, one.code, one.facts, state, change, horizon)
        connection.execute(GIVE, told)
    return bool(gone or new)


def fill(connection: sqlite3.Connection, filling: Filling) -> None:
    """The rows of those that are current still, and how far that is. Raises Elsewhere."""
    count = len(filling.versions) + filling.refused
    told = (*filling.reached, count, filling.refused, filling.rate)
    for number in filling.numbers:
        if connection.execute(REACH, (*told, number, *filling.before)).rowcount != 1:
            raise Elsewhere
    numbers = [rid(version.key) for version, _ in filling.versions]
    current = dict(connection.execute(CURRENT, (json.dumps(numbers),)).fetchall())
    added: dict[str, list[Row]] = {}
    for version, rows in filling.versions:
        if current.get(rid(version.key)) == version.position.seq:
            new = NewVersion(version.key, version.generation, version.digest, "PUT", None, rows)
            for table, some in plan(new).add.items():
                added.setdefault(table, []).extend(some)
    for table, all in added.items():
        names = INDEX[table]
        marks = ",".join("?" * len(names))
        insert = f"INSERT OR IGNORE INTO {table} ({','.join(names)}) VALUES ({marks})"
        connection.executemany(insert, sorted(all))


def sweep(connection: sqlite3.Connection, number: int) -> bool:
    told = {
        "number": number,
        "whole": number + WHOLE_TEXT,
        "from": number << PARAM_SHIFT,
        "to": number + 1 << PARAM_SHIFT,
        "many": SWEPT,
    }
    taken = sum(
        connection.execute(
            statement, {n: v for n, v in told.items() if f":{n}" in statement}
        ).rowcount
        for statement in SWEEP
    )
    if not taken:
        connection.execute(SWEPT_ALL, (number,))
    return taken > 0
