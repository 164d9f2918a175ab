"""question — what the checks of content need to know, beside the resource.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.fhirpath.scope import Meter
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.terms import Terms


class Nested(Protocol):
    """Validates a resource met on the way against profiles, with its place for a path."""

    def __call__(self, resource: Resource, path: str, profiles: Sequence[str]) -> list[Issue]: ...


@dataclass(frozen=True, slots=True)
class Question:
    """What is known while content is checked. One for many resources.

    canonicals, terms: None where only R4's own rules are asked for. nested: as the validator
    itself would. thorough: also what is only good practice. today: the day to judge by. meter:
    of the whole check; it raises Exhausted.
    """

    definitions: Definitions
    canonicals: Canonicals | None = None
    terms: Terms | None = None
    nested: Nested | None = None
    thorough: bool = False
    today: dt.date | None = None
    container: Resource | None = None  # of a contained resource
    meter: Meter = field(default_factory=Meter, compare=False)
