"""parameters — the parameters that are not R4's own, in a database that many processes share.

https://hl7.org/fhir/R4/searchparameter.html

A declaration waits until every write under way has ended, and lets none begin before it is done:
as what a statement sees is settled after it has its locks, each write is made by the rules before,
and ends before, or sees those after. The rows of older versions come under the locks that writers
of the same resources take, for versions that are still current then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from psycopg import AsyncConnection, Error, errors

from fhir_server.foundation.outcome import Unavailable
from fhir_server.store import parameters
from fhir_server.store.asking import awaited
from fhir_server.store.codec import Codec
from fhir_server.store.contract import PARAM_SHIFT, WHOLE_TEXT, Position, Stored, rid
from fhir_server.store.contract.parameter import Declaration, Filling, Parameterised, Reached
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.postgresql.connection import Pool, Row, numbered, refusing, rows
from fhir_server.store.postgresql.rows import arrays, differences
from fhir_server.store.postgresql.statement import insertion
from fhir_server.store.postgresql.writing import LOCK
from fhir_server.store.row import stored
from fhir_server.store.select import Rendered
from fhir_server.store.types import NUMBERS

# Two numbers: never one of the single numbers that stand for resources.
ALONE = f"select pg_try_advisory_lock({int.from_bytes(b'fhir')}, {int.from_bytes(b'para')})"
BUSY = "Others are writing without a pause. Nothing was changed; try again in a moment."
# Writers hold ROW EXCLUSIVE on `version` to the end of their transaction.
WAIT = (
    b"set local lock_timeout = '2s'",  # a cleaning by the database itself gives way after 1 s
    b"lock table parameter, version in share row exclusive mode",
)
HORIZON = "select base + pg_current_xact_id()::text::bigint from epoch order by number desc limit 1"
NEXT = (
    f"select {POSTGRESQL.columns} from version v"
    " join current c on c.rid = v.rid and c.seq = v.seq and c.num = v.num"
    " where v.type = %s and v.seq >= %s and (v.seq, v.num) > (%s, %s) and v.seq <= %s"
    " and v.body is not null order by v.seq, v.num limit %s"
)
SWEEP = (
    "delete from index_key where ctid = any(array(select ctid from index_key"
    f" where v >= %s and v < %s limit {parameters.SWEPT})) returning 1",
    *(
        f"delete from {table} where ctid = any(array(select ctid from {table}"
        f" where param = any(%s) limit {parameters.SWEPT})) returning 1"
        for table in ("index_string", "index_date", "index_quantity", "uri")
    ),
)


class PostgresqlParameters:
    """Implements contract.ParameterTable."""

    def __init__(self, url: str, *, readers: Pool, writers: Pool) -> None:
        self._url = url.replace("+psycopg", "", 1)
        self.codec = Codec()
        self._readers = readers
        self._writers = writers

    async def all(self) -> Parameterised:
        return parameters.read(await rows(self._readers, parameters.ALL, ()))

    async def declare(
        self, source: str, generation: int | None, wanted: Sequence[Declaration]
    ) -> bool:
        asking = parameters.declare(source, generation, wanted, POSTGRESQL, HORIZON)
        try:
            async with self._transaction() as connection:
                for statement in WAIT:
                    await connection.execute(statement)
                return await awaited(asking, partial(_rows, connection))
        except Unavailable as error:
            if isinstance(error.__cause__, errors.LockNotAvailable):
                raise Unavailable(BUSY, headers={"Retry-After": "2"}) from error
            raise

    async def ask(self, numbers: Sequence[int], *, began: int, total: int) -> None:
        await self._say(parameters.ask(numbers, began, total, POSTGRESQL))

    async def cancel(self, numbers: Sequence[int]) -> None:
        await self._say(parameters.cancel(numbers, POSTGRESQL))

    async def finish(self, numbers: Sequence[int], before: Reached) -> None:
        await self._say(parameters.finish(numbers, before, POSTGRESQL))

    async def following(
        self, type: str, after: Position, until: int, *, limit: int
    ) -> Sequence[Stored]:
        values = (NUMBERS[type], after.seq, *after, until, limit)
        found = await rows(self._readers, NEXT, values, prepare=False)
        return [stored(row, self.codec) for row in found]

    async def fill(self, filling: Filling) -> bool:
        try:
            async with self._transaction() as connection:
                await fill(connection, filling)
        except parameters.Elsewhere:
            return False
        return True

    async def sweep(self, number: int) -> bool:
        taken = 0
        for statement in SWEEP:
            values: tuple[object, ...] = (Bigints((number, number + WHOLE_TEXT)),)
            if "index_key" in statement:
                values = (number << PARAM_SHIFT, number + 1 << PARAM_SHIFT)
            taken += len(await rows(self._writers, statement, values, prepare=False))
        if not taken:
            await self._say(parameters.remove(number, POSTGRESQL))
        return taken > 0

    async def _say(self, told: Rendered) -> None:
        await rows(self._writers, told.text, told.values)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection[Row]]:
        async with refusing(), self._writers.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """A connection of its own holds a lock for as long as it lives, and dies with us."""
        async with refusing():
            connection = await AsyncConnection.connect(
                self._url, autocommit=True, application_name="fhir-server reindex"
            )
        try:
            async with refusing():
                row = await (await connection.execute(ALONE.encode())).fetchone()
            yield row == (True,)
        finally:
            # Closing says goodbye and waits for nobody: who asks next must not find it locked.
            with suppress(Error):
                await connection.execute(b"select pg_advisory_unlock_all()")
            await connection.close()


async def fill(connection: AsyncConnection[Row], filling: Filling) -> None:
    """Raises Elsewhere."""
    # What a machine that dies takes along it takes together with how far it came.
    await connection.execute(b"set local synchronous_commit = off")
    numbers = sorted(rid(version.key) for version, _ in filling.versions)
    if numbers:
        locks = (Bigints(numbers), Bigints([0] * len(numbers)))
        await connection.execute(LOCK, locks)
    asking = parameters.fill(filling, POSTGRESQL)
    _, added = differences(await awaited(asking, partial(_rows, connection)))
    for table, all in added.items():
        await connection.execute(insertion(table), arrays(table, sorted(all)))


async def _rows(connection: AsyncConnection[Row], asked: Rendered) -> list[Row]:
    return await (await connection.execute(numbered(asked.text), asked.values)).fetchall()
