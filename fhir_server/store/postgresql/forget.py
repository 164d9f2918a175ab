"""forget — what is kept for some days only: answers under an Idempotency-Key, and moved rows.

https://hl7.org/fhir/R4/http.html#create

One short statement at a time, and one worker of all at a time; where there is nothing to delete
it takes no transaction id, so that no follower of the change log waits for it.
"""

from __future__ import annotations

from fhir_server.store.contract import hash128
from fhir_server.store.postgresql.connection import Pool, rows

AT_ONCE = 500  # rows of a table forgotten by one statement
LOCK = hash128("forget") >> 65
FORGET = f"""
with mine as materialized (select pg_try_advisory_xact_lock(%s) as it),
answers as (delete from idempotency where key = any(array(
  select i.key from mine, idempotency i where mine.it and i.at < %s order by i.at limit {AT_ONCE}))
  returning 1),
moves as (delete from moved where (seq, rid) in (
  select m.seq, m.rid from mine, (select seq, rid from moved order by seq limit {AT_ONCE}) m
  join version v on v.rid = m.rid and v.seq = m.seq where mine.it and v.updated < %s)
  returning 1)
select (select count(*) from answers), (select count(*) from moves)
"""


async def forget(pool: Pool, before: int) -> bool:
    """Forget some of what is older, in milliseconds since 1970 UTC; whether there is more."""
    found = await rows(pool, FORGET, (LOCK, before, before), prepare=False)
    return AT_ONCE in found[0]
