"""body — FROM and WHERE of a search: what it is driven from, and what it probes.

https://hl7.org/fhir/R4/search.html

A search in the order of main dates is driven from one key condition, whose rows stand in that
order (main date, then rid); the others are probes (condition.py). The text depends only on the
shape of the question, never on its values, so that a database prepares each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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
    once,
    only_keys,
    reach,
)
from fhir_server.store.contract import AnyOf, Condition, KeyIs, RidIn, Select
from fhir_server.store.dialect import Dialect

WEIGHED = 8  # conditions at most
WEIGHED_UP_TO = 1000  # beyond so many rows two conditions count as equally common


class Rendered(NamedTuple):
    """SQL and the values bound to its marks, in order.

    prepare: whether one plan serves all values; a range's best plan depends on what it holds.
    """

    text: str
    values: tuple[Any, ...]
    prepare: bool = True


@dataclass(frozen=True, slots=True)
class Body:
    """FROM and WHERE of a question, and the columns that say where a row stands.

    each: a table it is asked anew for each row of.
    """

    source: Part
    where: Part
    place: str
    rid: str
    dialect: Dialect
    prepare: bool
    each: Part | None = None

    def also(self, *parts: Part) -> Body:
        return replace(self, where=both([self.where, *parts]))


def ordinary(select: Select, dialect: Dialect, driver: KeyIs | None) -> Body:
    """Driven from the key condition given, else from the likeliest, else from `current`."""
    check(select.where)
    conditions = every(select.where)
    first = driver if driver in conditions else _likeliest(select, conditions)
    if first is None:
        return from_(select, dialect, Part("current c"))
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


def from_(select: Select, dialect: Dialect, source: Part, *where: Part) -> Body:
    """Driven from a source that has the row `c` of `current`; every condition is a probe."""
    check(select.where)
    context = context_of(dialect, select.restriction)
    return _body(select, every(select.where), context, source, list(where))


def _likeliest(select: Select, conditions: Sequence[Condition]) -> KeyIs | AnyOf | None:
    if any(isinstance(condition, RidIn) for condition in conditions):
        return None
    if keys := drivers(select):
        return keys[0]
    lists = (c for c in conditions if isinstance(c, AnyOf) and only_keys(c))
    return next(lists, None)


def _body(
    select: Select,
    conditions: Sequence[Condition],
    context: Context,
    source: Part,
    where: list[Part],
) -> Body:
    dialect = context.dialect
    parts = [
        *where,
        Part(dialect.alive),
        reach(select.types, select.restriction, "c", dialect),
        *(context.write(condition) for condition in conditions),
    ]
    told = both(parts)
    prepare = not any(has_range(condition) for condition in conditions)
    return Body(source, told, context.main, context.rid, dialect, prepare)


# --- what drives it ------------------------------------------------------------------------------


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
