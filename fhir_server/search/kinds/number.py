"""number — a value, to the precision it is asked with.

https://hl7.org/fhir/R4/search.html#number
"""

# ruff: noqa: ARG001 - every kind has the same functions
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fhir_server.search.escape import unescape
from fhir_server.search.parameters import Parameter
from fhir_server.search.range import GREATEST, LEAST, asked, bounds, double
from fhir_server.search.site import HERE, Site
from fhir_server.store.contract import AnyOf, Condition, Interval, QuantityRow

MODIFIERS: frozenset[str] = frozenset()
WHOLE = frozenset({"integer", "positiveInt", "unsignedInt"})
TYPES = WHOLE | {"decimal", "Range"}

Writer = Callable[[Any], Sequence[QuantityRow]]


def writer(parameter: Parameter, type: str, site: Site, system: str | None = None) -> Writer | None:
    number = parameter.number

    def of_number(value: Any) -> Sequence[QuantityRow]:
        point = double(value)
        return (QuantityRow(number, 0, point, point),)

    def of_range(value: Mapping[str, Any]) -> Sequence[QuantityRow]:
        low, high = ((value.get(end) or {}).get("value") for end in ("low", "high"))
        if low is None and high is None:
            return ()
        lo = LEAST if low is None else double(low)
        return (QuantityRow(number, 0, lo, GREATEST if high is None else double(high)),)

    if type not in TYPES:
        return None
    return of_range if type == "Range" else of_number


def where(parameter: Parameter, text: str, modifier: str | None, site: Site = HERE) -> Condition:
    it = asked(unescape(text), parameter.code)
    found = tuple(
        Interval(parameter.number, *one, unit=0)
        for one in bounds(it, whole=bool(parameter.types) and parameter.types <= WHOLE)
    )
    return found[0] if len(found) == 1 else AnyOf(found)


def present(parameter: Parameter) -> Condition:
    return Interval(parameter.number, unit=0)
