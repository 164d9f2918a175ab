"""diagnosis — the slow answer: everything that is wrong with a resource, and where.

https://hl7.org/fhir/R4/json.html
https://hl7.org/fhir/R4/element.html
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from fhir_server.conformance.definitions import XML_ATTRIBUTE, Field
from fhir_server.foundation.primitive import JSON_TYPE, VALID, is_id, is_uri
from fhir_server.foundation.resource import Resource
from fhir_server.validation import narrative
from fhir_server.validation.datatype import Rules
from fhir_server.validation.invariant import Invariants
from fhir_server.validation.structure import binding, reference
from fhir_server.validation.structure.constraint import Asking
from fhir_server.validation.structure.contained import Scope
from fhir_server.validation.structure.demand import demanding
from fhir_server.validation.structure.report import Report, name_shown

Check = Callable[[Any], bool]

MAX_DEPTH = 100
OF_A_BUNDLE = 2  # deeper, Bundles within Bundles would be asked for again at every level
FRAGMENTS = {"canonical", "uri", "url"}  # beside Reference.reference, what may name a contained


class Walk:
    """One walk through one resource, adding to a report whatever it finds."""

    def __init__(
        self,
        invariants: Invariants,
        rules: Rules,
        targets: str,
        surely: Check,
        *,
        thorough: bool = False,
    ) -> None:
        self.rules = rules
        self.definitions = invariants.definitions
        self.surely = surely  # the fast answer: spares the good entries of a Bundle
        self.targets = targets  # error | warning | off
        self.report = Report()
        self.depth = 0
        self.in_transaction = False
        self.scope = Scope({})
        self.asking = Asking(invariants, self.report, thorough=thorough)

    # --- resources -------------------------------------------------------------------------------

    def resource(self, value: Any, path: str, *, contained: bool = False) -> None:
        """A resource: the one asked about, or one within it."""
        if not isinstance(value, dict):
            key = "json-type.resource" if path else "json-type.whole"
            self.report.add(key, path, found=value, **({"name": _leaf(path)} if path else {}))
            return
        type = value.get("resourceType")
        if not isinstance(type, str) or type not in self.definitions.resource_types:
            self._unknown_type(value, path)
            return
        path = path or type
        if contained:
            self.scope.check_entry(self.report, value, path)
            before = self.asking.enter(value, self.asking.env.root)
            self.place(value, type, path)
            self.asking.env = before
            return
        outer = self.scope, self.in_transaction, self.asking.enter(value)
        self.scope = Scope(value)
        if type == "Bundle":
            self.in_transaction = value.get("type") == "transaction"
        self.place(value, type, path)
        self.scope.check_ties(self.report, path)
        self.scope, self.in_transaction, self.asking.env = outer

    def _unknown_type(self, value: Resource, path: str) -> None:
        if "resourceType" not in value:
            self.report.add("resource-type.missing", path)
            return
        type = value["resourceType"]
        if near := _near(type, sorted(self.definitions.resource_types), self.report):
            self.report.add("resource-type.near", path, found=type, near=near)
        else:
            self.report.add("resource-type.unknown", path, found=type)

    def _contained(self, values: Any, path: str) -> None:
        if not self._is_array(values, path):
            return
        for index, value in enumerate(values):
            self.scope.within = index
            self.resource(value, f"{path}[{index}]", contained=True)
        self.scope.within = None

    # --- places: types and BackboneElements ------------------------------------------------------

    def place(self, value: Any, node: str, path: str, *, has_value: bool = False) -> None:
        """An object that stands for a type or a BackboneElement, or beside a primitive."""
        if not isinstance(value, dict):
            if value is None:
                self.report.add("null.object", path, name=_leaf(path), node=node)
            else:
                self.report.add("json-type.object", path, name=_leaf(path), found=value, node=node)
            return
        if not value:
            self.report.add("empty.object", path, name=_leaf(path))
            return
        if self.depth >= MAX_DEPTH:
            self.report.add("depth", path, most=MAX_DEPTH)
            return
        self.depth += 1
        self._properties(value, node, path)
        self.depth -= 1
        for found in self.rules.issues(node, value, path):
            self.report.take(found)
        self.asking.of_place(value, node, path)
        is_resource = node in self.definitions.resource_types
        if value.keys() == {"id"} and not is_resource and not has_value:
            self.report.add("ele-1", path, name=_leaf(path))

    def _properties(self, value: Resource, node: str, path: str) -> None:
        fields = self.definitions.children(node)
        is_resource = node in self.definitions.resource_types
        done: set[str] = set()
        for name in value:
            bare = name.removeprefix("_")
            field = fields.get(bare)
            if name == "resourceType" and is_resource:
                continue
            if field is None or (bare != name and not self._has_sibling(field)):
                self._unknown(name, node, path)
            elif bare not in done:
                done.add(bare)
                self._field(value, field, node, path)
        self._demands(value, node, path)
        if node == "Extension":
            self._extension(value, path)

    def _has_sibling(self, field: Field) -> bool:
        """Whether `_name` may stand beside `name`."""
        code = field.type.code
        primitive = code in self.definitions.primitive_types and code != "xhtml"
        return primitive and not field.element.flags & XML_ATTRIBUTE

    def _unknown(self, name: str, node: str, path: str) -> None:
        fields = self.definitions.children(node)
        there = f"{path}.{name_shown(name)}"
        choice = [f.name for f in fields.values() if f.element.is_choice and f.element.name == name]
        if choice:
            said: dict[str, Any] = {"name": name, "node": node, "names": choice[:6]}
            self.report.add("unknown-element.choice", there, **said)
        elif name == "fhir_comments":
            self.report.add("unknown-element.comments", there, name=name, node=node)
        elif near := _near(name, list(fields), self.report):
            self.report.add("unknown-element.near", there, name=name, node=node, near=near)
        else:
            self.report.add("unknown-element", there, name=name, node=node)

    def _demands(self, value: Resource, node: str, path: str) -> None:
        """What must be there is there, and of each choice there is only one."""
        for group in demanding(self.definitions, node):
            element = group[0].element
            names = [field.name for field in group]
            found = [name for name in names if name in value or f"_{name}" in value]
            there = f"{path}.{element.name}"
            if len(found) > 1:
                self.report.add("choice", there, found=found, name=element.name)
            elif not found and element.min:
                said: dict[str, Any] = {
                    "name": element.name,
                    "owner": _leaf(path),
                    "names": names[:6],
                }
                self.report.add("min", there, **said)

    def _extension(self, value: Resource, path: str) -> None:
        has_value = any(name.lstrip("_").startswith("value") for name in value)
        if has_value == ("extension" in value):
            self.report.add("ext-1.both" if has_value else "ext-1.neither", path)

    # --- fields ----------------------------------------------------------------------------------

    def _field(self, owner: Resource, field: Field, node: str, path: str) -> None:
        """One property, with its `_` sibling."""
        name = field.name
        below = f"{path}.{field.element.name}"
        if name == "contained":
            self._contained(owner[name], below)
            return
        if field.element.many:
            self._repeating(owner, field, below)
            return
        if name == "id" and name in owner:
            self._id(owner[name], node, below)
        elif name in owner:
            self._value(owner[name], field, below)
        if f"_{name}" in owner:
            self.place(owner[f"_{name}"], "Element", below, has_value=name in owner)

    def _id(self, value: Any, node: str, path: str) -> None:
        is_resource = node in self.definitions.resource_types
        if is_id(value) if is_resource else is_uri(value):
            return
        if not isinstance(value, str):
            type = "id" if is_resource else "string"
            self.report.add("json-type.text", path, name="id", found=value, type=type)
        else:
            self.report.add("id.resource" if is_resource else "id.element", path, found=value)

    def _repeating(self, owner: Resource, field: Field, path: str) -> None:
        name = field.name
        values, siblings = owner.get(name), owner.get(f"_{name}")
        if name in owner and not self._is_array(values, path):
            return
        if f"_{name}" in owner and not self._is_array(siblings, path, mark="_"):
            return
        primitive = self._has_sibling(field)
        if values and siblings and len(values) != len(siblings):
            said: dict[str, Any] = {"values": len(values), "siblings": len(siblings)}
            self.report.add("padding", path, name=name, sibling=f"_{name}", **said)
        for index in range(max(len(values or ()), len(siblings or ()))):
            value = values[index] if values and index < len(values) else None
            sibling = siblings[index] if siblings and index < len(siblings) else None
            there = f"{path}[{index}]"
            if primitive and value is None and sibling is None:
                said = {"index": index, "name": name, "sibling": f"_{name}"}
                self.report.add("null.item", there, **said)
                continue
            if value is not None or not primitive:
                self._value(value, field, there)
            if sibling is not None:
                self.place(sibling, "Element", there, has_value=value is not None)

    def _is_array(self, values: Any, path: str, mark: str = "") -> bool:
        name = f"{mark}{_leaf(path)}"
        if isinstance(values, list):
            if not values:
                self.report.add("empty.array", path, name=name)
            return bool(values)
        if values is None:
            self.report.add("null.array", path, name=name)
        else:
            self.report.add("array.many", path, name=name, found=values)
        return False

    # --- values ----------------------------------------------------------------------------------

    def _value(self, value: Any, field: Field, path: str) -> None:
        """One value of a field."""
        code = field.type.code
        if isinstance(value, list):
            self.report.add("array.one", path, name=field.name)
        elif value is None:
            self.report.add("null", path, name=field.name)
        elif code == "Resource":
            if self.depth > OF_A_BUNDLE or not self.surely(value):
                self.resource(value, path)
        elif code in VALID:
            self._primitive(value, field, path)
            self.asking.of_element(value, field, path)
        else:
            self.place(value, field.node, path)
            if code == "Reference" and isinstance(value, dict):
                self._reference(value, field, path)
            self._binding(value, field, path)
            self.asking.of_element(value, field, path)

    def _primitive(self, value: Any, field: Field, path: str) -> None:
        code = field.type.code
        if code == "xhtml" and VALID[code](value):
            for problem in narrative.problems(value):
                self.report.add(problem.key, path, **problem.said)
            for link in narrative.inner_links(value):
                self.scope.note(link)
        elif not VALID[code](value):
            self._not_valid(value, field, path)
        else:
            if code in FRAGMENTS and value[0] == "#":
                self.scope.note(value)
            self._binding(value, field, path)

    def _not_valid(self, value: Any, field: Field, path: str) -> None:
        code = field.type.code
        is_text = isinstance(value, str)
        if value == "":
            self.report.add("empty.text", path, name=field.name)
        elif is_text == (code in JSON_TYPE) or isinstance(value, (dict, bool)):
            key = f"json-type.{JSON_TYPE.get(code, 'text')}"
            self.report.add(key, path, name=field.name, found=value, type=code)
        else:
            self.report.add(f"value.{code}", path, name=field.name, found=value)

    def _binding(self, value: Any, field: Field, path: str) -> None:
        bound = binding.bound(self.definitions, field)
        if bound is None or binding.CHECKS[field.type.code](bound, value):
            return
        said: dict[str, Any] = {"codes": sorted(bound.codes), "value_set": bound.value_set}
        key = bound.wrong if isinstance(value, str) else "binding.concept"
        self.report.add(key, path, name=field.name, found=value, **said)

    # --- references ------------------------------------------------------------------------------

    def _reference(self, value: Resource, field: Field, path: str) -> None:
        """How a Reference is written, what it names, and whether its element allows that."""
        types, said = self.definitions.resource_types, value.get("type")
        type = self._type_named(value.get("reference"), f"{path}.reference")
        if isinstance(said, str) and (said := said.removeprefix(reference.OWN)) in types:
            if type is not None and type != said:
                self.report.add("reference-type.said", f"{path}.type", said=said, type=type)
            type = type or said
        targets = field.type.targets
        if self.targets == "off" or not targets or "Resource" in targets:
            return
        if type is not None and type not in targets:
            told: dict[str, Any] = {"name": field.name, "type": type, "targets": targets}
            there = f"{path}.reference"
            self.report.add("reference-type", there, severity=self.targets, **told)

    def _type_named(self, text: Any, path: str) -> str | None:
        """The type of resource a reference tells; None where it does not."""
        if not isinstance(text, str) or not text:
            return None
        if text.startswith("#"):
            self.scope.note(text)
            if text == "#":
                return self.scope.type
            if text[1:] not in self.scope.types:
                self.report.add("ref-1", path, found=text)
            return self.scope.types.get(text[1:])
        types = self.definitions.resource_types
        found = reference.read(text, types, conditional=self.in_transaction)
        if found.wrong is None:
            return found.type
        self.report.add(found.wrong, path, found=text, type=found.type)
        return None


def _leaf(path: str) -> str:
    """The last step of a path, as a message names it."""
    return path.rpartition(".")[2]


def _near(name: Any, known: list[str], report: Report) -> str | None:
    """What was probably meant, where something known is near."""
    if report.full or not isinstance(name, str) or len(name) > 64:
        return None  # comparing costs; nobody would read it
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if not near:
        near = [other for other in known if other.lower() == name.lower()]
    return near[0] if near else None
