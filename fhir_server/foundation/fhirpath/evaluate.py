"""evaluate — an expression compiled once, and asked of a resource as often as needed.

http://hl7.org/fhirpath/N1/#expressions
https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.foundation.fhirpath.functions import FUNCTIONS, TYPE_FUNCTIONS, sorting
from fhir_server.foundation.fhirpath.items import DefinitionsLike, Item, Model, made, plain
from fhir_server.foundation.fhirpath.literals import literal
from fhir_server.foundation.fhirpath.operators import BINARY, polarity
from fhir_server.foundation.fhirpath.parse import parse
from fhir_server.foundation.fhirpath.references import is_reference_to
from fhir_server.foundation.fhirpath.scope import (
    ENGINE_STEP,
    Evaluated,
    Meter,
    Resolve,
    Run,
    Scope,
    Services,
    boolean,
    one,
)
from fhir_server.foundation.fhirpath.tree import (
    Binary,
    Call,
    Empty,
    Index,
    Literal,
    Name,
    Node,
    TypeOp,
    Unary,
    Variable,
)
from fhir_server.foundation.outcome import Invalid

MAX_STEPS = 100_000

# N1 and R4 fhirpath.html#variables
VARIABLES: dict[str, str] = {
    "ucum": "http://unitsofmeasure.org",
    "sct": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
}
URLS = {"vs-": "http://hl7.org/fhir/ValueSet/", "ext-": "http://hl7.org/fhir/StructureDefinition/"}


class Expression:
    """A compiled expression."""

    def __init__(self, text: str, evaluated: Evaluated, model: Model) -> None:
        self.text = text
        self._evaluated = evaluated
        self._model = model

    def evaluate(
        self,
        resource: Any,
        *,
        resolve: Resolve | None = None,
        variables: Mapping[str, Any] | None = None,
        max_steps: int = MAX_STEPS,
        now: dt.datetime | None = None,
        services: Services | None = None,
        meter: Meter | None = None,
    ) -> list[Item]:
        """What the expression finds. Raises Invalid where it cannot be told.

        resource: a resource, or an Item of one for which the expression is asked (an invariant).
        resolve: gives the resource a reference names, or None. variables: values by their names
        without `%`. services: what memberOf(), conformsTo() and their like are asked of.
        meter: is told the steps taken.
        """
        focus = resource if isinstance(resource, Item) else self._model.root(resource)
        run = Run(
            self._model,
            focus,
            resolve,
            variables or {},
            max_steps=max_steps,
            now=now,
            services=services,
        )
        try:
            return self._evaluated(Scope(run, [focus]))
        except RecursionError:
            raise Invalid("FHIRPath: the expression goes too deep.") from None
        finally:
            if meter is not None:
                meter.steps += ENGINE_STEP * run.steps

    def is_true(self, resource: Any, **circumstances: Any) -> bool:
        """Whether the expression is true; nothing counts as false."""
        return boolean(self.evaluate(resource, **circumstances)) is True


def compile(text: str, definitions: DefinitionsLike) -> Expression:
    """The expression, ready to be evaluated. Raises Invalid where it is not FHIRPath."""
    return _compiled(text, definitions)


def compile_node(node: Node, definitions: DefinitionsLike) -> Expression:
    """As compile(), for an expression already parsed."""
    return Expression("", _compile(node), _model(definitions))


@lru_cache(maxsize=4096)
def _compiled(text: str, definitions: DefinitionsLike) -> Expression:
    return Expression(text, _compile(parse(text)), _model(definitions))


@lru_cache(maxsize=8)
def _model(definitions: DefinitionsLike) -> Model:
    return Model(definitions)


def _compile(node: Node) -> Evaluated:  # noqa: PLR0911 - one for each kind of node
    match node:
        case Name(base, name):
            return _name(name) if base is None else _member(_compile(base), name)
        case Call(base, name, args):
            return _call(base, name, args)
        case Binary(op, left, right):
            return BINARY[op](op, _compile(left), _compile(right))
        case TypeOp(op, operand, type):
            return _type_operator(op, operand, type)
        case Index(base, index):
            return _index(_compile(base), _compile(index))
        case Unary(op, operand):
            return polarity(op, _compile(operand))
        case Variable(name):
            return _variable(name)
        case Literal(value, type):
            return _constant([made(literal(value, type))])
        case Empty():
            return _constant([])


def _constant(items: list[Item]) -> Evaluated:
    return lambda _: items


# --- names ---------------------------------------------------------------------------------------


def _name(name: str) -> Evaluated:
    """A name without a base: a member of the context, or the context's own type."""
    if not name[:1].isupper():
        return _member(lambda scope: scope.this, name)

    def evaluated(scope: Scope) -> list[Item]:
        # R4: `Patient.name` begins with the type of what it is asked of
        model = scope.run.model
        scope.run.spend(len(scope.this))
        return [
            item for item in scope.this if item.type == name or name in model.lineage(item.type)
        ]

    return evaluated


def _member(base: Evaluated, name: str) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        child = scope.run.model.child
        found = [each for item in base(scope) for each in child(item, name)]
        scope.run.spend(len(found) + 1)
        return found

    return evaluated


def _index(base: Evaluated, index: Evaluated) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        items, place = base(scope), one(index(scope), "an index")
        if place is None:
            return []
        number = plain(place)
        if not isinstance(number, int) or isinstance(number, bool):
            raise Invalid("FHIRPath: an index must be an integer.")
        return [items[number]] if 0 <= number < len(items) else []

    return evaluated


def _variable(name: str) -> Evaluated:
    match name:
        case "$this":
            return lambda scope: scope.this
        case "$index":
            return lambda scope: [] if scope.index is None else [made(scope.index)]
        case "$total":
            return lambda scope: scope.total
    return _external(name[1:])


def _external(name: str) -> Evaluated:
    for prefix, url in URLS.items():
        if name.startswith(prefix):
            return _constant([made(url + name.removeprefix(prefix))])
    if name in VARIABLES:
        return _constant([made(VARIABLES[name])])

    def evaluated(scope: Scope) -> list[Item]:
        return scope.run.variable(name)

    return evaluated


# --- calls and types -----------------------------------------------------------------------------


def _call(base: Node | None, name: str, args: tuple[Node, ...]) -> Evaluated:
    focus: Evaluated = _compile(base) if base is not None else lambda scope: scope.this
    if name in TYPE_FUNCTIONS:
        if len(args) != 1:
            raise Invalid(f"FHIRPath: `{name}()` takes one type.")
        return _typed(TYPE_FUNCTIONS[name], focus, _type_name(args[0]))
    if name == "sort":
        return sorting(focus, [_sort_key(arg) for arg in args])
    if name == "iif" and args and isinstance(args[0], Literal) and args[0].type != "boolean":
        raise Invalid("FHIRPath: the condition of `iif()` is no boolean.")
    function = FUNCTIONS.get(name)
    if function is None:
        raise Invalid(f"FHIRPath: there is no function `{name[:50]}()`.")
    if not function.fewest <= len(args) <= function.most:
        raise Invalid(f"FHIRPath: `{name}()` is given {len(args)} arguments.")
    evaluated, compiled = function.evaluated, tuple(map(_compile, args))

    def called(scope: Scope) -> list[Item]:
        found = evaluated(scope, focus(scope), compiled)
        scope.run.spend(len(found) + 1)
        return found

    return called


def _sort_key(node: Node) -> tuple[Evaluated, bool]:
    """What to sort by, and whether it descends: `-` before it, whatever its type."""
    match node:
        case Unary("-", operand):
            return _compile(operand), True
    return _compile(node), False


def _type_name(node: Node) -> str:
    match node:
        case Name(None, name):
            return name
        case Name(Name(None, namespace), name):
            return f"{namespace}.{name}"
    raise Invalid("FHIRPath: the name of a type is missing.")


def _typed(
    function: Callable[[Scope, list[Item], str], list[Item]], focus: Evaluated, type: str
) -> Evaluated:
    return lambda scope: function(scope, focus(scope), type)


def _type_operator(op: str, operand: Node, type: str) -> Evaluated:
    match operand:
        case Call(base, "resolve", ()) if op == "is":
            # a literal reference tells its target's type: nothing need be fetched
            focus: Evaluated = _compile(base) if base is not None else lambda scope: scope.this
            return lambda scope: is_reference_to(scope, focus(scope), type)
    return _typed(TYPE_FUNCTIONS[op], _compile(operand), type)
