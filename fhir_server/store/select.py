"""select — a Select, written in SQL: the page of a search, a find, a count, for both databases.

https://hl7.org/fhir/R4/search.html

A search is driven from one key condition, whose rows stand in the order of the answer (main date,
then rid, both descending); the others are probes (condition.py). The text depends only on the
shape of the question, never on its values, so that a database prepares each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.condition import (
    Context,
    Part,
    both,
    check,
    context_of,
    every,
    has_range,
    in_index,
    joined,
    key_row,
    keys_table,
    member,
    once,
    only_keys,
    reach,
)
from fhir_server.store.contract import AnyOf, Condition, KeyIs, Place, RidIn, Select
from fhir_server.store.dialect import POSTGRESQL, SQLITE, Bigints, Dialect

__all__ = [
    "POSTGRESQL",
    "SQLITE",
    "Bigints",
    "Bound",
    "Dialect",
    "Rendered",
    "count_sql",
    "drivers",
    "find_sql",
    "page_sql",
    "reach",
    "unseen",
    "weigh_sql",
]
WEIGHED = 8  # conditions at most
WEIGHED_UP_TO = 1000  # beyond so many rows two conditions count as equally common
DAMAGED = "The page's cursor is damaged: start the search again from its first page."


class Rendered(NamedTuple):
    """SQL and the values bound to its marks, in order.

    prepare: whether one plan serves all values; a range's best plan depends on what it holds.
    """

    text: str
    values: tuple[Any, ...]
    prepare: bool = True


@dataclass(frozen=True, slots=True)
class Bound:
    """A moment: what was committed by then has a seq under `below` that is not among `open`."""

    below: int
    open: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ".".join(str(n) for n in (self.below, *(self.below - seq for seq in self.open)))

    @staticmethod
    def parse(text: str) -> Bound:
        parts = text.split(".")
        if not all(p.isascii() and p.isdecimal() and len(p) < 20 for p in parts):
            raise Invalid(DAMAGED)
        below, *before = (int(part) for part in parts)
        if below >= 2**62 or any(n > below for n in before):
            raise Invalid(DAMAGED)
        return Bound(below, tuple(below - n for n in before))


# --- what is offered -----------------------------------------------------------------------------


def page_sql(
    select: Select,
    *,
    limit: int,
    after: Place | None,
    bound: Bound | None,
    dialect: Dialect,
    driver: KeyIs | None = None,
) -> Rendered:
    """Rows of `dialect.columns`, the place's main date, and what a Bound is made of.

    The last column is null where a bound was given. On SQLite it is the newest seq, so the bound
    is `Bound(seq + 1)`; on PostgreSQL it is a snapshot.
    """
    body = _ordinary(select, dialect, driver)
    branches = [body]
    if bound is not None:
        # Who moved since the first page stands where it stood then, and nowhere else.
        later = unseen(bound, "m", dialect)
        moved = f"not exists (select 1 from moved m where m.rid = c.rid and {later.text})"
        branches[0] = body.also(Part(moved, later.values))
        branches.append(_moved(select, dialect, bound))
    pages = [_page(branch, after, bound, limit) for branch in branches]
    inner = joined(" union all ", [Part(f"select * from ({p.text}) q", p.values) for p in pages])
    snapshot = dialect.snapshot if bound is None else "null"
    text = (
        f"select {dialect.columns}, p.place, {snapshot} from ({inner.text}) p"
        f" join version v on {dialect.version} order by p.place desc, p.rid desc limit {limit:d}"
    )
    return Rendered(text, inner.values, body.prepare)


def find_sql(
    select: Select, *, at_most: int, dialect: Dialect, driver: KeyIs | None = None
) -> Rendered:
    """The rids, smallest first."""
    body = _ordinary(select, dialect, driver)
    text = f"select c.rid from {body.source.text} where {body.where.text}"
    values = body.source.values + body.where.values
    return Rendered(f"{text} order by {body.rid} limit {at_most:d}", values, body.prepare)


def count_sql(
    select: Select, *, at_most: int | None, dialect: Dialect, driver: KeyIs | None = None
) -> Rendered:
    body = _ordinary(select, dialect, driver)
    values = body.source.values + body.where.values
    rest = f"from {body.source.text} where {body.where.text}"
    if at_most is None:
        return Rendered(f"select count(*) {rest}", values, body.prepare)
    text = f"select count(*) from (select 1 {rest} limit {at_most:d}) n"
    return Rendered(text, values, body.prepare)


def drivers(select: Select) -> tuple[KeyIs, ...]:
    """The key conditions a search could be driven from; two or more are worth weighing."""
    check(select.where)
    keys = {c for c in every(select.where) if isinstance(c, KeyIs) and in_index(c)}
    return tuple(
        sorted(keys, key=lambda key: (key.mask != -1, key.mask == 0, key.v, key.w))[:WEIGHED]
    )


def weigh_sql(keys: Sequence[KeyIs], dialect: Dialect) -> Rendered:
    """How many rows each has, counted no further than WEIGHED_UP_TO: one column each."""
    rows = [key_row(key, "k", dialect) for key in keys]
    counts = [
        f"(select count(*) from (select 1 from index_key k where {row.text}"
        f" limit {WEIGHED_UP_TO}) n)"
        for row in rows
    ]
    return Rendered(f"select {', '.join(counts)}", joined("", rows).values)


# --- from what, where ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Body:
    """FROM and WHERE of a question, and the columns that say where a row stands."""

    source: Part
    where: Part
    place: str
    rid: str
    dialect: Dialect
    prepare: bool

    def also(self, part: Part) -> _Body:
        return replace(self, where=both([self.where, part]))


def _ordinary(select: Select, dialect: Dialect, driver: KeyIs | None) -> _Body:
    """Driven from the key condition given, else from the likeliest, else from `current`."""
    check(select.where)
    conditions = every(select.where)
    first = driver if driver in conditions else _likeliest(select, conditions)
    if first is None:
        return _body(
            select, conditions, context_of(dialect, select.restriction), Part("current c"), []
        )
    conditions = [condition for condition in conditions if condition != first]
    context = context_of(dialect, select.restriction, main="k.main", rid="k.rid")
    current = f"{dialect.join} current c on c.rid = k.rid"
    if isinstance(first, KeyIs):
        rows = [key_row(first, "k", dialect), once(first, dialect)]
        return _body(select, conditions, context, Part(f"index_key k {current}"), rows)
    table = keys_table([c for c in first.conditions if isinstance(c, KeyIs)], dialect)
    keys = (
        f"(select distinct x.main, x.rid from {table.text} {dialect.join} index_key x"
        f" on x.v = a.v and (x.w & a.m) = a.w) k"
    )
    return _body(select, conditions, context, Part(f"{keys} {current}", table.values), [])


def _likeliest(select: Select, conditions: Sequence[Condition]) -> KeyIs | AnyOf | None:
    if any(isinstance(condition, RidIn) for condition in conditions):
        return None
    if keys := drivers(select):
        return keys[0]
    lists = (c for c in conditions if isinstance(c, AnyOf) and only_keys(c))
    return next(lists, None)


def _moved(select: Select, dialect: Dialect, bound: Bound) -> _Body:
    """The same question of those whose main date changed since `bound`, at their place then."""
    later, earlier = unseen(bound, "m", dialect), unseen(bound, "e", dialect)
    first = Part(
        f"{later.text} and not exists (select 1 from moved e where e.rid = m.rid"
        f" and e.seq < m.seq and {earlier.text})",
        later.values + earlier.values,
    )
    source = Part(f"moved m {dialect.join} current c on c.rid = m.rid")
    body = _body(
        select, every(select.where), context_of(dialect, select.restriction), source, [first]
    )
    return replace(body, place="m.main_lo")


def _body(
    select: Select,
    conditions: Sequence[Condition],
    context: Context,
    source: Part,
    where: list[Part],
) -> _Body:
    dialect = context.dialect
    parts = [
        *where,
        Part(dialect.alive),
        reach(select.types, select.restriction, "c", dialect),
        *(context.write(condition) for condition in conditions),
    ]
    told = both(parts)
    prepare = not any(has_range(condition) for condition in conditions)
    return _Body(source, told, context.main, context.rid, dialect, prepare)


def _page(body: _Body, after: Place | None, bound: Bound | None, limit: int) -> Part:
    mark, where = body.dialect.mark, [body.where]
    if after is not None:
        place = f"({body.place}, {body.rid}) < ({mark}, {mark})"
        where.append(Part(place, (after.main, after.rid)))
    if bound is not None:
        born = unseen(bound, "c", body.dialect, column="born")
        where.append(Part(f"not ({born.text})", born.values))
    told = both(where)
    return Part(
        f"select {body.rid} as rid, c.seq as seq, {body.place} as place from {body.source.text}"
        f" where {told.text} order by {body.place} desc, {body.rid} desc limit {limit:d}",
        body.source.values + told.values,
    )


def unseen(bound: Bound, alias: str, dialect: Dialect, column: str = "seq") -> Part:
    """What was not yet committed at the bound. The first bound keeps it a range of an index."""
    mark, seq = dialect.mark, f"{alias}.{column}"
    later = Part(f"{seq} >= {mark}", (bound.below,))
    if not bound.open:
        return later
    oldest = Part(f"{seq} >= {mark}", (min(bound.open),))
    return both([oldest, _or(later, member(seq, bound.open, dialect))])


def _or(one: Part, other: Part) -> Part:
    return Part(f"({one.text} or {other.text})", one.values + other.values)
