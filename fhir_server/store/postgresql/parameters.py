"""parameters — the parameters that are not R4's own, in a database that many processes share.

https://hl7.org/fhir/R4/searchparameter.html

A declaration waits until every write under way has ended, and lets none begin before it is done:
as what a statement sees is settled after it has its locks, each write is made by the rules before,
and ends before, or sees those after. The rows of older versions come under the locks that writers
of the same resources take, for versions that are still current then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection, errors

from fhir_server.foundation.outcome import Unavailable
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
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.parameters import COLUMNS, Elsewhere, read
from fhir_server.store.postgresql.connection import Pool, Row, numbered, refusing, rows
from fhir_server.store.postgresql.rows import arrays, differences
from fhir_server.store.postgresql.statement import INDEX
from fhir_server.store.postgresql.writing import LOCK
from fhir_server.store.row import stored
from fhir_server.store.types import NUMBERS, type_numbers

# Two numbers: never one of the single numbers that stand for resources.
ALONE = f"select pg_try_advisory_lock({int.from_bytes(b'fhir')}, {int.from_bytes(b'para')})"
BUSY = "Others are writing without a pause. Nothing was changed; try again in a moment."
SWEPT = 2000  # rows of one table taken away by one statement
ALL = f"select {COLUMNS} from parameter order by number"
# Writers hold ROW EXCLUSIVE on `version` to the end of their transaction.
WAIT = (
    b"set local lock_timeout = '2s'",  # a cleaning by the database itself gives way after 1 s
    b"lock table parameter, version in share row exclusive mode",
)
GENERATION = numbered(
    "select v.generation from current c join version v on v.rid = c.rid and v.seq = c.seq"
    " where c.rid = %s"
)
HELD = numbered("select exists (select from current c where c.type = any(%s) and not c.deleted)")
HERE = b"select base + pg_current_xact_id()::text::bigint from epoch order by number desc limit 1"
LEAVE = numbered(
    f"update parameter set state = '{GONE}', change = %s, began = 0 where number = any(%s)"
)
GIVE = numbered(
    f"insert into parameter ({COLUMNS}) values (%s,%s,%s,%s,%s,%s,%s,%s,0,0,-1,0,0,0,0,0.0)"
)
ASK = (
    f"update parameter set began = %s, total = %s where number = any(%s) and state = '{BUILDING}'"
    " and began = 0 returning 1"
)
CANCEL = (
    f"update parameter set began = 0 where number = any(%s) and state = '{BUILDING}' returning 1"
)
NEXT = (
    f"select {POSTGRESQL.columns} from version v join current c on c.rid = v.rid and c.seq = v.seq"
    " where v.type = %s and v.seq >= %s and (v.seq, v.num) > (%s, %s) and v.seq <= %s"
    " and v.body is not null order by v.seq, v.num limit %s"
)
STANDS = (
    f"number = any(%s) and state = '{BUILDING}' and began <> 0"
    " and (reached_type, reached_seq, reached_num) = (%s, %s, %s)"
)
REACH = numbered(
    "update parameter set reached_type = %s, reached_seq = %s, reached_num = %s,"
    f" done = done + %s, refused = refused + %s, rate = %s where {STANDS}"
)
FINISH = (
    f"update parameter set state = '{READY}', total = done, began = 0 where {STANDS} returning 1"
)
CURRENT = numbered(
    "select c.rid from current c join unnest(%s, %s) n(rid, seq) on c.rid = n.rid and c.seq = n.seq"
)
SWEEP = (
    "delete from index_key where ctid = any(array(select ctid from index_key"
    f" where v >= %s and v < %s limit {SWEPT})) returning 1",
    *(
        f"delete from {table} where ctid = any(array(select ctid from {table}"
        f" where param = any(%s) limit {SWEPT})) returning 1"
        for table in ("index_string", "index_date", "index_quantity", "uri")
    ),
)
REMOVE = (
    f"update parameter set state = '{REMOVED}' where number = %s and state = '{GONE}' returning 1"
)


class PostgresqlParameters:
    """Implements contract.ParameterTable."""

    def __init__(self, url: str, *, readers: Pool, writers: Pool) -> None:
        self._url = url.replace("+psycopg", "", 1)
        self.codec = Codec()
        self._readers = readers
        self._writers = writers

    async def all(self) -> Parameterised:
        return read(await rows(self._readers, ALL, ()))

    async def declare(
        self, source: str, generation: int | None, wanted: Sequence[Declaration]
    ) -> bool:
        try:
            async with self._transaction() as connection:
                for statement in WAIT:
                    await connection.execute(statement)
                return await declare(connection, source, generation, wanted)
        except Unavailable as error:
            if isinstance(error.__cause__, errors.LockNotAvailable):
                raise Unavailable(BUSY, headers={"Retry-After": "2"}) from error
            raise

    async def ask(self, numbers: Sequence[int], *, began: int, total: int) -> None:
        await rows(self._writers, ASK, (began, total, Bigints(numbers)))

    async def cancel(self, numbers: Sequence[int]) -> None:
        await rows(self._writers, CANCEL, (Bigints(numbers),))

    async def finish(self, numbers: Sequence[int], before: Reached) -> None:
        await rows(self._writers, FINISH, (Bigints(numbers), *before))

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
        except Elsewhere:
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
            await rows(self._writers, REMOVE, (number,), prepare=False)
        return taken > 0

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
            await connection.close()


async def declare(
    connection: AsyncConnection[Row],
    source: str,
    generation: int | None,
    wanted: Sequence[Declaration],
) -> bool:
    if generation is not None:
        key = source_key(source)
        assert key is not None, "a version is of a resource"
        if await one(connection, GENERATION, (rid(key),)) != (generation,):
            return False
    cursor = await connection.execute(ALL.encode())
    before = read(await cursor.fetchall())
    gone, new = changes(before.rows, source, wanted)
    change = before.change + 1
    if gone:
        await connection.execute(LEAVE, (change, Bigints(gone)))
    for number, each in new:
        held = await one(connection, HELD, (Bigints(type_numbers(each.types)),))
        state = BUILDING if held == (True,) else READY
        here = await one(connection, HERE)
        assert here is not None
        told = (number, source, each.base, each.code, each.facts, state, change, here[0])
        await connection.execute(GIVE, told)
    return bool(gone or new)


async def fill(connection: AsyncConnection[Row], filling: Filling) -> None:
    """The rows of those that are current still, and how far that is. Raises Elsewhere."""
    # What a machine that dies takes along it takes together with how far it came.
    await connection.execute(b"set local synchronous_commit = off")
    numbers = sorted(rid(version.key) for version, _ in filling.versions)
    if numbers:
        locks = (Bigints(numbers), Bigints([0] * len(numbers)))
        await connection.execute(LOCK, locks)
    count = len(filling.versions) + filling.refused
    told = (*filling.reached, count, filling.refused, filling.rate)
    cursor = await connection.execute(REACH, (*told, Bigints(filling.numbers), *filling.before))
    if cursor.rowcount != len(filling.numbers):
        raise Elsewhere
    seqs = {rid(version.key): version.position.seq for version, _ in filling.versions}
    found = await connection.execute(CURRENT, (Bigints(seqs), Bigints(seqs.values())))
    current = {row[0] for row in await found.fetchall()}
    _, added = differences(
        [
            NewVersion(version.key, version.generation, version.digest, "PUT", None, rows)
            for version, rows in filling.versions
            if rid(version.key) in current
        ]
    )
    for table, all in added.items():
        await connection.execute(insertion(table), arrays(table, sorted(all)))


def insertion(table: str) -> bytes:
    named = ", ".join(INDEX[table])
    marks = ", ".join(["%s"] * len(INDEX[table]))
    return numbered(
        f"insert into {table} ({named}) select * from unnest({marks}) on conflict do nothing"
    )


async def one(
    connection: AsyncConnection[Row], asked: bytes, values: tuple[Any, ...] = ()
) -> Row | None:
    return await (await connection.execute(asked, values)).fetchone()
