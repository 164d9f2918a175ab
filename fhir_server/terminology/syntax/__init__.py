"""syntax — code systems whose codes are made by rules, or stand in a standard's short list.

https://hl7.org/fhir/R4/terminologies-systems.html
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from fhir_server.terminology.syntax import language, mime, place, ucum
from fhir_server.terminology.syntax.lists import countries, currencies, time_zones
from fhir_server.terminology.system import System


def _once(make: Callable[[], System]) -> Callable[[], System]:
    return cache(make)


# The URLs of R4's terminologies-systems, each with what makes the system
SYNTAXES: dict[str, Callable[[], System | None]] = {
    "urn:ietf:bcp:47": _once(language.Languages),
    "urn:ietf:bcp:13": _once(mime.MediaTypes),
    "urn:iso:std:iso:3166": countries,
    "urn:iso:std:iso:3166:-2": _once(place.Subdivisions),
    "urn:iso:std:iso:4217": currencies,
    "http://unitsofmeasure.org": _once(ucum.Units),
    "https://www.iana.org/time-zones": time_zones,
}
