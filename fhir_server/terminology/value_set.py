"""value_set — whether a code is in a value set, on a day.

https://hl7.org/fhir/R4/valueset.html#compositions
https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.foundation.resource import Resource
from fhir_server.terminology import filter
from fhir_server.terminology.compose import Composed, Part, composed, implicit, of_all_codes
from fhir_server.terminology.concept import Concept, Standing
from fhir_server.terminology.system import System
from fhir_server.terminology.systems import Systems

KEPT = 4_096  # value sets that are kept as they were read
STEPS = 20_000  # includes and filters that one question may look at, those of imports counted
MAX_TRAIL = 100  # value sets that import one another, each named twice

MEMBER, NOT, THEN, UNKNOWN = (
    Standing.MEMBER,
    Standing.NOT_MEMBER,
    Standing.THEN,
    Standing.UNKNOWN,
)
ANY = (MEMBER, UNKNOWN, THEN, NOT)  # of several includes the first of these tells
ALL = (NOT, UNKNOWN, THEN, MEMBER)  # and of what must hold all at once


@dataclass(frozen=True, slots=True)
class Found:
    """How a code stands, and what was found of it."""

    standing: Standing
    concept: Concept | None = None
    listed: Concept | None = None  # as the value set itself lists it
    missing: str | None = None


NOWHERE = Found(NOT)


@dataclass(slots=True)
class Question:
    """A code that is asked about. system: None where only a code is at hand."""

    code: str
    system: str | None
    version: str | None
    at: dt.date
    trail: tuple[str, ...] = ()  # the value sets that led here
    steps: list[int] = field(default_factory=lambda: [STEPS])  # shared by all it leads to

    def of(self, system: str | None) -> Question:
        return replace(self, system=system)


class ValueSets:
    """All value sets, read when first asked for."""

    def __init__(self, canonicals: Canonicals, systems: Systems) -> None:
        self.canonicals = canonicals
        self.systems = systems
        self._kept: dict[str, Composed] = {}

    def get(self, value_set: str | Resource) -> Composed | None:
        """A value set by its canonical, or as a resource at hand."""
        if isinstance(value_set, dict):
            return composed(value_set)
        kept = self._kept.get(value_set)
        if kept is None:
            kept = self._read(value_set)
            if kept is not None:
                if len(self._kept) >= KEPT:
                    self._kept.clear()
                self._kept[value_set] = kept
        return kept

    def _read(self, canonical: str) -> Composed | None:
        resource = self.canonicals.get(canonical, "ValueSet")
        if resource is not None:
            return composed(resource)
        url = canonical.partition("|")[0]
        system = self.systems.all_codes_of(url)
        return of_all_codes(url, system) if system is not None else implicit(url)

    # --- membership ------------------------------------------------------------------------------

    def find(self, value_set: Composed, question: Question) -> Found:
        """How a code stands to a value set."""
        if value_set.locked is not None:
            question = replace(question, at=value_set.locked)
        if not value_set.includes:
            return self._carried(value_set, question)
        found = _any(self._part(each, question, value_set) for each in value_set.includes)
        if found.standing is UNKNOWN and value_set.carried is not None:
            return self._carried(value_set, question)
        if found.standing in (MEMBER, THEN) and value_set.excludes:
            sure = question.of(found.concept.system if found.concept else question.system)
            without = _any(self._part(each, sure, value_set) for each in value_set.excludes)
            if without.standing in (MEMBER, THEN):
                return replace(found, standing=NOT)
            if without.standing is UNKNOWN:
                return without
        if value_set.inactive is False and found.concept and found.concept.inactive:
            return replace(found, standing=THEN if found.standing is MEMBER else found.standing)
        return found

    def _carried(self, value_set: Composed, question: Question) -> Found:
        for each in value_set.carried or ():
            if each.code == question.code and question.system in (None, each.system):
                known = self.systems.find(each.system, each.code, each.version, question.at)
                return Found(MEMBER, known or each, each)
        if value_set.carried is not None and value_set.carried_whole:
            return NOWHERE
        return Found(UNKNOWN, missing=value_set.canonical)

    def _part(self, part: Part, question: Question, within: Composed) -> Found:
        if question.system is not None and part.system not in (None, question.system):
            return NOWHERE
        question.steps[0] -= 1
        if question.steps[0] < 0:
            return Found(UNKNOWN, missing=within.canonical)
        found: list[Found] = []
        if part.system is not None:
            own = self._of_system(part, question)
            if own.standing is NOT:
                return NOWHERE
            found.append(own)
            question = question.of(part.system)
        for each in part.imports:
            found.append(self._imported(each, question, within))
            if found[-1].standing is NOT:
                return NOWHERE
        return _all(found)

    def _imported(self, canonical: str, question: Question, within: Composed) -> Found:
        value_set = self.get(canonical)
        trail = question.trail
        if value_set is None or canonical in trail or len(trail) >= MAX_TRAIL:
            return Found(UNKNOWN, missing=canonical)
        trail = (*trail, within.canonical, canonical)
        return self.find(value_set, replace(question, trail=trail))

    def _of_system(self, part: Part, question: Question) -> Found:
        if part.concepts is not None:
            return self._listed(part, part.concepts, question)
        system = part.system or ""
        version = part.version or question.version
        every = self.systems.versions(system)
        now = self.systems.version(system, version, question.at)
        if now is None and (version is not None or not every):
            return Found(UNKNOWN, missing=f"{system}|{version}" if every else system)
        concept = now.find(question.code) if now is not None else None
        if now is not None and concept is not None:
            return self._admitted(part, now, concept, question)
        others = [each for each in every if each is not now] if version is None else []
        for other in others:
            if concept := other.find(question.code):
                then = self._admitted(part, other, concept, question)
                return replace(then, standing=THEN) if then.standing is MEMBER else then
        if all(each.lacks(question.code) for each in every):
            return NOWHERE
        return Found(UNKNOWN, missing=system)

    def _admitted(self, part: Part, system: System, concept: Concept, question: Question) -> Found:
        question.steps[0] -= len(part.filters)
        for each in part.filters:
            admitted = filter.admits(system, concept, each)
            if admitted is None:
                return Found(UNKNOWN, concept, missing=system.url)
            if not admitted:
                return NOWHERE
        return Found(MEMBER if concept.in_force(question.at) else THEN, concept)

    def _listed(self, part: Part, concepts: dict[str, Concept], question: Question) -> Found:
        listed = concepts.get(question.code)
        system = part.system or ""
        known = self.systems.find(system, question.code, part.version, question.at)
        if listed is None and known is not None and known.code != question.code:
            listed = concepts.get(known.code)  # the system says that case does not count
        if listed is None:
            return NOWHERE
        if known is None:
            return Found(MEMBER, listed, listed)
        now = self.systems.version(system, part.version or question.version, question.at)
        stands = known.in_force(question.at) and (now is None or now.version == known.version)
        if now is None and part.version is None and question.version is None:
            stands = False  # it is of versions that are no longer, or not yet, in force
        return Found(MEMBER if stands else THEN, known, listed)


def _any(found: Iterable[Found]) -> Found:
    best = NOWHERE
    for each in found:
        if each.standing is MEMBER:
            return each
        if ANY.index(each.standing) < ANY.index(best.standing):
            best = each
    return best


def _all(found: list[Found]) -> Found:
    if not found:
        return NOWHERE
    worst = min(found, key=lambda each: ALL.index(each.standing))
    concept = next((each.concept for each in found if each.concept), None)
    listed = next((each.listed for each in found if each.listed), None)
    return Found(worst.standing, concept, listed, worst.missing)
