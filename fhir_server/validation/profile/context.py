"""context — where an extension may stand: what a place may be called, and what a definition says.

https://hl7.org/fhir/R4/defining-extensions.html#context
https://hl7.org/fhir/R4/structuredefinition-definitions.html#StructureDefinition.context
"""

from __future__ import annotations

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.resource import Resource
from fhir_server.validation.profile.tree import R4_TYPE

# R4 uses these where their own definitions do not let them stand, in every StructureDefinition
# that has a snapshot and in many CodeSystems: it is the definitions that are wrong.
MENDED: dict[str, tuple[str, ...]] = {
    f"{R4_TYPE}structuredefinition-fhir-type": ("ElementDefinition.type",),
    f"{R4_TYPE}structuredefinition-normative-version": ("DomainResource", "ElementDefinition"),
    f"{R4_TYPE}regex": ("ElementDefinition.type",),
    f"{R4_TYPE}valueset-concept-comments": ("CodeSystem.concept",),
}


def contexts_of(structure: Resource) -> list[tuple[str, str]]:
    """The type and expression of each context of an extension's definition."""
    listed = structure.get("context")
    found = [
        (each.get("type", "element"), each.get("expression", ""))
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict)
    ]
    mended = MENDED.get(structure.get("url", ""), ())
    return found + [("element", name) for name in mended]


def node_of(definitions: Definitions, place: str) -> str | None:
    """The node of a place: `HumanName` for `Patient.name`."""
    return _steps(definitions, place)[-1][1]


def _steps(definitions: Definitions, place: str) -> list[tuple[str, str | None]]:
    """Each step of a place, from its type on: the element's own path, and its node."""
    first, *rest = place.split(".")
    found: list[tuple[str, str | None]] = [(first, first)]
    for name in rest:
        node = found[-1][1]
        try:
            field = definitions.children(node).get(name.removeprefix("_")) if node else None
        except KeyError:
            field = None
        found.append(("", None) if field is None else (field.element.path, field.node))
    return found


def names_of(definitions: Definitions, place: str, *, is_within: bool) -> frozenset[str]:
    """All that a context may call a place: its path, its type, and what that derives from."""
    steps = _steps(definitions, place)
    element, node = steps[-1]
    names = {element, element.removesuffix("[x]"), "*", "Element"}
    told = [name.removeprefix("_") for name in place.split(".")]
    for start, (_, owner) in enumerate(steps):  # `Patient.contact.name`, `HumanName.family`
        if owner is not None:
            below = told[start + 1 :]
            names.update(".".join([each, *below]) for each in _lineage(definitions, owner))
    if node is not None:
        names.update(_lineage(definitions, node))
    if is_within:
        names.add("Extension")
    return frozenset(name for name in names if name)


def _lineage(definitions: Definitions, node: str) -> tuple[str, ...]:
    """A node, and the types it derives from."""
    if "." in node:
        return node, "BackboneElement"
    return definitions.ancestors(node) if node in definitions.all_types else (node,)


def is_named(expression: str, names: frozenset[str]) -> bool:
    """`Observation.value[x]` and `Observation.valueQuantity`, or a type by its whole URL."""
    bare = expression.removesuffix("[x]").removeprefix("http://hl7.org/fhir/StructureDefinition/")
    return bare in names
