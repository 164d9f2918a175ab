"""subset — a resource with only the elements that were asked for.

https://hl7.org/fhir/R4/search.html#summary
https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.resource import Resource

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
SUMMARIES = ("true", "text", "data", "count", "false")  # `count` is for search to answer
IDENTITY = frozenset({"resourceType", "id", "meta"})  # kept whatever is asked
# What changes the meaning of all the rest is never left out: R4 search#elements obliges no
# server to answer with less than it thinks safe.
MEANING = frozenset({"implicitRules", "modifierExtension"})

Tree = dict[str, "Tree | None"]  # element name -> what is asked of it; None: all of it


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of a resource is wanted: `_summary` and `_elements`.

    summary: true | text | data | false, or None. elements: `name`, `name.family`,
    `Patient.name`; a choice may be written `value`, `value[x]` or `valueQuantity`.
    """

    summary: str | None = None
    elements: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return self.summary in (None, "false") and not self.elements


WHOLE = Shape()


def shaped(definitions: Definitions, resource: Resource, shape: Shape) -> Resource:
    """The resource in this shape, tagged SUBSETTED; itself where all of it is wanted."""
    type = resource.get("resourceType", "")
    if shape.is_whole or type not in definitions.resource_types:
        return resource
    asked = _asked(definitions, type, shape.elements)
    if shape.summary in (None, "false") and asked is None:
        return resource  # every element asked for is prefixed with another type
    kept = resource
    match shape.summary:
        case "true":
            kept = _summarized(definitions, resource, type)
        case "text":
            kept = _picked(definitions, resource, type, {"text": {}})
        case "data":
            kept = {name: value for name, value in resource.items() if name != "text"}
    if asked is not None:
        kept = _picked(definitions, kept, type, asked)
    return _tagged(kept)


def unknown_elements(
    definitions: Definitions, types: Iterable[str], elements: Iterable[str]
) -> list[str]:
    """Those of `_elements` that name nothing in any of these types (empty: in any type)."""
    types = tuple(types) or tuple(sorted(definitions.resource_types))
    unknown = []
    for element in elements:
        prefix, _, path = element.partition(".")
        among = (prefix,) if prefix in definitions.resource_types else types
        path = path if prefix in definitions.resource_types else element
        if not any(_exists(definitions, type, path) for type in among):
            unknown.append(element)
    return unknown


def _exists(definitions: Definitions, node: str, path: str) -> bool:
    """Whether the path names an element below a node."""
    nodes = {node}
    for name in path.removesuffix("[x]").split("."):
        fields = [field for node in nodes for field in definitions.children(node).values()]
        nodes = {field.node for field in fields if name in _names(field)}
        if not nodes:
            return False
    return True


def _names(field: Field) -> tuple[str, str]:
    """What an element may be called: `valueQuantity` or `value`."""
    return field.name, field.element.name


def _asked(definitions: Definitions, type: str, elements: Iterable[str]) -> Tree | None:
    """The elements asked of this type, as a tree; None where none are."""
    tree: Tree = {}
    for element in elements:
        names = [name.removesuffix("[x]") for name in element.split(".")]
        if names[0] in definitions.resource_types and names.pop(0) != type:
            continue
        *above, last = names or [""]
        branch: Tree | None = tree
        for name in above:
            branch = branch.setdefault(name, {}) if branch is not None else None
        if branch is not None:
            branch[last] = None
    return tree or None


def _summarized(definitions: Definitions, value: dict[str, Any], node: str) -> dict[str, Any]:
    """What R4 marks as summary, and what is mandatory, at every depth."""
    fields = definitions.children(node)
    kept = {}
    for name, content in value.items():
        field = fields.get(name.removeprefix("_"))
        if name in IDENTITY or name in MEANING or name.startswith("_"):
            if name in IDENTITY or name in MEANING or (field and _in_summary(field)):
                kept[name] = content
        elif field is not None and _in_summary(field):
            kept[name] = _each(content, lambda c, f=field: _below(definitions, c, f))
    return kept


def _in_summary(field: Field) -> bool:
    return field.element.in_summary or field.element.min > 0


def _below(definitions: Definitions, content: Any, field: Field) -> Any:
    if not isinstance(content, dict) or field.node == "Extension":
        return content
    node = field.node
    if node in definitions.any_resource:
        node = content.get("resourceType", "")
        if node not in definitions.resource_types:
            return content
    return _summarized(definitions, content, node)


def _picked(
    definitions: Definitions, value: dict[str, Any], node: str, tree: Tree
) -> dict[str, Any]:
    """What was asked for by name, what is mandatory, and what gives the rest its meaning."""
    fields = definitions.children(node)
    kept = {}
    for name, content in value.items():
        field = fields.get(name.removeprefix("_"))
        if name in IDENTITY or name in MEANING:
            kept[name] = content
        elif field is not None:
            called = next((n for n in _names(field) if n in tree), None)
            wanted = tree[called] if called else None
            if wanted and not name.startswith("_"):
                kept[name] = _each(
                    content,
                    lambda c, f=field, w=wanted: (
                        _picked(definitions, c, f.node, w) if isinstance(c, dict) else c
                    ),
                )
            elif called or field.element.min > 0:
                kept[name] = content
    return kept


def _each(content: Any, narrowed: Any) -> Any:
    """A repeating element's items narrowed one by one, or the single element."""
    if isinstance(content, list):
        return [narrowed(item) for item in content]
    return narrowed(content)


def _tagged(resource: Resource) -> Resource:
    """The resource with the tag that says it is not whole, so nobody writes it back."""
    meta = resource.get("meta") or {}
    tags = meta.get("tag") or []
    if any(tag.get("code") == "SUBSETTED" for tag in tags):
        return resource
    tagged: Resource = {name: resource[name] for name in ("resourceType", "id") if name in resource}
    tagged["meta"] = {**meta, "tag": [*tags, dict(SUBSETTED)]}
    tagged.update((name, value) for name, value in resource.items() if name not in IDENTITY)
    return tagged
