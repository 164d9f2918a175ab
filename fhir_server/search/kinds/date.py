"""date — an interval of time against an interval of time.

https://hl7.org/fhir/R4/search.html#date
https://hl7.org/fhir/R4/search.html#prefix

Every date is the interval its precision says, lo <= t < hi. The type's main date (Encounter.date)
lies beside the resource and not among its date rows; see IndexRows.main.
"""

# ruff: noqa: ARG001, ARG005 - every kind has the same functions, and every prefix
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.primitive import interval
from fhir_server.search.escape import unescape
from fhir_server.search.merging import merged
from fhir_server.search.parameters import Parameter
from fhir_server.search.prefix import taken
from fhir_server.search.site import DAY, HERE, Site
from fhir_server.store.contract import (
    MISSING,
    AllOf,
    AnyOf,
    Condition,
    DateRow,
    Interval,
    UpdatedWithin,
)

MODIFIERS: frozenset[str] = frozenset()
TYPES = frozenset({"date", "dateTime", "instant", "Period", "Timing"})
BRIEF = frozenset({"date", "dateTime", "instant"})  # none is longer than a year
YEAR = 366 * DAY

Writer = Callable[[Any], Sequence[DateRow]]
Bounds = tuple[int | None, int | None, int | None, int | None]  # lo from, lo to, hi from, hi to


# --- what is written -----------------------------------------------------------------------------


def _spans(value: Any, type: str, zone: int) -> Iterator[tuple[int, int]]:
    """The interval a value means; none where it means none."""
    match type:
        case "Period":
            lo, hi = value.get("start"), value.get("end")
            if lo or hi:
                yield (
                    interval(lo, zone)[0] if lo else MISSING,
                    interval(hi, zone)[1] if hi else -MISSING,
                )
        case "Timing":
            # R4 search#date: "only the outer limits matter"
            spans = [interval(event, zone) for event in value.get("event") or () if event]
            bounds = (value.get("repeat") or {}).get("boundsPeriod") or {}
            spans += _spans(bounds, "Period", zone)
            if spans:
                yield min(lo for lo, _ in spans), max(hi for _, hi in spans)
        case "instant":
            # R4 search#date: "a fixed point in time [...] with an effective width of 0"
            lo, _ = interval(value, zone)
            yield lo, lo + 1
        case _:
            yield interval(value, zone)


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number, zone = parameter.number, site.zone_minutes
    if type not in TYPES:
        return None
    if type in ("date", "dateTime"):
        return lambda value: (DateRow(number, *interval(value, zone)),)

    def of_spans(value: Any) -> Sequence[DateRow]:
        return [DateRow(number, lo, hi) for lo, hi in _spans(value, type, zone) if lo < hi]

    return of_spans


# --- what is asked -------------------------------------------------------------------------------


def asked(parameter: Parameter, text: str, site: Site) -> tuple[str, int, int]:
    """The prefix and the interval of what is asked for."""
    prefix, when = taken(unescape(text), parameter.code)
    try:
        return prefix, *interval(when, site.zone_minutes)
    except ValueError:
        plus = " (a `+` in a URL is written `%2B`)" if " " in when else ""
        raise Invalid(
            f"`{parameter.code}` is given `{text[:80]}`. A date is real and written `YYYY`, "
            f"`YYYY-MM`, `YYYY-MM-DD` or `YYYY-MM-DDThh:mm:ss+zz:zz`{plus}, after a prefix such "
            "as `ge` if one is wanted."
        ) from None


# R4 search#prefix, for the target [a, b) and the value asked for [lo, hi): what a and b must meet.
# Of `eq` half follows from a < b, but lets an index end its range on either side.
BOUNDS: dict[str, Callable[[int, int, int], tuple[Bounds, ...]]] = {
    # "the range of the search value fully contains the range of the target value"
    "eq": lambda lo, hi, _: ((lo, hi, lo + 1, hi + 1),),
    "ne": lambda lo, hi, _: ((None, lo, None, None), (None, None, hi + 1, None)),
    # "the range above the search value intersects the range of the target value"
    "gt": lambda lo, hi, _: ((None, None, hi + 1, None),),
    "lt": lambda lo, hi, _: ((None, lo, None, None),),
    # gt or eq, lt or eq
    "ge": lambda lo, hi, _: ((None, None, hi + 1, None), (lo, None, None, None)),
    "le": lambda lo, hi, _: ((None, lo, None, None), (None, None, None, hi + 1)),
    # no overlap, "and the range above the search value contains the range of the target value"
    "sa": lambda lo, hi, _: ((hi, None, None, None),),
    "eb": lambda lo, hi, _: ((None, None, None, lo + 1),),
    # "the range of the search value overlaps with the range of the target value", widened
    "ap": lambda lo, hi, near: ((None, hi + near, lo - near + 1, None),),
    # R4 search_filter#ops, no prefixes: the target holds the value; the two overlap
    "co": lambda lo, hi, _: ((None, lo + 1, hi, None),),
    "po": lambda lo, hi, _: ((None, hi, lo + 1, None),),
}

# The same for a moment t: from <= t < to.
MOMENTS: dict[str, Callable[[int, int, int], tuple[UpdatedWithin, ...]]] = {
    "eq": lambda lo, hi, _: (UpdatedWithin(lo, hi),),
    "ne": lambda lo, hi, _: (UpdatedWithin(None, lo), UpdatedWithin(hi, None)),
    "gt": lambda lo, hi, _: (UpdatedWithin(hi, None),),
    "lt": lambda lo, hi, _: (UpdatedWithin(None, lo),),
    "ge": lambda lo, hi, _: (UpdatedWithin(lo, None),),
    "le": lambda lo, hi, _: (UpdatedWithin(None, hi),),
    "sa": lambda lo, hi, _: (UpdatedWithin(hi, None),),
    "eb": lambda lo, hi, _: (UpdatedWithin(None, lo),),
    "ap": lambda lo, hi, near: (UpdatedWithin(lo - near, hi + near),),
}


def _near(site: Site, prefix: str, lo: int) -> int:
    """R4 search#prefix, of ap: "10% of the gap between now and the date"."""
    return abs(site.today() - lo) // 10 if prefix == "ap" else 0


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    return compared(parameter, *asked(parameter, text, site), site)


def compared(parameter: Parameter, how: str, lo: int, hi: int, site: Site) -> Condition:
    """A value of the parameter stands to [lo, hi) as one of BOUNDS says."""
    brief = bool(parameter.types) and parameter.types & TYPES <= BRIEF
    conditions = [
        Interval(number, *(_brief(one) if brief else one))
        for one in BOUNDS[how](lo, hi, _near(site, how, lo))
        for number in _numbers(parameter)
    ]
    found: Condition = conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions))
    told = merged((found,))
    return told[0] if len(told) == 1 else AllOf(told)


def _brief(bounds: Bounds) -> Bounds:
    """The same of a value that is no longer than a year: what ends late enough begins late enough,
    so that an index by beginnings need not be read from its start."""
    lo_from, lo_to, hi_from, hi_to = bounds
    if lo_from is None and hi_from is not None:
        return hi_from - YEAR, lo_to, hi_from, hi_to
    return bounds


def _numbers(parameter: Parameter) -> tuple[int | None, ...]:
    """Where its rows lie: the main date lies beside the resource while it is only one."""
    if not parameter.main:
        return (parameter.number,)
    return (None, parameter.number) if parameter.many else (None,)


def updated(parameter: Parameter, text: str, site: Site) -> Condition:
    """`_lastUpdated`: a moment, against an interval."""
    prefix, lo, hi = asked(parameter, text, site)
    found = MOMENTS[prefix](lo, hi, _near(site, prefix, lo))
    return found[0] if len(found) == 1 else AnyOf(found)


def present(parameter: Parameter) -> Condition:
    found = tuple(Interval(number) for number in _numbers(parameter))
    return found[0] if len(found) == 1 else AnyOf(found)
