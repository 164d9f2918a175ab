"""tree — what a FHIRPath expression says, as plain immutable nodes.

http://hl7.org/fhirpath/N1/grammar.html
https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the expression.

    type: string | integer | decimal | boolean | date | dateTime | time | quantity. The three of
    time hold their text without `@` and `@T`; a dateTime keeps its `T` (`2014T`). A quantity is
    (number, unit), the unit a UCUM code or a calendar word (`day`, `years`).
    """

    value: str | int | Decimal | bool | tuple[Decimal, str]
    type: str


@dataclass(frozen=True, slots=True)
class Empty:
    """`{}`"""


@dataclass(frozen=True, slots=True)
class Name:
    """Member access. base None: from the context, so `Patient.name` has a Name for its base."""

    base: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`base.name(args)`; base None: the function is asked of the context."""

    base: Node | None
    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`base[index]`"""

    base: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`, op as it is written: `|`, `and`, `in`, `=`, `<=`, `div`, ..."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Unary:
    """`+operand` or `-operand`"""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class TypeOp:
    """`operand is type` or `operand as type`; the type may be qualified: `FHIR.Patient`."""

    op: str
    operand: Node
    type: str


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `$index`, `$total`, `%resource`, `%`delimited``: the name with its sign."""

    name: str


Node = Literal | Empty | Name | Call | Index | Binary | Unary | TypeOp | Variable


def parts(node: Node) -> tuple[Node, ...]:
    """The nodes directly below this one."""
    match node:
        case Name(base, _):
            return (base,) if base else ()
        case Call(base, _, args):
            return (base, *args) if base else args
        case Index(base, index):
            return (base, index)
        case Binary(_, left, right):
            return (left, right)
        case Unary(_, operand) | TypeOp(_, operand, _):
            return (operand,)
        case _:
            return ()
