"""fhirpath_patch — a resource changed by operations that name its elements by FHIRPath.

https://hl7.org/fhir/R4/fhirpatch.html
https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.fhirpath.evaluate import compile_node
from fhir_server.foundation.fhirpath.items import Item
from fhir_server.foundation.fhirpath.parse import parse
from fhir_server.foundation.fhirpath.tree import Name, Node
from fhir_server.foundation.outcome import FhirError, Invalid, Unprocessable
from fhir_server.foundation.resource import Resource
from fhir_server.interaction import patch_value
from fhir_server.interaction.json_patch import MAX_DEPTH, MAX_OPERATIONS, deep_copy, measure
from fhir_server.interaction.patch_value import Pair, fields_named, pairs, put

MAX_STEPS = 500_000  # of all the paths together, an operation having at most a fifth
LEAST_STEPS = 1_000

# The parts an operation must have beside its type and path.
PARTS: dict[str, tuple[str, ...]] = {
    "add": ("name", "value"),
    "insert": ("index", "value"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}
TEXTS = {"type": ("valueCode", "valueString"), "path": ("valueString",), "name": ("valueString",)}
NUMBERS = ("index", "source", "destination")
INTEGERS = ("valueInteger", "valueUnsignedInt", "valuePositiveInt")


def apply(definitions: Definitions, resource: Resource, parameters: Resource) -> Resource:
    """The patched resource; the one given is left as it was."""
    if not isinstance(parameters, dict) or parameters.get("resourceType") != "Parameters":
        raise Invalid("A FHIRPath Patch is a Parameters resource.")
    if resource.get("resourceType") not in definitions.resource_types:
        raise Unprocessable("`resourceType` names no resource type of R4, so there is no patch.")
    operations = parameters.get("parameter", [])
    if not isinstance(operations, list) or len(operations) > MAX_OPERATIONS:
        raise Invalid(f"A FHIRPath Patch is a list of at most {MAX_OPERATIONS} operations.")
    patched: Resource = deep_copy(resource)
    steps = max(LEAST_STEPS, MAX_STEPS // max(len(operations), 5))
    for index, parameter in enumerate(operations):
        _Operation(definitions, patched, index, steps).apply(parameter)
    return patched


class _Operation:
    """One operation of the patch, which can name itself when it is refused."""

    def __init__(self, definitions: Definitions, patched: Resource, index: int, steps: int) -> None:
        self.definitions = definitions
        self.patched = patched
        self.steps = steps
        self.name = f"Operation {index} of the FHIRPath Patch"
        self.expression = f"Parameters.parameter[{index}]"
        self.parts: dict[str, Any] = {}

    def apply(self, parameter: Any) -> None:
        try:
            self.read(parameter)
            OPERATIONS[self.parts["type"]](self)
        except FhirError as error:
            kind = Unprocessable if isinstance(error, Unprocessable) else Invalid
            raise kind(f"{self.name}: {error}", expression=self.expression) from None

    def refuse(self, why: str) -> NoReturn:
        raise Unprocessable(why)

    # --- what is asked -------------------------------------------------------------------------

    def read(self, parameter: Any) -> None:
        """The parts of an operation. Raises Invalid where they are not what R4 says."""
        parts = parameter.get("part") if isinstance(parameter, dict) else None
        if not isinstance(parts, list) or parameter.get("name") != "operation":
            raise Invalid("it must be a parameter named `operation`, with parts.")
        for part in parts:
            name = part.get("name") if isinstance(part, dict) else None
            if not isinstance(name, str) or name not in {*TEXTS, *NUMBERS, "value"}:
                raise Invalid(f"`{str(name)[:50]}` is no part of an operation.")
            if name in self.parts:
                raise Invalid(f"the part `{name}` is given twice.")
            self.parts[name] = _content(name, part)
        type = self.parts.get("type")
        if type not in PARTS:
            raise Invalid(f"`type` must be one of {', '.join(f'`{name}`' for name in PARTS)}.")
        for name in ("path", *PARTS[type]):
            if name not in self.parts:
                raise Invalid(f"`{type}` needs the part `{name}`.")
        self.name += f" (`{type}` at `{self.parts['path'][:200]}`)"

    def value(self, place: Item, fields: list[Field]) -> tuple[Field, Pair]:
        """The value to put, and as which of the fields, a choice having one for each type."""
        chosen, pair = patch_value.read(self.definitions, self.parts["value"], fields)
        depth = 0
        above: Item | None = place
        while above is not None:
            depth, above = depth + 2, above.parent
        if depth + max(measure(pair.value)[1], measure(pair.beside)[1]) > MAX_DEPTH:
            self.refuse(f"the result would be more than {MAX_DEPTH} levels deep.")
        return chosen, pair

    # --- where ---------------------------------------------------------------------------------

    def found(self, node: Node) -> list[Item]:
        """The elements of the resource that a path names."""
        expression = compile_node(node, self.definitions)
        items = expression.evaluate(self.patched, max_steps=self.steps)
        for item in items:
            root = item
            while root.parent is not None:
                root = root.parent
            if root.value is not self.patched:
                self.refuse("the path must name elements of the resource itself.")
        return items

    def one(self) -> Item:
        items = self.found(parse(self.parts["path"]))
        if len(items) != 1:
            self.refuse(
                f"the path names {len(items)} elements; make it name one, as by `[0]` or `where()`."
                if items
                else "the path names nothing that is there."
            )
        return items[0]

    def parent(self, item: Item) -> Item:
        if item.parent is None:
            self.refuse("the path names the whole resource; use PUT or DELETE.")
        return item.parent

    def field(self, item: Item) -> Field:
        return self.definitions.children(self.parent(item).node)[item.name]

    def siblings(self, field: Field, node: str) -> list[Field]:
        """A field with the others of the same choice."""
        fields = self.definitions.children(node).values()
        return [other for other in fields if other.element is field.element]

    def inside(self, item: Item) -> dict[str, Any]:
        """The JSON object that holds an item's children; for a primitive, the one beside it."""
        for content in (item.value, item.beside):
            if isinstance(content, dict):
                return content
        beside: dict[str, Any] = {}
        item.beside = beside
        self.write(item, Pair(item.value, beside))
        return beside

    def write(self, item: Item, pair: Pair | None) -> None:
        """Put another content in an item's place, or none."""
        container, field = self.inside(self.parent(item)), self.field(item)
        content = pairs(container, item.name)
        content[item.index or 0 : (item.index or 0) + 1] = [pair] if pair else []
        put(container, field, content)

    def remove(self, item: Item) -> None:
        """Take an item out, and whatever that leaves empty."""
        parent = self.parent(item)
        self.write(item, None)
        if self.inside(parent) or parent.parent is None:
            return
        if parent.value is None or isinstance(parent.value, dict):
            self.remove(parent)
        else:
            self.write(parent, Pair(parent.value))

    def whole_list(self) -> tuple[Item, Field]:
        """The element that has the list a path names, and the list's field."""
        node = parse(self.parts["path"])
        items = self.found(node)
        if items:
            parent, field = self.parent(items[0]), self.field(items[0])
            alike = all(item.parent is parent and item.name == field.name for item in items)
            if not alike or len(items) != len(pairs(self.inside(parent), field.name)):
                self.refuse("the path must name one whole list.")
        else:
            if not isinstance(node, Name) or node.base is None:
                self.refuse("the path names no list that is there.")
            holders = self.found(node.base)
            fields = [f for h in holders for f in fields_named(self.definitions, h.node, node.name)]
            if len(holders) != 1 or len(fields) != 1:
                self.refuse("the path names no list that is there.")
            parent, field = holders[0], fields[0]
        if not field.element.many:
            self.refuse(f"`{field.element.path}` does not repeat; use `add` or `replace`.")
        return parent, field


def _content(name: str, part: dict[str, Any]) -> Any:
    """A part as text or number; the part itself where it is the value."""
    if name == "value":
        return part
    among: tuple[str, ...] = TEXTS.get(name, INTEGERS)
    wanted = str if name in TEXTS else int
    value = next((part[key] for key in among if key in part), None)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise Invalid(f"the part `{name}` needs a `{among[0]}`.")
    return value


# --- the operations ------------------------------------------------------------------------------


def _add(operation: _Operation) -> None:
    item, name = operation.one(), operation.parts["name"]
    fields = fields_named(operation.definitions, item.node, name)
    if not fields:
        operation.refuse(f"`{name[:50]}` is no element of `{item.path}`.")
    chosen, pair = operation.value(item, fields)
    container = operation.inside(item)
    if not chosen.element.many:
        there = [f.name for f in operation.siblings(chosen, item.node) if pairs(container, f.name)]
        if there:
            operation.refuse(f"`{item.path}.{there[0]}` is there already; use `replace`.")
    put(container, chosen, [*pairs(container, chosen.name), pair])


def _insert(operation: _Operation) -> None:
    parent, field = operation.whole_list()
    container, index = operation.inside(parent), operation.parts["index"]
    content = pairs(container, field.name)
    if not 0 <= index <= len(content):
        operation.refuse(f"the index {index} is not within the list's {len(content)} elements.")
    _, pair = operation.value(parent, [field])
    put(container, field, [*content[:index], pair, *content[index:]])


def _delete(operation: _Operation) -> None:
    # R4: only a single element can be deleted, and it is no error if there is none
    items = operation.found(parse(operation.parts["path"]))
    if items:
        operation.remove(operation.one() if len(items) > 1 else items[0])


def _replace(operation: _Operation) -> None:
    item = operation.one()
    parent, field = operation.parent(item), operation.field(item)
    chosen, pair = operation.value(parent, operation.siblings(field, parent.node))
    if chosen.name == item.name:
        operation.write(item, pair)
    else:
        container = operation.inside(parent)
        operation.write(item, None)
        put(container, chosen, [pair])


def _move(operation: _Operation) -> None:
    parent, field = operation.whole_list()
    container = operation.inside(parent)
    content = pairs(container, field.name)
    source, destination = operation.parts["source"], operation.parts["destination"]
    for index in (source, destination):
        if not 0 <= index < len(content):
            operation.refuse(f"the index {index} is not within the list's {len(content)} elements.")
    content.insert(destination, content.pop(source))
    put(container, field, content)


OPERATIONS: dict[str, Callable[[_Operation], None]] = {
    "add": _add,
    "insert": _insert,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}
