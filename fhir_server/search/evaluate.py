"""evaluate — a Condition held against one resource's rows, before any database has seen it.

https://hl7.org/fhir/R4/http.html#trules

A transaction's conditional references may mean what the same transaction creates.
"""

from __future__ import annotations

from fhir_server.store.contract import (
    AllOf,
    AnyOf,
    Condition,
    IndexRows,
    Interval,
    KeyBetween,
    KeyIs,
    Not,
    RidIn,
    UpdatedWithin,
    WordStarts,
)


def holds(  # noqa: PLR0911 - one for each condition
    condition: Condition, rows: IndexRows, *, rid: int, updated: int
) -> bool:
    """Whether the resource with these rows, this number and this lastUpdated meets it."""
    match condition:
        case KeyIs(v, w, mask, dominant):
            return any(
                k.v == v and k.w & mask == w & mask and k.dominant == dominant for k in rows.keys
            )
        case KeyBetween(lo, hi, w, mask):
            return any(
                lo <= k.v < hi and k.w & mask == w & mask and not k.dominant for k in rows.keys
            )
        case WordStarts(param, prefix, also):
            numbers = (param, *also)
            return any(s.param in numbers and s.word.startswith(prefix) for s in rows.strings)
        case Interval():
            return any(_within(condition, lo, hi) for lo, hi in _spans(condition, rows))
        case UpdatedWithin(start, end):
            return (start is None or start <= updated) and (end is None or updated < end)
        case RidIn(rids):
            return rid in rids
        case AllOf(conditions):
            return all(holds(c, rows, rid=rid, updated=updated) for c in conditions)
        case AnyOf(conditions):
            return any(holds(c, rows, rid=rid, updated=updated) for c in conditions)
        case Not(inner):
            return not holds(inner, rows, rid=rid, updated=updated)


def _spans(asked: Interval, rows: IndexRows) -> list[tuple[float, float]]:
    if asked.unit is not None:
        return [
            (q.lo, q.hi)
            for q in rows.quantities
            if q.param == asked.param and asked.unit in (-1, q.unit)
        ]
    if asked.param is None:
        return [rows.main] if rows.main != (0, 0) else []
    return [(d.lo, d.hi) for d in rows.dates if d.param == asked.param]


def _within(asked: Interval, lo: float, hi: float) -> bool:
    return (
        (asked.lo_from is None or asked.lo_from <= lo)
        and (asked.lo_to is None or lo < asked.lo_to)
        and (asked.hi_from is None or asked.hi_from <= hi)
        and (asked.hi_to is None or hi < asked.hi_to)
    )
