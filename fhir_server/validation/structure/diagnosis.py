"""diagnosis — the slow answer: everything that is wrong with a resource, and where.

https://hl7.org/fhir/R4/json.html
https://hl7.org/fhir/R4/element.html
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from fhir_server.conformance.definitions import XML_ATTRIBUTE, Definitions, Field
from fhir_server.foundation.primitive import JSON_TYPE, VALID, WANTED, is_id, is_uri
from fhir_server.foundation.resource import Resource
from fhir_server.validation import datatype, narrative
from fhir_server.validation.structure import binding, reference
from fhir_server.validation.structure.contained import Scope
from fhir_server.validation.structure.demand import demanding
from fhir_server.validation.structure.report import Report, name_shown, shown

Check = Callable[[Any], bool]

MAX_DEPTH = 100
OF_A_BUNDLE = 2  # deeper, Bundles within Bundles would be asked for again at every level
FRAGMENTS = {"canonical", "uri", "url"}  # beside Reference.reference, what may name a contained


class Walk:
    """One walk through one resource, adding to a report whatever it finds."""

    def __init__(self, definitions: Definitions, targets: str, surely: Check) -> None:
        self.definitions = definitions
        self.surely = surely  # the fast answer: spares the good entries of a Bundle
        self.targets = targets  # error | warning | off
        self.report = Report()
        self.depth = 0
        self.in_transaction = False
        self.scope = Scope({})

    # --- resources -------------------------------------------------------------------------------

    def resource(self, value: Any, path: str, *, contained: bool = False) -> None:
        """A resource: the one asked about, or one within it."""
        if not isinstance(value, dict):
            name = f"`{_leaf(path)}`" if path else "This"
            told = f"{name} is {shown(value)}; it must be a resource, a JSON object."
            self.report.add("json-type", path, told)
            return
        type = value.get("resourceType")
        if not isinstance(type, str) or type not in self.definitions.resource_types:
            self.report.add("resource-type", path, self._type_told(value))
            return
        path = path or type
        if contained:
            self.scope.check_entry(self.report, value, path)
            self.place(value, type, path)
            return
        outer = self.scope, self.in_transaction
        self.scope = Scope(value)
        if type == "Bundle":
            self.in_transaction = value.get("type") == "transaction"
        self.place(value, type, path)
        self.scope.check_ties(self.report, path)
        self.scope, self.in_transaction = outer

    def _type_told(self, value: Resource) -> str:
        if "resourceType" not in value:
            return "`resourceType` is missing. Name the resource's type, such as `Patient`."
        type = value["resourceType"]
        hint = _hint(type, sorted(self.definitions.resource_types), self.report)
        return f"`resourceType` is {shown(type)}, which is not a type of resource in R4.{hint}"

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
            told = f"`{_leaf(path)}` is {shown(value)}; it must be a JSON object (`{node}`)."
            self.report.add("null" if value is None else "json-type", path, told)
            return
        if not value:
            told = f"`{_leaf(path)}` is empty. Fill it or leave it out."
            self.report.add("empty", path, told)
            return
        if self.depth >= MAX_DEPTH:
            self.report.add("depth", path, f"This is nested deeper than {MAX_DEPTH} levels.")
            return
        self.depth += 1
        self._properties(value, node, path)
        self.depth -= 1
        for found in datatype.issues(node, value, path):
            self.report.take(found)
        is_resource = node in self.definitions.resource_types
        if value.keys() == {"id"} and not is_resource and not has_value:
            told = f"`{_leaf(path)}` has an `id` and nothing else. Give it a value or leave it out."
            self.report.add("ele-1", path, told)

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
        shown_name = name_shown(name)
        choice = [f.name for f in fields.values() if f.element.is_choice and f.element.name == name]
        if choice:
            mend = f" Its name tells its type: write {_listed(choice[:6])}."
        elif name == "fhir_comments":
            mend = " FHIR's JSON has no comments since R3. Remove it."
        else:
            mend = _hint(name, list(fields), self.report)
        self.report.add(
            "unknown-element",
            f"{path}.{shown_name}",
            f"`{shown_name}` is not an element of `{node}`.{mend}",
        )

    def _demands(self, value: Resource, node: str, path: str) -> None:
        """What must be there is there, and of each choice there is only one."""
        for group in demanding(self.definitions, node):
            element = group[0].element
            names = [field.name for field in group]
            found = [name for name in names if name in value or f"_{name}" in value]
            there = f"{path}.{element.name}"
            if len(found) > 1:
                told = f"{_listed(found, 'and')} stand together; `{element.name}[x]` has one value."
                self.report.add("choice", there, f"{told} Keep one of them.")
            elif not found and element.min:
                told = f"`{element.name}` is required in `{_leaf(path)}` and is missing."
                self.report.add("min", there, f"{told} Add {_listed(names[:6])}.")

    def _extension(self, value: Resource, path: str) -> None:
        has_value = any(name.lstrip("_").startswith("value") for name in value)
        if has_value == ("extension" in value):
            found = "both" if has_value else "neither"
            told = f"An extension has either a value or extensions of its own; this has {found}."
            mend = "Keep one of them." if has_value else "Add `value[x]` or `extension`."
            self.report.add("ext-1", path, f"{told} {mend}")

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
        wanted = WANTED["id"] if is_resource else "text without blanks"
        rule = "id" if isinstance(value, str) else "json-type"
        self.report.add(rule, path, f"`id` is {shown(value)}; it must be {wanted}.")

    def _repeating(self, owner: Resource, field: Field, path: str) -> None:
        name = field.name
        values, siblings = owner.get(name), owner.get(f"_{name}")
        if name in owner and not self._is_array(values, path):
            return
        if f"_{name}" in owner and not self._is_array(siblings, path, mark="_"):
            return
        primitive = self._has_sibling(field)
        if values and siblings and len(values) != len(siblings):
            self.report.add(
                "padding",
                path,
                f"`{name}` has {len(values)} items and `_{name}` has {len(siblings)}. Pad the "
                "shorter with `null`, so that each item stands beside its own.",
            )
        for index in range(max(len(values or ()), len(siblings or ()))):
            value = values[index] if values and index < len(values) else None
            sibling = siblings[index] if siblings and index < len(siblings) else None
            there = f"{path}[{index}]"
            if primitive and value is None and sibling is None:
                told = f"Item {index} of `{name}` is `null`, with nothing in `_{name}`. Remove it."
                self.report.add("null", there, told)
                continue
            if value is not None or not primitive:
                self._value(value, field, there)
            if sibling is not None:
                self.place(sibling, "Element", there, has_value=value is not None)

    def _is_array(self, values: Any, path: str, mark: str = "") -> bool:
        name = f"{mark}{_leaf(path)}"
        if isinstance(values, list):
            if not values:
                told = f"`{name}` is an empty array. Leave it out."
                self.report.add("empty", path, told)
            return bool(values)
        rule = "null" if values is None else "array"
        told = f"`{name}` may repeat, so it must be an array; it is {shown(values)}."
        self.report.add(rule, path, f"{told} Write `[...]` around it.")
        return False

    # --- values ----------------------------------------------------------------------------------

    def _value(self, value: Any, field: Field, path: str) -> None:
        """One value of a field."""
        code = field.type.code
        if isinstance(value, list):
            told = f"`{field.name}` has one value, so it must not be an array."
            self.report.add("array", path, f"{told} Write the value without `[...]`.")
        elif value is None:
            told = f"`{field.name}` is `null`. Leave out what has no value."
            self.report.add("null", path, told)
        elif code == "Resource":
            if self.depth > OF_A_BUNDLE or not self.surely(value):
                self.resource(value, path)
        elif code in VALID:
            self._primitive(value, field, path)
        else:
            self.place(value, field.node, path)
            if code == "Reference" and isinstance(value, dict):
                self._reference(value, field, path)
            self._binding(value, field, path)

    def _primitive(self, value: Any, field: Field, path: str) -> None:
        code = field.type.code
        if code == "xhtml" and VALID[code](value):
            for problem in narrative.problems(value):
                self.report.add(problem.rule, path, problem.told)
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
            told = f"`{field.name}` is an empty text. Leave out what has no value."
            self.report.add("empty", path, told)
        elif is_text == (code in JSON_TYPE) or isinstance(value, (dict, bool)):
            wanted = JSON_TYPE.get(code, "a text in quotes")
            told = f"`{field.name}` is {shown(value)}; a `{code}` must be {wanted}."
            self.report.add("json-type", path, told)
        else:
            told = f"`{field.name}` is {shown(value)}; a `{code}` must be {WANTED[code]}."
            self.report.add("value", path, told)

    def _binding(self, value: Any, field: Field, path: str) -> None:
        bound = binding.bound(self.definitions, field)
        if bound is None or binding.CHECKS[field.type.code](bound, value):
            return
        if isinstance(value, str):
            found = f"`{field.name}` is {shown(value)}; it must be {bound.listed}."
        else:
            found = (
                f"`{field.name}` has no coding from `{bound.value_set}`. Add one: {bound.listed}."
            )
        self.report.add("binding", path, found)

    # --- references ------------------------------------------------------------------------------

    def _reference(self, value: Resource, field: Field, path: str) -> None:
        """How a Reference is written, what it names, and whether its element allows that."""
        types, said = self.definitions.resource_types, value.get("type")
        type = self._type_named(value.get("reference"), f"{path}.reference")
        if isinstance(said, str) and (said := said.removeprefix(reference.OWN)) in types:
            if type is not None and type != said:
                told = f"`type` says `{said}`, `reference` names a `{type}`. Make them agree."
                self.report.add("reference-type", f"{path}.type", told)
            type = type or said
        targets = field.type.targets
        if self.targets == "off" or not targets or "Resource" in targets:
            return
        if type is not None and type not in targets:
            told = f"`{field.name}` refers to a `{type}`; it may refer to a"
            told = f"{told} {_listed(list(targets))}."
            self.report.add("reference-type", f"{path}.reference", told, self.targets)

    def _type_named(self, text: Any, path: str) -> str | None:
        """The type of resource a reference tells; None where it does not."""
        if not isinstance(text, str) or not text:
            return None
        if text.startswith("#"):
            self.scope.note(text)
            if text == "#":
                return self.scope.type
            if text[1:] not in self.scope.types:
                mend = "Contain it, or mend the reference."
                self.report.add("ref-1", path, f"{shown(text)} names no contained resource. {mend}")
            return self.scope.types.get(text[1:])
        types = self.definitions.resource_types
        found = reference.read(text, types, conditional=self.in_transaction)
        if found.wrong:
            self.report.add("reference", path, f"{shown(text)} {found.wrong}.", found.severity)
        return found.type


def _leaf(path: str) -> str:
    """The last step of a path, as a message names it."""
    return path.rpartition(".")[2]


def _listed(names: list[str], joined: str = "or") -> str:
    return f" {joined} ".join(f"`{name}`" for name in names)


def _hint(name: Any, known: list[str], report: Report) -> str:
    """` Did you mean ...?`, where something known is near."""
    if report.full or not isinstance(name, str) or len(name) > 64:
        return ""  # comparing costs; nobody would read it
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if not near:
        near = [other for other in known if other.lower() == name.lower()]
    return f" Did you mean `{near[0]}`?" if near else ""
