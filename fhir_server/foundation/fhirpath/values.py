"""values — when two things are the same, which comes first, and what arithmetic makes of them.

http://hl7.org/fhirpath/N1/#equality
http://hl7.org/fhirpath/N1/#math
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.items import Item, plain
from fhir_server.foundation.fhirpath.quantity import CALENDAR, Quantity
from fhir_server.foundation.fhirpath.temporal import Temporal
from fhir_server.foundation.outcome import Invalid

MAX_INTEGER = 2**63
MAX_TEXT = 1_000_000  # characters of a text an expression makes
# N1: the years and months of UCUM are of a definite length, so no calendar moves by them
DURATIONS = frozenset(CALENDAR) | set(CALENDAR.values()) - {"mo", "a"}
MAX_UNIT = 200  # characters: a product of products would double each time
MATH = decimal.Context(prec=34, rounding=decimal.ROUND_HALF_UP)
MATH_ERRORS = (decimal.InvalidOperation, decimal.Overflow, decimal.DivisionByZero)


def is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def key(value: Any) -> Hashable:
    """Something equal for equal values, so that sets tell what is distinct."""
    found: Hashable = value
    match value:
        case bool():
            found = (bool, value)
        case int() | Decimal():
            found = (Decimal, value)
        case Temporal():
            found = (Temporal, value.utc(), value.zone is None)
        case Quantity():
            found = (Quantity, *value.common())
        case dict():
            found = frozenset((name, key(child)) for name, child in value.items())
        case list():
            found = tuple(map(key, value))
    return found


def weight(items: list[Item]) -> int:
    """How much there is in items to compare: each value within counts."""
    count, waiting = 0, [item.value for item in items if isinstance(item.value, dict | list)]
    while waiting:
        value = waiting.pop()
        count += len(value)
        children = value.values() if isinstance(value, dict) else value
        waiting.extend(child for child in children if isinstance(child, dict | list))
    return count


def item_key(item: Item) -> Hashable:
    return (key(plain(item)), key(item.beside) if item.value is None else None)


def equal(left: list[Item], right: list[Item]) -> bool | None:
    """`=`: None where a collection is empty, or where precision does not tell."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    told: bool | None = True
    for one, other in zip(left, right, strict=True):
        same = _same(plain(one), plain(other))
        if same is False:
            return False
        told = told and same
    return told


def _same(one: Any, other: Any) -> bool | None:
    one, other = _alike(one, other)
    if isinstance(one, Temporal) and isinstance(other, Temporal):
        if (one.kind == "time") != (other.kind == "time"):
            return False
        order = one.compare(other)
        return None if order is None else order == 0
    if isinstance(one, Quantity) and isinstance(other, Quantity):
        order = one.compare(other)
        return None if order is None else order == 0
    return bool(key(one) == key(other))


def _alike(one: Any, other: Any) -> tuple[Any, Any]:
    """Two values, a number or a text beside a quantity or a date being read as one."""
    if isinstance(one, Quantity) and is_number(other):
        return one, Quantity(Decimal(other))
    if isinstance(other, Quantity) and is_number(one):
        return Quantity(Decimal(one)), other
    return one, other


def equivalent(left: list[Item], right: list[Item]) -> bool:
    """`~`: order, case, spaces and extra digits do not matter."""
    if len(left) != len(right):
        return False
    rest = [plain(item) for item in right]
    for item in left:
        value = plain(item)
        place = next((i for i, other in enumerate(rest) if _alike_enough(value, other)), None)
        if place is None:
            return False
        del rest[place]
    return True


def _alike_enough(one: Any, other: Any) -> bool:
    match _alike(one, other):
        case str(), str():
            return " ".join(one.casefold().split()) == " ".join(other.casefold().split())
        case Quantity() as left, Quantity() as right:
            if left.code != right.code:
                left, right = left.common(), right.common()
            return left.code == right.code and _alike_enough(left.value, right.value)
        case dict(), dict():
            names = (one.keys() | other.keys()) - {"id"}
            return all(_alike_enough(one.get(name), other.get(name)) for name in names)
        case list(), list():
            return equivalent([Item(v, "") for v in one], [Item(v, "") for v in other])
    if is_number(one) and is_number(other):
        places = max(min(_exponent(one), 0), min(_exponent(other), 0))
        return _rounded(one, places) == _rounded(other, places)
    return _same(one, other) is True


def _exponent(number: int | Decimal) -> int:
    exponent = Decimal(number).as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _rounded(number: int | Decimal, places: int) -> Decimal:
    try:
        return Decimal(number).quantize(Decimal(1).scaleb(places), context=MATH)
    except MATH_ERRORS:
        return Decimal(number)


def compare(one: Any, other: Any, op: str) -> int | None:
    """-1, 0 or 1; None where precision or units do not tell. Raises Invalid for unlike types."""
    one, other = _alike(one, other)
    match one, other:
        case str(), str():
            return (one > other) - (one < other)
        case Quantity(), Quantity():
            return Quantity.compare(one, other)
        case Temporal(), Temporal() if (one.kind == "time") == (other.kind == "time"):
            return Temporal.compare(one, other)
    if is_number(one) and is_number(other):
        return int(one > other) - int(one < other)
    raise Invalid(f"FHIRPath: `{op}` cannot compare {named(one)} with {named(other)}.")


def named(value: Any) -> str:
    """What a value is, for a message."""
    match value:
        case bool():
            return "a boolean"
        case int() | Decimal():
            return "a number"
        case str():
            return "a string"
        case Temporal():
            return f"a {value.kind}"
        case Quantity():
            return "a quantity"
        case _:
            return "an element"


# --- arithmetic ----------------------------------------------------------------------------------


def checked(value: Any) -> Any:
    """A result, or None where it is too large for its type, as N1 asks."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise Invalid(f"FHIRPath: a text became longer than {MAX_TEXT} characters.")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= MAX_INTEGER:
        return None
    if isinstance(value, Decimal) and not value.is_finite():
        return None
    return value


def arithmetic(op: str, one: Any, other: Any) -> Any:
    """The value of `one op other`, or None where there is none (a division by zero)."""
    if is_number(one) and is_number(other):
        return checked(_numbers(op, one, other))
    if op == "+" and isinstance(one, str) and isinstance(other, str):
        return checked(one + other)
    if op in "+-" and isinstance(one, Temporal) and isinstance(other, Quantity):
        moved = one.plus(other.value if op == "+" else -other.value, other.unit)
        if moved is None and other.unit not in DURATIONS:
            raise Invalid(f"FHIRPath: `{other}` is no duration to move a {one.kind} by.")
        return moved
    if isinstance(one, Quantity) or isinstance(other, Quantity):
        return _quantities(op, one, other)
    raise Invalid(f"FHIRPath: `{op}` cannot join {named(one)} and {named(other)}.")


def _divided(one: int | Decimal, other: int | Decimal) -> Any:
    return MATH.divide(Decimal(one), Decimal(other)) if other else None


def _whole(one: int | Decimal, other: int | Decimal) -> Any:
    return int(MATH.divide_int(Decimal(one), Decimal(other))) if other else None


def _rest(one: int | Decimal, other: int | Decimal) -> Any:
    if not other:
        return None
    rest = MATH.remainder(Decimal(one), Decimal(other))
    return int(rest) if isinstance(one, int) and isinstance(other, int) else rest


def _exact(
    integers: Callable[[int, int], int], decimals: Callable[[Decimal, Decimal], Decimal]
) -> Callable[[int | Decimal, int | Decimal], Any]:
    def calculated(one: int | Decimal, other: int | Decimal) -> Any:
        if isinstance(one, int) and isinstance(other, int):
            return integers(one, other)
        return decimals(Decimal(one), Decimal(other))

    return calculated


NUMBERS: dict[str, Callable[[int | Decimal, int | Decimal], Any]] = {
    "+": _exact(int.__add__, MATH.add),
    "-": _exact(int.__sub__, MATH.subtract),
    "*": _exact(int.__mul__, MATH.multiply),
    "/": _divided,
    "div": _whole,
    "mod": _rest,
}


def _numbers(op: str, one: int | Decimal, other: int | Decimal) -> Any:
    try:
        return NUMBERS[op](one, other)
    except MATH_ERRORS:
        return None


def _quantities(op: str, one: Any, other: Any) -> Any:
    if op in "*/" and is_number(other):
        other = Quantity(Decimal(other))
    elif op == "*" and is_number(one):
        one, other = other, Quantity(Decimal(one))
    if not isinstance(one, Quantity) or not isinstance(other, Quantity):
        raise Invalid(f"FHIRPath: `{op}` cannot join {named(one)} and {named(other)}.")
    if op in "*/" and other.unit != "1":
        if op == "*" or one.code != other.code:
            return _compound(op, one, other)
        return _quantity(op, one, other, "1")
    if op in "*/":
        return _quantity(op, one, other, one.unit)
    if op not in "+-":
        raise Invalid(f"FHIRPath: `{op}` is not for quantities.")
    if one.code != other.code:
        one, other = one.common(), other.common()
    return _quantity(op, one, other, one.unit) if one.code == other.code else None


def _compound(op: str, one: Quantity, other: Quantity) -> Quantity | None:
    one, other = one.common(), other.common()
    if op == "/" and one.unit == other.unit:
        return _quantity(op, one, other, "1")
    if op == "*" and one.unit == other.unit:
        return _quantity(op, one, other, f"{one.unit}2")
    return _quantity(op, one, other, f"{one.unit}{'.' if op == '*' else '/'}{other.unit}")


def _quantity(op: str, one: Quantity, other: Quantity, unit: str) -> Quantity | None:
    value = checked(_numbers(op, one.value, other.value))
    return None if value is None or len(unit) > MAX_UNIT else Quantity(value, unit)
