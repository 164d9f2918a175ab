"""pointing — from the resources of a page to what they refer to, and to what would refer to them.

https://hl7.org/fhir/R4/references.html#literal
https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Server
from fhir_server.search.include import followed, leads_to
from fhir_server.search.kinds import reference, uri
from fhir_server.search.outgoing import by_canonical, outgoing
from fhir_server.search.parameters import Parameter, Parameters
from fhir_server.search.site import Site
from fhir_server.search.wanted import Include
from fhir_server.store.codec import elements_of
from fhir_server.store.contract import HASH_MASK, PARAM_SHIFT, KeyIs, Position, Stored, rid


class Page:
    """Versions whose content is read where something is asked of it, and once."""

    def __init__(self, rows: Iterable[Stored]) -> None:
        self.by_type: dict[str, list[Stored]] = {}
        for stored in rows:
            self.by_type.setdefault(stored.key.type, []).append(stored)
        self._read: dict[Position, Resource] = {}

    def of(self, type: str) -> list[Resource]:
        return [self.resource(stored) for stored in self.by_type.get(type, ())]

    def resource(self, stored: Stored) -> Resource:
        if (found := self._read.get(stored.position)) is None:
            found = self._read[stored.position] = elements_of(stored)
        return found


# --- _include ------------------------------------------------------------------------------------


@dataclass
class Pointed:
    """What is referred to, in the order it was met. canonicals: with the types it may be of."""

    keys: dict[Key, None] = field(default_factory=dict)
    versions: dict[tuple[Key, str], None] = field(default_factory=dict)
    canonicals: dict[str, set[str]] = field(default_factory=dict)

    def add(self, site: Site, text: str, target: str | None) -> bool:
        """Whether the reference is to a resource here."""
        here = site.own(text)
        if here is None:
            return False
        if target in (None, here.key.type):
            if here.version is None:
                self.keys[here.key] = None
            else:
                self.versions[here.key, here.version] = None
        return True

    def names(self, stored: Stored) -> bool:
        """Whether a definition is one of those, by its version where one is given."""
        resource = elements_of(stored)
        url, version = resource.get("url"), resource.get("version")
        return any(
            stored.key.type in self.canonicals.get(name, ())
            for name in (f"{url}", f"{url}|{version}")
        )


def asked_of(server: Server, site: Site, page: Page, asked: Sequence[Include]) -> Pointed:
    """What the page refers to by any of the includes."""
    found = Pointed()
    for include in asked:
        by = followed(server.parameters, include)
        if not by or include.source not in page.by_type:
            continue
        take = outgoing(server.definitions, by)
        types = _definitions(server.parameters, by, include.target)
        there = [take(resource) for resource in page.of(include.source)]
        # each once: what a page holds is mostly of one patient, one place
        for text in dict.fromkeys(text for one in there for text in one.literals):
            found.add(site, text, include.target)
        for canonicals in (one.canonicals for one in there if one.canonicals):
            for canonical in (each.partition("#")[0] for each in canonicals):
                if not found.add(site, canonical.partition("|")[0], include.target):
                    found.canonicals.setdefault(canonical, set()).update(types)
    return found


def _definitions(
    parameters: Parameters, by: Sequence[Parameter], target: str | None
) -> frozenset[str]:
    """The types of definitions that may be meant."""
    if not any(by_canonical(parameter) for parameter in by):
        return frozenset()
    every = parameters.definitions.resource_types
    types = {type for one in by if by_canonical(one) for type in one.targets or every}
    return frozenset(t for t in types if target in (None, t) and "url" in parameters.of(t))


def definitions_of(
    parameters: Parameters, canonicals: Mapping[str, Iterable[str]]
) -> tuple[list[KeyIs], list[str]]:
    """What finds them by `url`, and the types they are of."""
    keys = {
        uri.exactly(parameters.of(type)["url"], canonical.partition("|")[0]): None
        for canonical, types in canonicals.items()
        for type in sorted(types)
    }
    return list(keys), sorted({type for types in canonicals.values() for type in types})


# --- _revinclude ---------------------------------------------------------------------------------


@dataclass
class Pointing:
    """What is found by these keys refers to the page. definitions: those of the page, by `url`
    and by `url|version`, and which of the includes may name them."""

    keys: dict[KeyIs, None] = field(default_factory=dict)
    rids: set[Key] = field(default_factory=set)
    definitions: set[str] = field(default_factory=set)
    asked: tuple[Include, ...] = ()

    def is_by(self, server: Server, site: Site, stored: Stored) -> bool:
        """A row of a canonical's `url` may name another version than the page's."""
        resource = elements_of(stored)
        for include in self.asked:
            if include.source != stored.key.type:
                continue
            there = outgoing(server.definitions, followed(server.parameters, include))(resource)
            if not self.definitions.isdisjoint(c.partition("#")[0] for c in there.canonicals):
                return True
            named = (site.own(c.partition("|")[0]) for c in (*there.literals, *there.canonicals))
            if any(here is not None and here.key in self.rids for here in named):
                return True
        return False


def pointing(parameters: Parameters, site: Site, page: Page, asked: Sequence[Include]) -> Pointing:
    """What would refer to the page by any of the includes."""
    found = Pointing(asked=tuple(asked))
    for include in asked:
        for parameter in followed(parameters, include):
            for type, rows in page.by_type.items():
                if include.target in (None, type) and leads_to(parameter, type):
                    found.keys.update((_to(parameter, rid(row.key)), None) for row in rows)
                    found.rids.update(row.key for row in rows)
                    if by_canonical(parameter):
                        _by_url(found, parameter, site, page.of(type))
    return found


def _by_url(found: Pointing, parameter: Parameter, site: Site, there: Sequence[Any]) -> None:
    for resource in there:
        url, version = resource.get("url"), resource.get("version")
        if isinstance(url, str):
            numbers = reference.canonical_targets(url, site)
            found.keys.update((_to(parameter, number), None) for number in numbers)
            found.definitions.update((url, f"{url}|{version}"))


def _to(parameter: Parameter, target: int) -> KeyIs:
    return KeyIs(parameter.number << PARAM_SHIFT | target & HASH_MASK, target, mask=-1)
