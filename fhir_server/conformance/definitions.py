"""definitions — every R4 type and its elements, from the compact facts in r4/definitions.json.

https://hl7.org/fhir/R4/structuredefinition.html
https://hl7.org/fhir/R4/elementdefinition.html

A *node* names a place that has children: a type (`HumanName`, `Patient`) or the path of a
BackboneElement (`Patient.contact`). `children(node)` gives its fields by their JSON names, with
choices spelled out (`valueQuantity`, `valueString`, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

R4_FOLDER = Path(__file__).parent / "r4"

SUMMARY, MODIFIER, XML_ATTRIBUTE, XML_TEXT = 1, 2, 4, 8
INLINE = {"BackboneElement", "Element"}  # their children stand under the element's own path


class TypeChoice(NamedTuple):
    """One type an element may have; `targets` for Reference and canonical, else empty."""

    code: str
    targets: tuple[str, ...] = ()


class Binding(NamedTuple):
    """The value set an element is bound to, and how strongly."""

    strength: str
    value_set: str


@dataclass(frozen=True, slots=True)
class Element:
    """One ElementDefinition of a snapshot."""

    path: str
    min: int
    max: int | None  # None: *
    types: tuple[TypeChoice, ...] = ()
    binding: Binding | None = None
    constraints: tuple[str, ...] = ()
    content_reference: str | None = None
    flags: int = 0
    regex: str | None = None
    max_length: int | None = None

    @property
    def name(self) -> str:
        """The element's name, without its path and without `[x]`."""
        return self.path.rpartition(".")[2].removesuffix("[x]")

    @property
    def is_choice(self) -> bool:
        return self.path.endswith("[x]")

    @property
    def many(self) -> bool:
        return self.max != 1

    @property
    def in_summary(self) -> bool:
        return bool(self.flags & SUMMARY)

    @property
    def is_modifier(self) -> bool:
        return bool(self.flags & MODIFIER)


class Field(NamedTuple):
    """A property as JSON names it: `valueQuantity` is the element `value[x]` as a Quantity."""

    name: str
    element: Element
    type: TypeChoice
    node: str  # where its own children are found; a primitive's node is its type


@dataclass(frozen=True, slots=True)
class TypeDefinition:
    """A type: a resource, a complex datatype or a primitive one."""

    name: str
    kind: str  # resource | complex-type | primitive-type
    base: str | None
    abstract: bool
    elements: tuple[Element, ...]  # the first is the type itself


class Definitions:
    """All R4 definitions. Load once with `load()`; everything here is read-only."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.version: str = facts["version"]
        self._facts = facts
        self._types: dict[str, TypeDefinition] = {}
        self._children: dict[str, dict[str, Field]] = {}
        self._codes: dict[str, dict[str, frozenset[str]] | None] = {}
        types = facts["types"]
        self.all_types: tuple[str, ...] = tuple(types)
        self.resource_types = frozenset(
            name for name, t in types.items() if t["kind"] == "resource" and not t["abstract"]
        )
        self.primitive_types = frozenset(
            name for name, t in types.items() if t["kind"] == "primitive-type"
        )
        self.complex_types = frozenset(
            name for name, t in types.items() if t["kind"] == "complex-type"
        )

    @property
    def search_parameters(self) -> list[dict[str, Any]]:
        """SearchParameter facts: url, code, base, type, expression, target, component, ..."""
        found: list[dict[str, Any]] = self._facts["search_parameters"]
        return found

    @property
    def compartments(self) -> dict[str, dict[str, list[str]]]:
        """CompartmentDefinitions: `Patient` -> type -> the codes of its parameters."""
        found: dict[str, dict[str, list[str]]] = self._facts["compartments"]
        return found

    @property
    def operations(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._facts["operations"]
        return found

    @property
    def constraints(self) -> dict[str, list[str]]:
        """The invariants: key -> [severity, FHIRPath expression]."""
        found: dict[str, list[str]] = self._facts["constraints"]
        return found

    def type(self, name: str) -> TypeDefinition:
        """The definition of a type. Raises KeyError where R4 has no such type."""
        found = self._types.get(name)
        if found is None:
            facts = self._facts["types"][name]
            elements = tuple(map(_element, facts["elements"]))
            found = TypeDefinition(name, facts["kind"], facts["base"], facts["abstract"], elements)
            self._types[name] = found
        return found

    def ancestors(self, name: str) -> tuple[str, ...]:
        """A type and all it derives from, nearest first: Patient, DomainResource, Resource."""
        chain = [name]
        while base := self.type(chain[-1]).base:
            if base not in self._facts["types"]:
                break
            chain.append(base)
        return tuple(chain)

    def children(self, node: str) -> dict[str, Field]:
        """The fields of a type or of a BackboneElement's path, by JSON name, in R4's order."""
        found = self._children.get(node)
        if found is None:
            self._learn(node.partition(".")[0])
            found = self._children[node]
        return found

    def codes(self, value_set: str) -> dict[str, frozenset[str]] | None:
        """The codes of a required value set by system; None where R4 cannot enumerate them."""
        if value_set not in self._codes:
            listed = self._facts["codes"].get(value_set)
            self._codes[value_set] = (
                None if listed is None else {system: frozenset(codes) for system, codes in listed}
            )
        return self._codes[value_set]

    def _learn(self, name: str) -> None:
        """Sort a type's flat element list into its nodes."""
        first, *rest = self.type(name).elements
        self._children.setdefault(first.path, {})
        for element in rest:
            parent = element.path.rpartition(".")[0]
            fields = self._children.setdefault(parent, {})
            if element.content_reference:
                node = element.content_reference
                fields[element.name] = Field(element.name, element, TypeChoice("Element"), node)
                continue
            for type in element.types:
                suffix = type.code[0].upper() + type.code[1:] if element.is_choice else ""
                node = element.path if type.code in INLINE else type.code
                field = Field(element.name + suffix, element, type, node)
                fields[field.name] = field
        for element in rest:  # an inline element always has children of its own
            if any(type.code in INLINE for type in element.types):
                self._children.setdefault(element.path, {})

    @cached_property
    def any_resource(self) -> frozenset[str]:
        """The abstract types whose place any resource may take."""
        return frozenset({"Resource", "DomainResource"})


def _element(facts: list[Any]) -> Element:
    path, minimum, maximum, *rest = facts
    types, binding, constraints, reference, flags, regex, length = (*rest, *[None] * 7)[:7]
    return Element(
        path,
        minimum,
        None if maximum == "*" else int(maximum),
        tuple(TypeChoice(code, tuple(*targets)) for code, *targets in types or ()),
        Binding(*binding) if binding else None,
        tuple(constraints or ()),
        reference,
        flags or 0,
        regex,
        length,
    )


@cache
def load() -> Definitions:
    """The definitions of R4 4.0.1, the same for everybody (15 ms and 7 MB the first time; types are
    built when first asked for)."""
    return Definitions(orjson.loads((R4_FOLDER / "definitions.json").read_bytes()))
