"""statement — the one statement that writes a unit, put together for each shape of unit.

https://hl7.org/fhir/R4/http.html#transaction

Everything it inserts, updates or deletes depends on `s`, and `s` on `ok`: where something the unit
assumed is no longer so, or its index rows were made by other parameters than there are, it writes
nothing and returns no row. The values are bound in the order of the text: n, the checks, the
rules, `updated`, the index rows, who is in whose care, the answer to remember, the audit, earlier
versions, lineage, marks, what is put and dropped beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.store.audit import ENTRY, SUBJECT
from fhir_server.store.contract.side import Table
from fhir_server.store.dialect import POSTGRESQL
from fhir_server.store.postgresql import side
from fhir_server.store.postgresql.connection import numbered
from fhir_server.store.row import INDEX
from fhir_server.store.side import expected_sql

NEW = """n as (select * from unnest(%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s) n(
  rid, num, digest_hi, digest_lo, generation, type, dictionary, method, owner, main_lo, main_hi,
  seq_before, num_before, keys, facility, id, body))"""
FOLLOWS = """not exists (select from n left join current c on c.rid = n.rid
  where coalesce(c.seq, -1) <> n.seq_before or coalesce(c.num, -1) <> n.num_before)"""
UNCHANGED = """not exists (select from unnest(%s, %s, %s) u(rid, seq, num)
  left join current c on c.rid = u.rid where (c.seq, c.num) is distinct from (u.seq, u.num))"""
FOUND = "array({find}) = %s"
UNKNOWN = "not exists (select from idempotency i where i.key = %s)"
SEQ = """s as materialized (select base + pg_current_xact_id()::text::bigint as seq
  from (select base from epoch order by number desc limit 1) e{ok}
  where coalesce((select max(change) from parameter), 0) = %s)"""
VERSION = """version_ as (insert into version (rid, seq, updated, digest_hi, digest_lo, num,
  generation, type, dictionary, method, id, body)
  select n.rid, s.seq, %s, n.digest_hi, n.digest_lo, n.num, n.generation, n.type, n.dictionary,
  n.method, n.id, n.body from s, n)"""
FRESH = """fresh_ as (insert into current (rid, owner, born, seq, main_lo, main_hi, keys, num,
  type, deleted, facility) select n.rid, n.owner, s.seq, s.seq, n.main_lo, n.main_hi, n.keys, n.num,
  n.type, n.body is null, n.facility from s, n where n.seq_before = -1)"""
UPDATED = """updated_ as (update current c set owner = n.owner, seq = s.seq, main_lo = n.main_lo,
  main_hi = n.main_hi, num = n.num, deleted = n.body is null, keys = n.keys,
  facility = case n.facility when 0 then c.facility else n.facility end,
  born = case when c.deleted and n.body is not null then s.seq else c.born end
  from s, n where c.rid = n.rid and n.seq_before <> -1)"""
MOVED = """moved_ as (insert into moved (seq, rid, main_lo)
  select s.seq, m.rid, m.main_lo from s, unnest(%s, %s) m(rid, main_lo))"""
CARE = """said as materialized (select s.seq, a.* from s, unnest(%s, %s, %s, %s)
  a(basis, patient, facility, until)), careless_ as (delete from care c using s
  where c.basis = any(%s) and not exists (select from said a where a.basis = c.basis
  and a.patient = c.patient and a.facility = c.facility)), care_ as (insert into care
  (basis, patient, facility, until) select a.basis, a.patient, a.facility, a.until from said a
  on conflict (basis, patient, facility) do update set until = excluded.until)"""
REMEMBER = """remember_ as (insert into idempotency (key, digest, at, answer)
  select %s, %s, %s, %s from s)"""
EARLIER = """earlier_ as (insert into version (rid, seq, updated, digest_hi, digest_lo, num,
  generation, type, dictionary, method, id, body)
  select e.rid, s.seq, %s, e.digest_hi, e.digest_lo, e.num, e.generation, e.type, e.dictionary,
  e.method, e.id, e.body from s, unnest(%s,%s,%s,%s,%s,%s,%s,%s,%s,%s) e(
  rid, num, digest_hi, digest_lo, generation, type, dictionary, method, id, body))"""
LINEAGE = """lineage_ as (insert into lineage (rid, digest_hi, digest_lo, generation, parents)
  select a.* from s, unnest(%s, %s, %s, %s, %s) a on conflict do nothing)"""
MARKS = """mark_ as (insert into mark (seq, num, rid, kind, whom, body)
  select s.seq, a.* from s, unnest(%s, %s, %s, %s, %s) a)"""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a unit does beside its versions; what most do not."""

    earlier: bool = False
    lineage: bool = False
    marks: bool = False
    expects: tuple[tuple[Table[Any], bool], ...] = ()  # and whether there is to be a row
    put: tuple[Table[Any], ...] = ()
    dropped: tuple[Table[Any], ...] = ()


BARE = Parts()


@dataclass(frozen=True, slots=True)
class Shape:
    """What a unit does, without its values."""

    checked: bool
    finds: tuple[str, ...]  # the SQL of each assumption
    unchanged: bool
    remember: bool
    fresh: bool
    updated: bool
    removed: tuple[str, ...]
    added: tuple[str, ...]
    cares: bool = False
    audit: bool = False
    beside: Parts = BARE


@lru_cache(maxsize=512)
def statement(shape: Shape) -> bytes:
    """The statement. It returns the unit's seq, or nothing where an assumption failed."""
    parts = [NEW]
    if shape.checked:
        checks = [FOLLOWS] if shape.fresh or shape.updated else []
        checks += [UNCHANGED] if shape.unchanged else []
        checks += [FOUND.format(find=find) for find in shape.finds]
        checks += [UNKNOWN] if shape.remember else []
        expects = shape.beside.expects
        checks += [expected_sql(table, POSTGRESQL, there=there) for table, there in expects]
        parts.append(f"ok as materialized (select where {' and '.join(checks or ['true'])})")
    parts.append(SEQ.format(ok=", ok" if shape.checked else ""))
    parts.append(VERSION)
    parts += [FRESH] if shape.fresh else []
    parts += [UPDATED] if shape.updated else []
    parts += [_remove(table) for table in shape.removed]
    parts += [MOVED if table == "moved" else _add(table) for table in shape.added]
    parts += [CARE] if shape.cares else []
    parts += [REMEMBER] if shape.remember else []
    parts += told("s, ") if shape.audit else ()
    parts += _beside(shape.beside)
    return numbered(f"with {', '.join(parts)} select seq from s")


def _beside(parts: Parts) -> list[str]:
    return [
        *([EARLIER] if parts.earlier else []),
        *([LINEAGE] if parts.lineage else []),
        *([MARKS] if parts.marks else []),
        *map(side.put, parts.put),
        *map(side.drop, parts.dropped),
    ]


def insertion(table: str) -> bytes:
    """The rows of one table of the index alone."""
    columns = INDEX[table]
    named, marks = ", ".join(columns), ", ".join(["%s"] * len(columns))
    return numbered(
        f"insert into {table} ({named}) select * from unnest({marks}) on conflict do nothing"
    )


def told(source: str) -> tuple[str, str]:
    """The rows of the audit; source: what they depend on, with a comma."""
    return (
        f"audit_ as (insert into audit ({', '.join(ENTRY)})"
        f" select a.* from {source}unnest({', '.join(['%s'] * len(ENTRY))}) a)",
        f"subject_ as (insert into audit_subject ({', '.join(SUBJECT)})"
        f" select b.* from {source}unnest({', '.join(['%s'] * len(SUBJECT))}) b)",
    )


def _remove(table: str) -> str:
    columns = INDEX[table]
    same = " and ".join(f"t.{column} = d.{column}" for column in columns)
    marks = ", ".join(["%s"] * len(columns))
    return (
        f"{table}_removed as (delete from {table} t"
        f" using s, unnest({marks}) d({', '.join(columns)}) where {same})"
    )


def _add(table: str) -> str:
    # A row that is there already came from an older program that found the same by another way.
    columns = INDEX[table]
    marks = ", ".join(["%s"] * len(columns))
    return (
        f"{table}_added as (insert into {table} ({', '.join(columns)})"
        f" select a.* from s, unnest({marks}) a({', '.join(columns)}) on conflict do nothing)"
    )
