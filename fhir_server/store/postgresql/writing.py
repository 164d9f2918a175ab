"""writing — a Unit is committed whole, or not at all, and only if what it assumed still holds.

https://hl7.org/fhir/R4/http.html#transaction

Creating what nobody else can name is one statement. Everything else takes its locks first, in a
statement of its own, so that the write's snapshot and its transaction id come after them: the
decision is made on what every writer before has committed, and a resource's versions stand in
the change log in the order of its history.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolClosed, PoolTimeout

from fhir_server.foundation.outcome import Conflict, FhirError, Unavailable
from fhir_server.store import side
from fhir_server.store.audit import Rows
from fhir_server.store.codec import Codec
from fhir_server.store.contract import Committed, NewVersion, Position, Stale, Unit, hash128, rid
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.postgresql import audit
from fhir_server.store.postgresql.audit import PostgresqlAudit
from fhir_server.store.postgresql.beside import NOTHING, beside
from fhir_server.store.postgresql.connection import Pool, Row, numbered, refusing, rows
from fhir_server.store.postgresql.rows import arrays, cares, differences, versions
from fhir_server.store.postgresql.statement import Shape, statement
from fhir_server.store.row import SHARED, halves, id_of
from fhir_server.store.select import find_sql

LOCK = numbered(
    "select count(case when shared = 1 then pg_advisory_xact_lock_shared(number)::text"
    " else pg_advisory_xact_lock(number)::text end) from unnest(%s, %s) l(number, shared)"
)
WRITTEN = (
    "select v.seq from version v where v.rid = %s and v.digest_hi = %s and v.digest_lo = %s"
    " and v.generation = %s and v.updated = %s order by v.seq desc limit 1"
)
# Refusals after which nothing can have been written: the connection lived, or there was none.
UNWRITTEN = (errors.QueryCanceled, errors.LockNotAvailable, PoolTimeout, PoolClosed)
UNKNOWN = (
    "The connection to the database was lost while this was written, and it was not found"
    " afterwards. Look whether it is there before sending it again."
)


async def commit(
    pool: Pool, codec: Codec, unit: Unit, clock: Callable[[], int], log: PostgresqlAudit
) -> Committed:
    """Write it all, durably, or nothing."""
    with log.rows(unit) as told:
        return await _committed(pool, codec, unit, clock, told)


async def _committed(
    pool: Pool, codec: Codec, unit: Unit, clock: Callable[[], int], told: Rows
) -> Committed:
    followed = [new.follows for new in unit.versions if new.follows]
    updated = max([clock(), *(version.updated for version in followed)])
    text, values = _written(unit, codec, updated, told)
    locks = _locks(unit)
    try:
        async with refusing():
            seq = await _execute(pool, text, values, locks)
    except Stale:
        await _refuse_shared_number(pool, unit)
        raise
    except Unavailable as lost:
        if not isinstance(lost.__cause__, psycopg.OperationalError) or not unit.versions:
            raise
        if isinstance(lost.__cause__, UNWRITTEN):
            raise
        seq = await _after_loss(pool, unit, updated, locks)
    if seq is None:
        await _refuse_shared_number(pool, unit)
        raise Stale
    return Committed(updated, [Position(seq, num) for num in unit.numbers], Position(seq))


async def commit_together(
    pool: Pool, codec: Codec, units: Sequence[Unit], clock: Callable[[], int], log: PostgresqlAudit
) -> list[Committed | BaseException]:
    """Plain units that came at one time, as one transaction; each by itself where that fails."""
    if len(units) > 1:
        try:
            rules = min(unit.rules for unit in units)
            entries = tuple(entry for unit in units for entry in unit.audit)
            together = Unit(_all_versions(units), rules=rules, audit=entries)
            whole = await commit(pool, codec, together, clock, log)
        except (Stale, FhirError):
            pass  # one of them spoils it, and only by itself is it known which
        else:
            positions = iter(whole.positions)
            parts = [list(itertools.islice(positions, len(unit.versions))) for unit in units]
            return [Committed(whole.updated, part, (part or [whole.first])[0]) for part in parts]
    return [await _alone(pool, codec, unit, clock, log) for unit in units]


def _all_versions(units: Sequence[Unit]) -> tuple[NewVersion, ...]:
    return tuple(version for unit in units for version in unit.versions)


async def _alone(
    pool: Pool, codec: Codec, unit: Unit, clock: Callable[[], int], log: PostgresqlAudit
) -> Committed | BaseException:
    try:
        return await commit(pool, codec, unit, clock, log)
    except (Stale, FhirError) as refused:
        return refused


# --- what is sent --------------------------------------------------------------------------------


def _locks(unit: Unit) -> dict[int, bool]:
    """The numbers to lock, each with whether it may be shared with others who only look.

    Who found something and relies on it may do so beside others; who found nothing, and will
    make it, must be alone.
    """
    if is_plain(unit):
        return {}
    alone: set[int] = {rid(new.key) for new in unit.versions}
    put, shared = side.locks(unit)
    alone |= put
    shared |= {rid(one.key) for one in unit.unchanged}
    for assumption in unit.assumptions:
        (shared if assumption.found else alone).update(assumption.locks)
    if unit.remember is not None:
        alone.add(hash128(f"Idempotency-Key {unit.remember.key}") >> 65)
    return {number: number not in alone for number in sorted(alone | shared)}


def is_plain(unit: Unit) -> bool:
    """Only new resources, on no condition: the primary key alone decides."""
    conditions = unit.assumptions or unit.unchanged or unit.remember is not None
    more = unit.marks or unit.side or unit.expects
    return not (conditions or more) and all(
        new.follows is None and new.parents is None and not new.earlier and not new.stubs
        for new in unit.versions
    )


def _written(unit: Unit, codec: Codec, updated: int, audited: Rows) -> tuple[bytes, list[Any]]:
    """The statement and its values, in the same order."""
    finds = [
        find_sql(one.select, at_most=one.at_most, dialect=POSTGRESQL) for one in unit.assumptions
    ]
    removed, added = differences(unit.versions)
    added.pop(SHARED, None)  # they are there already: see uris.py
    more = NOTHING if is_plain(unit) else beside(unit, codec, updated)
    shape = Shape(
        checked=not is_plain(unit),
        finds=tuple(find.text for find in finds),
        unchanged=bool(unit.unchanged),
        remember=unit.remember is not None,
        fresh=any(new.follows is None for new in unit.versions),
        updated=any(new.follows is not None for new in unit.versions),
        removed=tuple(removed),
        added=tuple(added),
        cares=any(new.cares is not None for new in unit.versions),
        audit=bool(audited.entries),
        beside=more.parts,
    )
    values: list[Any] = [*versions(unit.versions, codec)]
    if unit.unchanged:
        values += map(Bigints, zip(*((rid(k), p.seq, p.num) for k, p in _pairs(unit)), strict=True))
    for assumption, find in zip(unit.assumptions, finds, strict=True):
        values += (*find.values, Bigints(assumption.found))
    values += [unit.remember.key] if unit.remember else []
    values += more.expected
    values += (unit.rules, updated)
    for changed in (removed, added):
        for table, changes in changed.items():
            values += arrays(table, changes)
    values += cares(unit.versions) if shape.cares else ()
    if unit.remember:
        told = unit.remember
        values += (told.key, told.digest, updated, told.answer(updated))
    values += audit.values(audited) if audited.entries else ()
    return statement(shape), [*values, *more.values]


def _pairs(unit: Unit) -> list[tuple[Any, Position]]:
    return [(one.key, one.position) for one in unit.unchanged]


# --- how it is sent ------------------------------------------------------------------------------


async def _execute(
    pool: Pool, text: bytes, values: list[Any], locks: dict[int, bool]
) -> int | None:
    """The unit's seq, or None where an assumption failed."""
    connection = await pool.getconn()
    try:
        cursor = connection.cursor(binary=True)
        if locks:
            # One round trip. Up to the pipeline's end it is one transaction.
            async with connection.pipeline():
                await _lock(connection, locks)
                await cursor.execute(text, values, prepare=True)
        else:
            await cursor.execute(text, values, prepare=True)
        found = await cursor.fetchone()
        return None if found is None else int(found[0])
    finally:
        if connection.info.transaction_status not in (
            TransactionStatus.IDLE,
            TransactionStatus.UNKNOWN,
        ):
            await connection.rollback()
        await pool.putconn(connection)


async def _lock(connection: AsyncConnection[Row], locks: dict[int, bool]) -> None:
    values = (Bigints(locks), Bigints(map(int, locks.values())))
    await connection.execute(LOCK, values, prepare=True)


# --- what went wrong -----------------------------------------------------------------------------


async def _after_loss(pool: Pool, unit: Unit, updated: int, locks: dict[int, bool]) -> int:
    """The connection died, perhaps in the commit: whether the first version is there decides.

    The unit's own locks are free only when the lost transaction has ended, either way.
    """
    first = unit.versions[0]
    values = (rid(first.key), *halves(first.digest), first.generation, updated)
    async with refusing():
        await pool.check()  # others were lost with it
        connection = await pool.getconn()
        try:
            async with connection.transaction():
                await _lock(connection, locks or {rid(first.key): False})
                cursor = await connection.execute(numbered(WRITTEN), values)
                found = await cursor.fetchone()
        finally:
            await pool.putconn(connection)
    if found is None:
        raise Unavailable(UNKNOWN, headers={"Retry-After": "2"})
    return int(found[0])


async def _refuse_shared_number(pool: Pool, unit: Unit) -> None:
    """Two ids with one number: looking again would not help, so say it."""
    fresh = {rid(new.key): new.key for new in unit.versions if new.follows is None}
    if len({rid(new.key) for new in unit.versions}) < len(unit.versions):
        raise Conflict("One resource was written twice in one unit. Send it as two.")
    if not fresh:
        return
    asked = "select distinct v.rid, v.id from version v where v.rid = any(%s)"
    for number, id in await rows(pool, asked, (Bigints(fresh),)):
        if fresh[number].id != id_of(id):
            raise Conflict(
                f"`{fresh[number]}` cannot be stored: another id has the same number here."
                " Choose another id."
            )
