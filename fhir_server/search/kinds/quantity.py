"""quantity — a value and its unit.

https://hl7.org/fhir/R4/search.html#quantity

Units are compared as they are written; 1 g is not found by 1000 mg.
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.escape import split, unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.range import GREATEST, LEAST, asked, bounds, double
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import AnyOf, Condition, Interval, QuantityRow, hash128

MODIFIERS: frozenset[str] = frozenset()
ANY_UNIT = -1
CURRENCY = "urn:iso:std:iso:4217"  # R4 datatypes#Money: the codes of ISO 4217
QUANTITIES = ("Quantity", "Age", "Duration", "Count", "Distance", "SimpleQuantity")
TYPES = frozenset({*QUANTITIES, "Money", "Range", "SampledData"})
SAMPLES = 100_000  # of a SampledData that are read

Writer = Callable[[Any], Sequence[QuantityRow]]
Span = tuple[float, float]


# --- what is written -----------------------------------------------------------------------------


@lru_cache(maxsize=1 << 12)
def _unit(system: str, code: str) -> int:
    """63 bits of a unit, never 0: that is a number's."""
    return hash128(f"{system}|{code}") >> 65 or 1


def _units(quantity: Mapping[str, Any]) -> Iterator[int]:
    """Each way to ask: by system and code, by code alone, by the unit as displayed."""
    system, code = quantity.get("system") or "", quantity.get("code") or ""
    if system and code:
        yield _unit(system, code)
    yield from {
        _unit("", code or quantity.get("unit") or ""),
        _unit("", quantity.get("unit") or code),
    }


def _span(quantity: Mapping[str, Any]) -> Span | None:
    """What a value with a comparator may be; R4 datatypes#Quantity.comparator."""
    if quantity.get("value") is None:
        return None
    value = double(quantity["value"])
    match quantity.get("comparator"):
        case "<":
            return LEAST, math.nextafter(value, LEAST)
        case "<=":
            return LEAST, value
        case ">":
            return math.nextafter(value, GREATEST), GREATEST
        case ">=":
            return value, GREATEST
    return value, value


def _of_range(value: Mapping[str, Any]) -> tuple[Span | None, Mapping[str, Any]]:
    low, high = value.get("low") or {}, value.get("high") or {}
    if low.get("value") is None and high.get("value") is None:
        return None, low
    span = double(low.get("value", LEAST)), double(high.get("value", GREATEST))
    return span, low or high


def _of_samples(value: Mapping[str, Any]) -> tuple[Span | None, Mapping[str, Any]]:
    """From the least to the greatest sample: data × factor + origin."""
    origin = value.get("origin") or {}
    start, factor = double(origin.get("value", 0)), double(value.get("factor", 1))
    samples = []
    for text in (value.get("data") or "").split(" ", SAMPLES)[:SAMPLES]:
        try:
            samples.append(double(Decimal(text)) * factor + start)
        except (InvalidOperation, ValueError):
            continue  # E, U and L: no measurement, beyond the limits
    return ((min(samples), max(samples)) if samples else None), origin


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number

    def spread(span: Span | None, unit: Mapping[str, Any]) -> Sequence[QuantityRow]:
        return [QuantityRow(number, one, *span) for one in _units(unit)] if span else ()

    def of_money(value: Mapping[str, Any]) -> Sequence[QuantityRow]:
        return spread(_span(value), {"system": CURRENCY, "code": value.get("currency")})

    writers: dict[str, Writer] = {
        **dict.fromkeys(QUANTITIES, lambda value: spread(_span(value), value)),
        "Money": of_money,
        "Range": lambda value: spread(*_of_range(value)),
        "SampledData": lambda value: spread(*_of_samples(value)),
    }
    return writers.get(type)


# --- what is asked -------------------------------------------------------------------------------


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    # R4 search#quantity:  [prefix][number]|[system]|[code]  |  [number]||[code]  |  [number]
    match [unescape(part) for part in split(text, "|")]:
        case [value] | [value, "", ""]:
            unit = ANY_UNIT
        case [value, system, code] if code:
            unit = _unit(system, code)
        case _:
            raise Invalid(
                f"`{parameter.code}` is given `{text[:80]}`. A quantity is written `5.4`, "
                "`5.4||mg` or `5.4|http://unitsofmeasure.org|mg`."
            )
    found = tuple(
        Interval(parameter.number, *one, unit=unit) for one in bounds(asked(value, parameter.code))
    )
    return found[0] if len(found) == 1 else AnyOf(found)


def present(parameter: Parameter) -> Condition:
    return Interval(parameter.number, unit=ANY_UNIT)
