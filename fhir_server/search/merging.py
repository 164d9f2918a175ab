"""merging — criteria on one main date as one range of it, so that an index can be read from there.

https://hl7.org/fhir/R4/search.html#date

`date=ge2024-05-05&date=le2024-05-05` is, for intervals, four alternatives that no index answers;
but whatever meets them begins before the 6th. A range that all alternatives lie within is asked
first, and those that cannot be, or lie within others, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from fhir_server.store.contract import AllOf, AnyOf, Condition, Interval

MOST = 64  # alternatives that are worth looking at


class Box(NamedTuple):
    """lo_from <= lo < lo_to and hi_from <= hi < hi_to, in whole milliseconds, and lo < hi."""

    lo_from: float
    lo_to: float
    hi_from: float
    hi_to: float

    def within(self, other: Box) -> Box:
        """What is in both; lo < hi tells more than it was told."""
        lo_from, hi_to = max(self.lo_from, other.lo_from), min(self.hi_to, other.hi_to)
        lo_to, hi_from = min(self.lo_to, other.lo_to), max(self.hi_from, other.hi_from)
        return Box(lo_from, min(lo_to, hi_to - 1), max(hi_from, lo_from + 1), hi_to)

    def covers(self, other: Box) -> bool:
        return self.within(other) == other

    @property
    def is_empty(self) -> bool:
        return self.lo_from >= self.lo_to or self.hi_from >= self.hi_to


ALL = Box(-math.inf, math.inf, -math.inf, math.inf)


def merged(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """The same conditions, which must all hold, with those on the main date as one range of its
    beginnings and, where that does not say it all, the alternatives within."""
    asked = [one for one in conditions if _of_main(one)]
    met = _met(asked)
    if not asked or met is None:
        return tuple(conditions)
    others = [one for one in conditions if not _of_main(one)]
    boxes = [box for box in met if not box.is_empty]
    kept = sorted(b for b in boxes if not any(o != b and o.covers(b) for o in boxes))
    if len(kept) == 1:
        return _interval(kept[0]), *others
    if not kept:
        return AnyOf(), *others
    either = AnyOf(tuple(map(_interval, kept)))
    hull = Box(min(b.lo_from for b in kept), max(b.lo_to for b in kept), -math.inf, math.inf)
    return (either, *others) if hull == ALL else (_interval(hull), either, *others)


def _of_main(condition: Condition) -> bool:
    match condition:
        case Interval():
            return condition.param is None
        case AnyOf(conditions) | AllOf(conditions):
            return bool(conditions) and all(map(_of_main, conditions))
    return False


def _met(conditions: Sequence[Condition]) -> set[Box] | None:
    """Where all of these hold; None: in too many places to look at."""
    found = [_boxes(one) for one in conditions]
    if any(boxes is None for boxes in found):
        return None
    told = [boxes for boxes in found if boxes is not None]
    if math.prod(map(len, told)) > MOST:
        return None
    return {_all(together) for together in product(*told)}


def _boxes(condition: Condition) -> set[Box] | None:
    match condition:
        case Interval():
            return {_box(condition)}
        case AllOf(conditions):
            return _met(conditions)
        case AnyOf(conditions):
            found = [_boxes(one) for one in conditions]
            if len(found) <= MOST and all(boxes is not None for boxes in found):
                return {box for boxes in found if boxes for box in boxes}
    return None


def _box(asked: Interval) -> Box:
    told = (asked.lo_from, asked.lo_to, asked.hi_from, asked.hi_to)
    return Box(*(open if one is None else one for one, open in zip(told, ALL, strict=True)))


def _all(boxes: Sequence[Box]) -> Box:
    found = ALL
    for box in boxes:
        found = found.within(box)
    return found


def _interval(box: Box) -> Interval:
    a, b, c, d = (None if math.isinf(one) else one for one in box)
    return Interval(None, a, b, c, d)
