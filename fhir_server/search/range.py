"""range — a number that is asked for, with the precision it is written to, as bounds on ranges.

https://hl7.org/fhir/R4/search.html#number
https://hl7.org/fhir/R4/search.html#prefix

A stored value is the range lo <= x <= hi, most often one point. The index has doubles; a bound is
never let past the value it is meant for, so that what is stored as 0.1 is found by 0.1.
"""

# ruff: noqa: ARG005 - every prefix has the same function
from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.prefix import taken

NUMBER = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
LEAST, GREATEST = -sys.float_info.max, sys.float_info.max

# lo from, lo to, hi from, hi to; each from is met and each to is not
Bounds = tuple[float | None, float | None, float | None, float | None]


class Asked(NamedTuple):
    prefix: str
    value: Decimal
    text: str  # the number as written, which tells its precision


def asked(text: str, code: str) -> Asked:
    prefix, number = taken(text, code)
    if not NUMBER.fullmatch(number):
        raise Invalid(
            f"`{code}` is given `{text[:80]}`. A number is written `5`, `5.40` or `5.4e-3`, after "
            "a prefix such as `ge` if one is wanted."
        )
    return Asked(prefix, Decimal(number), number)


def double(value: Decimal | int | float) -> float:
    """The nearest double; the greatest one for what is too great."""
    try:
        return min(max(float(value), LEAST), GREATEST)
    except OverflowError:  # an integer of more than 308 digits
        return GREATEST if value > 0 else LEAST


def precision(value: Decimal, text: str) -> Decimal:
    """Half a unit of the last digit written."""
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    half = Decimal(5).scaleb(exponent - 1)
    # R4 search#number: 1e2 is [95 ... 105), although its one digit would say [50 ... 150)
    return half / 10 if len(digits) == 1 and "e" in text.lower() and value else half


# R4 search#number: of these prefixes "the implicit precision of the number is ignored". For the
# target from a to b and the exact value x, with the doubles next to it: what a and b must meet.
EXACT: dict[str, Callable[[float, float], Bounds]] = {
    "gt": lambda x, above: (None, None, above, None),
    "lt": lambda x, above: (None, x, None, None),
    "ge": lambda x, above: (None, None, x, None),
    "le": lambda x, above: (None, above, None, None),
    "sa": lambda x, above: (above, None, None, None),
    "eb": lambda x, above: (None, None, None, x),
}


def bounds(it: Asked, *, whole: bool = False) -> tuple[Bounds, ...]:
    """What a stored range must meet, any of these; none: nothing can.

    whole: every stored value is an integer, so precision has no say.
    """
    exact = double(it.value)
    above = math.nextafter(exact, math.inf)
    if it.prefix in EXACT:
        return (EXACT[it.prefix](exact, above),)
    if it.prefix == "ap":
        # R4 search#prefix: "10% of the stated value"; never less than eq would find
        near, half = abs(it.value) / 10, precision(it.value, it.text)
        start = min(double(it.value - near), double(it.value - half), exact)
        end = max(math.nextafter(double(it.value + near), math.inf), double(it.value + half), above)
        return ((None, end, start, None),)
    if whole and "e" not in it.text.lower():
        if it.value != it.value.to_integral_value():
            return () if it.prefix == "eq" else ((None, None, None, None),)
        lo, hi = exact, above
    else:
        half = precision(it.value, it.text)
        lo, hi = min(double(it.value - half), exact), max(double(it.value + half), above)
    if it.prefix == "eq":
        return ((lo, hi, lo, hi),)
    return ((None, lo, None, None), (None, None, hi, None))  # ne
