"""differential — what a profile says of its own, sorted into a tree.

https://hl7.org/fhir/R4/profiling.html#snapshot
https://hl7.org/fhir/R4/elementdefinition.html#id

A differential may leave out parents, and it need not keep quite the order of its base. Which slice
an element belongs to is told by its id where the ids are as R4 wants them
(`Patient.identifier:cccd.system`), else by the order: children follow their slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from fhir_server.conformance.snapshot.broken import BrokenProfile
from fhir_server.conformance.snapshot.tree import MAX_ELEMENTS, Definition, checked

Step = tuple[str, str | None]  # the name of an element, and its slice


@dataclass(slots=True, eq=False)
class Wish:
    """What is asked of a place; `definition` is empty where only its children are spoken of."""

    name: str
    slice: str | None
    id: str  # for messages
    definition: Definition = field(default_factory=dict)
    children: dict[Step, Wish] = field(default_factory=dict)

    def to(self, step: Step) -> Wish:
        """The wish for a child, made where there was none."""
        found = self.children.get(step)
        if found is None:
            name, slice = step
            id = f"{self.id}.{name}:{slice}" if slice else f"{self.id}.{name}"
            found = self.children[step] = Wish(name, slice, id)
        return found


def wishes(url: str, elements: Sequence[Any], root: str) -> Wish:
    """A differential as a tree. Raises BrokenProfile where an element's place cannot be told."""
    if len(elements) > MAX_ELEMENTS:
        raise BrokenProfile(url, f"it has more than {MAX_ELEMENTS} elements.")
    definitions = [checked(url, element) for element in elements]
    by_id = all(_steps_of_id(definition) for definition in definitions if "id" in definition)
    found = Wish(root, None, root)
    before: list[Step] = []
    for definition in definitions:
        steps = (_steps_of_id(definition) if by_id else None) or _steps_of_path(definition, before)
        if steps[0][0] != root:
            raise BrokenProfile(url, f"`{definition['path']}` is not an element of `{root}`.")
        wish = found
        for step in steps[1:]:
            wish = wish.to(step)
        if wish.definition:
            raise BrokenProfile(url, _twice(wish))
        wish.definition = definition
        before = steps
    return found


def _steps_of_id(definition: Definition) -> list[Step] | None:
    """The way to an element as its id tells it; None where the id contradicts path or sliceName.

    R4: the parts of the path, each with `:sliceName` where it is a slice. A choice's shortcut is
    written either way: `value[x]:valueQuantity` has the path `value[x]` or `valueQuantity`.
    """
    id, names = definition.get("id"), definition["path"].split(".")
    if not id:
        return None
    parts = id.split(".")
    if len(parts) != len(names):
        return None
    steps: list[Step] = []
    for part, name in zip(parts, names, strict=True):
        head, _, slice = part.partition(":")
        if head != name and not (head.endswith("[x]") and slice.partition("/")[0] == name):
            return None
        steps.append((head, slice or None))
    named = definition.get("sliceName")
    return steps if steps[-1][1] == named or (named is None and steps[-1][0] != names[-1]) else None


def _steps_of_path(definition: Definition, before: list[Step]) -> list[Step]:
    """The way to an element as its path and what stands before it tell: the slices that are open
    stay open for the children that follow."""
    *parents, name = definition["path"].split(".")
    pairs = zip(parents, before, strict=False)
    steps = [step for _, step in takewhile(lambda pair: pair[0] == pair[1][0], pairs)]
    steps += [(parent, None) for parent in parents[len(steps) :]]
    return [*steps, (name, definition.get("sliceName"))]


def _twice(wish: Wish) -> str:
    if wish.slice:
        return f"the slice `{wish.id}` is defined twice. Give each slice a name of its own."
    return (
        f"`{wish.id}` is there twice, and the second has no `sliceName`. Give every slice a name."
    )
