"""system — what every code system can be asked, whether listed, defined by a grammar or in a file.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fhir_server.terminology.concept import Concept

SNOMED = "http://snomed.info/sct"  # its versions and filters have rules of their own


@dataclass(frozen=True, slots=True)
class Filter:
    """ValueSet.compose.include.filter."""

    property: str
    op: str
    value: str


class System(Protocol):
    """A code system in one version."""

    url: str
    version: str | None
    name: str
    since: dt.date | None  # the version is in force from, inclusive
    until: dt.date | None  # the version is in force until, exclusive
    is_a: bool  # its hierarchy is one of meaning, so that it can tell subsumption

    def find(self, code: str, /) -> Concept | None:
        """The concept of a code; by another case too where the system says case does not count."""
        ...

    def lacks(self, code: str, /) -> bool:
        """Whether a code that was not found is surely none: not so in a fragment."""
        ...

    def codes(self) -> Iterator[str] | None:
        """All codes, in a stable order; None where they cannot be listed."""
        ...

    def matching(self, words: Sequence[str], /) -> Iterator[str] | None:
        """The codes whose texts hold words beginning with these, in a stable order; None where
        only a look at each can tell."""
        ...

    def parents(self, code: str, /) -> Sequence[str]: ...

    def children(self, code: str, /) -> Sequence[str]: ...

    def below(self, code: str, /) -> Iterator[str]:
        """The codes beneath a code, at any depth."""
        ...

    def subsumes(self, above: str, code: str, /) -> bool:
        """Whether a code is beneath another or is the same."""
        ...

    def having(self, filter: Filter, /) -> Iterator[str] | None:
        """The codes a filter admits, where the system finds them without a look at each."""
        ...

    def knows(self, property: str, /) -> bool:
        """Whether concepts may have this property."""
        ...

    def kind(self, property: str, /) -> str | None:
        """The type of a property's values, as CodeSystem.property.type tells it."""
        ...

    def admits(self, code: str, filter: Filter, /) -> bool | None:
        """For filters of the system's own (UCUM's `canonical`). None: they are none of its."""
        ...


def in_force(system: System, at: dt.date) -> bool:
    return (system.since is None or system.since <= at) and (
        system.until is None or at < system.until
    )
