"""body — FROM and WHERE of a search: what it is driven from, and what it probes.

https://hl7.org/fhir/R4/search.html

A search in the order of main dates is driven from one key condition, whose rows stand in that
order (main date, then rid); the others are probes (condition.py). The text depends only on the
shape of the question, never on its values, so that a database prepares each once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_server.store.condition import (
    Context,
    Part,
    alternatives,
    both,
    check,
    context_of,
    every,
    has_range,
    key_row,
    keys_table,
    once,
    only_keys,
    owners,
    walked,
    word_row,
)
from fhir_server.store.contract import AnyOf, Condition, KeyIs, ReferredBy, RidIn, Select
from fhir_server.store.dialect import Dialect
from fhir_server.store.select.reached import those
from fhir_server.store.select.weighing import ByReach, Driver, Hoped, drivers, is_of_few

APART = 128  # keys that SQLite, which has no lateral join, reads each in a select of its own
CURRENT = Part("current c")


@dataclass(frozen=True, slots=True)
class Body:
    """FROM and WHERE of a question, and the columns that say where a row stands.

    each: a table it is asked anew for each row of. patients: a table p(patient); source is then
    what a record of such a one is. hope: where a page may be met sooner; its source is what it is
    all of. ways: what it is made of, in place of all else.
    """

    source: Part
    where: Part
    place: str
    rid: str
    dialect: Dialect
    prepare: bool
    each: Part | None = None
    patients: Part | None = None
    hope: Body | None = None
    ways: tuple[Body, ...] = ()

    def also(self, *parts: Part) -> Body:
        hope = None if self.hope is None else self.hope.also(*parts)
        ways = tuple(way.also(*parts) for way in self.ways)
        return replace(self, where=both([self.where, *parts]), hope=hope, ways=ways)


def ordinary(select: Select, dialect: Dialect, driver: Driver | None) -> Body:
    """Driven from the condition given, else from the likeliest key, else from `current`."""
    check(select.where)
    if isinstance(driver, ByReach):
        return from_(select, dialect, reached_by(select, driver, dialect))
    if isinstance(driver, Hoped):
        driver = driver.otherwise
    conditions = every(select.where)
    first = driver if driver in conditions else _likeliest(select, conditions)
    if first is not None and alternatives(first):
        return _from_words(select, first, dialect)
    if first is None and not dialect.postgresql and (one := gathered(select)):
        return _from_gathered(select, one, dialect)
    if first is None:
        context = context_of(dialect, select.restriction)
        context = walked(context) if is_of_few(select) else context
        return _body(select, conditions, context, CURRENT, [])
    conditions = [condition for condition in conditions if condition != first]
    context = context_of(dialect, select.restriction, main="k.main", rid="k.rid")
    if driver is not None:
        context = walked(context)
    current = f"{dialect.join} current c on c.rid = k.rid"
    if isinstance(first, KeyIs):
        rows = [key_row(first, "k", dialect), once(first, dialect)]
        return _body(select, conditions, context, Part(f"index_key k {current}"), rows)
    assert isinstance(first, AnyOf)
    table = keys_table([c for c in first.conditions if isinstance(c, KeyIs)], dialect)
    keys = (
        f"(select distinct x.main, x.rid from {table.text} {dialect.join} index_key x"
        f" on x.v = a.v and (x.w & a.m) = a.w) k"
    )
    return _body(select, conditions, context, Part(f"{keys} {current}", table.values), [])


def of_each_key(select: Select, dialect: Dialect, driver: Driver | None) -> list[Body]:
    """Where a list of keys would drive it: of each key what comes first, since a page holds no
    more. A resource may be met by several of them."""
    conditions = every(select.where)
    first = None if driver is not None else _likeliest(select, conditions)
    if not isinstance(first, AnyOf):
        return []
    keys = [key for key in first.conditions if isinstance(key, KeyIs)]
    rest = [condition for condition in conditions if condition != first]
    context = walked(context_of(dialect, select.restriction, main="k.main", rid="k.rid"))
    source = Part(f"index_key k {dialect.join} current c on c.rid = k.rid")
    if not dialect.postgresql:
        if len(keys) > APART:
            return []
        rows = ([key_row(key, "k", dialect), once(key, dialect)] for key in keys)
        return [_body(select, rest, context, source, row) for row in rows]
    row = [Part("k.v = a.v and (k.w & a.m) = a.w")]
    if any(key.mask != -1 for key in keys):
        same = "d.v = k.v and d.main = k.main and d.rid = k.rid and d.w < k.w"
        twice = f"select 1 from index_key d where {same} and (d.w & a.m) = a.w{dialect.fence}"
        row.append(Part(f"not exists ({twice})"))
    body = _body(select, rest, context, source, row)
    return [replace(body, each=keys_table(keys, dialect))]


def reached_by(select: Select, driver: ByReach, dialect: Dialect) -> Part:
    """The rows of `current` that the grounds lead to: one by one, as PostgreSQL would rather read
    all of a table."""
    found = those(select.types, driver.grounds, dialect)
    return Part(f"{found.text} {current_of('k', dialect)}", found.values)


def current_of(row: str, dialect: Dialect) -> str:
    """One by one, as a walk goes: PostgreSQL would rather read the type whole and sort it."""
    if dialect.postgresql:
        return f"cross join lateral (select * from current x where x.rid = {row}.rid offset 0) c"
    return f"cross join current c on c.rid = {row}.rid"


def from_(select: Select, dialect: Dialect, source: Part, *where: Part) -> Body:
    """A walk through a source that has the row `c` of `current`; every condition is a probe."""
    check(select.where)
    context = walked(context_of(dialect, select.restriction))
    return _body(select, every(select.where), context, source, list(where))


def as_likely(body: Body) -> Body:
    """The same, as if every other row met it. PostgreSQL's planner multiplies what it guesses of
    each condition, and where so few seem to be left it reads everything and sorts it instead of
    walking; of CASE it guesses nothing."""
    if not body.dialect.postgresql:
        return body
    text = f"case when {body.where.text} then true else false end"
    return replace(body, where=Part(text, body.where.values))


def _from_words(select: Select, first: Condition, dialect: Dialect) -> Body:
    """Driven from the few rows of a rare word; other words are asked of those in their index,
    before `current` is looked at. As an array PostgreSQL takes them for the few that they are,
    also in a plan that is to serve other words."""
    conditions = [condition for condition in every(select.where) if condition != first]
    others = [condition for condition in conditions if alternatives(condition)]
    conditions = [condition for condition in conditions if condition not in others]
    context = walked(context_of(dialect, select.restriction))
    row = word_row(alternatives(first), dialect)
    if others:
        found = f"(select x.rid from index_string x where {row.text}{dialect.fence}) f"
        asked = both(map(replace(context, rid="f.rid").write, others))
        few = Part(f"select f.rid from {found} where {asked.text}", row.values + asked.values)
    else:
        few = Part(f"select x.rid from index_string x where {row.text}", row.values)
    if dialect.postgresql:
        one = Part(f"c.rid = any (array({few.text}))", few.values)
        return _body(select, conditions, context, CURRENT, [one])
    text = f"(select distinct rid from ({few.text})) k {dialect.join} current c on c.rid = k.rid"
    return _body(select, conditions, context, Part(text, few.values), [])


def gathered(select: Select) -> RidIn | ReferredBy | None:
    """A condition that tells the few resources that can meet it."""
    told = every(select.where)
    some = (c for c in told if isinstance(c, RidIn))
    owned = (c for c in told if isinstance(c, ReferredBy) and c.owned and not c.many)
    return next(some, None) or next(owned, None)


def _from_gathered(select: Select, first: RidIn | ReferredBy, dialect: Dialect) -> Body:
    """Driven from the resources a condition tells: SQLite would walk the type in its order and
    look for each among them."""
    conditions = [condition for condition in every(select.where) if condition != first]
    context = context_of(dialect, select.restriction)
    if isinstance(first, RidIn):
        few = Part(f"select value as rid from json_each({dialect.mark})", (json.dumps(first.rids),))
    else:
        few = owners(context, first)
    text = f"(select distinct rid from ({few.text})) k {dialect.join} current c on c.rid = k.rid"
    return _body(select, conditions, context, Part(text, few.values), [])


def _likeliest(select: Select, conditions: Sequence[Condition]) -> KeyIs | AnyOf | None:
    if is_of_few(select) or any(isinstance(condition, RidIn) for condition in conditions):
        return None
    if keys := [key for key in drivers(select) if isinstance(key, KeyIs)]:
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
        context.within(select.types),
        *(context.write(condition) for condition in conditions),
    ]
    told = both(parts)
    # a walk asks each row of each word, whichever word it is
    ranges = (has_range(c) for c in conditions if not (context.walked and alternatives(c)))
    prepare = not any(ranges)
    return Body(source, told, context.main, context.rid, dialect, prepare)
