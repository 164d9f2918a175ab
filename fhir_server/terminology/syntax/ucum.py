"""ucum — units of measure, by their grammar and the table of the units there are.

https://hl7.org/fhir/R4/valueset-ucum-units.html
https://ucum.org/ucum

A unit is read and its dimension told. Values are not converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.terminology.syntax.lists import table
from fhir_server.terminology.syntax.rules import Rules
from fhir_server.terminology.system import Filter

PREFIXES = frozenset(
    [
        "Y",
        "Z",
        "E",
        "P",
        "T",
        "G",
        "M",
        "k",
        "h",
        "da",
        "d",
        "c",
        "m",
        "u",
        "n",
        "p",
        "f",
        "a",
        "z",
        "y",
        "Ki",
        "Mi",
        "Gi",
        "Ti",
    ]
)
ANNOTATION = re.compile(r"\{[ -z|~]*\}")  # ASCII without braces; R4 has blanks too
# A symbol, and its exponent: whatever stands in square brackets belongs to the symbol.
SYMBOL = re.compile(r"(10[*^]|(?:\[[!-Z\\^-z|~]*\]|[^\[\]0-9+\-./(){}\s])+)([+-]?[0-9]{1,4})?")
FACTOR = re.compile(r"[0-9]{1,15}")
MAX_NESTED = 20

Dimension = dict[str, int]  # base unit to its power


@dataclass(frozen=True, slots=True)
class Unit:
    name: str
    metric: bool
    dimension: Dimension


class Units(Rules):
    url = "http://unitsofmeasure.org"
    name = "UCUM"

    def __init__(self) -> None:
        self._units = {
            row["code"]: Unit(row["name"], row["metric"] == "1", _powers(row["dimension"]))
            for row in table("units")
        }

    def reading(self, code: str) -> tuple[str, str] | None:
        if self.dimension(code) is None:
            return None
        unit = self._units.get(code)
        return code, unit.name if unit else code

    def dimension(self, code: str) -> Dimension | None:
        """The base units and powers of a unit; None where it is none."""
        reader = _Reader(code, self._unit)
        found = reader.term(1, 0) if not code.startswith("/") else reader.divided()
        return _bare(found) if found is not None and reader.at == len(code) else None

    def admits(self, code: str, filter: Filter) -> bool | None:
        # R4 ucum#filters:  canonical = [unit]: those that are a multiple of it
        if filter.property != "canonical" or filter.op != "=":
            return None
        its, asked = self.dimension(code), self.dimension(filter.value)
        return its is not None and its == asked

    def _unit(self, symbol: str) -> Dimension | None:
        found = self._units.get(symbol)
        if found is not None:
            return found.dimension
        for length in (1, 2):
            found = self._units.get(symbol[length:])
            if symbol[:length] in PREFIXES and found is not None and found.metric:
                return found.dimension
        return None


class _Reader:
    """The grammar of UCUM (section 2, table 1), read from the left."""

    def __init__(self, code: str, unit: Callable[[str], Dimension | None]) -> None:
        self.code = code
        self.at = 0
        self._unit = unit

    def divided(self) -> Dimension | None:
        self.at = 1
        return self.term(-1, 0)

    def term(self, sign: int, nested: int) -> Dimension | None:
        """term = component *( ("." / "/") component )"""
        found: Dimension = {}
        while True:
            component = self.component(nested)
            if component is None:
                return None
            for base, power in component.items():
                found[base] = found.get(base, 0) + sign * power
            if self.at >= len(self.code) or self.code[self.at] not in "./":
                return found
            sign = 1 if self.code[self.at] == "." else -1
            self.at += 1

    def component(self, nested: int) -> Dimension | None:
        """component = "(" term ")" / factor / annotation / symbol [exponent] [annotation]"""
        if self._skip(ANNOTATION):
            return {}
        if self.code.startswith("(", self.at):
            return self._enclosed(nested)
        symbol = SYMBOL.match(self.code, self.at)
        if symbol is None:
            if not self._skip(FACTOR):
                return None
            self._skip(ANNOTATION)
            return {}
        found = self._unit(symbol[1])
        if found is None:
            return None
        self.at = symbol.end()
        self._skip(ANNOTATION)
        power = int(symbol[2] or 1)
        return {base: each * power for base, each in found.items()}

    def _enclosed(self, nested: int) -> Dimension | None:
        self.at += 1
        if nested >= MAX_NESTED:
            return None
        found = self.term(1, nested + 1)
        if found is None or not self.code.startswith(")", self.at):
            return None
        self.at += 1
        self._skip(ANNOTATION)  # as in R4's `U/(10.g){feces}`
        return found

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self.code, self.at)
        if found is not None:
            self.at = found.end()
        return found is not None


def _bare(dimension: Dimension) -> Dimension:
    return {base: power for base, power in dimension.items() if power}


def _powers(text: str) -> Dimension:
    """`m2.s-1` -> {m: 2, s: -1}"""
    found = re.findall(r"([a-zA-Z]+)(-?[0-9]*)", text)
    return {base: int(power or 1) for base, power in found}
