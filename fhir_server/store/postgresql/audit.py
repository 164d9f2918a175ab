"""audit — what was done and seen, written down by as many processes as there are.

https://hl7.org/fhir/R4/auditevent.html

A read waits until its entry is durable. Entries that come while others are on their way go
together: one statement and one flush of the log for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fhir_server.foundation.outcome import Unavailable
from fhir_server.foundation.resource import Key
from fhir_server.store import audit
from fhir_server.store.audit import SUBJECT, Lanes, Rows
from fhir_server.store.contract import Committed, Stale, Unit
from fhir_server.store.contract.audit import Entered, Head, Sought
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.gathering import Gathering
from fhir_server.store.postgresql.connection import LOST, Pool, rows
from fhir_server.store.postgresql.statement import told
from fhir_server.store.postgresql.values import Bodies
from fhir_server.store.row import id_of
from fhir_server.store.types import NAMES

TOGETHER = 200  # entries of one statement
LINGER = 0.002  # seconds, under load: a statement costs as much as two reads
TRIES = 3  # each with another chain
SHORT = 100  # versions of a write that takes along what others wait for
UNDER_WAY = 1  # statements at once; more would only make them smaller
ALONE = f"with {', '.join(told(''))} select 1"
ONE = audit.one_sql(POSTGRESQL)
NAMED = audit.names_sql("= any(%s)")


def values(written: Rows) -> tuple[Bigints | Bodies, ...]:
    """Rows as the arrays of statement.told."""
    chains, numbers, times, seals, bodies = zip(*written.entries, strict=True)
    found = zip(*written.subjects, strict=True) if written.subjects else ((),) * len(SUBJECT)
    return (
        Bigints(chains),
        Bigints(numbers),
        Bigints(times),
        Bodies(seals),
        Bodies(bodies),
        *map(Bigints, found),
    )


def is_short(unit: Unit) -> bool:
    """Whether others may wait for it: what it assumes may take long to be looked for."""
    return len(unit.versions) <= SHORT and not unit.assumptions


class PostgresqlAudit:
    """Implements contract.audit.AuditLog, and writes down what was only read."""

    def __init__(self, *, readers: Pool, writers: Pool) -> None:
        self._readers = readers
        self._writers = writers
        self.lanes = Lanes()
        self._telling: Gathering[Unit, Committed] = Gathering(
            self._told,
            weight=lambda unit: len(unit.audit),
            most=TOGETHER,
            under_way=UNDER_WAY,
            linger=LINGER,
        )

    async def tell(self, unit: Unit) -> Committed:
        """Write down what a unit tells that does nothing else."""
        return await self._telling.ask(unit)

    @contextmanager
    def rows(self, unit: Unit) -> Iterator[Rows]:
        """The rows to be written with a unit: its own, and of what waits to be told, if it is
        short. What it may not take along after all is told as if it had not been here."""
        taken = self._telling.taken() if is_short(unit) else []
        others = [entry for other, _ in taken for entry in other.audit]
        try:
            with self.lanes.rows((*unit.audit, *others)) as written:
                yield written
        except BaseException:
            self._telling.given_back(taken)
            raise
        for _, future in taken:
            if not future.done():
                future.set_result(Committed(0, ()))

    async def finished(self) -> None:
        await self._telling.finished()
        self.lanes.is_closed = True

    async def _told(self, units: Sequence[Unit]) -> Sequence[Committed]:
        entries = [entry for unit in units for entry in unit.audit]
        for _ in range(TRIES):
            try:
                with self.lanes.rows(entries) as written:
                    await rows(self._writers, ALONE, values(written))
                return [Committed(0, ())] * len(units)
            except Stale:  # a number is taken: that of a try whose answer was lost
                continue
        raise Unavailable(LOST, headers={"Retry-After": "2"})

    # --- reading

    def heads(self) -> Sequence[Head]:
        return self.lanes.heads()

    async def entered(self, chain: int, number: int) -> Entered | None:
        return audit.within(await rows(self._readers, ONE, (chain, number)), number)

    async def found(self, sought: Sought) -> Sequence[Entered]:
        asking = audit.questions(sought, POSTGRESQL)
        question = next(asking)
        while True:
            found_rows = await rows(self._readers, *question)
            try:
                question = asking.send(found_rows)
            except StopIteration as done:
                found: Sequence[Entered] = done.value
                return found

    async def keys(self, rids: Sequence[int]) -> Mapping[int, Key]:
        found = await rows(self._readers, NAMED, (Bigints(rids),))
        return {rid: Key(NAMES[type - 1], id_of(id)) for rid, type, id in found}
