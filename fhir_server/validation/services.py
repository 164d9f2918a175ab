"""services — what invariants may ask of the layers above FHIRPath: terminology and profiles.

https://hl7.org/fhir/R4/fhirpath.html#functions
https://hl7.org/fhir/R4/fhirpath.html#txapi
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.foundation.fhirpath.items import Item
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.terms import Standing, Terms
from fhir_server.validation import narrative
from fhir_server.validation.profile.binding import CODES, ORDER

ConformsTo = Callable[[Item, str], bool | None]
OUTCOMES = {"equivalent": True, "subsumes": True, "subsumed-by": False, "not-subsumed": False}


class Services:
    """foundation.fhirpath.scope.Services, answered. conforms: told once the profiles are made."""

    def __init__(self, terms: Terms | None) -> None:
        self.terms = terms
        self.conforms: ConformsTo | None = None

    def member_of(self, value_set: str, item: Item) -> bool | None:
        """Whether a code, Coding or CodeableConcept is in a value set."""
        codes = CODES.get(_kind(item))
        if self.terms is None or codes is None:
            return None
        found = [
            self.terms.standing(value_set, each.code, each.system, each.version).standing
            for each in codes(item.value)
        ]
        best = min(found, key=ORDER.index, default=Standing.NOT_MEMBER)
        return None if best is Standing.UNKNOWN else best is not Standing.NOT_MEMBER

    def subsumes(self, system: str, code: str, other: str) -> bool | None:
        """Whether `code` is `other`, or stands above it."""
        found = self.terms.subsumes(system, code, other) if self.terms is not None else None
        return None if found is None else OUTCOMES[found]

    def conforms_to(self, item: Item, profile: str) -> bool | None:
        """Whether a resource or an element is valid against a profile."""
        return None if self.conforms is None else self.conforms(item, profile)

    def in_slice(self, _item: Item, _structure: str, _name: str) -> bool | None:
        """Whether an element is of a slice: outside of a walk that cannot be told."""
        return None

    def element_definition(self, _item: Item) -> Resource | None:
        """The ElementDefinition of an element: none is at hand outside of a walk."""
        return None

    def html_problems(self, div: str) -> bool:
        """Whether a narrative's `div` says what R4 does not let it say."""
        return not narrative.is_allowed(div)


def _kind(item: Item) -> str:
    """The type of an item as a binding knows it."""
    value: Any = item.value
    if isinstance(value, dict):
        return (
            item.type
            if item.type in CODES
            else "CodeableConcept"
            if "coding" in value
            else "Coding"
        )
    return "code"
