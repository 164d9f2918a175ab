"""tree — the flat snapshot of a profile as a tree of its elements and slices.

https://hl7.org/fhir/R4/elementdefinition.html
https://hl7.org/fhir/R4/profiling.html#slicing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, NamedTuple

MAX_VALUE_SET = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
ADDITIONAL = {
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition.binding.additional",
    "http://hl7.org/fhir/tools/StructureDefinition/additional-binding",
}
# R5's, as a profile of R4 may carry it: the value may be missing where one of these is there.
ALTERNATIVES = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition.valueAlternatives"
)
PROFILE_ELEMENT = "http://hl7.org/fhir/StructureDefinition/elementdefinition-profile-element"
SYSTEM = "http://hl7.org/fhirpath/System."
R4_TYPE = "http://hl7.org/fhir/StructureDefinition/"
DEFAULT = "@default"  # R4 profiling#default-slice
MAX_ELEMENTS = 20_000


class Type(NamedTuple):
    """One ElementDefinition.type."""

    code: str
    profiles: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    aggregation: frozenset[str] = frozenset()


class Bound(NamedTuple):
    """ElementDefinition.binding, with R4's extension for the maximum, and what R5 lets a profile
    add: further value sets a code must be of."""

    strength: str
    value_set: str
    most: str | None = None  # what even an extensible binding must not leave
    also: tuple[str, ...] = ()


class Typed(NamedTuple):
    """`fixedCode`, `patternCoding`, `minValueDate`: the type its name tells, and the value."""

    type: str
    value: Any


class Discriminator(NamedTuple):
    type: str  # value | exists | pattern | type | profile
    path: str


class Slicing(NamedTuple):
    discriminators: tuple[Discriminator, ...] = ()
    rules: str = "open"  # closed | open | openAtEnd
    ordered: bool = False


BY_URL = Slicing((Discriminator("value", "url"),))  # R4 extensibility: always sliced by url


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One ElementDefinition, with what stands below it."""

    path: str
    name: str  # without `[x]`
    id: str = ""
    is_choice: bool = False
    slice_name: str = ""
    min: int = 0
    max: int | None = None  # None: *
    types: tuple[Type, ...] = ()
    fixed: Typed | None = None
    pattern: Typed | None = None
    binding: Bound | None = None
    constraints: tuple[Mapping[str, Any], ...] = ()
    min_value: Typed | None = None
    max_value: Typed | None = None
    max_length: int | None = None
    must_support: bool = False
    is_modifier: bool = False
    alternatives: tuple[str, ...] = ()
    content_reference: str | None = None
    slicing: Slicing | None = None
    slices: tuple[Node, ...] = ()
    children: tuple[Node, ...] = ()

    def child(self, name: str) -> Node | None:
        """A child by its name; a choice also by what JSON calls it."""
        for child in self.children:
            if child.name == name:
                return child
        return next((c for c in self.children if c.is_choice and name.startswith(c.name)), None)

    def walk(self) -> Iterator[Node]:
        yield self
        for below in (*self.slices, *self.children):
            yield from below.walk()


@dataclass(slots=True)
class _Draft:
    """A node that is still being put together."""

    path: str
    element: Mapping[str, Any]
    slice_name: str = ""
    children: list[_Draft] = field(default_factory=list)
    slices: list[_Draft] = field(default_factory=list)

    def freeze(self) -> Node:
        slices = tuple(draft.freeze() for draft in self.slices)
        children = tuple(draft.freeze() for draft in self.children)
        return _node(self, slices, children)


def tree(elements: Sequence[Mapping[str, Any]]) -> Node:
    """The tree of a snapshot. Raises ValueError where the elements make none."""
    if not elements or len(elements) > MAX_ELEMENTS:
        raise ValueError(f"a snapshot has 1 to {MAX_ELEMENTS} elements, not {len(elements)}")
    first, *rest = elements
    root = _Draft(first["path"], first)
    latest = {root.path: root}  # the last draft of every path: what comes next is below it
    for element in rest:
        path = element["path"]
        parent = latest.get(path.rpartition(".")[0])
        if parent is None:
            raise ValueError(f"`{path}` stands below nothing")
        latest[path] = _put(parent, path, element)
    return root.freeze()


def _put(parent: _Draft, path: str, element: Mapping[str, Any]) -> _Draft:
    name = element.get("sliceName") or ""
    draft = _Draft(path, element, name)
    if not name:
        parent.children.append(draft)
        return draft
    heads = [c for c in parent.children if c.path == path]
    heads = heads or [c for c in parent.children if _is_choice_of(c.path, path)]
    if not heads:  # the slices stand alone: the element itself is free
        types = element.get("type", ())
        heads = [_Draft(path, {"path": path, "type": [{"code": t.get("code")} for t in types]})]
        parent.children.append(heads[0])
    _slice(heads[-1], draft)
    return draft


def _is_choice_of(choice: str, path: str) -> bool:
    """`Observation.value[x]` and `Observation.valueQuantity`."""
    return choice.endswith("[x]") and path.startswith(choice[:-3])


def _slice(head: _Draft, draft: _Draft) -> None:
    """R4 profiling#reslicing: `a/b` is a slice of the slice `a`."""
    for existing in head.slices:
        if draft.slice_name.startswith(f"{existing.slice_name}/"):
            _slice(existing, draft)
            return
    head.slices.append(draft)


# --- one element ----------------------------------------------------------------------------------


def _node(draft: _Draft, slices: tuple[Node, ...], children: tuple[Node, ...]) -> Node:
    element = draft.element
    name = draft.path.rpartition(".")[2]
    return Node(
        draft.path,
        name.removesuffix("[x]"),
        element.get("id") or "",
        name.endswith("[x]"),
        draft.slice_name,
        int(element.get("min", 0)),
        None if (most := element.get("max", "*")) == "*" else int(most),
        tuple(map(_type, element.get("type", ()))),
        _typed(element, "fixed"),
        _typed(element, "pattern"),
        _bound(element.get("binding")),
        tuple(element.get("constraint", ())),
        _typed(element, "minValue"),
        _typed(element, "maxValue"),
        element.get("maxLength"),
        bool(element.get("mustSupport")),
        bool(element.get("isModifier")),
        tuple(
            extension["valueCanonical"]
            for extension in element.get("extension", ())
            if extension.get("url") == ALTERNATIVES and "valueCanonical" in extension
        ),
        element.get("contentReference"),
        _slicing(element.get("slicing"), name, has_slices=bool(slices)),
        slices,
        children,
    )


def _type(told: Mapping[str, Any]) -> Type:
    code = told.get("code", "")
    if code.startswith(SYSTEM):
        code = code.removeprefix(SYSTEM).lower()
    return Type(
        code.removeprefix(R4_TYPE),
        tuple(map(_profile, told.get("profile", ()), _besides(told, "profile"))),
        tuple(told.get("targetProfile", ())),
        frozenset(told.get("aggregation", ())),
    )


def _besides(told: Mapping[str, Any], name: str) -> Iterator[Any]:
    """What stands in `_name`, item by item, and nothing for ever after."""
    return chain(told.get(f"_{name}", ()), repeat(None))


def _profile(url: str, beside: Mapping[str, Any] | None) -> str:
    """A profile, or one element of it, which R4's extension names: `url#Composition.section:a`."""
    for extension in (beside or {}).get("extension", ()):
        if extension.get("url") == PROFILE_ELEMENT:
            return f"{url}#{extension.get('valueString', '')}"
    return url


def _typed(element: Mapping[str, Any], what: str) -> Typed | None:
    for name, value in element.items():
        if name.startswith(what) and name[len(what) :][:1].isupper():
            return Typed(name[len(what) :], value)
    return None


def _bound(told: Mapping[str, Any] | None) -> Bound | None:
    if told is None:
        return None
    extensions = told.get("extension", ())
    most = [
        extension.get("valueCanonical") or extension.get("valueUri")
        for extension in extensions
        if extension.get("url") == MAX_VALUE_SET
    ]
    also = tuple(found for e in extensions if (found := _additional(e)))
    value_set = told.get("valueSet") or ""
    if not value_set and not most and not also:
        return None
    return Bound(told.get("strength", "example"), value_set, next(iter(most), None), also)


def _additional(extension: Mapping[str, Any]) -> str | None:
    """The value set of an additional binding that is required wherever the element is used."""
    if extension.get("url") not in ADDITIONAL:
        return None
    parts = {part.get("url"): part for part in extension.get("extension", ())}
    if parts.get("purpose", {}).get("valueCode") != "required" or "usage" in parts:
        return None
    found = parts.get("valueSet", {}).get("valueCanonical")
    return found if isinstance(found, str) else None


def _slicing(told: Mapping[str, Any] | None, name: str, *, has_slices: bool) -> Slicing | None:
    if told is None:
        if not has_slices:
            return None
        if name in ("extension", "modifierExtension"):
            return BY_URL
        return Slicing((Discriminator("type", "$this"),)) if name.endswith("[x]") else Slicing()
    discriminators = tuple(
        Discriminator(d.get("type", "value"), d.get("path", "$this"))
        for d in told.get("discriminator", ())
    )
    if not discriminators and name in ("extension", "modifierExtension"):
        discriminators = BY_URL.discriminators
    return Slicing(discriminators, told.get("rules", "open"), bool(told.get("ordered")))
