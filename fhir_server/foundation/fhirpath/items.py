"""items — what an expression walks over: a value, its type, and where it stands.

http://hl7.org/fhirpath/N1/#navigation-model
https://hl7.org/fhir/R4/fhirpath.html#polymorphism
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol

from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.fhirpath.temporal import Temporal
from fhir_server.foundation.outcome import Invalid

SYSTEM = "System."
SYSTEM_TYPES = frozenset(
    {"Any", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity"}
)
CLASS = "ClassInfo"  # what type() tells: a namespace and a name
QUANTITIES = frozenset({"Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity"})
TEMPORAL = {"date": "date", "dateTime": "dateTime", "instant": "dateTime", "time": "time"}


class ElementLike(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def many(self) -> bool: ...


class TypeLike(Protocol):
    @property
    def code(self) -> str: ...


class FieldLike(Protocol):
    """A property of a type as JSON names it: conformance.definitions.Field is one."""

    @property
    def name(self) -> str: ...
    @property
    def element(self) -> ElementLike: ...
    @property
    def type(self) -> TypeLike: ...
    @property
    def node(self) -> str: ...


class DefinitionsLike(Protocol):
    """What FHIRPath must know of FHIR: conformance.definitions.Definitions knows it."""

    def __hash__(self) -> int: ...
    @property
    def resource_types(self) -> Set[str]: ...
    @property
    def primitive_types(self) -> Set[str]: ...
    @property
    def complex_types(self) -> Set[str]: ...
    @property
    def any_resource(self) -> Set[str]: ...
    def children(self, node: str) -> Mapping[str, FieldLike]: ...
    def ancestors(self, name: str) -> tuple[str, ...]: ...


class Item:
    """A node of a resource, or a value an expression made.

    value: a dict, a JSON scalar, None (a primitive that has only extensions), or, for a type of
    `System.`, a Python value (Temporal and Quantity among them). type: `HumanName`, `code`,
    `System.String`. node: where the definitions keep its children. name: the JSON property it
    stands in, of `parent`; index: its place there if that is a list; beside: its `_name`.
    """

    __slots__ = ("beside", "element", "index", "name", "node", "parent", "type", "value")

    def __init__(
        self,
        value: Any,
        type: str,
        node: str = "",
        *,
        parent: Item | None = None,
        name: str = "",
        element: str = "",
        index: int | None = None,
        beside: Any = None,
    ) -> None:
        self.value = value
        self.type = type
        self.node = node
        self.parent = parent
        self.name = name
        self.element = element
        self.index = index
        self.beside = beside

    @property
    def path(self) -> str:
        """`Patient.name[0].given[1]`; empty for a value that is not part of a resource."""
        steps: list[str] = []
        item: Item | None = self
        while item is not None and item.parent is not None:
            steps.append(item.element + ("" if item.index is None else f"[{item.index}]"))
            item = item.parent
        if item is None or item.type.startswith(SYSTEM):
            return ""
        return ".".join([item.type, *reversed(steps)])

    def __repr__(self) -> str:
        return f"Item({self.value!r}, {self.type})"


class Model:
    """FHIR's types as FHIRPath sees them: choices under one name, primitives with extensions."""

    def __init__(self, definitions: DefinitionsLike) -> None:
        self.definitions = definitions
        self._fields: dict[str, dict[str, list[FieldLike]]] = {}
        self._ancestors: dict[str, frozenset[str]] = {}

    def root(self, resource: Any) -> Item:
        """A resource, or an element given without its surroundings, as the outermost item."""
        type = resource.get("resourceType", "") if isinstance(resource, dict) else ""
        known = isinstance(type, str) and type in self.definitions.resource_types
        return Item(resource, type if known else "Element", type if known else "Element")

    def fields(self, node: str) -> dict[str, list[FieldLike]]:
        """The fields of a node by the name FHIRPath gives them: `value`, not `valueString`."""
        found = self._fields.get(node)
        if found is None:
            found = {}
            try:
                fields = self.definitions.children(node)
            except KeyError:
                fields = {}
            for field in fields.values():
                found.setdefault(field.element.name, []).append(field)
            self._fields[node] = found
        return found

    def child(self, item: Item, name: str) -> list[Item]:
        """The children of an item by one name."""
        value = item.value
        if not isinstance(value, dict):
            if name == "value" and item.node in self.definitions.primitive_types:
                return [] if value is None else [system(item)]
            value = item.beside
            if not isinstance(value, dict) or name not in ("id", "extension"):
                return []
        if item.type == CLASS:
            return [made(value[name])] if name in value else []
        found: list[Item] = []
        for field in self.fields(item.node).get(name, ()):
            content, beside = value.get(field.name), value.get("_" + field.name)
            if content is not None or beside is not None:
                self._put(found, field, content, beside, item)
        return found

    def children(self, item: Item) -> list[Item]:
        """All children of an item, in R4's order."""
        if not isinstance(item.value, dict) and not isinstance(item.beside, dict):
            return []
        present = item.value if isinstance(item.value, dict) else item.beside
        names = {name.removeprefix("_") for name in present}
        found: list[Item] = []
        for name, fields in self.fields(item.node).items():
            if any(field.name in names for field in fields):
                found.extend(self.child(item, name))
        return found

    def _put(
        self, found: list[Item], field: FieldLike, content: Any, beside: Any, parent: Item
    ) -> None:
        if not isinstance(content, list) and not isinstance(beside, list):
            found.append(self._item(field, content, beside, parent, None))
            return
        contents = content if isinstance(content, list) else []
        besides = beside if isinstance(beside, list) else []
        for index in range(max(len(contents), len(besides))):
            one = contents[index] if index < len(contents) else None
            other = besides[index] if index < len(besides) else None
            if one is not None or other is not None:
                found.append(self._item(field, one, other, parent, index))

    def _item(
        self, field: FieldLike, value: Any, beside: Any, parent: Item, index: int | None
    ) -> Item:
        type, node = field.type.code, field.node
        if node in self.definitions.any_resource and isinstance(value, dict):
            named = value.get("resourceType")
            type = node = named if isinstance(named, str) and named else "Resource"
        return Item(
            value,
            type,
            node,
            parent=parent,
            name=field.name,
            element=field.element.name,
            index=index,
            beside=beside,
        )

    def is_type(self, item: Item, type: str) -> bool:
        """Whether an item is of a type, or of one derived from it."""
        namespace, _, name = type.rpartition(".")
        if item.type.startswith(SYSTEM):
            return namespace in ("", "System") and item.type == SYSTEM + name
        return namespace in ("", "FHIR") and (item.type == name or name in self.lineage(item.type))

    def is_exactly(self, item: Item, type: str) -> bool:
        """As is_type(), but a code is not a string. Raises Invalid where there is no such type."""
        namespace, _, name = type.rpartition(".")
        if namespace not in ("", "FHIR", "System") or name not in self.types:
            raise Invalid(f"FHIRPath: there is no type `{type[:50]}`.")
        if item.node in self.definitions.primitive_types:
            return namespace in ("", "FHIR") and item.type == name
        return self.is_type(item, type)

    def as_type(self, item: Item, type: str) -> Item | None:
        """An item that is exactly of a type, or a primitive as the type of System it stands for:
        R4 fhirpath.html converts primitives where they are used, as in `value as String`."""
        if self.is_exactly(item, type):
            return item
        namespace, _, name = type.rpartition(".")
        is_primitive = item.node in self.definitions.primitive_types and item.value is not None
        if not is_primitive or name not in SYSTEM_TYPES or namespace == "FHIR":
            return None
        converted = system(item)
        return converted if converted.type == SYSTEM + name else None

    @cached_property
    def types(self) -> Set[str]:
        known = self.definitions
        types = known.resource_types | known.primitive_types | known.complex_types
        return types | known.any_resource | SYSTEM_TYPES

    def lineage(self, type: str) -> frozenset[str]:
        """A FHIR type and all it derives from."""
        found = self._ancestors.get(type)
        if found is None:
            try:
                found = frozenset(self.definitions.ancestors(type))
            except KeyError:
                found = frozenset({type})
            self._ancestors[type] = found
        return found


def made(value: Any) -> Item:
    """An item for a value an expression made."""
    match value:
        case bool():
            return Item(value, "System.Boolean")
        case int():
            return Item(value, "System.Integer")
        case Decimal():
            return Item(value, "System.Decimal")
        case Temporal():
            return Item(value, "System." + value.kind[0].upper() + value.kind[1:])
        case Quantity():
            return Item(value, "System.Quantity")
        case _:
            return Item(value, "System.String")


def plain(item: Item) -> Any:
    """The value in the types of System: FHIR's dates and quantities are given their meaning."""
    value = item.value
    if isinstance(value, str):
        kind = TEMPORAL.get(item.type)
        return value if kind is None else Temporal.parse(value, kind) or value
    if isinstance(value, dict) and item.type in QUANTITIES:
        number = value.get("value")
        if isinstance(number, int | Decimal) and not isinstance(number, bool):
            ucum = value.get("system") == "http://unitsofmeasure.org"
            unit = value.get("code") if ucum else value.get("unit") or value.get("code")
            return Quantity(Decimal(number), unit if isinstance(unit, str) else "1")
    if isinstance(value, int) and item.type == "decimal":
        return Decimal(value)
    return value


def system(item: Item) -> Item:
    return made(plain(item))
