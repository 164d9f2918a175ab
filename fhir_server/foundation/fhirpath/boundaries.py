"""boundaries — how precise a value is, and the least and the greatest it may stand for.

https://hl7.org/fhirpath/#utility-functions
"""

from __future__ import annotations

import calendar
import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.items import Item, made, plain
from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, one
from fhir_server.foundation.fhirpath.temporal import Temporal
from fhir_server.foundation.outcome import Invalid

Args = tuple[Evaluated, ...]
Body = Callable[[Scope, list[Item], Args], list[Item]]

MAX_DECIMALS = 31
EXACT = decimal.Context(prec=100)
# How many digits a time has when so many of its parts are told: `2014-01` has six.
DIGITS = {"date": (4, 6, 8), "dateTime": (4, 6, 8, 10, 12, 17), "time": (2, 4, 9)}
DEFAULT_DECIMALS = 8
EAST, WEST = 14 * 60, -12 * 60  # where a day begins first, and where it ends last


def precision(_: Scope, focus: list[Item], __: Args) -> list[Item]:
    item = one(focus, "`precision()`")
    match plain(item) if item is not None else None:
        case Decimal() as number:
            return [made(_decimals(number))]
        case Temporal() as time:
            return [made(sum(sign.isdigit() for sign in time.text_without_zone))]
    return []


def boundary(*, high: bool) -> Body:
    """lowBoundary() or highBoundary(); empty where the precision asked for cannot be had."""

    def told(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
        item = one(focus, "a boundary")
        asked = _asked(scope, args)
        found: Any = None
        match None if item is None else plain(item):
            case bool():
                pass
            case int() | Decimal() as number:
                found = _number(Decimal(number), asked, high=high)
            case Quantity() as quantity:
                value = _number(quantity.value, asked, high=high)
                found = None if value is None else Quantity(value, quantity.unit)
            case Temporal() as time:
                found = _temporal(time, asked, high=high)
        return [] if found is None else [made(found)]

    return told


def _asked(scope: Scope, args: Args) -> int | None:
    if not args:
        return None
    item = one(args[0](scope), "the precision")
    value = None if item is None else plain(item)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise Invalid("FHIRPath: the precision must be an integer.")
    return value


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _number(number: Decimal, asked: int | None, *, high: bool) -> Decimal | None:
    """Half of the last digit more or less, rounded outward to the digits asked for."""
    places = DEFAULT_DECIMALS if asked is None else asked
    if not 0 <= places <= MAX_DECIMALS or abs(number.adjusted()) > MAX_DECIMALS:
        return None
    half = Decimal("0.5").scaleb(-_decimals(number))
    edge = EXACT.add(number, half) if high else EXACT.subtract(number, half)
    rounding = decimal.ROUND_CEILING if high else decimal.ROUND_FLOOR
    return edge.quantize(Decimal(1).scaleb(-places), rounding=rounding, context=EXACT)


def _temporal(time: Temporal, asked: int | None, *, high: bool) -> Temporal | None:
    digits = DIGITS[time.kind]
    wanted = digits[-1] if asked is None else asked
    if wanted not in digits:
        return None
    count = digits.index(wanted) + 1
    parts = list(time.parts)
    while len(parts) < len(digits):
        parts.append(_edge(time.kind, parts, high=high))
    if time.kind != "date":
        parts[-1] = _to_milliseconds(parts[-1], told=len(time.parts) == len(digits), high=high)
    zone = time.zone
    if time.kind == "dateTime" and zone is None and count > 3:
        zone = WEST if high else EAST
    kept = tuple(parts[:count])
    zone = zone if count > 3 else None
    text = Temporal(time.kind, kept, zone).rendered()
    return Temporal(time.kind, kept, zone, text)


def _edge(kind: str, parts: list[Any], *, high: bool) -> int | Decimal:
    """The least or the greatest value of the first part that is not told."""
    place = len(parts) + (3 if kind == "time" else 0)
    if place == 1:
        return 12 if high else 1
    if place == 2:
        return calendar.monthrange(int(parts[0]), int(parts[1]))[1] if high else 1
    if place == 5:
        return Decimal("59.999") if high else Decimal("0.000")
    return (23 if place == 3 else 59) if high else 0


def _to_milliseconds(part: int | Decimal, *, told: bool, high: bool) -> Decimal:
    second = Decimal(part)
    if told and high and (decimals := _decimals(second)) < 3:
        second += Decimal(1).scaleb(-decimals) - Decimal("0.001")
    return second.quantize(Decimal("0.001"), rounding=decimal.ROUND_DOWN)


FUNCTIONS: dict[str, tuple[Body, int, int]] = {
    "precision": (precision, 0, 0),
    "lowBoundary": (boundary(high=False), 0, 1),
    "highBoundary": (boundary(high=True), 0, 1),
}
