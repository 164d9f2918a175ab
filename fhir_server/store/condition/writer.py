"""writer — which function writes which condition.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fhir_server.store.condition import (
    hierarchy,
    keys,
    links,
    near,
    spans,
    texts,
    uris,
    wholes,
    words,
)
from fhir_server.store.condition.context import Context, reach
from fhir_server.store.condition.part import NO, YES, Part, both, either, member
from fhir_server.store.contract import (
    AllOf,
    AnyOf,
    Beneath,
    Contains,
    Interval,
    KeyBetween,
    KeyIs,
    Near,
    Not,
    ReferredBy,
    Refers,
    Restriction,
    RidIn,
    TextHas,
    UpdatedWithin,
    UriStarts,
    Whole,
    WholeLike,
    WordStarts,
)
from fhir_server.store.dialect import Dialect


def rid_in(context: Context, asked: RidIn) -> Part:
    return member(context.rid, asked.rids, context.dialect)


def all_of(context: Context, asked: AllOf) -> Part:
    told = both(context.write(inner) for inner in asked.conditions)
    return told if told in (YES, NO) else Part(f"({told.text})", told.values)


def any_of(context: Context, asked: AnyOf) -> Part:
    """Key conditions of one list are one probe, however many they are; so are bits, and words."""
    found = [c for c in asked.conditions if isinstance(c, KeyIs)]
    common = [key for key in found if key.dominant]
    parts = [keys.dominant(context, common)] if common else []
    parts += keys.probes(context, [key for key in found if not key.dominant])
    told = [c for c in asked.conditions if isinstance(c, words.ASKED)]
    parts += words.any_of(context, told)
    others = (c for c in asked.conditions if not isinstance(c, (KeyIs, *words.ASKED)))
    parts += map(context.write, others)
    return either(parts)


def negated(context: Context, asked: Not) -> Part:
    told = context.write(asked.condition)
    if told in (YES, NO):
        return NO if told is YES else YES
    return Part(f"not ({told.text})", told.values)


WRITERS: dict[type, Callable[[Context, Any], Part]] = {
    KeyIs: keys.key_is,
    KeyBetween: keys.key_between,
    WordStarts: words.words,
    Whole: words.words,
    Contains: words.words,
    Interval: spans.interval,
    Near: near.near,
    UpdatedWithin: spans.updated,
    TextHas: texts.text_has,
    WholeLike: wholes.whole_like,
    UriStarts: uris.uri_starts,
    Beneath: hierarchy.beneath,
    RidIn: rid_in,
    Refers: links.refers,
    ReferredBy: links.referred_by,
    AllOf: all_of,
    AnyOf: any_of,
    Not: negated,
}


def within_reach(
    restriction: Restriction, row: str, dialect: Dialect, types: Sequence[str] = ()
) -> Part:
    """Of a row of `current`, deletions too: whether the caller may reach it."""
    return reach(context_of(dialect, restriction).of(row), types)


def context_of(
    dialect: Dialect,
    restriction: Restriction,
    *,
    main: str = "c.main_lo",
    rid: str = "c.rid",
) -> Context:
    """Conditions on the row `c` of `current`."""
    return Context(dialect, WRITERS, restriction, main=main, rid=rid)
