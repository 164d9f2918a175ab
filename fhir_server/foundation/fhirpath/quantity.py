"""quantity — numbers with a unit: compared and added where the units can be told to agree.

http://hl7.org/fhirpath/N1/#quantity
https://hl7.org/fhir/R4/fhirpath.html#quantity
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

# A unit as a multiple of another. Only what is exact; any other unit agrees with itself alone.
UNITS: dict[str, tuple[str, Decimal]] = {
    "ms": ("s", Decimal("0.001")),
    "s": ("s", Decimal(1)),
    "min": ("s", Decimal(60)),
    "h": ("s", Decimal(3_600)),
    "d": ("s", Decimal(86_400)),
    "wk": ("s", Decimal(604_800)),
    "mo": ("mo", Decimal(1)),
    "a": ("mo", Decimal(12)),
    "ug": ("g", Decimal("0.000001")),
    "mg": ("g", Decimal("0.001")),
    "g": ("g", Decimal(1)),
    "kg": ("g", Decimal(1_000)),
    "[oz_av]": ("g", Decimal("28.349523125")),
    "[lb_av]": ("g", Decimal("453.59237")),
    "mm": ("m", Decimal("0.001")),
    "cm": ("m", Decimal("0.01")),
    "m": ("m", Decimal(1)),
    "km": ("m", Decimal(1_000)),
    "[in_i]": ("m", Decimal("0.0254")),
    "uL": ("L", Decimal("0.000001")),
    "mL": ("L", Decimal("0.001")),
    "dL": ("L", Decimal("0.1")),
    "L": ("L", Decimal(1)),
}
CALENDAR = {
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
    "week": "wk",
    "month": "mo",
    "year": "a",
}
CALENDAR |= {word + "s": code for word, code in CALENDAR.items()}
# N1: a calendar year or month is not the definite one of UCUM
INDEFINITE = frozenset({"year", "years", "month", "months"})


class Quantity(NamedTuple):
    value: Decimal
    unit: str = "1"

    def __str__(self) -> str:
        return (
            f"{self.value} {self.unit}"
            if self.unit in CALENDAR
            else (f"{self.value} '{self.unit}'")
        )

    @property
    def code(self) -> str:
        return CALENDAR.get(self.unit, self.unit)

    def common(self) -> Quantity:
        """In the unit that all of its kind are reckoned in."""
        unit, factor = UNITS.get(self.code, (self.code, Decimal(1)))
        return Quantity(self.value * factor, unit)

    def compare(self, other: Quantity) -> int | None:
        """-1, 0 or 1; None where the units do not agree."""
        if self.code != other.code:
            mixed = (self.unit in INDEFINITE) != (other.unit in INDEFINITE)
            if mixed and {self.unit, other.unit} & INDEFINITE:
                return None
        elif (self.unit in INDEFINITE) != (other.unit in INDEFINITE):
            return None
        one, two = self.common(), other.common()
        if one.unit != two.unit:
            return None
        return (one.value > two.value) - (one.value < two.value)
