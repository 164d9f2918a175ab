"""conversions — a value read as one of another type, where its text allows it.

http://hl7.org/fhirpath/N1/#conversion
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.items import Item, made, plain
from fhir_server.foundation.fhirpath.quantity import CALENDAR, Quantity
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, one
from fhir_server.foundation.fhirpath.temporal import Temporal

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
DECIMAL = re.compile(r"[+-]?[0-9]{1,100}(?:\.[0-9]{1,100})?")
QUANTITY = re.compile(rf"({DECIMAL.pattern})(?:\s*(?:'([^']+)'|([a-zA-Z]+)))?")
BOOLEANS = dict.fromkeys(("true", "t", "yes", "y", "1", "1.0"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "0", "0.0"), False
)


def _boolean(value: Any) -> Any:
    match value:
        case bool():
            return value
        case str():
            return BOOLEANS.get(value.lower())
        case int() | Decimal() if value in (0, 1):
            return value == 1
    return None


def _integer(value: Any) -> Any:
    match value:
        case bool() | int():
            return int(value)
        case str() if INTEGER.fullmatch(value):
            return int(value)
    return None


def _decimal(value: Any) -> Any:
    match value:
        case bool() | int() | Decimal():
            return Decimal(value)
        case str() if DECIMAL.fullmatch(value):
            return Decimal(value)
    return None


def text(value: Any) -> str | None:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | Decimal() | Temporal() | Quantity():
            return str(value)
    return None


def _temporal(kind: str) -> Callable[[Any], Any]:
    def converted(value: Any) -> Any:
        if isinstance(value, Temporal):
            if value.kind == kind:
                return value
            if "time" in (value.kind, kind):
                return None
            value = value.text.partition("T")[0] if kind == "date" else value.text
        return Temporal.parse(value, kind) if isinstance(value, str) else None

    return converted


def _quantity(value: Any) -> Any:
    match value:
        case Quantity():
            return value
        case bool() | int() | Decimal():
            return Quantity(Decimal(value))
        case str() if (found := QUANTITY.fullmatch(value)) and (
            found[3] is None or found[3] in CALENDAR
        ):
            return Quantity(Decimal(found[1]), found[2] or found[3] or "1")
    return None


TO: dict[str, Callable[[Any], Any]] = {
    "Boolean": _boolean,
    "Integer": _integer,
    "Decimal": _decimal,
    "String": text,
    "Date": _temporal("date"),
    "DateTime": _temporal("dateTime"),
    "Time": _temporal("time"),
    "Quantity": _quantity,
}

Args = tuple[Evaluated, ...]
Body = Callable[[Scope, list[Item], Args], list[Item]]


def _to(convert: Callable[[Any], Any]) -> Body:
    def converted(_: Scope, focus: list[Item], __: Args) -> list[Item]:
        item = one(focus, "a conversion")
        value = None if item is None else convert(plain(item))
        return [] if value is None else [made(value)]

    return converted


def _converts(convert: Callable[[Any], Any]) -> Body:
    def told(_: Scope, focus: list[Item], __: Args) -> list[Item]:
        item = one(focus, "a conversion")
        return [] if item is None else [made(convert(plain(item)) is not None)]

    return told


FUNCTIONS: dict[str, tuple[Body, int, int]] = {
    # toQuantity may name a unit to convert to, which N1 leaves optional
    **{f"to{type}": (_to(convert), 0, 0) for type, convert in TO.items()},
    **{f"convertsTo{type}": (_converts(convert), 0, 0) for type, convert in TO.items()},
}
