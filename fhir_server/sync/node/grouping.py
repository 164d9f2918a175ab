"""grouping — which waiting versions travel together, and in which order.

https://hl7.org/fhir/R4/http.html#trules

A group is a version, what it was made from, and what it refers to, these first, so that the hub has
what a record speaks of before the record. A prescription and a referral go first of all, with what
they need; else a visit goes as one, the oldest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fhir_server.foundation.resource import Key, Resource
from fhir_server.search.site import Site
from fhir_server.store.contract import rid
from fhir_server.sync.lineage import Parents, Rev
from fhir_server.sync.node.life import Name, name_of

URGENT_TYPES = frozenset({"MedicationRequest", "ServiceRequest"})
MOST = 200  # versions of a group: the hub stores them in one transaction


class Waiting(NamedTuple):
    """A version that is to be sent. at: when it was stored. refers: what it refers to. visit: the
    Encounter that it is or belongs to; 0: none."""

    name: Name
    key: Key
    rev: Rev
    parents: Parents
    at: int
    refers: frozenset[int] = frozenset()
    visit: int = 0

    @property
    def is_urgent(self) -> bool:
        return self.key.type in URGENT_TYPES


Group = tuple[Waiting, ...]


def groups(waiting: Sequence[Waiting]) -> Iterator[Group]:
    """All of them, each once, in the order in which they are to be sent."""
    ordered = sorted(waiting, key=lambda one: (not one.is_urgent, one.at, one.name))
    needed = _Needed(ordered)
    visits: dict[int, list[Waiting]] = {}
    for one in ordered:
        if one.visit:
            visits.setdefault(one.visit, []).append(one)
    for seed in ordered:
        together = [seed] if seed.is_urgent else [seed, *visits.get(seed.visit, ())]
        group = [one for each in together for one in needed.by(each)]
        for at in range(0, len(group), MOST):
            yield tuple(group[at : at + MOST])


class _Needed:
    """Gives each version out once, behind what it needs."""

    def __init__(self, waiting: Sequence[Waiting]) -> None:
        self._named = {one.name: one for one in waiting}
        self._of: dict[int, list[Waiting]] = {}
        for one in sorted(waiting, key=lambda one: (one.name.generation, one.at, one.name)):
            self._of.setdefault(one.name.rid, []).append(one)
        self._given: set[Name] = set()

    def by(self, one: Waiting) -> Iterator[Waiting]:
        """What it needs and is not given yet, and then itself. What refers to each other in a
        circle comes in some order."""
        if one.name in self._given:
            return
        self._given.add(one.name)
        stack = [(one, self._before(one))]
        while stack:
            top, before = stack[-1]
            ahead = next((each for each in before if each.name not in self._given), None)
            if ahead is None:
                stack.pop()
                yield top
            else:
                self._given.add(ahead.name)
                stack.append((ahead, self._before(ahead)))

    def _before(self, one: Waiting) -> Iterator[Waiting]:
        for parent in one.parents:
            if found := self._named.get(name_of(one.name.rid, parent)):
                yield found
        for number in sorted(one.refers):
            yield from self._of.get(number, ())


def referred(resource: Resource, site: Site) -> dict[int, Key]:
    """What of this server a resource refers to, by number."""
    found: dict[int, Key] = {}
    for text in _references(resource):
        here = site.own(text)
        if here is not None:
            found[rid(here.key)] = here.key
    return found


def visit_of(resource: Resource, site: Site) -> int:
    """The Encounter that a resource is, or names as its own; 0: none."""
    if resource["resourceType"] == "Encounter":
        return rid(Key("Encounter", resource["id"]))
    told = resource.get("encounter")
    text = told.get("reference") if isinstance(told, dict) else None
    here = site.own(text) if isinstance(text, str) else None
    return rid(here.key) if here is not None and here.key.type == "Encounter" else 0


def _references(value: Any) -> Iterable[str]:
    ahead = [value]
    while ahead:
        one = ahead.pop()
        if isinstance(one, Mapping):
            text = one.get("reference")
            if isinstance(text, str):
                yield text
            ahead.extend(one.values())
        elif isinstance(one, list):
            ahead.extend(one)
