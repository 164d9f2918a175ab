"""tree — the elements of a snapshot as a tree, and the tree as elements again.

https://hl7.org/fhir/R4/elementdefinition.html#interpretation
https://hl7.org/fhir/R4/elementdefinition.html#id

A slice is a neighbor of the element it slices and comes behind it: `identifier`, then
`identifier:cccd`, then `identifier:cccd/old`, each with its own children. Definitions are shared
between trees and never changed in place; nodes belong to one tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.conformance.snapshot.broken import BrokenProfile

Definition = dict[str, Any]  # an ElementDefinition

MAX_DEPTH = 64  # of paths, of bases over bases and of profiles walked into, all together
MAX_ELEMENTS = 20_000  # of one snapshot; R4's largest has 600

# What is asked of an ElementDefinition's properties before anything is made of them: a package's
# file was checked by nobody.
SHAPES: Mapping[str, type] = {
    "id": str,
    "path": str,
    "sliceName": str,
    "min": int,
    "max": str,
    "contentReference": str,
    "type": list,
    "slicing": dict,
    "constraint": list,
    "condition": list,
    "mapping": list,
    "alias": list,
    "binding": dict,
    "base": dict,
}
# The same of what is within: of each entry of a list, or of the one there is.
WITHIN: Mapping[str, Mapping[str, type]] = {
    "type": {"code": str, "profile": list, "targetProfile": list},
    "constraint": {"key": str, "expression": str},
    "slicing": {"discriminator": list, "rules": str},
    "base": {"path": str},
}
NEEDED = {"type": "code", "constraint": "key"}


@dataclass(slots=True, eq=False)
class Node:
    """A place in a snapshot."""

    name: str  # the last part of its path: `value[x]`
    slice: str | None
    definition: Definition
    children: list[Node] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Its part of the id: `value[x]:valueQuantity`."""
        return f"{self.name}:{self.slice}" if self.slice else self.name

    @property
    def is_choice(self) -> bool:
        return self.name.endswith("[x]")

    @property
    def types(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.definition.get("type") or []
        return found

    def size(self) -> int:
        return 1 + sum(child.size() for child in self.children)

    def copy(self) -> Node:
        return Node(
            self.name, self.slice, self.definition, [child.copy() for child in self.children]
        )

    def slices(self, name: str) -> list[Node]:
        """The slices of a child."""
        return [child for child in self.children if child.name == name and child.slice]

    def child(self, name: str, slice: str | None = None) -> Node | None:
        for child in self.children:
            if child.name == name and child.slice == slice:
                return child
        return None


def checked(url: str, element: Any) -> Definition:
    """An ElementDefinition whose properties are of the types that are counted on."""
    if not isinstance(element, dict) or not isinstance(element.get("path"), str):
        raise BrokenProfile(url, "one of its elements has no `path`.")
    path = element["path"]
    if path.count(".") >= MAX_DEPTH:
        raise BrokenProfile(url, f"`{path[:80]}...` has more than {MAX_DEPTH} levels.")
    if wrong := _wrong(element, SHAPES):
        raise BrokenProfile(url, f"`{wrong}` of `{path}` is malformed.")
    for name, shapes in WITHIN.items():
        value = element.get(name) or ()
        for entry in value if isinstance(value, list) else [value] if value else ():
            needed = NEEDED.get(name)
            if not isinstance(entry, dict) or (needed and needed not in entry):
                raise BrokenProfile(url, f"`{name}` of `{path}` has an entry without `{needed}`.")
            if wrong := _wrong(entry, shapes):
                raise BrokenProfile(url, f"`{name}.{wrong}` of `{path}` is malformed.")
    if not _is_max(element.get("max", "*")):
        raise BrokenProfile(url, f"`max` of `{path}` is neither a number nor `*`.")
    return element


def _wrong(value: Mapping[str, Any], shapes: Mapping[str, type]) -> str | None:
    """The first property that is not of its type."""
    for name, shape in shapes.items():
        found = value.get(name)
        if name in value and (not isinstance(found, shape) or isinstance(found, bool)):
            return name
    return None


def _is_max(value: str) -> bool:
    return value == "*" or (value.isascii() and value.isdigit() and len(value) < 10)


def tree(url: str, elements: Sequence[Any]) -> Node:
    """The tree of a whole snapshot. Raises BrokenProfile where an element's parent is missing."""
    if len(elements) > MAX_ELEMENTS:
        raise BrokenProfile(url, f"it has more than {MAX_ELEMENTS} elements.")
    open: list[Node] = []
    for element in elements:
        path = checked(url, element)["path"]
        *parents, name = path.split(".")
        if [node.name for node in open[: len(parents)]] != parents or (open and not parents):
            raise BrokenProfile(url, f"the parent of `{path}` does not stand before it.")
        del open[len(parents) :]
        node = Node(name, element.get("sliceName"), element)
        if open:
            open[-1].children.append(node)
        open.append(node)
    if not open:
        raise BrokenProfile(url, "it has no elements.")
    return open[0]


def flat(root: Node) -> Iterator[Definition]:
    """The elements of a tree in the order of a snapshot, with their paths and ids."""
    waiting = [(root, "", "")]
    while waiting:
        node, path, id = waiting.pop()
        path, id = path + node.name, id + node.key
        definition = node.definition
        if definition.get("path") != path or definition.get("id") != id:
            definition = {**definition, "id": id, "path": path}
        yield definition
        waiting.extend((child, path + ".", id + ".") for child in reversed(node.children))
