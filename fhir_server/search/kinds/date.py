"""date — an interval of time against an interval of time.

https://hl7.org/fhir/R4/search.html#date
https://hl7.org/fhir/R4/search.html#prefix

Every date is the interval its precision says, lo <= t < hi. The type's main date (Encounter.date)
lies beside the resource and not among its date rows; see IndexRows.main.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.primitive import interval
from fhir_server.search.escape import unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.prefix import taken
from fhir_server.search.site import HERE, Site
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
        case _:
            yield interval(value, zone)


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number, zone = parameter.number, site.zone_minutes
    if type not in TYPES:
        return None
    if type in ("Period", "Timing"):

        def of_many(value: Mapping[str, Any]) -> Sequence[DateRow]:
            return [DateRow(number, lo, hi) for lo, hi in _spans(value, type, zone) if lo < hi]

        return of_many
    return lambda value: (DateRow(number, *interval(value, zone)),)


def rows(
    parameter: Parameter, value: Any, type: str, site: Site = HERE, system: str | None = None
) -> Sequence[DateRow]:
    write = writer(parameter, type, site, system)
    return write(value) if write else ()


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


def bounds(prefix: str, lo: int, hi: int, near: int = 0) -> tuple[Bounds, ...]:
    """What an interval must meet, any of these. lo, hi: the one asked for."""
    # R4 search#prefix: "the range of the search value fully contains the range of the target value"
    match prefix:
        case "eq":
            return ((lo, None, None, hi + 1),)
        case "ne":
            return ((None, lo, None, None), (None, None, hi + 1, None))
        case "gt":  # "the range above the search value intersects the range of the target value"
            return ((None, None, hi + 1, None),)
        case "lt":
            return ((None, lo, None, None),)
        case "ge":  # gt, or eq
            return ((None, None, hi + 1, None), (lo, None, None, None))
        case "le":
            return ((None, lo, None, None), (None, None, None, hi + 1))
        case "sa":  # does not overlap, and "the range above the search value contains" it
            return ((hi, None, None, None),)
        case "eb":
            return ((None, None, None, lo + 1),)
    return ((None, hi + near, lo - near + 1, None),)  # ap: overlaps what is near


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    prefix, lo, hi = asked(parameter, text, site)
    near = abs(site.today() - lo) // 10 if prefix == "ap" else 0
    conditions = [
        Interval(number, *one)
        for one in bounds(prefix, lo, hi, near)
        for number in _numbers(parameter)
    ]
    return conditions[0] if len(conditions) == 1 else AnyOf(tuple(conditions))


def _numbers(parameter: Parameter) -> tuple[int | None, ...]:
    """Where its rows lie: the main date lies beside the resource while it is only one."""
    if not parameter.main:
        return (parameter.number,)
    return (None, parameter.number) if parameter.many else (None,)


def updated(parameter: Parameter, text: str, site: Site) -> Condition:
    """`_lastUpdated`: a moment, against an interval."""
    prefix, lo, hi = asked(parameter, text, site)
    match prefix:
        case "eq":
            return UpdatedWithin(lo, hi)
        case "ne":
            return AnyOf((UpdatedWithin(None, lo), UpdatedWithin(hi, None)))
        case "gt" | "sa":
            return UpdatedWithin(hi, None)
        case "lt" | "eb":
            return UpdatedWithin(None, lo)
        case "ge":
            return UpdatedWithin(lo, None)
        case "le":
            return UpdatedWithin(None, hi)
    near = abs(site.today() - lo) // 10
    return AllOf((UpdatedWithin(lo - near, hi + near),))


def present(parameter: Parameter) -> Condition:
    found = tuple(Interval(number) for number in _numbers(parameter))
    return found[0] if len(found) == 1 else AnyOf(found)
