"""audit — the chains that entries of the audit stand in, and how they are asked for.

https://hl7.org/fhir/R4/auditevent.html

    seal = SHA-256(seal before + chain, number, at as 8 bytes each + body)

What one transaction writes is one row (block.py), with one seal. The seal before the first is 32
zeros. A chain's number begins with the time it was begun, so that chains stand in that order; the
rest is random.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from struct import Struct
from typing import Any, NamedTuple

from fhir_server.store import block
from fhir_server.store.contract.audit import Before, Entered, Entry, Head, Sought
from fhir_server.store.contract.version import Stale
from fhir_server.store.dialect import Dialect

FIRST = bytes(32)
PLACE = Struct(">qqq")
RANDOM = 20  # bits of a chain's number; 43 are milliseconds since 1970
ENTRY = ("chain", "number", "at", "seal", "body")
SUBJECT = ("subject", "at", "chain", "number")
KEPT = {"audit": ENTRY, "audit_subject": SUBJECT}  # a restore takes nothing out of these
COLUMNS = ", ".join(f"a.{column}" for column in ENTRY)
MOST_ROWS = 500  # at once, of those that were asked for
Questions = Generator[tuple[str, list[Any]], Sequence[Sequence[Any]], list[Entered]]


def sealed(before: bytes, chain: int, number: int, at: int, body: bytes) -> bytes:
    return sha256(before + PLACE.pack(chain, number, at) + body).digest()


class Rows(NamedTuple):
    """Rows to be added, in the order of ENTRY and of SUBJECT."""

    entries: Sequence[tuple[int, int, int, bytes, bytes]] = ()
    subjects: Sequence[tuple[int, int, int, int]] = ()


NO_ROWS = Rows()


@dataclass(frozen=True, slots=True)
class Lane:
    """The end of a chain: what the next entry is sealed with."""

    chain: int
    number: int = 0
    seal: bytes = FIRST

    @classmethod
    def begun(cls, after: int = 0) -> Lane:
        """after: a chain that it is to come behind, whatever the clock says."""
        milliseconds = max(time.time_ns() // 1_000_000, (after >> RANDOM) + 1)
        return cls(milliseconds << RANDOM | secrets.randbits(RANDOM))

    def onward(self, entries: Sequence[Entry]) -> tuple[Rows, Lane]:
        """The row of these entries and what it is found by, and the end of the chain after it."""
        chain, number = self.chain, self.number + len(entries)
        at = max([entry.at for entry in entries])
        body = block.packed(entries)
        seal = sealed(self.seal, chain, number, at, body)
        found = {subject for entry in entries for subject in entry.subjects}
        subjects = [(subject, at, chain, number) for subject in found]
        return Rows(((chain, number, at, seal, body),), subjects), Lane(chain, number, seal)

    def head(self, *, ended: bool = False) -> Head:
        return Head(self.chain, self.number, self.seal, ended)


@dataclass
class Lanes:
    """The chains of a process that writes several transactions at once: each takes one for itself.

    A transaction that is known to have written nothing gives its chain back as it was. Where that
    is not known the chain is left for good: its next number may be taken, or not.
    """

    free: list[Lane] = field(default_factory=list)
    taken: dict[int, Lane] = field(default_factory=dict)  # by chain
    left: list[Lane] = field(default_factory=list)
    is_closed: bool = False

    @contextmanager
    def rows(self, entries: Sequence[Entry]) -> Iterator[Rows]:
        """The rows to be written inside; what it raises tells whether they were."""
        if not entries:
            yield NO_ROWS
            return
        lane = self.free.pop() if self.free else Lane.begun()
        self.taken[lane.chain] = lane
        rows, after = lane.onward(entries)
        try:
            yield rows
        except Stale as stale:
            # Without a cause it is the statement that found something changed, and wrote nothing.
            (self.left if stale.__cause__ else self.free).append(lane)
            raise
        except BaseException:
            self.left.append(lane)
            raise
        else:
            self.free.append(after)
        finally:
            del self.taken[lane.chain]

    def heads(self) -> list[Head]:
        """A chain that was left may have one transaction more than is known here."""
        known = [lane.head(ended=self.is_closed) for lane in self.free]
        unsure = [lane.head() for lane in (*self.taken.values(), *self.left)]
        return [head for head in (*known, *unsure) if head.number]


# --- asking --------------------------------------------------------------------------------------


def questions(sought: Sought, dialect: Dialect) -> Questions:
    """Asks for rows until there are as many entries as are sought, newest first, and returns them.

    A row has entries of others too; what goes on within a row begins with that row.
    """
    found: list[Entered] = []
    before = sought.before
    if before is not None:
        of_row = [entered(row) for row in (yield one_sql(dialect), [before.chain, before.number])]
        found += [one for one in told(of_row, sought.subjects) if one.number < before.number]
    while len(found) < sought.limit:
        most = min(MOST_ROWS, sought.limit - len(found))
        part = replace(sought, before=before, limit=most)
        rows = [entered(row) for row in (yield sought_sql(part, dialect))]
        found += told(rows, sought.subjects)
        if len(rows) < most:
            break
        before = Before(rows[-1].at, rows[-1].chain, rows[-1].number)
    return found[: sought.limit]


def asked(
    ask: Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]], sought: Sought, dialect: Dialect
) -> list[Entered]:
    """What the questions find that are asked one after the other."""
    asking = questions(sought, dialect)
    question = next(asking)
    while True:
        rows = ask(*question)
        try:
            question = asking.send(rows)
        except StopIteration as done:
            found: list[Entered] = done.value
            return found


def told(rows: Sequence[Entered], subjects: Sequence[int]) -> list[Entered]:
    """The entries of rows that are of all these subjects, the last of each row first."""
    return [one for row in rows for one in reversed(block.entries(row, subjects))]


def sought_sql(sought: Sought, dialect: Dialect) -> tuple[str, list[Any]]:
    """Rows newest first, by what they are found by where a subject is sought."""
    mark = dialect.mark
    values: list[Any] = []
    if sought.subjects:
        text = (
            f"select {COLUMNS} from audit_subject s cross join audit a"
            f" where a.chain = s.chain and a.number = s.number and s.subject = {mark}"
        )
        values.append(sought.subjects[0])
        row = "s"
    else:
        text, row = f"select {COLUMNS} from audit a where true", "a"
    text += f" and {row}.at >= {mark} and {row}.at < {mark}"
    # SQLite goes through an index from this bound on, and not from the place behind `before`.
    before = sought.before
    until = sought.until if before is None else min(sought.until, before.at + 1)
    values += (sought.since, until)
    for other in sought.subjects[1:]:
        text += (
            f" and exists (select 1 from audit_subject o where o.subject = {mark}"
            " and o.at = s.at and o.chain = s.chain and o.number = s.number)"
        )
        values.append(other)
    if sought.before is not None:
        text += f" and ({row}.at, {row}.chain, {row}.number) < ({mark}, {mark}, {mark})"
        values += sought.before
    text += f" order by {row}.at desc, {row}.chain desc, {row}.number desc limit {mark}"
    return text, [*values, sought.limit]


def one_sql(dialect: Dialect) -> str:
    """The row an entry's number lies in, if it is there."""
    mark = dialect.mark
    return (
        f"select {COLUMNS} from audit a where a.chain = {mark} and a.number >= {mark}"
        " order by a.number limit 1"
    )


def within(rows: Sequence[Sequence[Any]], number: int) -> Entered | None:
    """The entry of this number, of what `one_sql` found."""
    held = [one for row in rows for one in block.entries(entered(row)) if one.number == number]
    return held[0] if held else None


def names_sql(found: str) -> str:
    """The type and the id behind each number that `found` names."""
    return (
        "select c.rid, v.type, v.id from current c join version v"
        f" on v.rid = c.rid and v.seq = c.seq where c.rid {found}"
    )


def entered(row: Sequence[Any]) -> Entered:
    chain, number, at, seal, body = row
    return Entered(chain, number, at, bytes(seal), bytes(body))


def carried(table: str, source: str) -> str:
    """A statement that adds to a table of the audit what is only in `source`."""
    named = ", ".join(KEPT[table])
    return (
        f"insert into {table} ({named}) select {named} from {source} where true"
        " on conflict do nothing"
    )
