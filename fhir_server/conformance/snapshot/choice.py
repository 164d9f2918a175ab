"""choice — elements of several types in a differential: narrowed, sliced by type, or abbreviated.

https://hl7.org/fhir/R4/formats.html#choice
https://hl7.org/fhir/R4/profiling.html#slicing
https://hl7.org/fhir/R4/elementdefinition.html#ElementDefinition.slicing

`Observation.valueQuantity` in a differential is short for the slice `valueQuantity` of
`Observation.value[x]`, by type: it speaks of quantities, and leaves the other types as they are
(HL7's ruling FHIR-12259; the tool that made R4's own profiles still closed the choice). Where
other types are to go, `value[x]` lists those that stay.
"""

from __future__ import annotations

from typing import Any

from fhir_server.conformance.snapshot.tree import Definition, Node

BY_TYPE = {"type": "type", "path": "$this"}


def choice_of(parent: Node, name: str) -> Node | None:
    """The child of which `valueQuantity` is a short form."""
    for child in parent.children:
        if child.slice is None and child.is_choice and type_in(child, name):
            return child
    return None


def renamed(parent: Node, name: str) -> Node | None:
    """The child that is a choice by its base but was given a narrower name, as profiles could
    before R4: `value[x]` as `valueQuantity`."""
    if not name.endswith("[x]"):
        return None
    for child in parent.children:
        base = (child.definition.get("base") or {}).get("path")
        if child.slice is None and isinstance(base, str) and base.rpartition(".")[2] == name:
            return child
    return None


def type_in(choice: Node, name: str) -> str | None:
    """The type that a name such as `valueQuantity` speaks of; None where it is none of a choice's.

    Whatever the base has narrowed away is not found: R4 has no way to widen a choice.
    """
    stem = choice.name.removesuffix("[x]")
    suffix = name.removeprefix(stem)
    if not suffix or len(suffix) == len(name):
        return None
    for type in choice.types:
        code: str = type["code"]
        if suffix == code[:1].upper() + code[1:]:
            return code
    return None


def narrowed(definition: Definition, code: str) -> Definition:
    """A definition with one of its types only."""
    return {**definition, "type": [t for t in definition["type"] if t["code"] == code]}


def is_by_type(definition: Definition) -> bool:
    slicing = definition.get("slicing") or {}
    return slicing.get("discriminator") == [BY_TYPE]


def close(choice: Node, slices: list[Node]) -> None:
    """Of a choice sliced by type only those types are left that a slice admits: where the slices
    are closed, those of all; where one must be there, its own, because a choice is there once."""
    needed = [slice for slice in slices if slice.definition.get("min")]
    closed = choice.definition["slicing"].get("rules") == "closed"
    if len(needed) == 1 and choice.definition.get("max") == "1":
        slices = needed
    elif not closed:
        return
    kept = {type["code"] for slice in slices for type in slice.types}
    types: list[dict[str, Any]] = [type for type in choice.types if type["code"] in kept]
    if types and len(types) < len(choice.types):
        choice.definition = {**choice.definition, "type": types}
