"""hierarchy — conditions on references to a whole, to its parts, and to theirs.

https://hl7.org/fhir/R4/search.html#recursive

What is a part of what is told by key rows: that of a part names its whole. A set that only grows
ends where nothing is new, and so do circles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.found import is_found
from fhir_server.store.condition.part import NO, Part, joined
from fhir_server.store.contract import HASH_MASK, PARAM_SHIFT, Beneath
from fhir_server.store.dialect import Bigints, Dialect


def beneath(context: Context, asked: Beneath) -> Part:
    """It is the part's own body that tells what it belongs to: a part the caller may not reach
    tells nothing."""
    if not asked.roots:
        return NO
    dialect = context.dialect
    rows = f"select x.main, x.rid from p {dialect.join} index_key x on {_names(dialect.mark)}"
    named = Part(rows, (asked.number << PARAM_SHIFT,))
    return is_found(context, joined(" ", [_reached(context, asked), named]))


def beneath_keys(context: Context, asked: Beneath) -> Part:
    """The rows (v, w) of the index that name any of those."""
    mark = context.dialect.mark
    keys = Part(
        f"select ({mark} | (p.rid & {HASH_MASK})), p.rid from p", (asked.number << PARAM_SHIFT,)
    )
    return joined(" ", [_reached(context, asked), keys])


def _reached(context: Context, asked: Beneath) -> Part:
    """The numbers p(rid) of the roots and of all that they lead to."""
    dialect = context.dialect
    onward = _upward if asked.above else _downward
    begun, step = onward(context.of("w"), _list(asked.parts, "n", dialect))
    return joined(
        " ",
        [
            Part(f"with recursive {begun.text} p(rid) as (select r.value from", begun.values),
            _list(asked.roots, "r", dialect),
            Part(f"union {step.text})", step.values),
        ],
    )


def _downward(context: Context, parts: Part) -> tuple[Part, Part]:
    """From a whole to its parts: probes of the index."""
    join, reach = context.dialect.join, context.within(())
    text = (
        f"select x.rid from p cross join {parts.text} {join} index_key x on"
        f" {_names(f'(n.value << {PARAM_SHIFT})')}"
        f" {join} current w on w.rid = x.rid where {reach.text}"
    )
    return Part(""), Part(text, parts.values + reach.values)


def _upward(context: Context, parts: Part) -> tuple[Part, Part]:
    """From a part to its whole: no index goes this way, so all rows that tell of parts are read,
    once. (w is a rid only where it is positive: an identifier has a negative one, a marker 0.)"""
    join, reach = context.dialect.join, context.within(())
    begun = (
        "link(part, whole) as materialized (select x.rid, x.w"
        f" from {parts.text} {join} index_key x on x.v >= (n.value << {PARAM_SHIFT})"
        f" and x.v < ((n.value + 1) << {PARAM_SHIFT}) where x.w > 0),"
    )
    step = (
        f"select l.whole from p {join} link l on l.part = p.rid"
        f" {join} current w on w.rid = p.rid where {reach.text}"
    )
    return Part(begun, parts.values), Part(step, reach.values)


def _names(number: str) -> str:
    """The row x names p."""
    return f"x.v = ({number} | (p.rid & {HASH_MASK})) and x.w = p.rid"


def _list(numbers: Sequence[int], alias: str, dialect: Dialect) -> Part:
    if dialect.postgresql:
        return Part(f"unnest({dialect.mark}) {alias}(value)", (Bigints(numbers),))
    return Part(f"json_each({dialect.mark}) {alias}", (json.dumps(list(numbers)),))
