"""semantics — whether an expression can mean anything for the type it is asked of.

http://hl7.org/fhirpath/N1/#type-safety-and-strict-evaluation
https://hl7.org/fhir/R4/fhirpath.html#polymorphism

Evaluation finds nothing where a name is no element; whoever writes an expression wants to be told.
"""

from __future__ import annotations

from fhir_server.foundation.fhirpath.items import SYSTEM, DefinitionsLike, Model
from fhir_server.foundation.fhirpath.parse import parse
from fhir_server.foundation.fhirpath.tree import (
    Binary,
    Call,
    Index,
    Literal,
    Name,
    Node,
    TypeOp,
    Variable,
    parts,
)
from fhir_server.foundation.outcome import Invalid

Nodes = frozenset[str]  # where the children of what is found may be looked up
# Functions that give some of what they are asked of, and those whose arguments see each item.
ORDERED = frozenset({"first", "last", "tail", "skip", "take"})
KEEPING = ORDERED | {"where", "single", "trace", "exclude", "intersect", "distinct", "sort"}
KEEPING |= {"as", "ofType", "checkModifiers", "slice"}
EACH = frozenset({"where", "exists", "all", "select", "repeat", "sort", "aggregate", "trace"})
UNORDERED = frozenset({"children", "descendants"})


def check(expression: str, definitions: DefinitionsLike, node: str) -> None:
    """Nothing, if the expression can be asked of a type or a BackboneElement's path.

    Raises Invalid, naming what is no element there.
    """
    model = Model(definitions)
    nodes = frozenset({node})
    _Check(model, nodes).types(parse(expression), nodes)


class _Check:
    def __init__(self, model: Model, root: Nodes) -> None:
        self.model = model
        self.root = root

    def types(  # noqa: C901, PLR0911 - one case for each kind of node
        self, node: Node, this: Nodes | None
    ) -> Nodes | None:
        """What a part of the expression may find; None where that cannot be told."""
        match node:
            case Name(None, name) if name[:1].isupper():
                return self.named(name, this)
            case Name(base, name):
                return self.member(this if base is None else self.types(base, this), name)
            case Call(base, name, args):
                return self.call(base, name, args, this)
            case TypeOp(op, operand, type):
                self.types(operand, this)
                return self.typed(type) if op == "as" else frozenset({SYSTEM + "Boolean"})
            case Binary("|", left, right):
                found = [self.types(left, this), self.types(right, this)]
                return None if None in found else frozenset().union(*filter(None, found))
            case Index(base, index):
                self.refuse_order(base)
                self.types(index, this)
                return self.types(base, this)
            case Variable("$this"):
                return this
            case Variable("%context"):
                return self.root
            case Literal(_, type) if type != "quantity":
                return frozenset({SYSTEM + type[0].upper() + type[1:]})
        for part in parts(node):
            self.types(part, this)
        return None

    def named(self, name: str, this: Nodes | None) -> Nodes | None:
        """`Patient.name` begins with the type of what it is asked of."""
        if name not in self.model.types or this is None:
            return None
        fitting = [node for node in this if name in self.model.lineage(node)]
        if not fitting and all("." not in node for node in this):
            asked = " or ".join(sorted(this))
            raise Invalid(f"FHIRPath: `{name}` cannot be met in an expression about {asked}.")
        return this

    def typed(self, type: str) -> Nodes | None:
        name = type.rpartition(".")[2]
        return None if name in self.model.definitions.any_resource else frozenset({name})

    def member(self, base: Nodes | None, name: str) -> Nodes | None:
        if base is None or base & self.model.definitions.any_resource:
            return None
        found: set[str] = set()
        for node in base:
            found |= self.child(node, name)
        if not found:
            where = " or ".join(sorted(base)[:3])
            raise Invalid(f"FHIRPath: `{name[:50]}` is no element of {where}.")
        return None if found & self.model.definitions.any_resource else frozenset(found)

    def child(self, node: str, name: str) -> set[str]:
        if node in self.model.definitions.primitive_types and name in ("value", "id"):
            return {SYSTEM + "String"}
        if node in self.model.definitions.primitive_types and name == "extension":
            return {"Extension"}
        return {field.node for field in self.model.fields(node).get(name, ())}

    def call(
        self, base: Node | None, name: str, args: tuple[Node, ...], this: Nodes | None
    ) -> Nodes | None:
        focus = this if base is None else self.types(base, this)
        if name in ORDERED and base is not None:
            self.refuse_order(base)
        if name in ("as", "ofType") and len(args) == 1:
            return self.typed(_type_name(args[0]))
        told = [self.types(arg, focus if name in EACH else this) for arg in args if name != "is"]
        if name == "select" and told:
            return told[0]
        if name == "extension":
            return frozenset({"Extension"})
        return focus if name in KEEPING else None

    def refuse_order(self, base: Node) -> None:
        """N1: what children() and descendants() give is in no order."""
        if isinstance(base, Call) and base.name in UNORDERED:
            raise Invalid(f"FHIRPath: what `{base.name}()` gives has no order to take by.")


def _type_name(node: Node) -> str:
    return node.name if isinstance(node, Name) else ""
