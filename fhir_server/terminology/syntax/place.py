"""place — ISO 3166-2, the parts of countries, by their form.

https://hl7.org/fhir/R4/iso3166.html
"""

from __future__ import annotations

import re

from fhir_server.terminology.syntax.lists import table
from fhir_server.terminology.syntax.rules import Rules

PART = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")


class Subdivisions(Rules):
    """`VN-CT`: a country that is known, and up to three letters or digits."""

    url = "urn:iso:std:iso:3166:-2"
    name = "ISO3166Part2"

    def __init__(self) -> None:
        self._countries = {row["alpha2"] for row in table("countries")}

    def reading(self, code: str) -> tuple[str, str] | None:
        found = PART.fullmatch(code)
        return (code, code) if found and found[1] in self._countries else None
