"""shape — whether a definition is made as R4 makes such resources, so that it can be read blindly.

https://hl7.org/fhir/R4/json.html
https://hl7.org/fhir/R4/conformance-module.html

What comes by way of the RESTful API is validated; what lies in a package or a folder is not, and
a snapshot, a value set or a code system is taken apart by code that trusts lists to be lists. So
every definition from a file is looked at here: objects, lists and primitives where they belong.
Nothing is said of unknown elements, which nobody reads, nor of cardinalities and values.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.resource import Resource

NUMBERS = frozenset({"integer", "unsignedInt", "positiveInt", "decimal"})
PYTHON: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "boolean": (bool,),
    "number": (int, Decimal),
}


class Wrong(NamedTuple):
    """The first place where a resource is not made as it should be."""

    path: str
    wanted: str  # list | object | resource | text | number | boolean


def wrong_shape(definitions: Definitions, resource: Resource) -> Wrong | None:
    """What is wrong with a resource of a known type; None where nothing is."""
    type = resource["resourceType"]
    waiting: list[tuple[Resource, str, str]] = [(resource, type, type)]
    while waiting:
        value, node, path = waiting.pop()
        fields = definitions.children(node)
        for name, item in value.items():
            field = fields.get(name)
            if field is None:
                beside = fields.get(name.removeprefix("_"))
                if beside is None or beside.type.code not in definitions.primitive_types:
                    continue
                field = beside
            wrong = _field(definitions, field, name, item, f"{path}.{name}", waiting)
            if wrong is not None:
                return wrong
    return None


def _field(
    definitions: Definitions,
    field: Field,
    name: str,
    item: Any,
    path: str,
    waiting: list[tuple[Resource, str, str]],
) -> Wrong | None:
    """What is wrong with a property; what is within it is told to `waiting`."""
    if not field.element.many:
        items = [item]
    elif isinstance(item, list):
        items = item
    else:
        return Wrong(path, "list")
    node = "Element" if name.startswith("_") else field.node
    for one in items:
        if node in definitions.primitive_types:
            wanted = "number" if node in NUMBERS else "boolean" if node == "boolean" else "text"
            # A list of primitives may have a null, whose extensions stand beside.
            absent = one is None and field.element.many
            if not absent and not _is(one, wanted):
                return Wrong(path, wanted)
        elif one is None and name.startswith("_"):
            continue
        elif not isinstance(one, dict):
            return Wrong(path, "object")
        elif node in definitions.any_resource:
            type = str(one.get("resourceType"))
            if type not in definitions.resource_types:
                return Wrong(path, "resource")
            waiting.append((one, type, path))
        else:
            waiting.append((one, node, path))
    return None


def _is(value: Any, wanted: str) -> bool:
    """Whether a primitive is of the kind wanted; Python takes `true` for a number."""
    return isinstance(value, PYTHON[wanted]) and (wanted == "boolean") == isinstance(value, bool)
