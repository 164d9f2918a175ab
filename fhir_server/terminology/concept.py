"""concept — a concept, and what is answered when one is asked about.

https://hl7.org/fhir/R4/codesystem.html#concept
https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


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

    def in_force(self, at: dt.date) -> bool:
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def in_language(self, language: str | None) -> str | None:
        """The display in a language, by its designations; else the display."""
        if language:
            for given, _, value in self.designations:
                if given and speaks(given, language):
                    return value
        return self.display


def speaks(given: str, asked: str) -> bool:
    """Whether a language tag is the one asked for, or a kind of it: `vi-VN` speaks `vi`."""
    given, asked = given.lower(), asked.lower()
    return given == asked or given.startswith(f"{asked}-")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of validate-code.

    concept: as found in the code system, if it was. successors: for THEN, what takes its place
    at the date asked for, by the ConceptMaps known (system, code, display). wrong_display: the
    display given, where it is none of the concept's. missing: the canonical that is not known,
    for UNKNOWN. steps: the includes that were looked at to tell.
    """

    standing: Standing
    concept: Concept | None = None
    successors: tuple[Concept, ...] = ()
    wrong_display: str | None = None
    missing: str | None = None
    steps: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A page of an expansion. total: of the whole, None where it is not counted."""

    value_set: dict[str, Any]
    contains: list[Concept] = field(default_factory=list)
    total: int | None = None
    offset: int = 0
    used: tuple[str, ...] = ()  # the code systems it was made from, `url|version`


@dataclass(frozen=True, slots=True)
class Match:
    """One translation of a code. equivalence is read from the target to the source, as R4 does.

    depends_on, products: elements of the map's target: property, system, code.
    """

    equivalence: str
    concept: Concept | None
    source: str | None = None  # the canonical of the map
    comment: str | None = None
    depends_on: tuple[tuple[str, str | None, str], ...] = ()
    products: tuple[tuple[str, str | None, str], ...] = ()
