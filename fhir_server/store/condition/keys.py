"""keys — conditions on index_key, and on the bits of `current` that stand for dominant rows.

https://hl7.org/fhir/R4/search.html#token
https://hl7.org/fhir/R4/search.html#reference

A key condition is a probe of a whole primary key, since the row of `current` knows the main date.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.found import is_found
from fhir_server.store.condition.part import NO, YES, Part, both, either, within
from fhir_server.store.condition.taking import in_index
from fhir_server.store.contract import KeyBetween, KeyIs
from fhir_server.store.dialect import Bigints, Dialect
from fhir_server.store.types import type_numbers

PROBED = 200  # keys of a list that each row is probed for; a longer list is a set, read once


def masked(alias: str, w: int, mask: int, dialect: Dialect) -> list[Part]:
    mark = dialect.mark
    if mask == 0:
        return []
    if mask == -1:
        return [Part(f"{alias}.w = {mark}", (w,))]
    return [Part(f"({alias}.w & {mark}) = {mark}", (mask, w & mask))]


def key_row(key: KeyIs, alias: str, dialect: Dialect) -> Part:
    v = Part(f"{alias}.v = {dialect.mark}", (key.v,))
    return both([v, *masked(alias, key.w, key.mask, dialect)])


def once(key: KeyIs, dialect: Dialect) -> Part:
    """One code under two systems is two rows of `k`: the first stands for both."""
    if key.mask == -1:
        return YES
    same = "d.v = k.v and d.main = k.main and d.rid = k.rid and d.w < k.w"
    row = both([Part(same), *masked("d", key.w, key.mask, dialect)])
    return Part(f"not exists (select 1 from index_key d where {row.text}{dialect.fence})", row[1])


def keys_table(keys: Sequence[KeyIs], dialect: Dialect) -> Part:
    """The keys as a table a(v, w, m), so that the text does not grow with their number."""
    rows = [(key.v, key.w & key.mask, key.mask) for key in keys]
    if dialect.postgresql:
        columns = tuple(Bigints(column) for column in zip(*rows, strict=True))
        return Part("unnest(%s, %s, %s) a(v, w, m)", columns)
    told = ", ".join(f"json_extract(value, '$[{i}]') as {n}" for i, n in enumerate("vwm"))
    return Part(f"(select {told} from json_each(?)) a", (json.dumps(rows),))


# --- conditions ----------------------------------------------------------------------------------


def key_is(context: Context, key: KeyIs) -> Part:
    if not in_index(key):
        return dominant(context, [key])
    return probe(context, "index_key x", key_row(key, "x", context.dialect))


def probe(context: Context, table: str, row: Part) -> Part:
    """The row of `table`, named x, is the resource's: its whole primary key is known."""
    there = f"x.main = {context.main} and x.rid = {context.rid}"
    fence = context.dialect.fence
    return Part(f"exists (select 1 from {table} where {row.text} and {there}{fence})", row.values)


def dominant(context: Context, keys: Sequence[KeyIs]) -> Part:
    """Any of these bits of `current.keys`; what a bit means goes by the type.

    CASE hides the question from PostgreSQL's planner, which would take it for a rare match
    and sort the whole type instead of walking it in order, and the type from SQLite's, which
    would walk the type instead of what was asked for beside it.
    """
    masks: dict[str, int] = {}
    for key in keys:
        masks[key.of] = masks.get(key.of, 0) | 1 << key.dominant - 1
    mark, row = context.dialect.mark, context.row
    there = either(
        Part(f"({row}.type = {mark} and ({row}.keys & {mark}) <> 0)", (number, mask))
        for of, mask in masks.items()
        for number in type_numbers((of,))
    )
    if there is NO:
        return NO
    return Part(f"case when {there.text} then true else false end", there.values)


def probes(context: Context, keys: Sequence[KeyIs]) -> list[Part]:
    """Any of these: one probe, or one set, however many they are."""
    if len(keys) < 2:
        return [key_is(context, key) for key in keys]
    table = keys_table(keys, context.dialect)
    join = f"{context.dialect.join} index_key x on x.v = a.v and (x.w & a.m) = a.w"
    if len(keys) > PROBED:
        rows = Part(f"select x.main, x.rid from {table.text} {join}", table.values)
        return [is_found(context, rows, once=True)]
    return [probe(context, f"{table.text} {join}", Part("true", table.values))]


def key_between(context: Context, asked: KeyBetween) -> Part:
    v = within("x.v", asked.lo, asked.hi, context.dialect.mark)
    row = both([*v, *masked("x", asked.w, asked.mask, context.dialect)])
    return among(context, "index_key", row)


def among(context: Context, table: str, row: Part) -> Part:
    """The resource has a row x of `table`.

    SQLite reads a set once; PostgreSQL's planner chooses by what its statistics say. Within what
    is asked row by row it would read the set for each, unless it is kept from making a join of it.
    """
    if context.dialect.postgresql and not context.walked:
        text = f"exists (select 1 from {table} x where x.rid = {context.rid} and {row.text})"
    else:
        text = f"{context.rid} in (select x.rid from {table} x where {row.text})"
        text = f"({text}) is true" if context.dialect.postgresql else text
    return Part(text, row.values)
