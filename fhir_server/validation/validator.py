"""validator — whether a resource is what R4 and its profiles say: the one that asks all others.

https://hl7.org/fhir/R4/validation.html
https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.definitions import Definitions
from fhir_server.conformance.snapshot import Snapshots
from fhir_server.foundation.fhirpath.items import Item
from fhir_server.foundation.fhirpath.scope import MAX_TOGETHER, Exhausted
from fhir_server.foundation.outcome import FhirError, Issue
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.terms import Terms
from fhir_server.validation import content, structure
from fhir_server.validation.datatype import Codes, Rules
from fhir_server.validation.invariant import Invariants
from fhir_server.validation.messages import issue
from fhir_server.validation.place import in_order
from fhir_server.validation.profile.asked import Asked, PolicyLike, asked
from fhir_server.validation.profile.extension import Extensions
from fhir_server.validation.profile.known import Profile, Profiles
from fhir_server.validation.profile.scope import (
    MOST_ENTRIES,
    STEPS_OF_ENTRY,
    Scope,
    Surroundings,
)
from fhir_server.validation.profile.tree import R4_TYPE
from fhir_server.validation.services import Services

VIETNAM = 420  # minutes before UTC: the day it is in Can Tho
# What a walk may stumble over in a resource that is not R4, and, though it should not, elsewhere.
NOT_AS_R4 = (
    ArithmeticError,
    AttributeError,
    FhirError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
ERRORS = ("fatal", "error")
SOON = 100_000  # steps that others may well wait for: less than a tenth of a second
STEPS_OF_ISSUE = 20
CODING = "coding-code"  # the rule of a code its system does not have


class Validator:
    """One for all threads; check() keeps nothing, and raises nothing whatever a client sends.

    canonicals: without them only R4's structure and invariants are checked. policy: without one
    the profiles a resource claims are all enforced.
    """

    def __init__(
        self,
        definitions: Definitions,
        *,
        reference_targets: str = "error",
        canonicals: Canonicals | None = None,
        terms: Terms | None = None,
        policy: PolicyLike | None = None,
        zone_minutes: int = VIETNAM,
    ) -> None:
        self.definitions = definitions
        self.canonicals = canonicals
        self.terms = terms
        self.policy = policy
        self.zone_minutes = zone_minutes
        self._now = threading.local()  # the check that each thread is at
        self._here = dt.timezone(dt.timedelta(minutes=zone_minutes))
        services = Services(terms)
        self.invariants = Invariants(definitions, services)
        self.structure = structure.Validator(
            definitions,
            reference_targets=reference_targets,
            invariants=self.invariants,
            rules=Rules(Codes(terms) if terms is not None else None),
        )
        self.profiles: Profiles | None = None
        self._extensions: Extensions | None = None
        if canonicals is not None:
            self.profiles = Profiles(
                definitions,
                canonicals,
                Snapshots(canonicals),
                terms=terms,
                invariants=self.invariants,
                before_making=self._unhurried,
            )
            self._extensions = Extensions(self.profiles)
            services.conforms = self._conforms_to

    def check(
        self,
        resource: Resource,
        *,
        expected_type: str | None = None,
        profiles: Sequence[str] = (),
        thorough: bool = False,
        today: dt.date | None = None,
    ) -> list[Issue]:
        """Every issue of a resource, in the order of its places; none where nothing is wrong.

        profiles: what it must meet beside what it claims and the policy asks. thorough: what is
        only good practice is told, too, and what is only information.
        """
        around = self._around(today, most_of(resource), thorough=thorough)
        found = self.structure.check(resource, expected_type=expected_type, thorough=thorough)
        try:
            return self._all(resource, found, profiles, around)
        except Exhausted:
            type, most = resource["resourceType"], around.meter.most
            told = issue("too-many-steps", type, profile=f"{R4_TYPE}{type}", most=most)
            return in_order([*around.found, told], resource)

    def check_soon(
        self,
        resource: Resource,
        *,
        expected_type: str | None = None,
        profiles: Sequence[str] = (),
        thorough: bool = False,
    ) -> list[Issue] | None:
        """As check(), where that takes no time; None: ask check(), and let nobody wait for it."""
        around = self._around(None, SOON, thorough=thorough)
        around.hurried = True
        found = self.structure.check(resource, expected_type=expected_type, thorough=thorough)
        try:
            return self._all(resource, found, profiles, around)
        except Exhausted:
            return None
        finally:
            around.hurried = False

    def _unhurried(self) -> None:
        """A profile is made when it is first asked, which takes a while. Raises Exhausted."""
        around: Surroundings | None = getattr(self._now, "around", None)
        if around is not None and around.hurried:
            raise Exhausted

    def _all(
        self,
        resource: Resource,
        found: list[Issue],
        profiles: Sequence[str],
        around: Surroundings,
    ) -> list[Issue]:
        """What is found of the structure, and all that is wrong beside. Raises Exhausted."""
        is_r4 = not any(each.severity in ERRORS and each.profile is None for each in found)
        if any(each.rule == CODING for each in found):
            found = self._softened(found, resource, around)
        if is_r4:
            found = [*found, *self._content(resource, around)]
            around.found += found
            if self._surely(resource, profiles, around):
                return in_order(found, resource) if found else found
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            return found
        around.meter.steps = 0
        around.found = list(found)
        for each in self._profile_issues(resource, profiles, around, is_r4=is_r4):
            around.found.append(each)
        return in_order(around.found, resource)

    def _around(
        self, today: dt.date | None, most: int = MAX_TOGETHER, *, thorough: bool
    ) -> Surroundings:
        if today is None:
            today = dt.datetime.now(self._here).date()
        found = Surroundings(today, self.zone_minutes, thorough=thorough, most=most)
        if self.terms is not None:
            found.generation = self.terms.generation
        self._now.around = found
        return found

    # --- the fast answer -------------------------------------------------------------------------

    def _surely(self, resource: Resource, profiles: Sequence[str], around: Surroundings) -> bool:
        """Whether there is surely nothing to tell of a resource that is valid R4."""
        if self.profiles is None or self._extensions is None:
            return not profiles and not around.thorough
        if around.thorough:
            return False
        try:
            for each in asked(resource, "", around, self.policy):
                more = profiles if each.resource is resource else ()
                if not self._is_good(each, more):
                    return False
        except NOT_AS_R4:
            return False  # too deep, or not as it should be: the walk says what it can
        return True

    def _is_good(self, asked_for: Asked, profiles: Sequence[str]) -> bool:
        assert self._extensions is not None
        for each in asked_for.profiles:
            if not self._meets(asked_for, each.profile):
                return False
        if profiles and not all(self._meets(asked_for, url) for url in profiles):
            return False
        return self._extensions.hold(asked_for.resource, asked_for.scope)

    def _meets(self, asked_for: Asked, url: str) -> bool:
        assert self.profiles is not None
        if self.profiles.ready(url) is None and not self.profiles.is_base(url):
            profile = self.profiles.profile(url)
            if not isinstance(profile, Profile) or profile.is_abstract:
                return False
        return self.profiles.conforms(asked_for.resource, url, asked_for.scope)

    def _softened(
        self, found: list[Issue], resource: Resource, around: Surroundings
    ) -> list[Issue]:
        """Codes their system does not have are errors, but not in a resource for which the policy
        only warns, or asks nothing though it speaks of the type."""
        if self.policy is None:
            return found
        try:
            gentle = tuple(
                f"{each.path}."
                for each in asked(resource, resource["resourceType"], around, self.policy)
                if all(one.mode == "warn" for one in each.profiles)
                and self.policy.speaks_of(each.resource["resourceType"])
            )
        except NOT_AS_R4:
            return found
        return [
            _as_warning(each)
            if each.rule == CODING and (each.expression or "").startswith(gentle)
            else each
            for each in found
        ]

    # --- the walk --------------------------------------------------------------------------------

    def _content(self, resource: Resource, around: Surroundings) -> list[Issue]:
        question = content.Question(
            self.definitions,
            canonicals=self.canonicals,
            terms=self.terms,
            thorough=around.thorough,
            today=around.today,
            meter=around.meter,
        )
        return content.check(resource, resource["resourceType"], question)

    def _profile_issues(
        self, resource: Resource, profiles: Sequence[str], around: Surroundings, *, is_r4: bool
    ) -> Iterator[Issue]:
        """What the profiles say. Of a resource that is not R4, as much as can be told."""
        try:
            for each in self._issues(resource, profiles, around):
                around.meter.spend(STEPS_OF_ISSUE)
                yield each
        except RecursionError:
            yield issue("profile-deep", resource["resourceType"])
        except NOT_AS_R4:
            if is_r4:
                yield issue("profile-walk", resource["resourceType"])

    def _issues(
        self, resource: Resource, profiles: Sequence[str], around: Surroundings
    ) -> Iterator[Issue]:
        known = self.profiles
        if known is None or self._extensions is None:
            for url in profiles:
                yield issue("profile-unknown", resource["resourceType"], profile=url, url=url)
            return
        for each in asked(resource, resource["resourceType"], around, self.policy):
            wanted = [(one.profile, one.mode == "warn") for one in each.profiles]
            if each.resource is resource:
                wanted += [(url, False) for url in profiles if (url, False) not in wanted]
            for url, warns in wanted:
                for told in self._of_profile(each, url):
                    yield _as_warning(told) if warns else told
            yield from self._extensions.issues(each.resource, each.scope, each.path)
            if around.thorough:
                yield from self._of_r4(each)

    def _of_profile(self, asked_for: Asked, url: str) -> Iterator[Issue]:
        known = self.profiles
        assert known is not None
        resource, path = asked_for.resource, asked_for.path
        if known.is_base(url):
            wanted, type = known.type_of(url) or "", resource["resourceType"]
            if not known.is_a(type, wanted):
                said = {"found": type, "wanted": wanted, "url": url}
                yield issue("profile-of-type", path, profile=url, **said)
            return
        profile = known.profile(url)
        if profile is None:
            yield issue("profile-unknown", path, profile=url, url=url)
            return
        if isinstance(profile, Profile) and profile.is_abstract:
            yield issue("profile-abstract", path, profile=url, url=url)
        around = asked_for.scope.around
        around.unsupported.clear()
        yield from known.issues(resource, url, asked_for.scope, path)
        if around.unsupported and around.thorough:
            names = list(dict.fromkeys(around.unsupported))
            yield issue("must-support", path, profile=url, names=names)

    def _of_r4(self, asked_for: Asked) -> Iterator[Issue]:
        """The bindings of R4 itself that do no more than advise."""
        assert self.profiles is not None
        url = f"{R4_TYPE}{asked_for.resource['resourceType']}"
        for each in self.profiles.issues(asked_for.resource, url, asked_for.scope, asked_for.path):
            yield replace(each, profile=None)

    def _conforms_to(self, item: Item, url: str) -> bool | None:
        """conformsTo() of an invariant."""
        known = self.profiles
        assert known is not None
        if not known.is_base(url) and not isinstance(known.profile(url), Profile):
            return None
        root = item
        while root.parent is not None:
            root = root.parent
        # What it takes is counted with the rest of the check.
        around = getattr(self._now, "around", None) or self._around(None, thorough=False)
        scope = Scope(root.value if isinstance(root.value, dict) else {}, around)
        value = item.value
        is_resource = isinstance(value, dict) and "resourceType" in value
        return known.conforms(value, url, scope.inner(value) if is_resource else scope)


def most_of(resource: Resource) -> int:
    """The steps a check may take: a Bundle is many resources in one."""
    entries = resource.get("entry") if isinstance(resource, dict) else None
    count = len(entries) if isinstance(entries, list) else 0
    return MAX_TOGETHER + STEPS_OF_ENTRY * min(count, MOST_ENTRIES)


def _as_warning(told: Issue) -> Issue:
    return replace(told, severity="warning") if told.severity in ERRORS else told
