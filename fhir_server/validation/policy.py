"""policy — which profiles a resource must meet, from when, in which facility, and how strictly.

https://hl7.org/fhir/R4/profiling.html#resources
https://hl7.org/fhir/R4/validation.html

A profile is asked for by a resource's type (`[[rule]]` of `profiles/policy.toml`) or because the
resource claims it in `meta.profile` (`[claims]`). A `[[facility]]` may have another mode for a
time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_server.foundation.resource import Resource
from fhir_server.foundation.toml_rows import Row
from fhir_server.terminology.site import SID
from fhir_server.validation.policy_file import BadPolicy, read

__all__ = ["Applied", "BadPolicy", "Policy"]

MODES = ("enforce", "warn", "off")
ENFORCE, WARN, OFF = MODES
FACILITY_CODE, PRESCRIPTION = SID["ma-cskcb"], SID["prescription"]
# Where a resource says which facility it is of: elements that refer to an Organization.
FACILITY = {
    "Patient": ("managingOrganization",),
    "Encounter": ("serviceProvider",),
    "Organization": ("partOf",),
    "PractitionerRole": ("organization",),
    "Location": ("managingOrganization",),
    "EpisodeOfCare": ("managingOrganization",),
    "HealthcareService": ("providedBy",),
    "Device": ("owner",),
    "Composition": ("custodian",),
    "DocumentReference": ("custodian",),
    "Claim": ("provider",),
}


@dataclass(frozen=True, slots=True)
class Applied:
    """A profile that is asked for, and what it means not to meet it.

    mode: `enforce` refuses, `warn` stores and answers with warnings.
    """

    profile: str
    mode: str


@dataclass(frozen=True, slots=True)
class Coded:
    """Codes an element may hold: `type` of an Organization."""

    element: str
    system: str
    codes: frozenset[str]

    def of(self, resource: Resource) -> bool:
        found = resource.get(self.element)
        concepts = found if isinstance(found, list) else [found]
        return any(
            coding.get("system") == self.system and coding.get("code") in self.codes
            for concept in concepts
            if isinstance(concept, dict)
            for coding in _objects(concept.get("coding"))
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A profile for a type: from a day on, where a code says so or does not."""

    type: str
    profile: str
    mode: str = ENFORCE
    since: dt.date | None = None
    before: str = OFF  # the mode until that day
    only: Coded | None = None
    unless: Coded | None = None

    def concerns(self, resource: Resource) -> bool:
        if self.only is not None and not self.only.of(resource):
            return False
        return self.unless is None or not self.unless.of(resource)

    def mode_on(self, today: dt.date) -> str:
        return self.before if self.since is not None and today < self.since else self.mode


@dataclass(frozen=True, slots=True)
class Exemption:
    """Another mode for one facility, for some types or all, until a day or for good."""

    mode: str
    types: frozenset[str]
    until: dt.date | None = None  # the last day

    def holds(self, type: str, today: dt.date) -> bool:
        return (not self.types or type in self.types) and (
            self.until is None or today <= self.until
        )


@dataclass(frozen=True)
class Policy:
    """What `policy.toml` says. One for all threads."""

    rules: tuple[Rule, ...] = ()
    claims: str = ENFORCE  # the mode of profiles that are only claimed
    facilities: dict[str, tuple[Exemption, ...]] = field(
        default_factory=dict
    )  # by 5-character code
    organizations: dict[str, str] = field(default_factory=dict)  # `Organization/1` -> code
    _by_type: dict[str, tuple[Rule, ...]] = field(init=False, default_factory=dict)
    _always: dict[str, list[Applied]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for rule in self.rules:
            self._by_type[rule.type] = (*self._by_type.get(rule.type, ()), rule)
        for type, rules in self._by_type.items():
            if not self.facilities and not any(r.since or r.only or r.unless for r in rules):
                self._always[type] = [Applied(r.profile, r.mode) for r in rules if r.mode != OFF]

    @classmethod
    def of(cls, path: Path) -> Policy:
        """The policy of a file; none, where there is no file. Raises BadPolicy."""
        return _made(cls, read(path)) if path.is_file() else cls()

    def applying(self, resource: Resource, today: dt.date) -> list[Applied]:
        """The profiles the policy asks of a resource: those that are off left out."""
        type = resource.get("resourceType")
        always = self._always.get(type) if isinstance(type, str) else None
        if always is not None:
            return always
        return [
            Applied(rule.profile, mode)
            for rule, mode in self._modes(resource, today)
            if mode != OFF
        ]

    def judged(self, resource: Resource, today: dt.date) -> list[Applied]:
        """The profiles the policy asks for, and those claimed. What the policy says of a profile
        holds for who claims it too: a facility that is only warned is not refused for a claim."""
        if "meta" not in resource and (always := self._always.get(resource["resourceType"])):
            return always
        told = {rule.profile: mode for rule, mode in self._modes(resource, today)}
        meta = resource.get("meta")
        claimed = meta.get("profile") if isinstance(meta, dict) else None
        for url in claimed if isinstance(claimed, list) else ():
            if isinstance(url, str):
                told.setdefault(url.partition("|")[0], self.claims)
        return [Applied(profile, mode) for profile, mode in told.items() if mode != OFF]

    def speaks_of(self, type: str) -> bool:
        """Whether there is any rule for a type, be it that nothing is asked."""
        return type in self._by_type

    def unknown(self, known: Callable[[str], bool]) -> list[str]:
        """The profiles the rules name that nobody knows."""
        return [rule.profile for rule in self.rules if not known(rule.profile)]

    def facility(self, resource: Resource) -> str | None:
        """The 5-character code of the facility a resource is of, where it can be told."""
        type = resource.get("resourceType")
        if type == "MedicationRequest":
            group = resource.get("groupIdentifier")
            value = _value(group, PRESCRIPTION)
            return value[:5] if value else None
        if type == "Organization":
            for identifier in _objects(resource.get("identifier")):
                if code := _value(identifier, FACILITY_CODE):
                    return code
        for element in FACILITY.get(type, ()) if isinstance(type, str) else ():
            if code := self._referred(resource.get(element)):
                return code
        return None

    def _modes(self, resource: Resource, today: dt.date) -> Iterable[tuple[Rule, str]]:
        type = resource.get("resourceType")
        rules = self._by_type.get(type, ()) if isinstance(type, str) else ()
        concerned = [rule for rule in rules if rule.concerns(resource)]
        if not concerned:
            return []
        code = self.facility(resource) if self.facilities else None
        for exemption in self.facilities.get(code, ()) if code else ():
            if exemption.holds(str(type), today):
                return [(rule, exemption.mode) for rule in concerned]
        return [(rule, rule.mode_on(today)) for rule in concerned]

    def _referred(self, reference: Any) -> str | None:
        """By the identifier a reference has, or asks for, or as `organizations` knows it."""
        if not isinstance(reference, dict):
            return None
        if code := _value(reference.get("identifier"), FACILITY_CODE):
            return code
        told = reference.get("reference")
        if not isinstance(told, str):
            return None
        _, asked, code = told.partition(f"identifier={FACILITY_CODE}|")
        return code if asked else self.organizations.get(told.partition("/_history/")[0])


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _value(identifier: Any, system: str) -> str | None:
    if not isinstance(identifier, dict) or identifier.get("system") != system:
        return None
    value = identifier.get("value")
    return value if isinstance(value, str) else None


def _made(cls: type[Policy], told: dict[str, Any]) -> Policy:
    facilities: dict[str, tuple[Exemption, ...]] = {}
    organizations: dict[str, str] = {}
    for row in told["facility"]:
        exemption = Exemption(row["mode"], frozenset(row.get("types", ())), row.get("until"))
        facilities[row["code"]] = (*facilities.get(row["code"], ()), exemption)
        organizations |= dict.fromkeys(row.get("organizations", ()), row["code"])
    return cls(tuple(map(_rule, told["rule"])), told["claims"], facilities, organizations)


def _rule(row: Row) -> Rule:
    mode = row.get("mode", ENFORCE)
    return Rule(
        row["type"],
        row["profile"],
        mode,
        row.get("from"),
        row.get("before", OFF),
        _coded(row.get("only")),
        _coded(row.get("unless")),
    )


def _coded(row: dict[str, Any] | None) -> Coded | None:
    return Coded(row["element"], row["system"], frozenset(row["codes"])) if row else None
