"""terms — what codes mean: lookup, membership, expansion, subsumption, translation.

https://hl7.org/fhir/R4/terminology-service.html
https://hl7.org/fhir/R4/codesystem.html
https://hl7.org/fhir/R4/valueset.html

Synchronous and free of the database the records are in, so that validation can ask while it
walks. Built over Canonicals; everything is made when first asked for and kept.

Codes have their time. A CodeSystem may be known in several versions, each with the period it is
in force (extension resource-effectivePeriod), and a concept may have the properties
`effectiveDate` and `retirementDate` (http://hl7.org/fhir/concept-properties). A code is judged
`at` a date: by the version in force then, unless the coding names its version.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fhir_server.conformance.canonicals import Canonicals


class Standing(Enum):
    """How a code stands to a value set."""

    MEMBER = "member"
    NOT_MEMBER = "not-member"  # the system is known, or not of the value set
    THEN = "then"  # would be one at another time: retired, not yet in force, an older version
    UNKNOWN = "unknown"  # cannot be told: the value set or a code system is not known here


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept as its code system tells it, in one version."""

    system: str
    version: str | None
    code: str
    display: str | None
    definition: str | None = None
    designations: tuple[tuple[str | None, str | None, str], ...] = ()  # language, use code, value
    properties: tuple[tuple[str, Any], ...] = ()  # code, value (str, bool, int, Decimal, Coding)
    abstract: bool = False
    inactive: bool = False
    since: dt.date | None = None  # in force from, inclusive
    until: dt.date | None = None  # in force until, exclusive


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of validate-code.

    concept: as found in the code system, if it was. successors: for THEN, what takes its place
    at the date asked for, by the ConceptMaps known (system, code, display). wrong_display: the
    display given, where it is none of the concept's. missing: the canonical that is not known,
    for UNKNOWN.
    """

    standing: Standing
    concept: Concept | None = None
    successors: tuple[Concept, ...] = ()
    wrong_display: str | None = None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Expansion:
    """A page of an expansion. total: of the whole, None where it is not counted."""

    value_set: dict[str, Any]
    contains: list[Concept] = field(default_factory=list)
    total: int | None = None
    offset: int = 0


class Terms:
    """All terminology that is known. Immutable; its caches fill as it is asked."""

    def __init__(self, canonicals: Canonicals) -> None:
        self.canonicals = canonicals
