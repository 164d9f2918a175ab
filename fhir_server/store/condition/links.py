"""links — conditions on the resources at the other end of a reference.

https://hl7.org/fhir/R4/search.html#chaining
https://hl7.org/fhir/R4/search.html#has

A reference's row in index_key is made of its target's number, so both ends are found from the
target; only the patient a resource belongs to is also found from the resource. What a caller may
not reach neither refers nor is referred to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.keys import among, key_is, key_row, keys_table
from fhir_server.store.condition.part import YES, Part, both, either
from fhir_server.store.condition.taking import every, in_index, only_keys
from fhir_server.store.condition.words import ASKED, walked, words
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AnyOf,
    Condition,
    KeyIs,
    ReferredBy,
    Refers,
    RidIn,
)
from fhir_server.store.dialect import Bigints, Dialect

KEPT = 50_000  # numbers of resources that a question holds in memory


def refers(context: Context, asked: Refers) -> Part:
    if asked.owned and asked.many:
        return _of_owner(context, asked)
    return _among_targets(context, asked)


def referred_by(context: Context, asked: ReferredBy) -> Part:
    if asked.owned and not asked.many:
        return _an_owner(context, asked)
    return _from_here(context, asked)


# --- what a resource refers to -------------------------------------------------------------------


def _among_targets(context: Context, asked: Refers) -> Part:
    """Found from the targets, all at once."""
    target = _gathered(_inner(context))
    link = _link(target)
    linked = _linked(target, asked.types, asked.where)
    table, row = _rows(asked.numbers, link, target.rid, context.dialect)
    text = (
        f"{context.rid} in (select {link}.rid from {linked.source.text} cross join {table.text}"
        f" where {linked.where.text} and {row.text})"
    )
    values = linked.source.values + table.values + linked.where.values + row.values
    if context.walked and context.dialect.postgresql:  # see keys.among
        return Part(f"({text}) is true", values)
    return Part(text, values)


def _of_owner(context: Context, asked: Refers) -> Part:
    """Whose it is, and whether that is who is meant; then, whether the parameter says so."""
    owner = f"{context.row}.owner"
    target = walked(_inner(context))
    told = both(
        [
            Part(f"{target.rid} = {owner}"),
            target.within(asked.types),
            target.write(asked.where),
        ]
    )
    fence = context.dialect.fence
    text = f"exists (select 1 from current {target.row} where {told.text}{fence})"
    return both([Part(text, told.values), _named(context, asked.numbers, owner)])


def _named(context: Context, numbers: Sequence[int], target: str) -> Part:
    """One of these parameters of the row names `target`: a probe of a whole primary key each."""
    fence, mark = context.dialect.fence, context.dialect.mark
    return either(
        Part(
            f"exists (select 1 from index_key x where x.v = ({mark} | ({target} & {HASH_MASK:d}))"
            f" and x.main = {context.main} and x.rid = {context.rid} and x.w = {target}{fence})",
            (number << PARAM_SHIFT,),
        )
        for number in numbers
    )


# --- what refers to a resource -------------------------------------------------------------------


def _an_owner(context: Context, asked: ReferredBy) -> Part:
    """Found from what refers to it: whose are those?

    As an array, because of a set PostgreSQL's planner may think that walking the type in the
    order of the answer will soon meet it.
    """
    found = owners(context, asked)
    if context.dialect.postgresql:
        return Part(f"{context.rid} = any(array({found.text}))", found.values)
    return Part(f"{context.rid} in ({found.text})", found.values)


def owners(context: Context, asked: ReferredBy) -> Part:
    """Whose those are that refer, by a parameter that tells it: a query of one column, `rid`."""
    source = _gathered(_inner(context))
    linked = _linked(source, asked.types, asked.where)
    named = _named(source, asked.numbers, f"{source.row}.owner")
    found = both([linked.where, named])
    text = f"select {source.row}.owner as rid from {linked.source.text} where {found.text}"
    return Part(text, linked.source.values + found.values)


def _from_here(context: Context, asked: ReferredBy) -> Part:
    """Found from the resource: its rows in the index tell what refers to it."""
    inner = _inner(context)
    link = _link(inner)
    source = replace(walked(inner), main=f"{link}.main", rid=f"{link}.rid")
    if asked.many:
        source = replace(source, writers={**source.writers, KeyIs: _in_set})
    table, row = _rows(asked.numbers, link, context.rid, context.dialect)
    told = both([row, inner.within(asked.types), source.write(asked.where)])
    join, fence = context.dialect.join, context.dialect.fence
    text = (
        f"exists (select 1 from {table.text} {join} current {inner.row}"
        f" on {inner.rid} = {link}.rid where {told.text}{fence})"
    )
    return Part(text, table.values + told.values)


def _in_set(context: Context, key: KeyIs) -> Part:
    """Whose key it is is read once, if they are not too many to be kept: then one look into memory
    tells of each that refers, before it is looked at itself."""
    if not in_index(key):
        return key_is(context, key)
    row = key_row(key, "x", context.dialect)
    read = f"select 1 from index_key x where {row.text} limit {KEPT + 1:d}"
    kept, probed = among(context, "index_key", row), key_is(context, key)
    text = (
        f"case when (select count(*) from ({read}) n) <= {KEPT:d}"
        f" then {kept.text} else {probed.text} end"
    )
    return Part(text, row.values + kept.values + probed.values)


# --- both ----------------------------------------------------------------------------------------


class _Linked(NamedTuple):
    source: Part
    where: Part


def _inner(context: Context) -> Context:
    """Conditions on the resource at the other end, under a name of its own."""
    depth = int(context.row[1:] or 0) + 1
    return context.of(f"c{depth}")


def _gathered(context: Context) -> Context:
    """Rows that are found all at once, even for one that is asked among many."""
    writers = {**context.writers, **dict.fromkeys(ASKED, words)}
    return replace(context, walked=False, writers=writers)


def _link(inner: Context) -> str:
    """The name of the row of index_key between the two."""
    return f"l{inner.row[1:]}"


def _linked(context: Context, types: Sequence[str], where: Condition) -> _Linked:
    """The resources at the other end: from a key they must have, where there is one."""
    dialect, conditions = context.dialect, every(where)
    source, row = Part(f"current {context.row}"), YES
    keys = [c for c in conditions if isinstance(c, KeyIs) and in_index(c)]
    lists = [c for c in conditions if isinstance(c, AnyOf) and only_keys(c)]
    told = [c for c in conditions if isinstance(c, RidIn)]
    joined = f"{dialect.join} current {context.row} on {context.rid} = d.rid"
    if told and not dialect.postgresql:  # it would walk the type and look for each among them
        given = f"(select value as rid from json_each({dialect.mark})) d"
        source = Part(f"{given} {joined}", (json.dumps(told[0].rids),))
        conditions.remove(told[0])
    elif keys:
        first: Condition = min(keys, key=lambda key: (key.mask != -1, key.mask == 0))
        assert isinstance(first, KeyIs)
        source, row = Part(f"index_key d {joined}"), key_row(first, "d", dialect)
        conditions.remove(first)
    elif lists:
        first = lists[0]
        assert isinstance(first, AnyOf)
        table = keys_table([c for c in first.conditions if isinstance(c, KeyIs)], dialect)
        found = (
            f"(select distinct x.rid from {table.text} {dialect.join} index_key x"
            " on x.v = a.v and (x.w & a.m) = a.w) d"
        )
        source = Part(f"{found} {joined}", table.values)
        conditions.remove(first)
    asked = both([row, context.within(types), *(context.write(c) for c in conditions)])
    return _Linked(source, asked)


def _rows(numbers: Sequence[int], alias: str, target: str, dialect: Dialect) -> tuple[Part, Part]:
    """The rows of index_key by which one of these parameters names `target`."""
    mark = dialect.mark
    if len(numbers) == 1:
        start = Part(mark, (numbers[0] << PARAM_SHIFT,))
        table = Part(f"index_key {alias}")
    else:
        starts = [number << PARAM_SHIFT for number in numbers]
        if dialect.postgresql:
            each = Part(f"unnest({mark}) n(v)", (Bigints(starts),))
        else:
            each = Part(f"(select value as v from json_each({mark})) n", (json.dumps(starts),))
        start = Part("n.v")
        table = Part(f"{each.text} cross join index_key {alias}", each.values)
    row = Part(
        f"{alias}.v = ({start.text} | ({target} & {HASH_MASK:d})) and {alias}.w = {target}",
        start.values,
    )
    return table, row
