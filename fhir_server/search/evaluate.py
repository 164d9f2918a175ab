"""evaluate — a Condition held against one resource's rows, before any database has seen it.

https://hl7.org/fhir/R4/http.html#trules

A transaction's conditional references may mean what the same transaction creates. What rests on
other resources than the one is not met: their rows are not at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_server.foundation.earth import distance
from fhir_server.store.contract import (
    CUT,
    AllOf,
    AnyOf,
    Beneath,
    Condition,
    Contains,
    IndexRows,
    Interval,
    KeyBetween,
    KeyIs,
    Near,
    Not,
    ReferredBy,
    Refers,
    RidIn,
    TextHas,
    UpdatedWithin,
    UriStarts,
    Whole,
    WholeLike,
    WordStarts,
)


def holds(condition: Condition, rows: IndexRows, *, rid: int, updated: int) -> bool:
    """Whether the resource with these rows, this number and this lastUpdated meets it."""
    return _HOLDS[type(condition)](condition, Resource(rows, rid, updated))


class Resource(NamedTuple):
    """What is known of the one resource."""

    rows: IndexRows
    rid: int
    updated: int


def _key_is(asked: KeyIs, it: Resource) -> bool:
    v, w, mask = asked.v, asked.w & asked.mask, asked.mask
    return any(k.v == v and k.w & mask == w and k.dominant == asked.dominant for k in it.rows.keys)


def _key_between(asked: KeyBetween, it: Resource) -> bool:
    w, mask = asked.w & asked.mask, asked.mask
    return any(
        asked.lo <= k.v < asked.hi and k.w & mask == w and not k.dominant for k in it.rows.keys
    )


def _word_starts(asked: WordStarts, it: Resource) -> bool:
    numbers = (asked.param, *asked.also)
    return any(
        s.param in numbers and (s.word.startswith(asked.prefix) or s.word in asked.spelt)
        for s in it.rows.strings
    )


def _whole(asked: Whole, it: Resource) -> bool:
    params = asked.params
    return any(
        s.param in params and s.word == asked.text and s.whole and s.whole >> 2 == asked.digest
        for s in it.rows.strings
    )


def _contains(asked: Contains, it: Resource) -> bool:
    params = asked.params
    return any(s.param in params and asked.text in f" {s.word} " for s in it.rows.strings)


def _whole_like(asked: WholeLike, it: Resource) -> bool:
    params = asked.params
    return any(
        s.whole and s.param in params and len(s.word) < CUT and _LIKE[asked.how](s.word, asked.text)
        for s in it.rows.strings
    )


def _uri_starts(asked: UriStarts, it: Resource) -> bool:
    return any(u.param == asked.param and u.uri.startswith(asked.prefix) for u in it.rows.uris)


def _near(asked: Near, it: Resource) -> bool:
    return any(
        q.param == asked.param
        and distance(asked.latitude, asked.longitude, q.lo, q.hi) <= asked.metres
        for q in it.rows.quantities
    )


def _interval(asked: Interval, it: Resource) -> bool:
    return any(_within(asked, lo, hi) for lo, hi in _spans(asked, it.rows))


def _updated(asked: UpdatedWithin, it: Resource) -> bool:
    start, end = asked.start, asked.end
    return (start is None or start <= it.updated) and (end is None or it.updated < end)


def _unknown(asked: Condition, it: Resource) -> bool:  # noqa: ARG001 - as all of them
    """It rests on other resources, or on their text, which are not at hand."""
    return False


def _spans(asked: Interval, rows: IndexRows) -> list[tuple[float, float]]:
    if asked.unit is not None:
        mask = asked.mask
        return [
            (q.lo, q.hi)
            for q in rows.quantities
            if q.param == asked.param and (asked.unit == -1 or q.unit & mask == asked.unit & mask)
        ]
    if asked.param is None:
        return [rows.main] if rows.main[0] != rows.main[1] else []
    return [(d.lo, d.hi) for d in rows.dates if d.param == asked.param]


def _within(asked: Interval, lo: float, hi: float) -> bool:
    return (
        (asked.lo_from is None or asked.lo_from <= lo)
        and (asked.lo_to is None or lo < asked.lo_to)
        and (asked.hi_from is None or asked.hi_from <= hi)
        and (asked.hi_to is None or hi < asked.hi_to)
    )


_LIKE: dict[str, Callable[[str, str], bool]] = {
    "is": str.__eq__,
    "begins": str.startswith,
    "ends": str.endswith,
}

_HOLDS: dict[type, Callable[[Any, Resource], bool]] = {
    KeyIs: _key_is,
    KeyBetween: _key_between,
    WordStarts: _word_starts,
    Whole: _whole,
    WholeLike: _whole_like,
    Contains: _contains,
    UriStarts: _uri_starts,
    Near: _near,
    Interval: _interval,
    UpdatedWithin: _updated,
    RidIn: lambda asked, it: it.rid in asked.rids,
    AllOf: lambda asked, it: all(_HOLDS[type(c)](c, it) for c in asked.conditions),
    AnyOf: lambda asked, it: any(_HOLDS[type(c)](c, it) for c in asked.conditions),
    Not: lambda asked, it: not _HOLDS[type(asked.condition)](asked.condition, it),
    TextHas: _unknown,
    Refers: _unknown,
    ReferredBy: _unknown,
    Beneath: _unknown,
}
