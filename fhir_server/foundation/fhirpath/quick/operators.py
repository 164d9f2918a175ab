"""operators — `and`, `=`, `<`, `in`, `+` and their like, as Python.

http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from fhir_server.foundation.fhirpath.items import QUANTITIES, SYSTEM, TEMPORAL
from fhir_server.foundation.fhirpath.quick.block import Block, NotQuick
from fhir_server.foundation.fhirpath.quick.found import Found, Spot, Texts, Value, only_one
from fhir_server.foundation.fhirpath.quick.writing import At, Writer
from fhir_server.foundation.fhirpath.tree import Binary

# What kind of value a type's is: only those of one kind are compared here.
NUMBERS = {"integer", "decimal", "positiveInt", "unsignedInt"}
KIND: dict[str, str] = {
    **dict.fromkeys(NUMBERS | {SYSTEM + "Integer", SYSTEM + "Decimal"}, "number"),
    **dict.fromkeys(("boolean", SYSTEM + "Boolean"), "boolean"),
    **dict.fromkeys(TEMPORAL, "time"),
    **dict.fromkeys((SYSTEM + "Date", SYSTEM + "DateTime"), "moment"),
    **dict.fromkeys(QUANTITIES, "quantity"),
    SYSTEM + "String": "text",
}
TEXTS = {"string", "code", "uri", "url", "canonical", "id", "oid", "uuid", "markdown"}
TEXTS |= {"base64Binary", "xhtml"}
KIND |= dict.fromkeys(TEXTS, "text")


def kind(spot: Spot) -> str:
    if spot.is_system and spot.type not in KIND:
        raise NotQuick("Such values are for the engine.")
    return KIND.get(spot.type, "element")


# --- logic ---------------------------------------------------------------------------------------

# op: the left side that decides, what it then is, and the whole told by the right side `r` where
# the left is known not to decide, or is empty.
LOGIC: dict[str, tuple[str, str, str, str]] = {
    "and": ("False", "False", "{r}", "(False if {r} is False else None)"),
    "or": ("True", "True", "{r}", "(True if {r} is True else None)"),
    "implies": ("False", "True", "{r}", "(True if {r} is True else None)"),
}
INLINE = {"and": "({l} and {r})", "or": "({l} or {r})", "implies": "(not {l} or {r})"}


def _logic(writer: Writer, node: Binary, at: At) -> Found:
    left = _named(writer.truth(node.left, at), at.block)
    decides, decided, rest, unsure = LOGIC[node.op]
    mark = len(at.block.lines)
    told = at.block.set(decided)
    inner = at.block.inner(f"if {left.code} is not {decides}:")
    before = len(at.block.lines)
    right = writer.truth(node.right, at.inside(inner))
    if len(at.block.lines) == before and not left.maybe and not right.maybe:
        del at.block.lines[mark:]  # the right side is one expression: so is the whole
        return Value(INLINE[node.op].format(l=left.code, r=right.code), "Boolean")
    code = rest.format(r=right.code)
    if left.maybe:
        code = f"{unsure.format(r=right.code)} if {left.code} is None else {code}"
    inner.emit(f"{told} = {code}")
    return Value(told, "Boolean", maybe=left.maybe or right.maybe)


def _named(value: Value, block: Block) -> Value:
    """What may be empty is looked at more than once: so it is made once."""
    if not value.maybe or value.code.isidentifier():
        return value
    return Value(block.set(value.code), value.type, maybe=True)


def _xor(writer: Writer, node: Binary, at: At) -> Found:
    left, right = writer.truth(node.left, at), writer.truth(node.right, at)
    return _joined(left, right, "({l} is not {r})", "Boolean")


def _joined(left: Value, right: Value, code: str, type: str) -> Value:
    """Of two values; empty where one of them is."""
    told = code.format(l=left.code, r=right.code)
    unsure = [f"{part.code} is None" for part in (left, right) if part.maybe]
    if unsure:
        told = f"(None if {' or '.join(unsure)} else {told})"
    return Value(told, type, maybe=bool(unsure))


# --- equality ------------------------------------------------------------------------------------


def _equality(writer: Writer, node: Binary, at: At) -> Found:
    left, right = writer.write(node.left, at), writer.write(node.right, at)
    if isinstance(left, Value) and isinstance(right, Value):
        return _values_equal(_named(left, at.block), _named(right, at.block), node.op)
    many, one = (left, right) if right.single else (right, left)
    return _equal(many, one, node.op, at.block)


def _values_equal(left: Value, right: Value, op: str) -> Found:
    kinds = {KIND.get(SYSTEM + value.type) for value in (left, right)}
    if len(kinds) > 1 or kinds & {None, "moment"}:
        raise NotQuick("Values of two kinds are compared by the engine.")
    return _joined(left, right, f"({{l}} {'==' if op == '=' else '!='} {{r}})", "Boolean")


def _equal(left: Found, right: Found, op: str, block: Block) -> Found:
    """None where one side is empty, false where they differ in number."""
    if left.doubled or right.doubled or not right.single:
        raise NotQuick("Collections are compared by the engine.")
    told = block.set("None")
    count = None if left.single else block.set("0")

    def meet(inner: Block, one: Spot) -> None:
        if count:
            inner.emit(f"{count} += 1")
        right.each(inner, lambda deeper, two: deeper.emit(f"{told} = {same(one, two, op)}"))

    left.each(block, meet)
    if count:
        block.inner(f"if {count} > 1 and {told} is not None:").emit(f"{told} = {op != '='}")
    return Value(told, "Boolean", maybe=True)


def same(one: Spot, two: Spot, op: str = "=") -> str:
    """`=` or `!=` of two items that are there."""
    kinds = {kind(one), kind(two)}
    if "quantity" in kinds or "moment" in kinds or any_resource(one, two):
        raise NotQuick("Quantities are compared by the engine.")
    if kinds in ({"text"}, {"number"}):
        return f"{one.value} {'==' if op == '=' else '!='} {two.value}"
    if kinds == {"boolean"}:
        return f"{one.value} {'is' if op == '=' else 'is not'} {two.value}"
    if kinds == {"text", "element"} and all(spot.always for spot in (one, two)):
        return str(op != "=")  # an object is no text
    if kinds == {"time"} and op == "=":
        return f"same({one.value}, {one.type!r}, {two.value}, {two.type!r})"
    raise NotQuick("These are compared by the engine.")


def any_resource(*spots: Spot) -> bool:
    return any(spot.any_resource for spot in spots)


# --- order ---------------------------------------------------------------------------------------


def _inequality(writer: Writer, node: Binary, at: At) -> Found:
    left, right = writer.write(node.left, at), writer.write(node.right, at)
    if not left.single or not right.single:
        left, right = _beside_a_value(left, right)
    told = at.block.set("None")

    def meet(inner: Block, one: Spot) -> None:
        right.each(inner, lambda deeper, two: _order(deeper, one, two, told, node.op))

    left.each(at.block, meet)
    return Value(told, "Boolean", maybe=True)


def _beside_a_value(left: Found, right: Found) -> tuple[Found, Found]:
    """Two sides of which one may be many: that is refused only if the other is sure to be there."""
    values = [isinstance(side, Value) and not side.maybe for side in (left, right)]
    if not any(values):
        raise NotQuick("Both sides are met before one is refused.")
    return only_one(left), only_one(right)


def _order(block: Block, one: Spot, two: Spot, told: str, op: str) -> None:
    there = [spot.value for spot in (one, two) if not spot.always]
    if there:
        block = block.inner(f"if {' and '.join(f'{name} is not None' for name in there)}:")
    kinds = {kind(one), kind(two)}
    if kinds in ({"text"}, {"number"}):
        block.emit(f"{told} = {one.value} {op} {two.value}")
        return
    if kinds in ({"time"}, {"quantity"}):
        which = kinds.pop()
        given = f"{one.value}, {one.type!r}, {two.value}, {two.type!r}, {op!r}"
        block.emit(f"{told} = {which}_order({given})")
    elif kinds == {"moment"}:
        block.emit(f"{told} = compare({one.value}, {two.value}, {op!r})")
    elif kinds == {"time", "moment"}:
        time, moment = (one, two) if kind(two) == "moment" else (two, one)
        given = f"{time.value}, {time.type!r}, {moment.value}, {op!r}"
        block.emit(f"{told} = {'' if time is one else 'turned'}moment_order({given})")
    else:
        raise NotQuick("These are compared by the engine.")
    block.inner(f"if {told} is not None:").emit(f"{told} = {told} {op} 0")


# --- membership, arithmetic ----------------------------------------------------------------------


def _membership(writer: Writer, node: Binary, at: At) -> Found:
    what, among = (node.left, node.right) if node.op == "in" else (node.right, node.left)
    item, items = writer.write(what, at), writer.write(among, at)
    if not item.single or item.doubled:
        raise NotQuick("Only a single value is looked up.")
    told = at.block.set("None")

    def meet(inner: Block, one: Spot) -> None:
        if isinstance(items, Texts):
            if kind(one) != "text":
                raise NotQuick("Only texts are looked up among texts.")
            inner.emit(f"{told} = {one.value} in {inner.kept(items.values)}")
            return
        inner.emit(f"{told} = False")
        items.each(
            inner,
            lambda deeper, two: deeper.inner(f"if {same(one, two)}:").emit(f"{told} = True"),
        )

    item.each(at.block, meet)
    return Value(told, "Boolean", maybe=True)


def _sum(writer: Writer, node: Binary, at: At) -> Found:
    left, right = writer.write(node.left, at), writer.write(node.right, at)
    if isinstance(right, Value) and right.type == "Quantity" and node.op in "+-":
        return _moved(left, right, node.op, at.block)
    if _is_integer(left) and _is_integer(right):
        return _reckoned(left, right, node.op, at.block)
    if node.op != "+":
        raise NotQuick("Only whole numbers are reckoned with here.")
    first, second = _single_text(left, at.block), _single_text(right, at.block)
    return _joined(first, second, "({l} + {r})", "String")


def _is_integer(found: Found) -> TypeGuard[Value]:
    return isinstance(found, Value) and found.type == "Integer"


def _reckoned(left: Value, right: Value, op: str, block: Block) -> Value:
    if op in "+-" and not left.maybe and not right.maybe:
        return _joined(left, right, f"({{l}} {op} {{r}})", "Integer")
    told = _joined(left, right, f"arithmetic({op!r}, {{l}}, {{r}})", "Integer")
    return Value(block.set(told.code), "Integer", maybe=True)


def _single_text(found: Found, block: Block) -> Value:
    if isinstance(found, Value):
        if found.type != "String":
            raise NotQuick("Only texts are joined.")
        return Value(block.set(found.code), "String", maybe=found.maybe)
    found = only_one(found)
    name = block.set("None")

    def meet(inner: Block, spot: Spot) -> None:
        if kind(spot) != "text":
            raise NotQuick("Only texts are joined.")
        inner.emit(f"{name} = {spot.value}")

    found.each(block, meet)
    return Value(name, "String", maybe=True)


def _moved(left: Found, by: Value, op: str, block: Block) -> Found:
    """A time moved by a duration."""
    if not left.single or left.doubled:
        raise NotQuick("Only a single time is moved.")
    told = block.set("None")
    types = set()

    def meet(inner: Block, spot: Spot) -> None:
        if kind(spot) not in ("time", "moment") or spot.type == "time":
            raise NotQuick("Only times are moved here.")
        types.add("Date" if spot.type in ("date", SYSTEM + "Date") else "DateTime")
        inner.emit(f"{told} = moved({spot.value}, {spot.type!r}, {by.code}, {op!r})")

    left.each(block, meet)
    return Value(told, types.pop() if len(types) == 1 else "DateTime", maybe=True)


def _concatenation(writer: Writer, node: Binary, at: At) -> Found:
    """`&`: what is empty is an empty text."""
    names = []
    for part in (node.left, node.right):
        found = only_one(writer.write(part, at))
        name = at.block.set("''")

        def meet(inner: Block, spot: Spot, name: str = name) -> None:
            if kind(spot) != "text":
                raise NotQuick("Only texts are joined.")
            inner.emit(f"{name} = {spot.value}" + ("" if spot.always else " or ''"))

        found.each(at.block, meet)
        names.append(name)
    return Value(at.block.set(" + ".join(names)), "String")


BINARY: dict[str, Callable[[Writer, Binary, At], Found]] = {
    **dict.fromkeys(LOGIC, _logic),
    "xor": _xor,
    **dict.fromkeys(("=", "!="), _equality),
    **dict.fromkeys(("<", "<=", ">", ">="), _inequality),
    **dict.fromkeys(("in", "contains"), _membership),
    **dict.fromkeys(("+", "-", "*", "div", "mod"), _sum),
    "&": _concatenation,
}
