"""canonicals — the definitions that are known, found by their canonical URLs.

https://hl7.org/fhir/R4/references.html#canonical
https://hl7.org/fhir/R4/resource.html#canonical

StructureDefinition, ValueSet, CodeSystem, ConceptMap, SearchParameter, NamingSystem and whatever
else has a `url`, in layers: R4's own beneath, packages and folders above it, what clients PUT on
top. An upper layer's resource hides the same url and version below. Immutable: a change makes a
new one, so that work under way goes on with what it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fhir_server.foundation.resource import Resource

CONFORMANCE_TYPES = frozenset(
    [
        "StructureDefinition",
        "ValueSet",
        "CodeSystem",
        "ConceptMap",
        "SearchParameter",
        "NamingSystem",
    ]
)


@dataclass(frozen=True, slots=True)
class Canonical:
    """One definition: what it is called, and how to get it.

    source: where it came from, for people: `R4`, a package's `name#version`, a file, `stored`.
    id: of what is stored here, so that `[type]/[id]` names it too.
    """

    type: str
    url: str
    version: str | None
    source: str
    load: Callable[[], Resource]  # may read and parse; keeps what it made
    id: str | None = None


class Canonicals:
    """What is known, by URL."""

    def __init__(self, entries: Iterable[Canonical], below: Canonicals | None = None) -> None:
        self._below = below
        self._by_url: dict[str, list[Canonical]] = {}
        self._by_id: dict[tuple[str, str], Canonical] = {}
        for entry in entries:
            self._by_url.setdefault(entry.url, []).append(entry)
            if entry.id is not None:
                self._by_id[entry.type, entry.id] = entry

    def above(self, entries: Iterable[Canonical]) -> Canonicals:
        """These with more on top."""
        return Canonicals(entries, self)

    def versions(self, url: str) -> list[Canonical]:
        """All of one URL (without `|version`), the one to prefer first: upper layers before lower
        ones, within a layer the newest version first."""
        found: list[Canonical] = []
        layer: Canonicals | None = self
        while layer is not None:  # a layer for each package: too many for recursion
            hidden = {(entry.type, entry.version) for entry in found}
            mine = [e for e in layer._by_url.get(url, ()) if (e.type, e.version) not in hidden]
            found += sorted(mine, key=_newness, reverse=True) if len(mine) > 1 else mine
            layer = layer._below
        return found

    def entry(self, canonical: str, type: str | None = None) -> Canonical | None:
        """The definition a canonical names, by its version where it gives one (R4
        references#canonical: a version `1.2` also means the newest `1.2.x`)."""
        url, _, version = canonical.partition("|")
        url = url.partition("#")[0]
        found = [e for e in self.versions(url) if type is None or e.type == type]
        if version:
            version = version.partition("#")[0]
            exact = [e for e in found if e.version == version]
            found = exact or [e for e in found if (e.version or "").startswith(f"{version}.")]
        return found[0] if found else None

    def get(self, canonical: str, type: str | None = None) -> Resource | None:
        """The resource a canonical names; None where it is not known."""
        found = self.entry(canonical, type)
        return found.load() if found else None

    def stored(self, type: str, id: str) -> str | None:
        """The canonical of what is stored here under an id, with its version."""
        layer: Canonicals | None = self
        while layer is not None:
            if found := layer._by_id.get((type, id)):
                return f"{found.url}|{found.version}" if found.version else found.url
            layer = layer._below
        return None

    def of_type(self, type: str) -> Iterator[Canonical]:
        """The preferred one of every URL of a type."""
        for url in self.urls():
            found = self.entry(url, type)
            if found is not None:
                yield found

    def urls(self) -> set[str]:
        found: set[str] = set()
        layer: Canonicals | None = self
        while layer is not None:
            found.update(layer._by_url)
            layer = layer._below
        return found


def _newness(entry: Canonical) -> list[tuple[int, int | str]]:
    """1.10.0 is newer than 1.9.0; no version is older than any."""
    parts = (entry.version or "").replace("-", ".").split(".")
    return [(1, int(p)) if p.isascii() and p.isdigit() else (0, p) for p in parts if p]


def of_resource(resource: Resource, source: str) -> Canonical | None:
    """The entry of a resource at hand; None where it has nothing to be found by.

    That is its `url`, in which some write the version too, or of a NamingSystem, which in R4 has
    no `url`, the URI of the system it is about.
    """
    type, url, version = (resource.get(name) for name in ("resourceType", "url", "version"))
    if type == "NamingSystem":
        url = _system_named(resource)
    if not isinstance(type, str) or not isinstance(url, str):
        return None
    url, _, within = url.partition("|")
    if not url:
        return None
    version = within or (version if isinstance(version, str) else None)
    return Canonical(type, url, version, source, lambda: resource)


def _system_named(naming_system: Resource) -> str | None:
    """The URI a NamingSystem tells, the preferred one where it tells several."""
    given = naming_system.get("uniqueId")
    found = [
        ids
        for ids in (given if isinstance(given, list) else ())
        if isinstance(ids, dict) and ids.get("type") == "uri" and isinstance(ids.get("value"), str)
    ]
    found.sort(key=lambda ids: ids.get("preferred") is not True)
    return found[0]["value"] if found else None
