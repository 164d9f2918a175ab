"""functions — the functions of an expression that Python does as well, and sooner.

http://hl7.org/fhirpath/N1/#functions
https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.foundation.fhirpath.items import SYSTEM, SYSTEM_TYPES
from fhir_server.foundation.fhirpath.quick import texts
from fhir_server.foundation.fhirpath.quick.block import Block, NotQuick
from fhir_server.foundation.fhirpath.quick.found import (
    Body,
    Both,
    Filtered,
    Found,
    Member,
    Placed,
    Projected,
    Spot,
    Texts,
    Value,
    as_type,
    only_one,
)
from fhir_server.foundation.fhirpath.quick.operators import KIND
from fhir_server.foundation.fhirpath.quick.writing import At, Function, Writer, truth_of
from fhir_server.foundation.fhirpath.tree import Literal, Name, Node

CONVERTED = SYSTEM_TYPES - {"Any", "Quantity"}  # what primitives stand for

Args = tuple[Node, ...]
Written = Callable[[Writer, Found, Args, At], Found]


# --- existence -----------------------------------------------------------------------------------


def _exists(writer: Writer, base: Found, args: Args, at: At) -> Found:
    found = _where(writer, base, args, at) if args else base
    return Value(found.exists(at.block), "Boolean")


def _empty(_: Writer, base: Found, __: Args, at: At) -> Found:
    return Value(f"(not {base.exists(at.block)})", "Boolean")


def _not(_: Writer, base: Found, __: Args, at: At) -> Found:
    truth = truth_of(base, at.block)
    if not truth.maybe:
        return Value(f"(not {truth.code})", "Boolean")
    code = at.block.set(truth.code)
    return Value(f"(None if {code} is None else not {code})", "Boolean", maybe=True)


def _has_value(writer: Writer, base: Found, _: Args, at: At) -> Found:
    told = at.block.set("False")

    def meet(block: Block, spot: Spot) -> None:
        if spot.node in writer.model.definitions.primitive_types:
            block.emit(f"{told} = {spot.value} is not None")

    base.each(at.block, meet)
    if base.single:
        return Value(told, "Boolean")
    count = _count(writer, base, (), at)
    return Value(f"({told} and {count.code} == 1)", "Boolean")


def _count(_: Writer, base: Found, __: Args, at: At) -> Value:
    if isinstance(base, Both) and base.doubled and base.is_set:
        seen = at.block.set("set()")
        base.each(at.block, lambda block, spot: block.emit(f"{seen}.add({_key(block, spot)})"))
        return Value(f"len({seen})", "Integer")
    if base.doubled or isinstance(base, Texts):
        raise NotQuick("It cannot be told how many there are.")
    count = at.block.set("0")
    base.each(at.block, lambda block, _: block.emit(f"{count} += 1"))
    return Value(count, "Integer")


def _all(writer: Writer, base: Found, args: Args, at: At) -> Found:
    told = at.block.set("True")

    def meet(block: Block, spot: Spot) -> None:
        truth = writer.truth(args[0], at.within(block, spot))
        block.inner(f"if {truth.code} is not True:").emit(f"{told} = False")

    base.each(at.block, meet)
    return Value(told, "Boolean")


def _is_distinct(writer: Writer, base: Found, args: Args, at: At) -> Found:
    if base.doubled:
        raise NotQuick("It cannot be told how many there are.")
    del writer, args
    seen, count = at.block.set("set()"), at.block.set("0")

    def meet(block: Block, spot: Spot) -> None:
        block.emit(f"{count} += 1")
        block.emit(f"{seen}.add({_key(block, spot)})")

    base.each(at.block, meet)
    return Value(f"(len({seen}) == {count})", "Boolean")


def _key(block: Block, spot: Spot) -> str:
    if spot.any_resource:
        raise NotQuick("The type of resource is known only when it is met.")
    if (spot.far or block.counted) and spot.beside is None and not spot.is_system:
        block.spend(f"weight({spot.value})")
    return f"key({spot.value}, {spot.beside}, {spot.type!r})"


# --- filtering -----------------------------------------------------------------------------------


def _where(writer: Writer, base: Found, args: Args, at: At) -> Found:
    def passing(block: Block, spot: Spot, body: Body) -> None:
        truth = writer.truth(args[0], at.within(block, spot))
        test = f"if {truth.code} is True:" if truth.maybe else f"if {truth.code}:"
        body(block.inner(test), spot)

    return Filtered(base, passing)


def _select(writer: Writer, base: Found, args: Args, at: At) -> Found:
    return Projected(base, lambda block, spot: writer.write(args[0], at.within(block, spot)))


def _intersect(writer: Writer, base: Found, args: Args, at: At) -> Found:
    """What is of both; an item that is there twice is met twice, so only existence is told."""
    among = at.block.set("set()")
    other = writer.write(args[0], at)
    other.each(at.block, lambda block, spot: block.emit(f"{among}.add({_key(block, spot)})"))

    def passing(block: Block, spot: Spot, body: Body) -> None:
        body(block.inner(f"if {_key(block, spot)} in {among}:"), spot)

    found = Filtered(base, passing)
    found.doubled = True
    return found


def _extension(writer: Writer, base: Found, args: Args, at: At) -> Found:
    match args[0]:
        case Literal(str(url), "string"):
            pass
        case _:
            raise NotQuick("Only a written url is looked for.")
    del at

    def passing(block: Block, spot: Spot, body: Body) -> None:
        body(block.inner(f"if {spot.value}.get('url') == {url!r}:"), spot)

    return Filtered(Member(writer.model, base, "extension"), passing)


def _combine(writer: Writer, base: Found, args: Args, at: At) -> Found:
    found = Both(base, writer.write(args[0], at))
    found.doubled = any(part.doubled for part in found.parts)
    return found


def _union(writer: Writer, base: Found, args: Args, at: At) -> Found:
    return Both(base, writer.write(args[0], at))


def _iif(writer: Writer, base: Found, args: Args, at: At) -> Found:
    if not base.single:
        raise NotQuick("`iif()` is for one item.")
    inside = At(at.block, base)
    condition = writer.truth(args[0], inside)
    told = at.block.set("None")
    types = set()
    heads = (f"if {condition.code} is True:", "else:")
    for head, arg in zip(heads, args[1:], strict=False):
        inner = at.block.inner(head)
        found = writer.write(arg, inside.inside(inner))
        if not isinstance(found, Value):
            raise NotQuick("Only values are chosen from.")
        types.add(found.type)
        inner.emit(f"{told} = {found.code}")
    if len(types) > 1:
        raise NotQuick("Only values of one type are chosen from.")
    return Value(told, types.pop(), maybe=True)


# --- types ---------------------------------------------------------------------------------------


def type_name(writer: Writer, node: Node) -> tuple[str, str]:
    """The namespace and the name of a type there is."""
    match node:
        case Name(None, name):
            namespace = ""
        case Name(Name(None, namespace), name):
            pass
        case _:
            raise NotQuick("The name of a type is missing.")
    if namespace not in ("", "FHIR", "System") or name not in writer.model.types:
        raise NotQuick("There is no such type.")
    return namespace, name


def _of_type(writer: Writer, base: Found, args: Args, at: At) -> Found:
    namespace, name = type_name(writer, args[0])
    del at
    if name in CONVERTED:
        raise NotQuick("A primitive may be asked for as a type of System.")
    if type(base) is Member and namespace != "System":
        base = base.of_type(name)

    def passing(block: Block, spot: Spot, body: Body) -> None:
        if spot.any_resource and namespace != "System":
            types = _subtypes(writer, name)
            test = f"if {spot.value}.get('resourceType') in {block.kept(types)}:"
            exact = name in writer.model.definitions.resource_types
            body(block.inner(test), as_type(spot, name) if exact else spot)
        elif spot.node in writer.model.definitions.primitive_types:
            if namespace != "System" and spot.type == name:
                body(block, spot)
        elif _is_type(writer, spot, namespace, name):
            body(block, spot)

    return Filtered(base, passing)


def _subtypes(writer: Writer, name: str) -> frozenset[str]:
    model = writer.model
    types = model.definitions.resource_types
    return frozenset(type for type in types if name in model.lineage(type))


def _is_type(writer: Writer, spot: Spot, namespace: str, name: str) -> bool:
    if spot.is_system:
        return namespace in ("", "System") and spot.type == SYSTEM + name
    return namespace in ("", "FHIR") and (
        spot.type == name or name in writer.model.lineage(spot.type)
    )


def _is(writer: Writer, base: Found, args: Args, at: At) -> Found:
    base = only_one(base)
    namespace, name = type_name(writer, args[0])
    told = at.block.set("None")

    def meet(block: Block, spot: Spot) -> None:
        if spot.any_resource:
            types = _subtypes(writer, name) if namespace != "System" else frozenset()
            block.emit(f"{told} = {spot.value}.get('resourceType') in {block.kept(types)}")
        else:
            block.emit(f"{told} = {_is_type(writer, spot, namespace, name)}")

    base.each(at.block, meet)
    return Value(told, "Boolean", maybe=True)


def _clock(name: str, type: str) -> Written:
    return lambda _, __, ___, at: Value(at.block.set(f"{name}(env.now)"), type)


def _trace(_: Writer, base: Found, args: Args, __: At) -> Found:
    if not isinstance(args[0], Literal):
        raise NotQuick("Only a written name is traced.")
    return base


def _text(name: str, fewest: int, most: int) -> Function:
    def written(writer: Writer, base: Found, args: Args, at: At) -> Found:
        base = only_one(base)
        given = [writer.write(arg, at) for arg in args]
        value = texts.Given(base, at.block).name()
        return texts.TEXTS[name](writer, value, given, at.block)

    return Function(written, fewest, most)


def _to_string(_: Writer, base: Found, __: Args, at: At) -> Found:
    """A date or time says what is written there; so does a text."""
    base = only_one(base)
    told = at.block.set("None")

    def meet(inner: Block, spot: Spot) -> None:
        if spot.is_system or KIND.get(spot.type) not in ("text", "time"):
            raise NotQuick("Only dates and texts say what is written there.")
        inner.emit(f"{told} = {spot.value}")

    base.each(at.block, meet)
    return Value(told, "String", maybe=True)


FUNCTIONS: dict[str, Function] = {
    "exists": Function(_exists, 0, 1),
    "empty": Function(_empty),
    "not": Function(_not),
    "hasValue": Function(_has_value),
    "count": Function(_count),
    "all": Function(_all, 1, 1),
    "isDistinct": Function(_is_distinct),
    "where": Function(_where, 1, 1),
    "select": Function(_select, 1, 1),
    "first": Function(lambda _, base, __, ___: Placed(base, 0)),
    "tail": Function(lambda _, base, __, ___: Placed(base, 1, onward=True)),
    "intersect": Function(_intersect, 1, 1),
    "extension": Function(_extension, 1, 1),
    "combine": Function(_combine, 1, 1),
    "union": Function(_union, 1, 1),
    "iif": Function(_iif, 2, 3),
    "ofType": Function(_of_type, 1, 1),
    "as": Function(_of_type, 1, 1),
    "is": Function(_is, 1, 1),
    "today": Function(_clock("today", "Date")),
    "now": Function(_clock("moment", "DateTime")),
    "toString": Function(_to_string),
    "trace": Function(_trace, 1, 2),
    **{name: _text(name, *counts) for name, counts in texts.COUNTS.items()},
}
