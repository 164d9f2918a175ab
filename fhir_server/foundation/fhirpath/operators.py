"""operators — what `=`, `<`, `+`, `and`, `|` and the others make of their two sides.

http://hl7.org/fhirpath/N1/#operations
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fhir_server.foundation.fhirpath.items import Item, made
from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.fhirpath.scope import (
    Evaluated,
    Scope,
    Truth,
    boolean,
    one,
    truth,
    value_of,
)
from fhir_server.foundation.fhirpath.values import (
    arithmetic,
    compare,
    equal,
    equivalent,
    item_key,
    weight,
)
from fhir_server.foundation.outcome import Invalid


def polarity(op: str, operand: Evaluated) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        value = value_of(operand(scope), f"`{op}`")
        if value is None:
            return []
        if isinstance(value, Quantity):
            return [made(Quantity(-value.value if op == "-" else value.value, value.unit))]
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise Invalid(f"FHIRPath: `{op}` is for numbers.")
        return [made(-value if op == "-" else value)]

    return evaluated


def _cost(left: list[Item], right: list[Item], op: str) -> int:
    """What a comparison takes: `~` looks for each thing of one side on the other."""
    inside = weight(left) + weight(right)
    if "~" in op:
        return len(left) * len(right) + inside * inside // 100 + 1
    return len(left) + inside + 1


def _equality(op: str, left: Evaluated, right: Evaluated) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        one_side, other = left(scope), right(scope)
        scope.run.spend(_cost(one_side, other, op))
        same = equivalent(one_side, other) if "~" in op else equal(one_side, other)
        return truth(same if op[0] != "!" or same is None else not same)

    return evaluated


ORDER: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def _inequality(op: str, left: Evaluated, right: Evaluated) -> Evaluated:
    holds = ORDER[op]

    def evaluated(scope: Scope) -> list[Item]:
        first, second = value_of(left(scope), f"`{op}`"), value_of(right(scope), f"`{op}`")
        if first is None or second is None:
            return []
        order = compare(first, second, op)
        return truth(None if order is None else holds(order))

    return evaluated


def _arithmetic(op: str, left: Evaluated, right: Evaluated) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        first, second = value_of(left(scope), f"`{op}`"), value_of(right(scope), f"`{op}`")
        if op == "&":
            texts = ["" if each is None else each for each in (first, second)]
            result = arithmetic("+", *texts) if all(isinstance(t, str) for t in texts) else None
            if result is None:
                raise Invalid("FHIRPath: `&` is for strings.")
            scope.run.spend(len(result) // 100)
            return [made(result)]
        if first is None or second is None:
            return []
        result = arithmetic(op, first, second)
        scope.run.spend(len(result) // 100 if isinstance(result, str) else 0)
        return [] if result is None else [made(result)]

    return evaluated


def _union(_: str, left: Evaluated, right: Evaluated) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        items = left(scope) + right(scope)
        scope.run.spend(len(items) + weight(items) + 1)
        return list({item_key(item): item for item in reversed(items)}.values())[::-1]

    return evaluated


def _membership(op: str, left: Evaluated, right: Evaluated) -> Evaluated:
    def evaluated(scope: Scope) -> list[Item]:
        among, what = (left, right) if op == "contains" else (right, left)
        item, items = one(what(scope), f"`{op}`"), among(scope)
        if item is None:
            return []
        scope.run.spend((weight([item]) + 1) * len(items) + weight(items) + 1)
        return truth(any(equal([item], [other]) for other in items))

    return evaluated


# What is told by the left side alone, and by both.
def _and(one_side: Truth, other: Truth) -> Truth:
    if one_side is False or other is False:
        return False
    return None if one_side is None or other is None else True


def _or(one_side: Truth, other: Truth) -> Truth:
    if one_side or other:
        return True
    return None if one_side is None or other is None else False


def _xor(one_side: Truth, other: Truth) -> Truth:
    return None if one_side is None or other is None else one_side != other


def _implies(one_side: Truth, other: Truth) -> Truth:
    return _or(None if one_side is None else not one_side, other)


Logic = Callable[[Truth, Truth], Truth]
LOGIC: dict[str, tuple[Logic, Truth]] = {
    "and": (_and, False),
    "or": (_or, True),
    "xor": (_xor, None),
    "implies": (_implies, False),
}


def _logic(op: str, left: Evaluated, right: Evaluated) -> Evaluated:
    meet, decides = LOGIC[op]

    def evaluated(scope: Scope) -> list[Item]:
        one_side = boolean(left(scope))
        scope.run.spend(1)
        if one_side is not None and one_side is decides:
            return truth(meet(one_side, None))
        return truth(meet(one_side, boolean(right(scope))))

    return evaluated


Operator = Callable[[str, Evaluated, Evaluated], Evaluated]
BINARY: dict[str, Operator] = {
    **dict.fromkeys(("=", "!=", "~", "!~"), _equality),
    **dict.fromkeys(("<", "<=", ">", ">="), _inequality),
    **dict.fromkeys(("+", "-", "*", "/", "div", "mod", "&"), _arithmetic),
    **dict.fromkeys(("and", "or", "xor", "implies"), _logic),
    **dict.fromkeys(("in", "contains"), _membership),
    "|": _union,
}
