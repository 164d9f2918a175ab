"""log — the change log with its marks, as questions to either database.

https://hl7.org/fhir/R4/http.html#history

A cursor is `<epoch>.<mark>.<seq>.<num>.<what>`: the last row that was looked at, and whether that
was a version (0) or a mark (1), which stands behind the version of the same place.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.store.codec import Codec
from fhir_server.store.condition import Part, member
from fhir_server.store.contract import EpochEnded, Position
from fhir_server.store.contract.log import (
    HOME_IN,
    HOME_OUT,
    OUTSIDE,
    OWNER,
    VERSION,
    Epoch,
    Log,
    LogRow,
)
from fhir_server.store.dialect import Dialect
from fhir_server.store.row import stored
from fhir_server.store.select import Rendered
from fhir_server.store.types import type_numbers

FOREIGN = "The log's cursor is not one this server gave. Leave it out to start again."
EPOCHS = "select number, mark, start from epoch order by number"
Rows = Sequence[Sequence[Any]]


class Edge(NamedTuple):
    """The last row that was looked at."""

    seq: int = 0
    num: int = -1
    what: int = 1

    @property
    def position(self) -> Position:
        return Position(self.seq, max(self.num, 0))


START = Edge()
LAST = 2**31 - 2  # a number in a transaction that none reaches


def edge_of(cursor: str | None, epochs: Rows) -> Edge:
    """Raises EpochEnded, Invalid."""
    if cursor is None:
        return START
    parts = cursor.split(".")
    if len(parts) != 5 or not all(p.isascii() and p.isdecimal() and len(p) < 20 for p in parts):
        raise Invalid(FOREIGN)
    number, mark, seq, num, what = map(int, parts)
    if seq >= 2**62 or num >= 2**31 or what > 1:
        raise Invalid(FOREIGN)
    for i, epoch in enumerate(epochs):
        if tuple(epoch[:2]) == (number, mark):
            if i + 1 == len(epochs) or seq <= epochs[i + 1][2]:
                return Edge(seq, num - 1, what)
            break
    raise EpochEnded


def parted(epochs: Rows, name: str, whole: Position) -> tuple[int, int, int] | None:
    """The row (number, mark, start) that ends the history of this name; None: it is not the
    last."""
    number, mark, start, *_ = epochs[-1]
    if f"{mark:x}" != name:
        return None
    return number + 1, secrets.randbits(62), max(whole.seq - 1, start)


def cursor_of(edge: Edge, epochs: Rows) -> str:
    number, mark = epochs[-1][:2]
    return f"{number}.{mark}.{edge.seq}.{edge.num + 1}.{edge.what}"


def told_epochs(epochs: Rows) -> list[Epoch]:
    ends = [Position(start + 1) for _, _, start, *_ in epochs[1:]]
    return [Epoch(f"{epoch[1]:x}", end) for epoch, end in zip(epochs, [*ends, None], strict=True)]


# --- the log -------------------------------------------------------------------------------------


def log_sql(
    after: Edge,
    facility: int,
    everywhere: Sequence[str],
    limit: int,
    dialect: Dialect,
    horizon: str,
) -> Rendered:
    """The horizon, how many rows were looked at, the last of them, and those that are wanted."""
    wanted = _wanted(facility, everywhere, dialect)
    looked = looked_at(after, limit, dialect)
    join = (
        "left join lateral (select * from version x where x.rid = w.rid and x.seq = w.at_seq"
        " and x.num = w.at_num offset 0) v on true"
        if dialect.postgresql
        else "left join version v on v.seq = w.at_seq"
    )
    num = "c.num" if dialect.postgresql else "0"
    text = (
        f"with h as materialized (select {horizon} as horizon),"
        f" looked as materialized ({looked.text}),"
        " wanted as materialized (select k.*, c.owner,"
        f" k.what = 0 and k.seq = c.seq and k.num = {num} as newest,"
        " case k.what when 0 then k.seq else c.seq end"
        f" as at_seq, case k.what when 0 then k.num else {num} end as at_num"
        f" from looked k left join current c on c.rid = k.rid where {wanted.text})"
        f" select {dialect.columns}, h.horizon, n.n, e.seq, e.num, e.what,"
        " w.seq, w.num, w.rid, w.kind, w.whom, w.body, w.owner, w.newest"
        " from h cross join (select count(*) as n from looked) n"
        " left join (select seq, num, what from looked order by seq desc, num desc, what desc"
        f" limit 1) e on true left join wanted w on true {join} order by w.seq, w.num, w.what"
    )
    return Rendered(text, (*looked.values, *wanted.values))


def looked_at(after: Edge, limit: int, dialect: Dialect) -> Part:
    """The next rows of the log, versions and marks, up to `h.horizon`."""
    mark, num = dialect.mark, "v.num" if dialect.postgresql else "0"
    beyond = ">" if after.what else ">="
    later = f"(v.seq, v.num) > ({mark}, {mark})" if dialect.postgresql else "v.seq > ?"
    text = (
        "select * from (select * from ("
        f"select v.seq, {num} as num, 0 as what, v.rid, {VERSION} as kind, 0 as whom,"
        " cast(null as bytea) as body, v.type from version v"
        f" where {later} and v.seq < (select horizon from h)"
        f" order by seq, num limit {limit:d}) a union all select * from ("
        "select m.seq, m.num, 1 as what, m.rid, m.kind, m.whom, m.body, 0 as type from mark m"
        f" where (m.seq, m.num) {beyond} ({mark}, {mark}) and m.seq < (select horizon from h)"
        f" order by seq, num limit {limit:d}) b) l order by seq, num, what limit {limit:d}"
    )
    first = after if dialect.postgresql else after[:1]
    return Part(text, (*first[:2], *after[:2]))


def _wanted(facility: int, everywhere: Sequence[str], dialect: Dialect) -> Part:
    """What may concern the facility, of a row `k` that was looked at and its `c` of current."""
    mark = dialect.mark
    here = f"h.whom = {mark} and h.kind in ({HOME_IN}, {HOME_OUT})"
    known = member("k.type", type_numbers(everywhere), dialect)
    text = (
        f"(k.what = 1 and (k.kind in ({OUTSIDE}, {OWNER}) or k.whom = {mark})) or (k.what = 0 and ("
        f"(c.owner = 0 and {known.text})"
        f" or exists (select 1 from mark h where {here} and h.rid = c.owner)"
        f" or exists (select 1 from mark o join mark h on h.rid = o.whom where o.rid = k.rid"
        f" and o.kind = {OWNER} and {here})))"
    )
    return Part(text, (facility, *known.values, facility, facility))


def read_log(rows: Rows, epochs: Rows, after: Edge, limit: int, codec: Codec) -> Log:
    """What `log_sql` found. Raises EpochEnded where the cursor is of what is not here."""
    horizon, looked = rows[0][12:14]
    if after.seq >= horizon and after != START:
        raise EpochEnded
    edge = Edge(*rows[0][14:17]) if looked else after
    end = Edge(max(horizon - 1, 0), LAST)
    return Log(
        [_row(row, codec) for row in rows if row[17] is not None],
        cursor_of(edge, epochs),
        looked >= limit,
        edge.position,
        Position(horizon),
        end.position,
        cursor_of(end, epochs),
    )


def _row(row: Sequence[Any], codec: Codec) -> LogRow:
    seq, num, rid, kind, whom, body, owner, newest = row[17:25]
    place = Position(seq, num)
    if kind != VERSION:
        key = None if row[0] is None else _key(row, codec)
        return LogRow(place, kind, rid, key, owner or 0, whom=whom, body=bytes(body))
    found = stored(row, codec, owner=owner or 0)
    return LogRow(place, kind, rid, found.key, owner or 0, found, bool(newest))


def _key(row: Sequence[Any], codec: Codec) -> Key:
    return stored((*row[:11], None), codec).key


# --- homes and compartments ----------------------------------------------------------------------


def homes_sql(
    patients: Sequence[int], facility: int | None, at: Position | None, dialect: Dialect
) -> Rendered:
    """HOME marks in order: the last one of each pair holds."""
    them = member("m.rid", patients, dialect)
    where, values = [f"m.kind in ({HOME_IN}, {HOME_OUT})", them.text], [*them.values]
    if facility is not None:
        where.append(f"m.whom = {dialect.mark}")
        values.append(facility)
    if at is not None:
        where.append(f"(m.seq, m.num) <= ({dialect.mark}, {dialect.mark})")
        values += at
    text = f"select m.rid, m.whom, m.kind from mark m where {' and '.join(where)}"
    return Rendered(f"{text} order by m.seq, m.num", tuple(values))


def read_homes(rows: Rows) -> dict[tuple[int, int], bool]:
    return {(rid, whom): kind == HOME_IN for rid, whom, kind in rows}


def compartments_sql(
    patients: Sequence[int], after: int | None, limit: int, dialect: Dialect
) -> Rendered:
    """Apart, so that it is read by the owner and not by the number."""
    num = ", c.num" if dialect.postgresql else ""
    theirs = member("c.owner", patients, dialect)
    text = (
        f"with mine as materialized (select c.rid, c.seq{num}, c.main_lo, c.owner from current c"
        f" where {theirs.text} and c.owner <> 0)"
        f" select {dialect.columns}, p.main_lo, p.owner from (select * from mine where"
        f" (owner, rid) > ({dialect.mark}, {dialect.mark}) order by owner, rid limit {limit:d}) p"
        f" {dialect.version} order by p.owner, p.rid"
    )
    first = (patients[0], -1 if after is None else after) if patients else (0, 0)
    return Rendered(text, (*theirs.values, *first))
