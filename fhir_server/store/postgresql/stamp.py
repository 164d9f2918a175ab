"""stamp — the stamp of the index in a database that many processes share.

https://hl7.org/fhir/R4/search.html

Every connection that writes holds LOCK together with the others for as long as it lives, and has
seen under it that the stamp is its own. Who changes the stamp holds LOCK alone. So no process can
write by one set of rules while another makes the index by others, even one that had lost its
connections for a while.
"""

from __future__ import annotations

import psycopg
from psycopg import AsyncConnection

from fhir_server.store.postgresql.connection import Pool, Row, refusing
from fhir_server.store.stamp import NAME, Stamp

# Two numbers: never one of the single numbers that stand for resources.
LOCK = f"{int.from_bytes(b'fhir')}, {int.from_bytes(b'indx')}"
SHARED = f"select pg_try_advisory_lock_shared({LOCK})".encode()
ALONE = f"select pg_try_advisory_lock({LOCK})".encode()
FOR_NOW = f"select pg_try_advisory_xact_lock({LOCK})".encode()
KEPT = f"select value from setting where name = '{NAME}'".encode()
FILLED = b"select exists (select from version)"
KEEP = (
    f"insert into setting (name, value) values ('{NAME}', $1)"
    " on conflict (name) do update set value = excluded.value"
).encode()


async def settle(pool: Pool, stamp: Stamp) -> str | None:
    """Give an empty database that nobody uses this stamp. What is kept then."""
    async with refusing(), pool.connection() as connection:
        found = await kept(connection)
        if found == stamp.text:
            return found
        async with connection.transaction():
            alone = await (await connection.execute(FOR_NOW)).fetchone()
            filled = await (await connection.execute(FILLED)).fetchone()
            if alone == (True,) and filled == (False,):
                await connection.execute(KEEP, (stamp.text,))
        return await kept(connection)


async def kept(connection: AsyncConnection[Row]) -> str | None:
    row = await (await connection.execute(KEPT)).fetchone()
    return None if row is None else str(row[0])


async def admit(connection: AsyncConnection[Row], stamp: Stamp) -> None:
    """Let a new connection write, or raise what makes the pool try again later."""
    if await (await connection.execute(SHARED)).fetchone() != (True,):
        raise psycopg.OperationalError("the index is being made anew")
    if await kept(connection) != stamp.text:
        raise psycopg.OperationalError("the index was made by other rules than this process has")
