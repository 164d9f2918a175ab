"""snapshot — all that a profile asks: its differential laid over its base, and so down to R4.

https://hl7.org/fhir/R4/profiling.html#snapshot
https://hl7.org/fhir/R4/structuredefinition.html#snapshot

A snapshot that comes with the definition is used where it is whole; otherwise one is made. What a
profile needs is made when asked for, once. Whatever cannot be used is a BrokenProfile, which says
why; a profile that is somehow circular is one.
"""

from __future__ import annotations

from typing import Any

from fhir_server.conformance.canonicals import Canonicals
from fhir_server.conformance.snapshot.broken import BrokenProfile
from fhir_server.conformance.snapshot.differential import wishes
from fhir_server.conformance.snapshot.laying import Laying
from fhir_server.conformance.snapshot.merging import merged
from fhir_server.conformance.snapshot.tree import MAX_DEPTH, Definition, Node, checked, flat, tree
from fhir_server.foundation.resource import Resource

__all__ = ["BrokenProfile", "Snapshots", "generate"]


class Snapshots:
    """The snapshots of what is known, by canonical URL. For all threads; nothing given out may be
    changed, because elements are shared between snapshots."""

    def __init__(self, canonicals: Canonicals) -> None:
        self._canonicals = canonicals
        self._made: dict[str, tuple[Definition, ...] | BrokenProfile] = {}

    def elements(self, url: str) -> tuple[dict[str, Any], ...]:
        """The ElementDefinitions of a StructureDefinition's snapshot. Raises BrokenProfile."""
        return self.made(url, (), 0)

    def structure(self, url: str) -> Resource:
        """The StructureDefinition itself. Raises BrokenProfile where it is not known."""
        found = self._canonicals.get(url, "StructureDefinition")
        if found is None:
            raise BrokenProfile(url, "it is not known here.")
        return found

    def is_known(self, url: str) -> bool:
        return self._canonicals.entry(url, "StructureDefinition") is not None

    def made(self, url: str, under: tuple[str, ...], depth: int) -> tuple[Definition, ...]:
        """The elements, while the snapshots `under` are in the making and wait for them."""
        found = self._made.get(url)
        if found is None:
            try:
                found = self._make(url, under, depth)
            except BrokenProfile as broken:
                found = broken.needed_by(url)
            if not (under and isinstance(found, BrokenProfile)):
                # What is broken only because of where it was asked from is not kept.
                self._made[url] = found
        if isinstance(found, BrokenProfile):
            raise found
        return found

    def root(self, url: str, under: tuple[str, ...] = ()) -> Definition | None:
        """The first element of a snapshot, without making the rest; None where that is not to be
        had. An extension may speak of itself, so this needs no more than the chain of bases."""
        made = self._made.get(url)
        structure = None if made else self._canonicals.get(url, "StructureDefinition")
        if structure is None or url in under or len(under) > MAX_DEPTH:
            return made[0] if isinstance(made, tuple) else None
        if (carried := _carried(structure)) is not None:
            return carried[0]
        base = structure.get("baseDefinition")
        found = self.root(base, (*under, url)) if isinstance(base, str) else {}
        own = _elements(structure, "differential") or [{}]
        is_root = isinstance(own[0], dict) and "." not in str(own[0].get("path", "."))
        return merged(found, checked(url, own[0]), url) if found and is_root else found

    def _make(self, url: str, under: tuple[str, ...], depth: int) -> tuple[Definition, ...]:
        structure = self.structure(url)
        carried = _carried(structure)
        if carried is not None:
            return carried
        if url in under:
            way = " -> ".join(f"`{one}`" for one in [*under[under.index(url) :], url])
            raise BrokenProfile(url, f"it needs itself to be made: {way}.", at=way)
        return tuple(flat(_generated(structure, self, (*under, url), depth)))


def generate(structure: Resource, snapshots: Snapshots) -> list[dict[str, Any]]:
    """The snapshot a StructureDefinition's differential makes, whether or not it carries one.
    Raises BrokenProfile."""
    return list(flat(_generated(structure, snapshots, (str(structure.get("url")),), 0)))


def _elements(structure: Resource, part: str) -> list[Any]:
    """The elements of the `snapshot` or of the `differential`."""
    found = structure.get(part)
    elements = found.get("element") if isinstance(found, dict) else None
    return elements if isinstance(elements, list) else []


def _carried(structure: Resource) -> tuple[Definition, ...] | None:
    """The snapshot a StructureDefinition brings along, if it is whole: every element under its
    parent, with its cardinality."""
    elements = _elements(structure, "snapshot")
    try:
        root = tree(str(structure.get("url")), elements)
    except BrokenProfile:
        return None
    if not all("min" in element and "max" in element for element in elements):
        return None
    return tuple(flat(root))


def _generated(
    structure: Resource, snapshots: Snapshots, under: tuple[str, ...], depth: int
) -> Node:
    url = under[-1]
    type = structure.get("type")
    if not isinstance(type, str) or not type:
        raise BrokenProfile(url, "it has no `type`.")
    if depth > MAX_DEPTH:
        raise BrokenProfile(url, f"it stands on more than {MAX_DEPTH} others.")
    name = type.rpartition("/")[2]
    adds = structure.get("derivation") != "constraint"
    root = _base(structure, snapshots, under, depth)
    if root is None:
        root = Node(name, None, {})
    elif adds:
        root.name, root.definition = name, _own_root(root, name)
    elif root.name != name:
        raise BrokenProfile(url, f"it is a `{name}`, but its base is a `{root.name}`.")
    laying = Laying(
        url, type, adds, lambda asked, at: _known(snapshots, asked, under, at), snapshots.root
    )
    laying.lay(root, wishes(url, _elements(structure, "differential"), name), depth)
    return root


def _base(
    structure: Resource, snapshots: Snapshots, under: tuple[str, ...], depth: int
) -> Node | None:
    base, url = structure.get("baseDefinition"), under[-1]
    if base is None and structure.get("derivation") != "constraint":
        return None
    if not isinstance(base, str) or not base:
        raise BrokenProfile(url, "it has no `baseDefinition`.")
    if not snapshots.is_known(base):
        raise BrokenProfile(url, f"its base `{base}` is not known here.")
    return tree(base, snapshots.made(base, under, depth + 1))


def _own_root(root: Node, name: str) -> Definition:
    """The root of a new type is an element of its own."""
    return {**root.definition, "base": {"path": name, "min": 0, "max": "*"}}


def _known(snapshots: Snapshots, url: str, under: tuple[str, ...], depth: int) -> Node | None:
    if not snapshots.is_known(url):
        return None
    return tree(url, snapshots.made(url, under, depth))
