"""connection — a pool of connections, their settings, and PostgreSQL's errors in FHIR's words.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from time import perf_counter
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, conninfo, errors
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from fhir_server.foundation.outcome import FhirError, Invalid, OutOfSpace, TooCostly, Unavailable
from fhir_server.store.contract import Stale
from fhir_server.store.contract.watch import WATCH, Watch
from fhir_server.store.postgresql.values import teach
from fhir_server.store.postgresql.watched import EXPLAIN, statement

Row = tuple[Any, ...]
Admit = Callable[[AsyncConnection[Row]], Awaitable[None]]

# An open write holds back every follower of the change log, so none may stay open for long.
SESSION = {
    "application_name": "fhir-server",
    "timezone": "UTC",
    "jit": "off",  # compiling a query of 100 us takes 100 ms
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "client_min_messages": "warning",
}
# Stronger settings than `on` (remote_apply) stay as the operator chose them.
DURABLE = (
    b"select set_config('synchronous_commit', 'on', false)"
    b" where current_setting('synchronous_commit') in ('off', 'local')"
)
# A plan made while a table is small is kept while it grows: let it use the index from the first.
READER = {"enable_seqscan": "off"}
WRITER = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
WAIT = 3.0  # seconds a request waits for a connection: longer is worse than a 503
QUICK = 0.25  # seconds a question may hold a connection that any other may be waiting for
LANE = 10.0  # seconds a question that takes longer waits for one of the others' places
PREPARED = 300  # statements a connection keeps prepared

# Notice within half a minute that the database's machine is gone, which closes no connection.
ALIVE = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",  # milliseconds
}
AGAIN = (errors.SerializationFailure, errors.DeadlockDetected)
FULL = (errors.DiskFull, errors.OutOfMemory, errors.ConfigurationLimitExceeded)
# A statement that cannot be understood is this program's own fault, and is not to look otherwise.
OURS = (
    errors.SyntaxError, errors.UndefinedFunction, errors.UndefinedColumn, errors.AmbiguousColumn,
    errors.AmbiguousFunction, errors.DatatypeMismatch, errors.IndeterminateDatatype,
)  # fmt: skip
LOST = "The database cannot be reached at the moment. Try again in a few seconds."
LOCKED = "Something else holds what this needs in the database. Nothing was written; try again."
BUSY = "Other searches that take long are under way. Ask for less at once, or try again later."
LONG = "The database needed too long for this, so it was stopped. Ask for less at once."


class Pool(AsyncConnectionPool[AsyncConnection[Row]]):
    """long: places for questions that take long, fewer than there are connections; None: nothing is
    stopped to be asked again."""

    long: asyncio.Semaphore | None = None


def pool(
    url: str,
    *,
    size: int,
    settings: dict[str, str],
    admit: Admit | None = None,
    lanes: bool = False,
) -> Pool:
    """A pool that is not open yet. admit: raises where a new connection may not be used. lanes:
    what takes long is kept apart (for questions only: a statement may be begun twice)."""

    async def configure(connection: AsyncConnection[Row]) -> None:
        teach(connection)
        connection.prepared_max = PREPARED
        told = {**SESSION, **settings}
        sets = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in told.items())
        await connection.execute(f"select {sets}".encode())
        await connection.execute(DURABLE)
        if admit is not None:
            await admit(connection)

    plain = url.replace("+psycopg", "", 1)
    told = conninfo.conninfo_to_dict(plain)
    alive = {name: value for name, value in ALIVE.items() if name not in told}
    made = Pool(
        plain,
        connection_class=AsyncConnection[Row],
        kwargs={"autocommit": True, "cursor_factory": AsyncRawCursor, **alive},
        min_size=1,
        max_size=size,
        timeout=WAIT,
        configure=configure,
        open=False,
        check=None,
    )
    made.long = asyncio.Semaphore(max(1, size // 2)) if lanes else None
    return made


@lru_cache(maxsize=2048)
def numbered(text: str) -> bytes:
    """`%s` marks as the server's own $1, $2, ...: nothing is left to be done for each call."""
    pieces = text.split("%s")
    marked = [f"{piece}${i}" for i, piece in enumerate(pieces[:-1], start=1)]
    return "".join([*marked, pieces[-1]]).encode()


async def rows(pool: Pool, text: str, values: Sequence[Any], *, prepare: bool = True) -> list[Row]:
    """One statement by itself. What takes long is stopped, and asked again where it keeps nobody
    from a connection."""
    if pool.long is None or WATCH.get() is not None:
        return await _rows(pool, text, values, prepare=prepare, within=None)
    try:
        return await _rows(pool, text, values, prepare=prepare, within=QUICK)
    except _TooLong:
        pass
    try:
        await asyncio.wait_for(pool.long.acquire(), LANE)
    except TimeoutError:
        raise Unavailable(BUSY, headers={"Retry-After": "5"}) from None
    try:
        return await _rows(pool, text, values, prepare=prepare, within=None)
    finally:
        pool.long.release()


class _TooLong(Exception):
    """A TimeoutError would be taken for one of the network."""


async def _rows(
    pool: Pool, text: str, values: Sequence[Any], *, prepare: bool, within: float | None
) -> list[Row]:
    """Raises _TooLong. Where its connection was lost while idle, so were others: the pool looks at
    all of them before it is asked again, once."""
    for last in (False, True):
        async with refusing():
            if last:
                await pool.check()
            connection = await pool.getconn()
            try:
                if (watch := WATCH.get()) is not None:
                    return await _watched(connection, watch, text, values)
                return await _asked(connection, text, values, prepare=prepare, within=within)
            except psycopg.OperationalError:
                if last or not connection.closed:
                    raise
            finally:
                await pool.putconn(connection)
    raise AssertionError("the loop returns or raises")


async def _asked(
    connection: AsyncConnection[Row],
    text: str,
    values: Sequence[Any],
    *,
    prepare: bool,
    within: float | None,
) -> list[Row]:
    try:
        async with asyncio.timeout(within):
            cursor = connection.cursor(binary=True)
            await cursor.execute(numbered(text), values, prepare=prepare)
            return await cursor.fetchall()
    except TimeoutError:
        raise _TooLong from None


async def _watched(
    connection: AsyncConnection[Row], watch: Watch, text: str, values: Sequence[Any]
) -> list[Row]:
    """The rows, and what they took: once to have them, once more to be told how."""
    start = perf_counter()
    cursor = connection.cursor(binary=True)
    await cursor.execute(numbered(text), values, prepare=False)
    found = await cursor.fetchall()
    took = perf_counter() - start
    await cursor.execute(numbered(EXPLAIN + text), values, prepare=False)
    plan = (await cursor.fetchall())[0][0]
    watch.add(statement(text, values, plan, len(found), took * 1000))
    watch.spent += perf_counter() - start - took
    return found


@asynccontextmanager
async def refusing() -> AsyncIterator[None]:
    """Say an error of the database as a refusal."""
    try:
        yield
    except OURS:
        raise
    except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests, OSError) as error:
        raise refusal(error) from error


def refusal(error: Exception) -> FhirError | Stale:
    """What a database's error means to whoever asked."""
    if isinstance(error, (*AGAIN, errors.UniqueViolation)):
        return Stale()
    if isinstance(error, errors.LockNotAvailable):  # to begin again would wait as long again
        return Unavailable(LOCKED, headers={"Retry-After": "5"})
    if isinstance(error, FULL):
        return OutOfSpace("The database has no room left. Tell whoever runs this server.")
    if isinstance(error, errors.QueryCanceled):
        return TooCostly(LONG)
    if isinstance(error, psycopg.DataError):
        return Invalid("A value is out of the range the database can hold.")
    return Unavailable(LOST, headers={"Retry-After": "2"})
