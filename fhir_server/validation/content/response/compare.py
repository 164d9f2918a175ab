"""compare — answers against options and bounds: what is equal, and what comes first.

https://hl7.org/fhir/R4/datatypes.html#Quantity
https://hl7.org/fhir/R4/datatypes.html#Coding
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.primitive import interval, is_date_time, is_time

UCUM = "http://unitsofmeasure.org"


def same(value: Any, wanted: Any) -> bool:
    """Whether an answer is the one wanted: a Quantity by its worth, anything else by its key."""
    if isinstance(wanted, dict) and "value" in wanted:
        return compared(value, wanted) == 0
    return key(value) == key(wanted)


def key(value: Any) -> tuple[object, ...]:
    """What an answer is known by: a Coding by system and code, a Reference by what it refers to,
    anything else as it is."""
    if not isinstance(value, dict):
        return (isinstance(value, bool), value)
    if "reference" in value:
        return ("reference", value["reference"])
    if "code" in value:
        return ("code", value.get("system"), value["code"])
    return ("display", value.get("display"))


def compared(value: Any, wanted: Any) -> int | None:
    """-1, 0 or 1: before, within or after; None where the two cannot be compared.

    A date of less precision stands for all of its days: 2022-06-30 is within 2022-06.
    """
    if _is_number(value) and _is_number(wanted):
        return _order(value, wanted)
    if isinstance(value, dict) and isinstance(wanted, dict):
        return _quantities(value, wanted)
    if not isinstance(value, str) or not isinstance(wanted, str):
        return None
    if is_time(value) and is_time(wanted):
        return _order(value, wanted)
    if is_date_time(value) and is_date_time(wanted):
        (begin, end), (first, last) = interval(value), interval(wanted)
        return 1 if begin >= last else -1 if end <= first else 0
    return None


def _order(one: Any, two: Any) -> int:
    return int(one > two) - int(one < two)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _quantities(one: dict[str, Any], two: dict[str, Any]) -> int | None:
    """By their codes: `unit` is for people, and says nothing a computer can rely on."""
    first, second = one.get("value"), two.get("value")
    if not isinstance(first, int | Decimal) or not isinstance(second, int | Decimal):
        return None
    code, other = one.get("code"), two.get("code")
    if not isinstance(code, str) or not isinstance(other, str):
        return None
    if one.get("system") != two.get("system"):
        return None
    if code == other:
        return _order(first, second)
    if one.get("system") != UCUM:
        return None
    return Quantity(Decimal(first), code).compare(Quantity(Decimal(second), other))
