"""writing — from the tree of an expression to the lines of a function.

http://hl7.org/fhirpath/N1/#expressions
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from fhir_server.foundation.fhirpath.items import SYSTEM, Model
from fhir_server.foundation.fhirpath.literals import literal
from fhir_server.foundation.fhirpath.quick.block import Block, NotQuick
from fhir_server.foundation.fhirpath.quick.found import (
    Both,
    Filtered,
    Found,
    Here,
    Member,
    Nothing,
    Placed,
    Spot,
    Texts,
    Value,
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

MAX_WRITTEN = 3_000  # nodes written for one expression: parts are written again for each choice
CONSTANTS = {
    "%ucum": "http://unitsofmeasure.org",
    "%sct": "http://snomed.info/sct",
    "%loinc": "http://loinc.org",
}
TIMES = {"date": "Date", "dateTime": "DateTime", "time": "Time"}
LITERALS = {"string": "String", "integer": "Integer", "decimal": "Decimal", "boolean": "Boolean"}


@dataclass(frozen=True, slots=True)
class At:
    """Where a part of an expression is written: its block, and what it is asked of."""

    block: Block
    this: Found

    def within(self, block: Block, spot: Spot) -> At:
        return At(block, Here(spot))

    def inside(self, block: Block) -> At:
        return replace(self, block=block)


class Function(NamedTuple):
    """How a function is written, and how many arguments it may be given."""

    written: Callable[[Writer, Found, tuple[Node, ...], At], Found]
    fewest: int = 0
    most: int = 0


Operator = Callable[["Writer", Binary, At], Found]


class Writer:
    """One expression for one type of focus."""

    def __init__(
        self,
        model: Model,
        focus: Spot,
        functions: Mapping[str, Function],
        operators: Mapping[str, Operator],
    ) -> None:
        self.model = model
        self.functions = functions
        self.operators = operators
        self.focus = focus
        self.of_resource = False  # asks for %resource or %rootResource
        self.written = 0

    def write(self, node: Node, at: At) -> Found:
        """What a part of the expression finds. Raises NotQuick where the engine is to do it."""
        self.written += 1
        if self.written > MAX_WRITTEN:
            raise NotQuick("It becomes too long.")
        writing: Callable[[Writer, Node, At], Found] | None = WRITINGS.get(type(node))
        if writing is None:
            raise NotQuick(f"No {type(node).__name__} is written.")
        return writing(self, node, at)

    def truth(self, node: Node, at: At) -> Value:
        """A part of the expression as a condition: a single thing that is no boolean is true."""
        return truth_of(self.write(node, at), at.block)

    def resource(self, attribute: str, far: bool) -> Found:  # noqa: FBT001 - of a Spot
        """`%resource`, which is the focus itself where that is a resource."""
        if self.focus.node in self.model.definitions.resource_types and attribute == "resource":
            return Here(replace(self.focus, far=far))
        self.of_resource = True
        type = self.focus.node.partition(".")[0]
        known = type in self.model.definitions.resource_types
        spot = Spot(f"env.{attribute}", type, type, far=far)
        if known and attribute == "resource":
            return Here(spot)
        return Here(replace(spot, type="Resource", node="Resource", any_resource=True))


def truth_of(found: Found, block: Block) -> Value:
    """N1, singleton evaluation of collections."""
    if isinstance(found, Value):
        if found.type == "Boolean":
            return found
        if not found.maybe:
            return Value("True", "Boolean")
        return Value(f"(None if {found.code} is None else True)", "Boolean", maybe=True)
    if found.doubled:
        raise NotQuick("It cannot be told how many there are.")
    told = block.set("None")
    count = None if found.single else block.set("0")

    def meet(inner: Block, spot: Spot) -> None:
        is_boolean = spot.type in ("boolean", SYSTEM + "Boolean")
        inner.emit(f"{told} = {f'{spot.value} is not False' if is_boolean else 'True'}")
        if count:
            inner.emit(f"{count} += 1")

    found.each(block, meet)
    if count:
        block.inner(f"if {count} > 1:").emit(f"too_many({count})")
    return Value(told, "Boolean", maybe=not isinstance(found, Here))


# --- names and literals --------------------------------------------------------------------------


def _name(writer: Writer, node: Name, at: At) -> Found:
    if node.base is not None:
        return Member(writer.model, writer.write(node.base, at), node.name)
    if not node.name[:1].isupper():
        return Member(writer.model, at.this, node.name)

    def passing(block: Block, spot: Spot, body: Callable[[Block, Spot], None]) -> None:
        if spot.any_resource:
            raise NotQuick("The type of resource is known only when it is met.")
        if spot.type == node.name or node.name in writer.model.lineage(spot.type):
            body(block, spot)

    return Filtered(at.this, passing)


def _literal(_: Writer, node: Literal, at: At) -> Found:
    if node.type in TIMES or node.type == "quantity":
        value = literal(node.value, node.type)
        kind = "Quantity" if node.type == "quantity" else TIMES[node.type]
        return Value(at.block.kept(value), kind)
    kind = LITERALS[node.type]
    if isinstance(node.value, str):
        return Value(repr(node.value), kind, text=node.value)
    code = at.block.kept(node.value) if isinstance(node.value, Decimal) else repr(node.value)
    return Value(code, kind)


def _variable(writer: Writer, node: Variable, at: At) -> Found:
    far = at.block.loops > 0
    match node.name:
        case "$this":
            return at.this
        case "%context":
            return Here(replace(writer.focus, far=far))
        case "%resource":
            return writer.resource("resource", far)
        case "%rootResource":
            return writer.resource("root", far)
    if node.name in CONSTANTS:
        return Value(repr(CONSTANTS[node.name]), "String")
    raise NotQuick("The engine knows the variables.")


def _index(writer: Writer, node: Index, at: At) -> Found:
    match node.index:
        case Literal(int(place), "integer"):
            return Placed(writer.write(node.base, at), place)
    raise NotQuick("Only a written number is a place.")


def _unary(_: Writer, node: Unary, at: At) -> Found:
    match node.operand:
        case Literal(int() | Decimal() as value, "integer" | "decimal" as type):
            value = -value if node.op == "-" else value
            return Value(at.block.kept(value), LITERALS[type])
    raise NotQuick("Only a written number has a sign.")


def _call(writer: Writer, node: Call, at: At) -> Found:
    function = writer.functions.get(node.name)
    if function is None or not function.fewest <= len(node.args) <= function.most:
        raise NotQuick(f"`{node.name}()` is for the engine.")
    base = at.this if node.base is None else writer.write(node.base, at)
    return function.written(writer, base, node.args, at)


def _binary(writer: Writer, node: Binary, at: At) -> Found:
    if node.op == "|":
        return _union(writer, node, at)
    operator = writer.operators.get(node.op)
    if operator is None:
        raise NotQuick(f"`{node.op}` is for the engine.")
    return operator(writer, node, at)


def _union(writer: Writer, node: Binary, at: At) -> Found:
    left, right = (
        Texts(frozenset({part.value}))
        if isinstance(part, Literal) and isinstance(part.value, str) and part.type == "string"
        else writer.write(part, at)
        for part in (node.left, node.right)
    )
    if isinstance(left, Texts) and isinstance(right, Texts):
        return Texts(left.values | right.values)
    return Both(left, right)


def _type_operator(writer: Writer, node: TypeOp, at: At) -> Found:
    return _call(writer, Call(node.operand, node.op, (_type_node(node.type),)), at)


def _type_node(type: str) -> Node:
    namespace, _, name = type.rpartition(".")
    return Name(Name(None, namespace), name) if namespace else Name(None, name)


WRITINGS: dict[type, Callable[..., Found]] = {
    Name: _name,
    Literal: _literal,
    Variable: _variable,
    Index: _index,
    Unary: _unary,
    Call: _call,
    Binary: _binary,
    TypeOp: _type_operator,
    Empty: lambda *_: Nothing(),
}
