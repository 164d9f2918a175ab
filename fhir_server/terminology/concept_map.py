"""concept_map — from a code to what it becomes in another system, and what takes its place.

https://hl7.org/fhir/R4/conceptmap.html
https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from fhir_server.conformance.canonicals import Canonical, Canonicals
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.concept import Concept, Match
from fhir_server.terminology.element import objects, text

# R4 valueset-concept-map-equivalence: read from the target to the source
TURNED = {
    "wider": "narrower",
    "narrower": "wider",
    "subsumes": "specializes",
    "specializes": "subsumes",
}
NO_MATCH = frozenset(["unmatched", "disjoint"])
MAX_MAPS = 20  # maps that one `unmapped` may lead through
Dependencies = Collection[tuple[str, str | None, str]]  # property, system, code


@dataclass(slots=True)
class Group:
    """ConceptMap.group, its elements by the code they map."""

    source: str | None
    source_version: str | None
    target: str | None
    target_version: str | None
    unmapped: Resource
    elements: dict[str, list[Resource]] = field(default_factory=dict)  # targets by source code
    displays: dict[str, str | None] = field(default_factory=dict)
    reversed: dict[str, list[tuple[str, Resource]]] | None = None  # by target code, when asked for

    def back(self, code: str) -> list[tuple[str, Resource]]:
        if self.reversed is None:
            found: dict[str, list[tuple[str, Resource]]] = {}
            for source, targets in self.elements.items():
                for target in targets:
                    if isinstance(target.get("code"), str):
                        found.setdefault(target["code"], []).append((source, target))
            self.reversed = found
        return self.reversed.get(code, [])


@dataclass(frozen=True, slots=True)
class Map:
    """A ConceptMap, read once."""

    url: str | None
    source: str | None  # the value set it is from, as source[x] says
    target: str | None
    groups: tuple[Group, ...]


def read(resource: Resource) -> Map:
    """A ConceptMap, whatever a client may have written in it."""
    return Map(
        text(resource.get("url")),
        text(resource.get("sourceUri")) or text(resource.get("sourceCanonical")),
        text(resource.get("targetUri")) or text(resource.get("targetCanonical")),
        tuple(_group(each) for each in objects(resource.get("group"))),
    )


def _group(given: Resource) -> Group:
    unmapped = given.get("unmapped")
    group = Group(
        text(given.get("source")),
        text(given.get("sourceVersion")),
        text(given.get("target")),
        text(given.get("targetVersion")),
        unmapped if isinstance(unmapped, dict) else {},
    )
    for element in objects(given.get("element")):
        if code := text(element.get("code")):
            group.elements.setdefault(code, []).extend(objects(element.get("target")))
            group.displays.setdefault(code, text(element.get("display")))
    return group


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be translated, and into what. None: whatever there is."""

    system: str | None
    code: str
    version: str | None = None
    source: str | None = None  # value set
    target: str | None = None  # value set
    target_system: str | None = None
    reverse: bool = False
    dependencies: Dependencies | None = None  # None: they do not count


class ConceptMaps:
    """All concept maps, read when the first translation is asked for."""

    def __init__(self, canonicals: Canonicals, before: ConceptMaps | None = None) -> None:
        self.canonicals = canonicals
        kept = before._read if before is not None else {}
        self._read: dict[Canonical, Map] = {
            entry: map for entry, map in kept.items() if entry in canonicals.versions(entry.url)
        }
        self._of: dict[bool, dict[str | None, list[Map]]] | None = None

    def get(self, concept_map: str | Resource) -> Map | None:
        if isinstance(concept_map, dict):
            return read(concept_map)
        entry = self.canonicals.entry(concept_map, "ConceptMap")
        return self._map(entry) if entry is not None else None

    def _map(self, entry: Canonical) -> Map:
        found = self._read.get(entry)
        if found is None:
            found = self._read[entry] = read(entry.load())
        return found

    def about(self, system: str | None, *, reverse: bool = False) -> list[Map]:
        """The maps that have a group of a system: as its source, or its target."""
        if self._of is None:
            every: dict[bool, dict[str | None, list[Map]]] = {False: {}, True: {}}
            for entry in self.canonicals.of_type("ConceptMap"):
                found = self._map(entry)
                for source in dict.fromkeys(group.source for group in found.groups):
                    every[False].setdefault(source, []).append(found)
                for target in dict.fromkeys(group.target for group in found.groups):
                    every[True].setdefault(target, []).append(found)
            self._of = every
        return self._of[reverse].get(system, [])

    def translate(self, concept_map: Map | None, asked: Asked) -> list[Match]:
        """The translations of a code, by one map or by all that are known."""
        if concept_map is not None:
            return list(self._by(concept_map, asked, ()))
        found: list[Match] = []
        for each in self.about(asked.system, reverse=asked.reverse):
            source, target = (
                (each.target, each.source) if asked.reverse else (each.source, each.target)
            )
            if _agrees(asked.source, source) and _agrees(asked.target, target):
                found.extend(self._by(each, asked, ()))
        return found

    def _by(self, map: Map, asked: Asked, trail: tuple[str | None, ...]) -> Iterator[Match]:
        for group in map.groups:
            ours, theirs = (
                (group.target, group.source) if asked.reverse else (group.source, group.target)
            )
            if asked.system is not None and ours not in (None, asked.system):
                continue
            if asked.target_system is not None and theirs != asked.target_system:
                continue
            found = list(_back(map, group, asked) if asked.reverse else _there(map, group, asked))
            if not found and not asked.reverse and asked.code not in group.elements:
                found = list(self._unmapped(map, group, asked, trail))
            yield from found

    def _unmapped(
        self, map: Map, group: Group, asked: Asked, trail: tuple[str | None, ...]
    ) -> Iterator[Match]:
        told = group.unmapped
        match told.get("mode"):
            case "provided":
                yield Match("equal", _concept(group, asked.code, None), map.url)
            case "fixed" if code := text(told.get("code")):
                yield Match("relatedto", _concept(group, code, text(told.get("display"))), map.url)
            case "other-map" if (url := text(told.get("url"))) and len(trail) < MAX_MAPS:
                other = self.get(url) if url not in trail else None
                if other is not None:
                    yield from self._by(other, asked, (*trail, map.url, url))


def _there(map: Map, group: Group, asked: Asked) -> Iterator[Match]:
    for target in group.elements.get(asked.code, ()):
        code = text(target.get("code"))
        concept = _concept(group, code, text(target.get("display"))) if code else None
        match = _match(map, target, concept)
        if _applies(match, asked):
            yield match


def _back(map: Map, group: Group, asked: Asked) -> Iterator[Match]:
    for source, target in group.back(asked.code):
        concept = Concept(
            group.source or "", group.source_version, source, group.displays.get(source)
        )
        match = _match(map, target, concept)
        if _applies(match, asked):
            turned = TURNED.get(match.equivalence, match.equivalence)
            yield Match(turned, concept, match.source, match.comment)


def _match(map: Map, target: Resource, concept: Concept | None) -> Match:
    return Match(
        equivalence=text(target.get("equivalence")) or "relatedto",
        concept=concept,
        source=map.url,
        comment=text(target.get("comment")),
        depends_on=_elements(target.get("dependsOn")),
        products=_elements(target.get("product")),
    )


def _applies(match: Match, asked: Asked) -> bool:
    """R4: a mapping that depends on other elements holds only where they have these values."""
    if asked.dependencies is None:
        return True
    return all(
        any(
            property == given and code == value and (system is None or its in (None, system))
            for given, its, value in asked.dependencies
        )
        for property, system, code in match.depends_on
    )


def _concept(group: Group, code: str, display: str | None) -> Concept:
    return Concept(group.target or "", group.target_version, code, display)


def _elements(given: Any) -> tuple[tuple[str, str | None, str], ...]:
    return tuple(
        (property, text(each.get("system")), value)
        for each in objects(given)
        if (property := text(each.get("property"))) and (value := text(each.get("value")))
    )


def _agrees(asked: str | None, told: str | None) -> bool:
    """Whether a map's value set is the one asked for; its version counts where both name one."""
    if asked is None or told is None:
        return asked is None
    if "|" in asked and "|" in told:
        return asked == told
    return asked.partition("|")[0] == told.partition("|")[0]
