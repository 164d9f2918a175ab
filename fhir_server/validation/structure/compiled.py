"""compiled — the fast answer: yes, this is R4; or no, have a closer look.

https://hl7.org/fhir/R4/elementdefinition.html

Every place (a type, or the path of a BackboneElement) becomes one closure over a table of its
properties, each made when first met. `False` means "perhaps not": what is legal but rare
(contained resources, nulls that pad an array) is left to the diagnosing walk as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.conformance.definitions import XML_ATTRIBUTE, Definitions, Field
from fhir_server.foundation.primitive import VALID, is_id, is_uri, is_xhtml
from fhir_server.validation import narrative
from fhir_server.validation.datatype import Rules
from fhir_server.validation.invariant import Invariant, Invariants
from fhir_server.validation.structure import binding, constraint
from fhir_server.validation.structure.demand import Choice, demands
from fhir_server.validation.structure.reference import CONDITIONAL, RELATIVE, URN_UUID

Check = Callable[[Any], bool]


def _refuse(_value: Any) -> bool:
    return False


def _accept(_value: Any) -> bool:
    return True


def _narrative(value: Any) -> bool:
    return is_xhtml(value) and narrative.is_allowed(value)


class Compiled:
    """The closures of all types, made as they are needed."""

    def __init__(
        self,
        definitions: Definitions,
        invariants: Invariants,
        rules: Rules,
        *,
        targets_matter: bool,
        conditional: bool = False,
    ) -> None:
        self.conditional = conditional  # in a transaction a reference may be a search
        self.definitions = definitions
        self.invariants = invariants
        self.rules = rules
        self.targets_matter = targets_matter
        self._places: dict[str, Check] = {}
        self._resources: dict[str, Check] = {}
        self._references: dict[tuple[str, ...], Check] = {}

    def resource(self, value: Any) -> bool:
        """Whether a resource of any type is surely valid."""
        if value.__class__ is not dict:
            return False
        type = value.get("resourceType")
        if type.__class__ is not str:
            return False
        check = self._resources.get(type)
        if check is None:
            if type not in self.definitions.resource_types:
                return False
            check = self._resources[type] = self.place(type)
        return check(value)

    def place(self, node: str) -> Check:
        found = self._places.get(node)
        if found is None:
            found = self._places[node] = self._compiled(node)
        return found

    def _compiled(self, node: str) -> Check:
        table = _Table(self, node)
        if node == "Extension":
            return _extension(table)
        required, choices = demands(self.definitions, node)
        if node in self.definitions.resource_types:
            required |= {"resourceType"}
        place = _place(table, required)
        if choices:
            place = _place_with_choices(place, choices)
        holds = self.rules.holds.get(node)
        if holds is not None:
            place = _agreeing(place, holds)
        return constraint.asking(place, self.invariants.of(node))

    def property(self, node: str, name: str) -> Check | None:
        """The check of one property of a place; None where it has no such property."""
        is_resource = node in self.definitions.resource_types
        if name == "resourceType" and is_resource:
            return _accept
        field = self.definitions.children(node).get(name.removeprefix("_"))
        if field is None:
            return None
        own = self._own_invariants(field)
        if name.startswith("_"):
            return self._with_extension if self._extensible(field) and not own else _refuse
        if name == "contained" or field.element.max == 0:
            return _refuse
        key = is_id if is_resource else is_uri
        check: Check = key if name == "id" else self._value(field)
        check = constraint.asking(check, own)
        return _many(check) if field.element.many else check

    def _own_invariants(self, field: Field) -> tuple[Invariant, ...]:
        """Those of the element that its type has not."""
        path = field.element.path
        return () if path == field.node else self.invariants.of_element(path, field.node)

    def _extensible(self, field: Field) -> bool:
        """Whether `_name` is the common case: beside a single primitive that is no choice."""
        return (
            field.type.code in self.definitions.primitive_types
            and field.type.code != "xhtml"
            and not field.element.many
            and not field.element.is_choice
            and not field.element.flags & XML_ATTRIBUTE
        )

    def _with_extension(self, value: Any) -> bool:
        return value.__class__ is dict and "extension" in value and self.place("Element")(value)

    def _value(self, field: Field) -> Check:
        code = field.type.code
        if code == "Resource":
            return self.resource
        if code == "Reference":
            return self._reference(field.type.targets)
        if code == "xhtml":
            return _narrative
        valid = VALID.get(code) or self.place(field.node)
        bound = binding.bound(self.definitions, field)
        if bound is None:
            return valid
        if bound.systems and code in {"code", "string", "uri"}:
            return _coded(bound.codes)
        said = binding.CHECKS[code]
        return lambda value: valid(value) and said(bound, value)

    def _reference(self, targets: tuple[str, ...]) -> Check:
        found = self._references.get(targets)
        if found is None:
            types = self.definitions.resource_types
            if self.targets_matter and targets and "Resource" not in targets:
                types = types.intersection(targets)
            place = self.place("Reference")
            found = _reference(place, types, conditional=self.conditional)
            self._references[targets] = found
        return found


class _Table(dict[str, Check]):
    """The checks of a place's properties, each made when first asked for."""

    def __init__(self, compiled: Compiled, node: str) -> None:
        super().__init__()
        self.compiled = compiled
        self.node = node

    def __missing__(self, name: str) -> Check:
        check = self.compiled.property(self.node, name)
        if check is None:
            return _refuse  # and not kept: clients would fill the table
        self[name] = check
        return check


def _place(table: _Table, required: frozenset[str]) -> Check:
    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        for name, item in value.items():
            if not table[name](item):
                return False
        return len(value) > 1 or (len(value) == 1 and "id" not in value)

    def check_required(value: Any) -> bool:
        return check(value) and required <= value.keys()

    return check_required if required else check


def _agreeing(place: Check, holds: Check) -> Check:
    """A value whose elements must not contradict one another either."""
    return lambda value: place(value) and holds(value)


def _place_with_choices(place: Check, choices: list[Choice]) -> Check:
    [(first, least), *more] = choices

    def check(value: Any) -> bool:
        if not place(value) or not least <= len(value.keys() & first) <= 1:
            return False
        names = value.keys()
        return not more or all(n <= len(names & choice) <= 1 for choice, n in more)

    return check


def _extension(table: _Table) -> Check:
    """R4 extensibility#Extension, ext-1: `extension` or one `value[x]`, not both."""

    def check(value: Any) -> bool:
        if value.__class__ is not dict or "url" not in value:
            return False
        for name, item in value.items():
            if not table[name](item):
                return False
        return len(value) - ("id" in value) == 2  # the url and one more

    return check


def _many(check: Check) -> Check:
    def every(values: Any) -> bool:
        if values.__class__ is not list or not values:
            return False
        return all(map(check, values))

    return every


def _coded(codes: frozenset[str]) -> Check:
    def check(value: Any) -> bool:
        return value.__class__ is str and value in codes

    return check


def _reference(place: Check, types: frozenset[str], *, conditional: bool) -> Check:
    def check(value: Any) -> bool:
        if not place(value) or "type" in value:  # the type must agree with the reference
            return False
        text = value.get("reference")
        if text is None:
            return True
        found = RELATIVE(text) or (CONDITIONAL(text) if conditional else None)
        return found[1] in types if found else URN_UUID(text) is not None

    return check
