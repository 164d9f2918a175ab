"""numbers — the mathematical functions.

http://hl7.org/fhirpath/N1/#math
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.items import Item, made
from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, value_of
from fhir_server.foundation.fhirpath.values import MATH, MATH_ERRORS, checked, is_number, named
from fhir_server.foundation.outcome import Invalid

ROUNDED = decimal.Context(prec=28)
Number = int | Decimal
Args = tuple[Evaluated, ...]
Body = Callable[[Scope, list[Item], Args], list[Item]]


def _calculated(calculate: Callable[..., Any]) -> Body:
    """A function of numbers: empty in, empty out; what cannot be calculated is empty too."""

    def told(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
        values = [value_of(focus, "mathematics")]
        values += [value_of(arg(scope), "an argument") for arg in args]
        if None in values:
            return []
        for value in values:
            if not is_number(value) and not (calculate is _abs and isinstance(value, Quantity)):
                raise Invalid(f"FHIRPath: mathematics is for numbers, not {named(value)}.")
        try:
            result = checked(calculate(*values))
        except MATH_ERRORS:
            return []
        return [] if result is None else [made(result)]

    return told


def _abs(value: Any) -> Any:
    return Quantity(abs(value.value), value.unit) if isinstance(value, Quantity) else abs(value)


def _integral(rounding: str) -> Callable[[Number], int]:
    # quantize refuses what has more digits than the context, so int() meets no giant
    return lambda value: int(Decimal(value).quantize(Decimal(1), rounding=rounding, context=MATH))


def _log(value: Number, base: Number) -> Any:
    quotient = MATH.divide(MATH.ln(Decimal(value)), MATH.ln(Decimal(base)))
    return ROUNDED.plus(quotient)  # the last digits are those of two roundings


def _power(value: Number, exponent: Number) -> Any:
    power = MATH.power(Decimal(value), Decimal(exponent))
    if isinstance(value, int) and isinstance(exponent, int) and exponent >= 0:
        return int(power.quantize(Decimal(1), context=MATH))
    return power


def _round(value: Number, places: Number = 0) -> Any:
    if not isinstance(places, int) or places < 0:
        raise Invalid("FHIRPath: `round()` takes a whole number of digits, 0 or more.")
    if isinstance(value, int):
        return value
    digits = Decimal(1).scaleb(-min(places, 100))
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent <= places:
        return value
    return value.quantize(digits, rounding=decimal.ROUND_HALF_UP, context=MATH)


FUNCTIONS: dict[str, tuple[Body, int, int]] = {
    "abs": (_calculated(_abs), 0, 0),
    "ceiling": (_calculated(_integral(decimal.ROUND_CEILING)), 0, 0),
    "floor": (_calculated(_integral(decimal.ROUND_FLOOR)), 0, 0),
    "truncate": (_calculated(_integral(decimal.ROUND_DOWN)), 0, 0),
    "exp": (_calculated(lambda value: MATH.exp(Decimal(value))), 0, 0),
    "ln": (_calculated(lambda value: MATH.ln(Decimal(value))), 0, 0),
    "log": (_calculated(_log), 1, 1),
    "power": (_calculated(_power), 1, 1),
    "round": (_calculated(_round), 0, 1),
    "sqrt": (_calculated(lambda value: MATH.sqrt(Decimal(value))), 0, 0),
}
