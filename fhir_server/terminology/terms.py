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
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Literal
from unicodedata import normalize

from fhir_server.conformance.canonicals import Canonical, Canonicals
from fhir_server.foundation.folding import words
from fhir_server.foundation.outcome import NotFound, TooCostly
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.codes import line, listed
from fhir_server.terminology.compose import Composed
from fhir_server.terminology.concept import Concept, Expansion, Match, Standing, Verdict
from fhir_server.terminology.concept_map import NO_MATCH, Asked, ConceptMaps, Dependencies
from fhir_server.terminology.members import WHATEVER, Choice, Wanted, certain, known_as, members
from fhir_server.terminology.moment import today
from fhir_server.terminology.systems import Files, Systems
from fhir_server.terminology.value_set import STEPS, Question, ValueSets

__all__ = ["Choice", "Concept", "Expansion", "Match", "Standing", "Terms", "Verdict"]

MAX_EXPANSION = 50_000  # concepts of one expansion
KEPT_EXPANSIONS, KEPT_CONCEPTS = 16, 20_000  # those kept between pages, and how large they may be
MAX_FILTER = 200  # characters of the text that filters an expansion
TONES = frozenset("\u0300\u0301\u0303\u0309\u0323")  # the five of Vietnamese, as combining marks
SUCCESSION = 5  # how many times a code may have been followed by another

Outcome = Literal["equivalent", "subsumes", "subsumed-by", "not-subsumed"]
Kept = tuple[list[Concept], tuple[str, ...]]


class Terms:
    """All terminology that is known. Immutable; its caches fill as it is asked.

    files: code systems that lie in files of their own. before: what was known until now, whose
    compiled definitions are taken over where they are still the same.
    """

    def __init__(
        self,
        canonicals: Canonicals,
        *,
        files: Files | None = None,
        before: Terms | None = None,
        today: Callable[[], dt.date] = today,
    ) -> None:
        self.canonicals = canonicals
        old = (before.systems, before.concept_maps) if before is not None else (None, None)
        self._begin(Systems(canonicals, files, old[0]), ConceptMaps(canonicals, old[1]))
        self.today = today

    def _begin(self, systems: Systems, concept_maps: ConceptMaps) -> None:
        self.systems = systems
        self.value_sets = ValueSets(systems.canonicals, systems)
        self.concept_maps = concept_maps
        self._made_of = self._generation = systems.files.look()
        self._fast: dict[str, frozenset[tuple[str, str]] | None] = {}
        self._expanded: dict[object, Kept] = {}
        self._codes: dict[tuple[str, dt.date, int], tuple[tuple[str, str], ...]] = {}

    def with_one(self, entry: Canonical) -> Terms:
        """These terms and one definition more, for the questions of one request."""
        more = Terms.__new__(Terms)
        more.canonicals = self.canonicals.above([entry])
        more._begin(self.systems.with_one(entry), self.concept_maps)
        more.today = self.today
        return more

    @property
    def generation(self) -> int:
        """Another number as soon as there are other files: what was answered may be otherwise."""
        self._look()
        return self._generation

    # --- code systems ----------------------------------------------------------------------------

    def is_known(self, system: str) -> bool:
        """Whether the concepts of a system are known, at least some."""
        self._look()
        return bool(self.systems.versions(system))

    def lookup(
        self, system: str, code: str, version: str | None = None, at: dt.date | None = None
    ) -> Concept | None:
        """A concept by the version named or in force; else by any version that has it."""
        self._look()
        day = at or self.today()
        found = self.systems.find(system, code, version, day)
        return found and _as_at(found, day)

    def subsumes(
        self, system: str, a: str, b: str, version: str | None = None, at: dt.date | None = None
    ) -> Outcome | None:
        """How two codes stand in their system's hierarchy; None where that cannot be told."""
        self._look()
        its = self.systems.version(system, version, at or self.today())
        if its is None:
            its = next(iter(self.systems.versions(system)), None) if version is None else None
        first, second = (its.find(a), its.find(b)) if its is not None else (None, None)
        if its is None or first is None or second is None:
            return None
        if first.code == second.code:
            return "equivalent"
        if its.is_a and its.subsumes(first.code, second.code):
            return "subsumes"
        if its.is_a and its.subsumes(second.code, first.code):
            return "subsumed-by"
        return "not-subsumed"

    # --- value sets ------------------------------------------------------------------------------

    def standing(
        self,
        value_set: str | Resource,
        code: str,
        system: str | None = None,
        version: str | None = None,
        display: str | None = None,
        at: dt.date | None = None,
    ) -> Verdict:
        """How a code stands to a value set, given by its canonical or as a resource."""
        self._look()
        its = self.value_sets.get(value_set)
        if its is None:
            return Verdict(Standing.UNKNOWN, missing=str(value_set))
        day = at or self.today()
        question = Question(code, system, version, day)
        found = self.value_sets.find(its, question)
        steps = STEPS - question.steps[0]
        if found.concept is None:
            concept = self.lookup(system, code, version, day) if system is not None else None
            return Verdict(found.standing, concept, missing=found.missing, steps=steps)
        concept = found.concept
        named = known_as(concept, found.listed) if found.listed is not None else concept
        successors: tuple[Concept, ...] = ()
        if found.standing is Standing.THEN:
            successors = self.successors(concept.system, concept.code, day)
        wrong = display if display and not _is_called(named, display, concept) else None
        return Verdict(found.standing, _as_at(named, day), successors, wrong, found.missing, steps)

    def fast(self, value_set: str) -> frozenset[tuple[str, str]] | None:
        """(system, code) of certain members whatever the date, for codings that name no version;
        None where there are none to be told cheaply. There may be members besides."""
        self._look()
        if value_set not in self._fast:
            its = self.value_sets.get(value_set)
            if its is None:
                return None
            self._fast[value_set] = certain(self.value_sets, its)
        return self._fast[value_set]

    def expand(
        self,
        value_set: str | Resource,
        *,
        filter: str = "",
        offset: int = 0,
        count: int | None = None,
        at: dt.date | None = None,
        active_only: bool = False,
        language: str | None = None,
        choice: Choice = WHATEVER,
    ) -> Expansion:
        """A page of the members. choice: of versions, systems and concepts.

        Raises NotFound where the value set or what it needs is not known, TooCostly where it is
        too large, Unprocessable where it cannot be computed.
        """
        self._look()
        its = self.value_sets.get(value_set)
        if its is None:
            raise NotFound(f"The value set `{value_set}` is not known here.")
        wanted = Wanted(
            at=at or self.today(),
            words=words(filter[:MAX_FILTER]),
            active_only=active_only,
            choice=choice,
        )
        found, used = self._all(value_set, its, wanted)
        page = found[offset:] if count is None else found[offset : offset + count]
        if language:
            page = [replace(each, display=each.in_language(language)) for each in page]
        return Expansion(its.resource, page, len(found), offset, used)

    def _all(self, value_set: str | Resource, its: Composed, wanted: Wanted) -> Kept:
        """All members, kept for the pages that may be asked for next."""
        key = None if isinstance(value_set, dict) else (value_set, wanted.key)
        kept = self._expanded.get(key) if key is not None else None
        if kept is not None:
            return kept
        every = islice(members(self.value_sets, its, wanted), MAX_EXPANSION + 1)
        found = [_as_at(each, wanted.at) for each in every]
        if len(found) > MAX_EXPANSION:
            raise TooCostly(
                f"The value set has more than {MAX_EXPANSION} members that fit. Give a `filter`, or"
                " a longer one."
            )
        kept = found, tuple(wanted.used)
        if key is not None and len(found) <= KEPT_CONCEPTS:
            while len(self._expanded) >= KEPT_EXPANSIONS:
                self._expanded.pop(next(iter(self._expanded)), None)
            self._expanded[key] = kept
        return kept

    # --- what a search asks ----------------------------------------------------------------------

    def stored(self, type: str, id: str) -> str | None:
        """The canonical of a definition that is stored here under an id."""
        return self.canonicals.stored(type, id)

    def codes(self, value_set: str, *, at_most: int) -> tuple[tuple[str, str], ...]:
        """(system, code) of each member today. Raises as `expand` does, TooCostly beyond at_most.

        The last that were asked for are kept, for the pages to come.
        """
        self._look()
        key = (value_set, self.today(), at_most)
        kept = self._codes.get(key)
        if kept is None:
            kept = listed(self.value_sets, *key)
            while len(self._codes) >= KEPT_EXPANSIONS:
                self._codes.pop(next(iter(self._codes)), None)
            self._codes[key] = kept
        return kept

    def line(self, system: str, code: str, *, below: bool, at_most: int) -> tuple[str, ...]:
        """A code and all beneath it, or above it, by any version of its system: what was written
        by an older one is found too. Raises NotFound, Unprocessable, TooCostly."""
        self._look()
        return line(self.systems, system, code, below=below, at_most=at_most)

    # --- concept maps ----------------------------------------------------------------------------

    def translate(
        self,
        concept_map: str | Resource | None,
        system: str | None,
        code: str,
        *,
        source: str | None = None,
        target: str | None = None,
        target_system: str | None = None,
        reverse: bool = False,
        dependencies: Dependencies | None = None,
    ) -> list[Match]:
        """What a code becomes, by one map or by all known ones, with displays where they are
        known. dependencies: None where they do not count. Raises NotFound for an unknown map."""
        self._look()
        its = self.concept_maps.get(concept_map) if concept_map is not None else None
        if concept_map is not None and its is None:
            raise NotFound(f"The concept map `{concept_map}` is not known here.")
        asked = Asked(
            system,
            code,
            source=source,
            target=target,
            target_system=target_system,
            reverse=reverse,
            dependencies=dependencies,
        )
        return [self._shown(each) for each in self.concept_maps.translate(its, asked)]

    def successors(self, system: str, code: str, at: dt.date) -> tuple[Concept, ...]:
        """What takes a code's place on a day, by the concept maps that are known."""
        found: dict[tuple[str, str], Concept] = {}
        seen = {(system, code)}
        now = [(system, code)]
        for _ in range(SUCCESSION):
            after: list[tuple[str, str]] = []
            for its_system, its_code in now:
                for each in self.concept_maps.translate(None, Asked(its_system, its_code)):
                    if each.concept is None or each.equivalence in NO_MATCH or each.depends_on:
                        continue
                    key = each.concept.system, each.concept.code
                    known = self.systems.version(key[0], None, at)
                    concept = known.find(key[1]) if known is not None else None
                    if concept is not None and concept.in_force(at) and key != (system, code):
                        found.setdefault(key, concept)
                    elif key not in seen:
                        after.append(key)
                    seen.add(key)
            now = after
        return tuple(found.values())

    def _shown(self, match: Match) -> Match:
        concept = match.concept
        if concept is None or concept.display:
            return match
        known = self.systems.find(concept.system, concept.code, concept.version, self.today())
        return replace(match, concept=replace(concept, display=known.display)) if known else match

    def is_stale(self) -> bool:
        """Whether there are other files than when this was made: who concluded anything from
        these terms and kept it must ask anew."""
        return self.systems.files.look() != self._made_of

    def _look(self) -> None:
        """Where there are other files now, what was concluded from the old ones is forgotten."""
        generation = self.systems.files.look()
        if generation != self._generation:
            self._generation = generation
            self.systems.forget()
            self._fast.clear()
            self._expanded.clear()
            self._codes.clear()


def _as_at(concept: Concept, day: dt.date) -> Concept:
    """A concept as it is on a day: inactive once it is retired."""
    if concept.inactive or concept.until is None or day < concept.until:
        return concept
    return replace(concept, inactive=True)


def _is_called(named: Concept, display: str, known: Concept) -> bool:
    """Whether a display is one of a concept's; none can be wrong where none is known."""
    if named.display is None and not named.designations:
        return True
    its = [named.display or "", known.display or "", *(value for _, _, value in named.designations)]
    return _plain(display) in {_plain(each) for each in its}


def _plain(display: str) -> str:
    """A display as displays are compared: `Hòa` and `Hoà` are two ways to write one word."""
    found = []
    for word in normalize("NFD", display.casefold()).split():
        tones = "".join(sign for sign in word if sign in TONES)
        found.append("".join(sign for sign in word if sign not in TONES) + tones)
    return " ".join(found)
