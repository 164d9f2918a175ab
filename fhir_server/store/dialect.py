"""dialect — what the two databases write differently in one and the same question.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from dataclasses import dataclass

# Whose record a version `v` is of, where the row of `current` is not at hand: by its key.
OWNER = "(select o.owner from current o where o.rid = v.rid)"


class Bigints(tuple[int, ...]):
    """Whole numbers bound as one array."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the two databases write differently."""

    mark: str
    alive: str
    columns: str  # of the version `v`, the same in number and order for both
    version: str  # joins the version `v` to a row `p` of `current`
    same: str  # the row of the version `v` is the one that `c` of `current` names
    last: str  # the version `v` is the last one of its resource in its commit
    snapshot: str  # what a Bound is made of
    join: str  # SQLite keeps the order of a cross join as written
    walked: int  # rows that are gathered and sorted in the time that one is walked and asked of
    fence: str  # keeps EXISTS a probe: without it PostgreSQL may read the whole table into a hash
    postgresql: bool


POSTGRESQL = Dialect(
    mark="%s",
    alive="not c.deleted",
    columns="v.rid, v.seq, v.num, v.updated, v.digest_hi, v.digest_lo, v.generation, v.type,"
    " v.dictionary, v.method, v.id, v.body",
    # Apart, so that what else a statement costs never makes its planner look for them another way.
    # The last row of a commit is the one that stands for the resource.
    version="cross join lateral (select * from version x where x.rid = p.rid and x.seq = p.seq"
    " order by x.num desc limit 1) v",
    same="c.seq = v.seq and c.num = v.num",
    last=" and not exists (select 1 from version y"
    " where y.rid = v.rid and y.seq = v.seq and y.num > v.num)",
    snapshot="pg_current_snapshot()::text",
    join="join",
    walked=1,
    fence=" offset 0",
    postgresql=True,
)
SQLITE = Dialect(
    mark="?",
    alive="c.deleted = 0",
    columns="v.rid, v.seq, 0 as num, v.updated, v.digest_hi, v.digest_lo, v.generation, v.type,"
    " v.dictionary, v.method, v.id, v.body",
    version="join version v on v.seq = p.seq",
    same="c.seq = v.seq",
    last="",
    snapshot="(select max(seq) from version)",
    join="cross join",
    walked=4,
    fence="",
    postgresql=False,
)
