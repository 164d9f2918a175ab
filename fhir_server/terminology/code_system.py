"""code_system — a CodeSystem resource, its concepts found by code and by their place.

https://hl7.org/fhir/R4/codesystem.html
https://hl7.org/fhir/R4/codesystem-concept-properties.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fhir_server.foundation.outcome import TooCostly
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.element import objects, text
from fhir_server.terminology.moment import effective, first_day
from fhir_server.terminology.system import Filter

PROPERTIES = "http://hl7.org/fhir/concept-properties#"
INACTIVE = frozenset(["retired", "inactive", "entered-in-error", "removed"])
MAX_ABOVE = 2_000  # codes that one may stand beneath
KEPT_LINES = 256
NOT_OF_MEANING = frozenset(["grouped-by", "part-of"])  # hierarchies that tell no subsumption
# What the properties R4 defines for all systems are called, unless the system says otherwise
STANDARD = (
    "status",
    "inactive",
    "effectiveDate",
    "retirementDate",
    "notSelectable",
    "abstract",
    "parent",
    "child",
)


class ListedSystem:
    """A CodeSystem with its concepts in it."""

    def __init__(self, resource: Resource, supplements: Sequence[Resource] = ()) -> None:
        self.url: str = text(resource.get("url")) or ""
        self.version = text(resource.get("version"))
        self.name: str = text(resource.get("name")) or text(resource.get("title")) or self.url
        self.language = text(resource.get("language"))
        self.since, self.until = effective(resource)
        self.is_a = resource.get("hierarchyMeaning") not in NOT_OF_MEANING
        self._complete: bool = resource.get("content", "complete") == "complete"
        self._standard = _standard_names(resource)
        self._kinds = _declared(resource)
        self._known = {*self._standard.values(), *self._kinds}
        self._concepts: dict[str, Resource] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, tuple[str, ...]] = {}
        self._read(resource)
        self._more = _supplemented(supplements)
        self._folded = (
            {code.casefold(): code for code in reversed(self._concepts)}
            if resource.get("caseSensitive") is False
            else None
        )
        self._made: dict[str, Concept] = {}
        self._lines: dict[str, set[str]] = {}

    def _read(self, resource: Resource) -> None:
        parents: dict[str, dict[str, None]] = {}
        waiting: list[tuple[Resource, str | None]]
        waiting = [(each, None) for each in reversed(objects(resource.get("concept")))]
        while waiting:
            concept, above = waiting.pop()
            code = text(concept.get("code"))
            if code is None:
                continue
            self._concepts.setdefault(code, concept)
            if above is not None:
                parents.setdefault(code, {})[above] = None
            for name, value in _values(concept):
                self._known.add(name)
                if name == self._standard["parent"] and isinstance(value, str):
                    parents.setdefault(code, {})[value] = None
                elif name == self._standard["child"] and isinstance(value, str):
                    parents.setdefault(value, {})[code] = None
            below = objects(concept.get("concept"))
            waiting.extend((each, code) for each in reversed(below))
        self._parents = {code: tuple(its) for code, its in parents.items()}
        children: dict[str, list[str]] = {}
        for child, its in self._parents.items():
            if child in self._concepts:
                for each in its:
                    children.setdefault(each, []).append(child)
        self._children = {code: tuple(its) for code, its in children.items()}

    def __len__(self) -> int:
        return len(self._concepts)

    def find(self, code: str) -> Concept | None:
        made = self._made.get(code)
        if made is not None:
            return made
        if code not in self._concepts:
            other = self._folded.get(code.casefold()) if self._folded is not None else None
            return None if other is None else self.find(other)
        made = self._made[code] = self._make(code, self._concepts[code])
        return made

    def _make(self, code: str, concept: Resource) -> Concept:
        properties, designations = _values(concept), _designations(concept)
        for more in self._more.get(code, ()):
            properties += _values(more)
            designations += _designations(more)
        told = dict(properties)
        standard = {name: told.get(its) for name, its in self._standard.items()}
        display = text(concept.get("display"))
        if self.language and display:
            designations = ((self.language, None, display), *designations)
        until = first_day(standard["retirementDate"])
        return Concept(
            system=self.url,
            version=self.version,
            code=code,
            display=display,
            definition=text(concept.get("definition")),
            designations=designations,
            properties=properties,
            abstract=standard["notSelectable"] is True or standard["abstract"] is True,
            # a concept with a day of retirement is judged by that day
            inactive=until is None
            and (standard["inactive"] is True or standard["status"] in INACTIVE),
            since=first_day(standard["effectiveDate"]),
            until=until,
        )

    def lacks(self, _code: str) -> bool:
        return self._complete

    def codes(self) -> Iterator[str]:
        return iter(self._concepts)

    def matching(self, _words: Sequence[str]) -> None:
        return None

    def parents(self, code: str) -> Sequence[str]:
        return self._parents.get(code, ())

    def children(self, code: str) -> Sequence[str]:
        return self._children.get(code, ())

    def below(self, code: str) -> Iterator[str]:
        seen = {code}
        waiting = [code]
        while waiting:
            for each in self._children.get(waiting.pop(), ()):
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
                    yield each

    def subsumes(self, above: str, code: str) -> bool:
        """Raises TooCostly where a code stands beneath more than MAX_ABOVE."""
        return code == above or above in self._line(code)

    def _line(self, code: str) -> set[str]:
        """All that a code stands beneath; of the last codes asked about it is kept."""
        known = self._lines.get(code)
        if known is not None:
            return known
        seen: set[str] = set()
        waiting = [code]
        while waiting:
            more = [p for p in self._parents.get(waiting.pop(), ()) if p not in seen]
            seen.update(more)
            waiting.extend(more)
            if len(seen) > MAX_ABOVE:
                raise TooCostly(
                    f"`{code[:100]}` stands beneath more than {MAX_ABOVE:,} codes of `{self.url}`."
                )
        if len(self._lines) >= KEPT_LINES:
            self._lines.clear()
        self._lines[code] = seen
        return seen

    def having(self, _filter: Filter) -> Iterator[str] | None:
        return None

    def knows(self, property: str) -> bool:
        return property in self._known

    def kind(self, property: str) -> str | None:
        return self._kinds.get(property)

    def admits(self, _code: str, _filter: Filter) -> bool | None:
        return None


def _standard_names(resource: Resource) -> dict[str, str]:
    """What the system itself calls the properties that R4 defines for all."""
    names = {name: name for name in STANDARD}
    for declared in objects(resource.get("property")):
        uri, code = text(declared.get("uri")), text(declared.get("code"))
        if uri and code and uri.startswith(PROPERTIES) and uri.removeprefix(PROPERTIES) in names:
            names[uri.removeprefix(PROPERTIES)] = code
    return names


def _declared(resource: Resource) -> dict[str, str | None]:
    """The properties a system says its concepts have, each with the type of its values."""
    declared = objects(resource.get("property"))
    return {code: text(each.get("type")) for each in declared if (code := text(each.get("code")))}


def _values(concept: Resource) -> tuple[tuple[str, Any], ...]:
    found = []
    for each in objects(concept.get("property")):
        code = text(each.get("code"))
        value = next((v for name, v in each.items() if name.startswith("value")), None)
        if code is not None and value is not None:
            found.append((code, value))
    return tuple(found)


def _designations(concept: Resource) -> tuple[tuple[str | None, str | None, str], ...]:
    found = []
    for each in objects(concept.get("designation")):
        value, use = text(each.get("value")), each.get("use")
        if value is not None:
            code = text(use.get("code")) if isinstance(use, dict) else None
            found.append((text(each.get("language")), code, value))
    return tuple(found)


def _supplemented(supplements: Sequence[Resource]) -> dict[str, list[Resource]]:
    """The concepts of supplements, by code."""
    found: dict[str, list[Resource]] = {}
    waiting = [each for one in supplements for each in objects(one.get("concept"))]
    while waiting:
        concept = waiting.pop()
        if code := text(concept.get("code")):
            found.setdefault(code, []).append(concept)
        waiting.extend(objects(concept.get("concept")))
    return found
