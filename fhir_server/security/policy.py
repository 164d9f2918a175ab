"""policy — who may reach what, for which purpose and by what right: `access.toml`, understood.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control

`policy_file` reads the file and refuses what is wrong in it; here is what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FACILITY, CARE, PATIENT, CONSENT, NOBODY, ALL = (
    "facility",  # what the caller's facility has recorded
    "care",  # what belongs to a patient who is in the facility's care now
    "patient",  # what belongs to the patient in context
    "consent",  # what belongs to patients whose Consent permits the caller
    "nobody",  # what belongs to no patient
    "all",
)
FACTS = (FACILITY, CARE, PATIENT, CONSENT, NOBODY, ALL)

RULE, TOLD = "rule", "told"
BASES = (RULE, TOLD, CONSENT)  # what a purpose needs as its basis

ABILITIES = ("audit", "census", "clients", "explain", "metrics", "reindex")

SMALLEST = 5  # a number of people below this is not told, unless there are none

# What is done to a record before a caller of a de-identified role sees it.
TRANSFORMATIONS = {
    "ids": "records are told by pseudonyms, others for each client",
    "names": "names of people are left out",
    "identifiers": "business identifiers are left out",
    "contacts": "telecom, photos and contact persons are left out",
    "addresses": "of an address, province and country are kept",
    "dates": "a date is told as its month, a birth as its year, of who is over 89 none",
    "texts": "free texts are left out, and codes, units and URLs that nobody vouches for",
    "attachments": "attached documents and pictures are left out",
    "extensions": "extensions are left out",
    "small-cells": "small numbers are not told, and others are rounded",
    "records": "no record is told, only how many there are",
}

EVERY_TYPE = "*"
UNNAMED = frozenset({"AuditEvent"})  # `*` does not name them: who saw what is not for all to see


@dataclass(frozen=True, slots=True)
class Purpose:
    """A purpose of use, and what it needs to be a right."""

    code: str
    basis: str  # rule | told | consent
    law: str


@dataclass(frozen=True, slots=True)
class Role:
    """Whom rules are for."""

    name: str
    title: str
    purposes: tuple[str, ...]  # the first is taken where none is told
    can: frozenset[str] = frozenset()
    deidentify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """In these roles, with these letters, of these types, as far as `reach`."""

    name: str
    roles: frozenset[str]
    letters: frozenset[str]
    types: frozenset[str]
    reach: frozenset[str]
    purposes: frozenset[str] | None = None  # None: all purposes of the role

    def serves(self, role: Role, purpose: str) -> bool:
        """Whether it is for the role, asking for this purpose."""
        if role.name not in self.roles or purpose not in role.purposes:
            return False
        return self.purposes is None or purpose in self.purposes


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """How a glass is broken: as long as the token lives that says why, and for its one patient."""

    reason: int = 20  # signs that must be said at least


@dataclass(frozen=True, eq=False)
class Policy:
    """All of `access.toml`. One is like another only if it is the same: it is a key of caches."""

    source: str
    roles: Mapping[str, Role]
    purposes: Mapping[str, Purpose]
    rules: tuple[Rule, ...]
    types: frozenset[str]  # all there are
    directory: frozenset[str] = frozenset()  # a `patient/` scope reaches these too
    honoured: frozenset[str] = frozenset()  # purposes for which a Consent that denies is honoured
    break_glass: BreakGlass = field(default_factory=BreakGlass)
    searchable: frozenset[str] = frozenset()  # parameters a de-identified caller may search by
    smallest: int = SMALLEST  # number of matches that is told to a role with `small-cells`
