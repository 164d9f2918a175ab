"""path — a SearchParameter's expression as the ways through JSON it stands for, type by type.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
https://hl7.org/fhir/R4/fhirpath.html

`Patient.name.given` is, for Patient, one Path: each of `name`, each of `given`, a string. Types are
known from the definitions, so choices are spelled out (`effectiveDateTime`, `effectivePeriod`) and
nothing is looked for that cannot be there. search/extract.py makes Python of the Paths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from fhir_server.conformance.definitions import Definitions, Field
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
)

MAX_WAYS = 1000  # begun in one expression: choices within choices multiply


class Unfollowable(ValueError):
    """An expression that is no set of ways through a resource. It says which part of it is not."""


class Get(NamedTuple):
    """The property of this name; each of its values where it repeats."""

    key: str
    many: bool
    at: int | None = None  # only the value at this place


class Equals(NamedTuple):
    """Go on only where the property has this value."""

    key: str
    value: str | int | bool


class Refers(NamedTuple):
    """Go on only where the Reference is to a resource of this type."""

    type: str


class Extended(NamedTuple):
    """Go on only where there is an extension with this url."""

    url: str


Step = Get | Equals | Refers | Extended


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a resource.

    type: the type of what stands at its end. node: where its children are found. element: the
    element's path with choices unspelled, so that two choices of one element can be told from two
    elements. system: what a `code` means here without saying so. test: instead of a way, a
    question about the resource, whose answer is a boolean.
    """

    steps: tuple[Step, ...]
    type: str
    node: str
    element: str
    system: str | None = None
    test: Test | None = None

    def after(self, steps: int) -> Path:
        """The rest of the way, behind so many steps."""
        return replace(self, steps=self.steps[steps:])

    @property
    def many(self) -> bool:
        return any(isinstance(step, Get) and step.many and step.at is None for step in self.steps)


@dataclass(frozen=True, slots=True)
class Test:
    """exists: any of the paths leads to something. differs: one leads to another value.
    both: each of two tests holds."""

    op: str  # exists | differs | both
    paths: tuple[Path, ...] = ()
    value: str | int | bool | None = None
    parts: tuple[Test, ...] = ()


def paths(
    definitions: Definitions, expression: str, type: str, start: Path | None = None
) -> tuple[Path, ...]:
    """All ways `expression` takes through a resource of `type`; none if it is about others.

    start: where it begins, if not at the resource; the ways are from the resource all the same.
    """
    found = _Walk(definitions, type, start).walk(parse(expression))
    return tuple(dict.fromkeys(found))


class _Walk:
    def __init__(self, definitions: Definitions, type: str, start: Path | None = None) -> None:
        self.definitions = definitions
        self.type = type
        self.names = frozenset(() if start else definitions.ancestors(type))
        self.resource = Path((), type, type, type)
        self.root = start or self.resource
        self.made = 0

    def walk(self, node: Node) -> list[Path]:
        found = self.ways(node)
        self.made += len(found)
        if self.made > MAX_WAYS:
            raise Unfollowable(f"{_told(node)} leads too many ways")
        return found

    def ways(self, node: Node) -> list[Path]:  # noqa: PLR0911, C901 - one case a rule of the grammar
        match node:
            case Binary("|", left, right):
                return self.walk(left) + self.walk(right)
            case Binary("and" | "!=", _, _) | Call(_, "exists", ()):
                return self.answer(node)
            case Name(None, name):
                return self.begin(name)
            case Variable("%resource"):
                return [self.resource]
            case Name(base, name) if base is not None:
                return [way for path in self.walk(base) for way in self.children(path, name)]
            case TypeOp("as", operand, type):
                return self.typed(operand, type)
            case Call(base, "as" | "ofType", (Name() as type,)) if base is not None:
                return self.typed(base, type.name)
            case Call(base, "where", (condition,)) if base is not None:
                return [self.where(path, _condition(condition)) for path in self.walk(base)]
            case Call(base, "extension", (Literal(url, "string"),)) if base is not None:
                ways = [way for p in self.walk(base) for way in self.children(p, "extension")]
                return [replace(p, steps=(*p.steps, Equals("url", str(url)))) for p in ways]
            case Index(base, Literal(int(at), "integer")):
                return [_at(path, at) for path in self.walk(base)]
        raise Unfollowable(f"{_told(node)} is no way through a resource")

    def where(self, path: Path, step: Step) -> Path:
        """A value without parts cannot be asked for one."""
        if isinstance(step, Refers) and path.type != "Reference":
            raise Unfollowable(f"`resolve()` is asked of a {path.type}, not of a Reference")
        if path.node in self.definitions.primitive_types:
            raise Unfollowable(f"`where()` is asked of a {path.type}, which has no parts")
        return replace(path, steps=(*path.steps, step))

    def begin(self, name: str) -> list[Path]:
        """The resource itself, nothing where another type is meant, or a property of it."""
        if name in self.names:
            return [self.root]
        return [] if name[0].isupper() else self.children(self.root, name)

    def typed(self, operand: Node, type: str) -> list[Path]:
        # R4's composites write `DateTime` for dateTime
        wanted = type.rpartition(".")[2].casefold()
        return [path for path in self.walk(operand) if path.type.casefold() == wanted]

    def children(self, path: Path, name: str) -> list[Path]:
        try:
            fields = self.definitions.children(path.node)
        except KeyError:
            return []  # a primitive
        if name in fields:
            return [self.child(path, fields[name])]
        return [
            self.child(path, field)
            for field in fields.values()
            if field.element.is_choice and field.element.name == name
        ]

    def child(self, path: Path, field: Field) -> Path:
        return Path(
            (*path.steps, Get(field.name, field.element.many)),
            _plain(field.type.code),
            field.node,
            f"{path.element}.{field.element.name}",
            self.system(field),
        )

    def system(self, field: Field) -> str | None:
        """R4 search#token: the system of a `code` is implicit in its value set."""
        binding = field.element.binding
        if field.type.code != "code" or binding is None or binding.strength != "required":
            return None
        systems = self.definitions.codes(binding.value_set.partition("|")[0]) or {}
        return next(iter(systems)) if len(systems) == 1 else None

    def answer(self, node: Node) -> list[Path]:
        test = self.test(node)
        if test is None:
            return []
        return [Path((), "boolean", "boolean", self.type, test=test)]

    def test(self, node: Node) -> Test | None:
        """None where the question is about other types."""
        match node:
            case Binary("and", left, right):
                parts = tuple(part for part in (self.test(left), self.test(right)) if part)
                return Test("both", parts=parts) if parts else None
            case Binary("!=", left, Literal(str() | bool() | int() as value, _)):
                ways = tuple(self.walk(left))
                return Test("differs", ways, value) if ways else None
            case Call(base, "exists", ()) if base is not None:
                ways = tuple(self.walk(base))
                return Test("exists", ways) if ways else None
        raise Unfollowable(f"{_told(node)} is no question about a resource")


def _condition(node: Node) -> Step:
    match node:
        case TypeOp("is", Call(None, "resolve", ()), type):
            return Refers(type.rpartition(".")[2])
        case Call(Call(None, "resolve", ()), "is", (Name() as type,)):
            return Refers(type.name)
        case Binary("=", Name(None, key), Literal(str() | bool() | int() as value, _)):
            return Equals(key, value)
        case Call(None, "hasExtension", (Literal(url, "string"),)):
            return Extended(str(url))
    raise Unfollowable(f"{_told(node)} is no condition that is followed")


def _told(node: Node) -> str:
    """What a person finds again in the expression."""
    match node:
        case Call(_, name, _):
            return f"`{name[:64]}()`"
        case Binary(op, _, _) | TypeOp(op, _, _):
            return f"`{op}`"
        case Name(_, name) | Variable(name):
            return f"`{name[:64]}`"
        case Literal(value, _):
            return f"`{str(value)[:64]}`"
        case Index():
            return "`[ ]`"
    return "A part of the expression"


def _at(path: Path, at: int) -> Path:
    last = path.steps[-1] if path.steps else None
    if not isinstance(last, Get):
        raise Unfollowable("`[ ]` is used on what is no property")
    return replace(path, steps=(*path.steps[:-1], last._replace(at=at)))


def _plain(code: str) -> str:
    """The types FHIR borrows from FHIRPath for `id` and `Extension.url` are strings."""
    return "string" if code.startswith("http://hl7.org/fhirpath/") else code
