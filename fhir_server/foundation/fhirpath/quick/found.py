"""found — what a part of an expression finds, as the Python that finds it.

http://hl7.org/fhirpath/N1/#navigation-model

A part is compiled to a Found: it writes the loops and conditions that meet each item, and within
them what its user does with the item. So nothing is gathered in lists that is only counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fhir_server.foundation.fhirpath.items import SYSTEM, FieldLike, Model
from fhir_server.foundation.fhirpath.quick.block import Block, NotQuick

MAX_CHOICES = 12  # a body is written for each; only `exists()` looks at more at once


@dataclass(frozen=True, slots=True)
class Spot:
    """One item: the variables of its value and of what stands beside it, and its static type.

    always: the value is there, not only something beside it. far: met by way of %resource, so
    that a loop within another may cost their product. any_resource: its type is known when met.
    """

    value: str
    type: str
    node: str
    beside: str | None = None
    always: bool = True
    far: bool = False
    any_resource: bool = False

    @property
    def is_system(self) -> bool:
        return self.type.startswith(SYSTEM)


Body = Callable[[Block, Spot], None]


class Found:
    """Items, met one by one. single: never more than one. doubled: some may be met twice."""

    single = False
    doubled = False

    def each(self, block: Block, body: Body) -> None:
        raise NotImplementedError

    def exists(self, block: Block) -> str:
        """An expression that tells whether there are any."""
        flag = block.set("False")
        self.each(block, lambda inner, _: inner.emit(f"{flag} = True"))
        return flag


class Here(Found):
    """One item that is certainly there."""

    single = True

    def __init__(self, spot: Spot) -> None:
        self.spot = spot

    def each(self, block: Block, body: Body) -> None:
        body(block, self.spot)

    def exists(self, _: Block) -> str:
        return "True"


class Nothing(Found):
    """`{}`, and what no item can have."""

    single = True

    def each(self, block: Block, body: Body) -> None:
        pass

    def exists(self, _: Block) -> str:
        return "False"


class Value(Found):
    """A value of System that was made; None where it is empty, if it may be.

    text: that which is written in the expression.
    """

    single = True

    def __init__(
        self, code: str, type: str, *, maybe: bool = False, text: str | None = None
    ) -> None:
        self.code = code
        self.type = type
        self.maybe = maybe
        self.text = text

    def each(self, block: Block, body: Body) -> None:
        name = self.code if self.code.isidentifier() or not self.maybe else block.set(self.code)
        inner = block.inner(f"if {name} is not None:") if self.maybe else block
        body(inner, Spot(name, SYSTEM + self.type, SYSTEM + self.type))

    def exists(self, _: Block) -> str:
        return f"({self.code} is not None)" if self.maybe else "True"


class Texts(Found):
    """`('a' | 'b')`: texts that are written in the expression."""

    def __init__(self, values: frozenset[str]) -> None:
        self.values = values
        self.single = len(values) < 2

    def each(self, block: Block, body: Body) -> None:
        del block, body
        raise NotQuick("A list of texts is only looked up.")

    def exists(self, _: Block) -> str:
        return str(bool(self.values))


class Member(Found):
    """The children of items by one name."""

    def __init__(self, model: Model, base: Found, name: str, only: str | None = None) -> None:
        self.model = model
        self.base = base
        self.name = name
        self.only = only
        self.doubled = base.doubled
        self.single = base.single and not any(
            field.element.many for spot in kinds(base) for field in self.fields(spot)
        )

    def of_type(self, name: str) -> Member:
        """The same, where of a choice's types one alone matters: `value.ofType(Coding)`."""
        return Member(self.model, self.base, self.name, name)

    def fields(self, spot: Spot) -> list[FieldLike]:
        found = self._fields(spot)
        if self.only is None or len(found) == 1:
            return found
        return [
            field
            for field in found
            if field.type.code == self.only or self.only in self.model.lineage(field.type.code)
        ]

    def _fields(self, spot: Spot) -> list[FieldLike]:
        if spot.node in self.model.definitions.primitive_types or spot.is_system:
            if self.name == "value":
                raise NotQuick("The value of a primitive is for the engine.")
            return self.model.fields("Element").get(self.name, [])
        if spot.any_resource:
            known = self.model.fields("Resource").get(self.name)
            if known is None:
                raise NotQuick("It depends on the type of resource that is met.")
            return known
        return self.model.fields(spot.node).get(self.name, [])

    def each(self, block: Block, body: Body) -> None:
        def within(inner: Block, spot: Spot) -> None:
            fields = self.fields(spot)
            if len(fields) > MAX_CHOICES:
                raise NotQuick("It may be of too many types.")
            source, deeper = self.source(inner, spot)
            for field in fields:
                self._one(deeper, source, spot, field, body)

        self.base.each(block, within)

    def source(self, block: Block, spot: Spot) -> tuple[str, Block]:
        """The object whose properties the children are, and where it is sure to be one."""
        if spot.node not in self.model.definitions.primitive_types:
            return spot.value, block
        if spot.beside is None:
            return "None", block.inner("if False:")
        return spot.beside, block.inner(f"if {spot.beside} is not None:")

    def _one(self, block: Block, source: str, spot: Spot, field: FieldLike, body: Body) -> None:
        primitive = field.node in self.model.definitions.primitive_types
        child = self._spot(block, field, primitive=primitive, far=spot.far)
        name, beside = repr(field.name), repr("_" + field.name)
        if field.element.many and primitive:
            values, besides = f"{source}.get({name})", f"{source}.get({beside})"
            head = f"for {child.value}, {child.beside} in pairs({values}, {besides}):"
            inner = block.inner(head)
        elif field.element.many:
            inner = block.inner(f"for {child.value} in {source}.get({name}) or ():")
        else:
            block.emit(f"{child.value} = {source}.get({name})")
            there = f"{child.value} is not None"
            if primitive:
                block.emit(f"{child.beside} = {source}.get({beside})")
                there += f" or {child.beside} is not None"
            inner = block.inner(f"if {there}:")
        if (spot.far and inner.loops > 1) or (block.counted and field.element.many):
            inner.spend("1")
        body(inner, child)

    def _spot(self, block: Block, field: FieldLike, *, primitive: bool, far: bool) -> Spot:
        beside = block.variable() if primitive else None
        any_resource = field.node in self.model.definitions.any_resource
        value = block.variable()
        return Spot(value, field.type.code, field.node, beside, not primitive, far, any_resource)

    def exists(self, block: Block) -> str:
        if not isinstance(self.base, Here):
            flag = block.set("False")

            def within(inner: Block, spot: Spot) -> None:
                there = Member(self.model, Here(spot), self.name, self.only).exists(inner)
                inner.inner(f"if {there}:").emit(f"{flag} = True")

            self.base.each(block, within)
            return flag
        spot = self.base.spot
        if spot.node in self.model.definitions.primitive_types or spot.is_system:
            return super().exists(block)
        primitives = self.model.definitions.primitive_types
        names = [field.name for field in self.fields(spot)]
        names += ["_" + f.name for f in self.fields(spot) if f.node in primitives]
        if len(names) > 3:
            return f"(not {block.kept(frozenset(names))}.isdisjoint({spot.value}))"
        return "(" + (" or ".join(f"{n!r} in {spot.value}" for n in names) or "False") + ")"

    @property
    def loops(self) -> int:
        """How many loops are written, one within the other; 9 where that is not looked at."""
        if isinstance(self.base, Here):
            around = 0
        elif isinstance(self.base, Member):
            around = self.base.loops
        else:
            return 9
        fields = [field for spot in kinds(self.base) for field in self.fields(spot)]
        if len(fields) != 1:
            return 9
        return around + fields[0].element.many


class Filtered(Found):
    """Items of which some are passed on: by `where()`, by their type, by their place."""

    def __init__(self, base: Found, passing: Callable[[Block, Spot, Body], None]) -> None:
        self.base = base
        self.passing = passing
        self.single = base.single
        self.doubled = base.doubled

    def each(self, block: Block, body: Body) -> None:
        self.base.each(block, lambda inner, spot: self.passing(inner, spot, body))


class Placed(Found):
    """The first item, all but the first, or the one at a place."""

    def __init__(self, base: Found, place: int, *, onward: bool = False) -> None:
        if base.doubled:
            raise NotQuick("Places are counted only where nothing is met twice.")
        self.base = base
        self.place = place
        self.onward = onward
        self.single = not onward or base.single

    def each(self, block: Block, body: Body) -> None:
        count = block.set("-1")
        sign = ">=" if self.onward else "=="
        one_loop = not self.onward and isinstance(self.base, Member) and self.base.loops == 1

        def within(inner: Block, spot: Spot) -> None:
            inner.emit(f"{count} += 1")
            there = inner.inner(f"if {count} {sign} {self.place}:")
            body(there, spot)
            if one_loop:
                there.emit("break")

        self.base.each(block, within)


class OnlyOne(Found):
    """Items that may be many, where more than one is refused."""

    single = True

    def __init__(self, base: Found) -> None:
        if base.doubled:
            raise NotQuick("It cannot be told how many there are.")
        self.base = base

    def each(self, block: Block, body: Body) -> None:
        count = block.set("0")

        def within(inner: Block, spot: Spot) -> None:
            inner.emit(f"{count} += 1")
            body(inner, spot)

        self.base.each(block, within)
        block.inner(f"if {count} > 1:").emit(f"too_many({count})")


def only_one(found: Found) -> Found:
    return found if found.single and not found.doubled else OnlyOne(found)


class Projected(Found):
    """`select()`: what is found from each item."""

    def __init__(self, base: Found, project: Callable[[Block, Spot], Found]) -> None:
        self.base = base
        self.project = project
        block = Block.outermost()
        found: list[bool] = [base.doubled]
        base.each(block, lambda inner, spot: found.append(project(inner, spot).doubled))
        self.doubled = any(found)

    def each(self, block: Block, body: Body) -> None:
        self.base.each(block, lambda inner, spot: self.project(inner, spot).each(inner, body))


class Both(Found):
    """`a | b`, where it does not matter that an item of both is met twice."""

    doubled = True

    def __init__(self, left: Found, right: Found) -> None:
        self.parts = (left, right)

    @property
    def is_set(self) -> bool:
        """Whether its items, each once, are all there is to know of it."""
        return all(
            part.is_set if isinstance(part, Both) else not part.doubled for part in self.parts
        )

    def each(self, block: Block, body: Body) -> None:
        for part in self.parts:
            part.each(block, body)

    def exists(self, block: Block) -> str:
        return "(" + " or ".join(part.exists(block) for part in self.parts) + ")"


def kinds(found: Found) -> list[Spot]:
    """The static kinds of item that may be met: it is made to write what is then thrown away."""
    met: list[Spot] = []
    found.each(Block.outermost(), lambda _, spot: met.append(spot))
    return met


def as_type(spot: Spot, type: str) -> Spot:
    return replace(spot, type=type, node=type, any_resource=False)
