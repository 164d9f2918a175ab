"""epoch — a database's own history of restores, so that a new write never sorts before an old one.

https://hl7.org/fhir/R4/http.html#history

Positions are base + transaction id. A database that was dumped and loaded elsewhere begins again
with small transaction ids: the base is raised above every stored position, and a new epoch
begins, before a write is accepted. The one before ended where all is surely there (horizon).
Cursors carry the epoch they were given in.
"""

from __future__ import annotations

import secrets

from fhir_server.store import log
from fhir_server.store.condition import PROGRESS
from fhir_server.store.contract import Position
from fhir_server.store.postgresql.connection import Pool, refusing
from fhir_server.store.postgresql.horizon import KEPT

LAST = """greatest((select coalesce(max(seq), 0) from version),
             (select coalesce(max(seq), 0) from mark))"""
# A follower whose own place is kept in here has not passed what is not.
READ = f"""coalesce((select split_part(value::json ->> 'cursor', '.', 3)::bigint
             from setting where name = '{PROGRESS}'), 0)"""
# A server that was told to go on where another stopped may lack what that one still took in.
SYSTEM = """(select system_identifier # (t.line::bigint - 1 << 32) from pg_control_system(),
             (select ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int as line)
             t)"""
FOREIGN = f"""
select s.system, s.xid, s.newest, s.whole, e.number
from (select {SYSTEM} as system, pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xid,
             greatest({LAST}, {KEPT} - 1) as newest,
             case when {KEPT} is null then {LAST} else greatest({KEPT} - 1, {READ}) end as whole) s
left join lateral (select * from epoch order by number desc limit 1) e on true
where e.number is null or e.system_identifier <> s.system or e.base + s.xid <= s.newest
"""
BEGIN = """
insert into epoch (number, mark, start, base, system_identifier) values ($1, $2, $3, $4, $5)
"""
LASTS = "select number, mark, start, base, system_identifier from epoch order by number"
LOCK = b"lock table epoch, version, mark in share row exclusive mode"  # waits for who writes
FORGET = "update epoch set system_identifier = 0"  # the next start begins a new epoch


async def settle(pool: Pool) -> None:
    """Begin the first epoch, or a new one where this database came from elsewhere.

    Several processes may start at once: the lock lets one of them settle it, and the others see
    that it is done. It also waits for every write that has read the old base.
    """
    async with refusing(), pool.connection() as connection:
        if await (await connection.execute(FOREIGN.encode())).fetchone() is None:
            return
        async with connection.transaction():
            await connection.execute(LOCK)
            found = await (await connection.execute(FOREIGN.encode())).fetchone()
            if found is not None:
                system, xid, newest, whole, number = found
                base = max(newest - xid + 1, 0)
                values = ((number or 0) + 1, secrets.randbits(62), whole, base, system)
                await connection.execute(BEGIN, values)


async def part(pool: Pool, name: str, whole: Position) -> bool:
    """See Store.part. Several processes may do so at once: the lock lets one be the first."""
    async with refusing(), pool.connection() as connection, connection.transaction():
        await connection.execute(LOCK)
        known = await (await connection.execute(LASTS.encode())).fetchall()
        row = log.parted(known, name, whole)
        if row is not None:
            await connection.execute(BEGIN, (*row, *known[-1][3:]))
        return row is not None
