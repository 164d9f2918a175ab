"""functions — all functions of an expression, in one table.

http://hl7.org/fhirpath/N1/#functions
https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, NamedTuple

from fhir_server.foundation.fhirpath import (
    asking,
    boundaries,
    conversions,
    encodings,
    numbers,
    texts,
)
from fhir_server.foundation.fhirpath.items import CLASS, SYSTEM, Item, made, plain, system
from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.fhirpath.references import resolved
from fhir_server.foundation.fhirpath.scope import Evaluated, Scope, Truth, boolean, one, truth
from fhir_server.foundation.fhirpath.temporal import Temporal
from fhir_server.foundation.fhirpath.values import compare, item_key, weight
from fhir_server.foundation.outcome import Invalid

Args = tuple[Evaluated, ...]
Body = Callable[[Scope, list[Item], Args], list[Item]]


class Function(NamedTuple):
    """What a function does, and how many arguments it may be given."""

    evaluated: Body
    fewest: int = 0
    most: int = 0


def _each(scope: Scope, focus: list[Item], asked: Evaluated) -> list[Truth]:
    """The condition asked of each item."""
    return [boolean(asked(scope.within(item, i))) for i, item in enumerate(focus)]


# --- existence -----------------------------------------------------------------------------------


def _exists(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    if not args:
        return truth(bool(focus))
    return truth(any(met is True for met in _each(scope, focus, args[0])))


def _all(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    return truth(all(met is True for met in _each(scope, focus, args[0])))


def _truths(focus: list[Item]) -> list[bool]:
    values = [plain(item) for item in focus]
    if not all(isinstance(value, bool) for value in values):
        raise Invalid("FHIRPath: the function is for booleans.")
    return values


def _keys(scope: Scope, items: list[Item]) -> set[Any]:
    scope.run.spend(weight(items))
    return {item_key(item) for item in items}


def _distinct(scope: Scope, items: list[Item]) -> list[Item]:
    scope.run.spend(weight(items))
    found: dict[Any, Item] = {}
    for item in items:
        found.setdefault(item_key(item), item)
    return list(found.values())


# --- filtering and combining ---------------------------------------------------------------------


def _where(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    truths = _each(scope, focus, args[0])
    return [item for item, met in zip(focus, truths, strict=True) if met is True]


def _select(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    return [made for i, item in enumerate(focus) for made in args[0](scope.within(item, i))]


def _repeat(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    found: dict[Any, Item] = {}
    waiting = list(focus)
    while waiting:
        fresh = []
        selected = _select(scope, waiting, args)
        scope.run.spend(len(selected) + weight(selected))
        for item in selected:
            known = item_key(item)
            if known not in found:
                found[known] = item
                fresh.append(item)
        waiting = fresh
    return list(found.values())


def _descendants(scope: Scope, focus: list[Item], _: Args) -> list[Item]:
    found: list[Item] = []
    waiting = focus
    while waiting:
        waiting = [child for item in waiting for child in scope.run.model.children(item)]
        scope.run.spend(len(waiting))
        found += waiting
    return found


def _number(scope: Scope, arg: Evaluated) -> int:
    item = one(arg(scope), "the argument")
    value = None if item is None else plain(item)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid("FHIRPath: the argument must be an integer.")
    return value


def _skip(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    return focus[max(_number(scope, args[0]), 0) :]


def _take(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    return focus[: max(_number(scope, args[0]), 0)]


def _single(_: Scope, focus: list[Item], __: Args) -> list[Item]:
    item = one(focus, "`single()`")
    return [] if item is None else [item]


def _intersect(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    among = _keys(scope, args[0](scope))
    scope.run.spend(weight(focus))
    return _distinct(scope, [item for item in focus if item_key(item) in among])


def _exclude(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    among = _keys(scope, args[0](scope))
    scope.run.spend(weight(focus))
    return [item for item in focus if item_key(item) not in among]


def _sort(scope: Scope, focus: list[Item], keys: list[tuple[Evaluated, bool]]) -> list[Item]:
    """By each key in turn, the second of a pair saying whether it descends; nothing comes first."""
    scope.run.spend(len(focus) * max(len(focus).bit_length(), 1))
    told = [
        [one(key(scope.within(item, i)), "`sort()`") for key, _ in keys]
        for i, item in enumerate(focus)
    ]

    def order(first: int, second: int) -> int:
        for place, (_, descending) in enumerate(keys):
            left, right = told[first][place], told[second][place]
            if left is None or right is None:
                if left is not right:
                    return -1 if left is None else 1
                continue
            found = compare(plain(left), plain(right), "sort()") or 0
            if found:
                return -found if descending else found
        return 0

    return [focus[place] for place in sorted(range(len(focus)), key=cmp_to_key(order))]


def sorting(focus: Evaluated, keys: list[tuple[Evaluated, bool]]) -> Evaluated:
    return lambda scope: _sort(scope, focus(scope), keys or [(lambda inner: inner.this, False)])


def _aggregate(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    total = args[1](scope) if len(args) > 1 else []
    for i, item in enumerate(focus):
        inner = scope.within(item, i)
        inner.total = total
        total = args[0](inner)
    return total


def _iif(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    one(focus, "`iif()`")
    inner = Scope(scope.run, focus, scope.index, scope.total)
    if boolean(args[0](inner)) is True:
        return args[1](inner)
    return args[2](inner) if len(args) > 2 else []


def _not(_: Scope, focus: list[Item], __: Args) -> list[Item]:
    met = boolean(focus)
    return truth(None if met is None else not met)


# --- types ---------------------------------------------------------------------------------------


def _of_type(scope: Scope, focus: list[Item], type: str) -> list[Item]:
    # R4's own search parameters ask `as` of collections, so it sorts as ofType() does
    model = scope.run.model
    return [found for item in focus if (found := model.as_type(item, type)) is not None]


def _is(scope: Scope, focus: list[Item], type: str) -> list[Item]:
    item = one(focus, "`is`")
    return [] if item is None else truth(scope.run.model.is_type(item, type))


def _type(_: Scope, focus: list[Item], __: Args) -> list[Item]:
    found = []
    for item in focus:
        namespace = "System" if item.type.startswith(SYSTEM) else "FHIR"
        told = {"namespace": namespace, "name": item.type.removeprefix(SYSTEM)}
        found.append(Item(told, CLASS, CLASS))
    return found


# --- FHIR ----------------------------------------------------------------------------------------


def _extension(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    url = one(args[0](scope), "`extension()`")
    extensions = [x for item in focus for x in scope.run.model.child(item, "extension")]
    wanted = None if url is None else plain(url)
    return [x for x in extensions if isinstance(x.value, dict) and x.value.get("url") == wanted]


def _has_extension(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    # not in R4's list of functions, but R4's own search parameters ask it
    return truth(bool(_extension(scope, focus, args)))


def _has_value(scope: Scope, focus: list[Item], _: Args) -> list[Item]:
    primitive = scope.run.model.definitions.primitive_types
    return truth(len(focus) == 1 and focus[0].value is not None and focus[0].node in primitive)


def _get_value(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    return [system(focus[0])] if _has_value(scope, focus, args)[0].value else []


def _comparable(scope: Scope, focus: list[Item], args: Args) -> list[Item]:
    values = [one(focus, "`comparable()`"), one(args[0](scope), "`comparable()`")]
    quantities = [plain(item) for item in values if item is not None]
    if len(quantities) < 2 or not all(isinstance(q, Quantity) for q in quantities):
        return []
    return truth(quantities[0].common().unit == quantities[1].common().unit)


def _clock(kind: str, start: int, end: int) -> Body:
    def told(scope: Scope, _: list[Item], __: Args) -> list[Item]:
        text = scope.run.now.isoformat(timespec="milliseconds")[start : end or None]
        found = Temporal.parse(text, kind)
        return [] if found is None else [made(found)]

    return told


def _plain(body: Callable[[list[Item]], list[Item]]) -> Function:
    """A function of its focus alone."""
    return Function(lambda _, focus, __: body(focus))


TYPE_FUNCTIONS: dict[str, Callable[[Scope, list[Item], str], list[Item]]] = {
    "ofType": _of_type,
    "as": _of_type,
    "is": _is,
}

FUNCTIONS: dict[str, Function] = {
    "empty": _plain(lambda focus: truth(not focus)),
    "exists": Function(_exists, 0, 1),
    "all": Function(_all, 1, 1),
    "allTrue": _plain(lambda focus: truth(all(_truths(focus)))),
    "anyTrue": _plain(lambda focus: truth(any(_truths(focus)))),
    "allFalse": _plain(lambda focus: truth(not any(_truths(focus)))),
    "anyFalse": _plain(lambda focus: truth(not all(_truths(focus)))),
    "subsetOf": Function(lambda s, f, a: truth(_keys(s, f) <= _keys(s, a[0](s))), 1, 1),
    "supersetOf": Function(lambda s, f, a: truth(_keys(s, f) >= _keys(s, a[0](s))), 1, 1),
    "count": _plain(lambda focus: [made(len(focus))]),
    "distinct": Function(lambda s, f, _: _distinct(s, f)),
    "isDistinct": Function(lambda s, f, _: truth(len(_keys(s, f)) == len(f))),
    "not": Function(_not),
    "where": Function(_where, 1, 1),
    "select": Function(_select, 1, 1),
    "repeat": Function(_repeat, 1, 1),
    "single": Function(_single),
    "first": _plain(lambda focus: focus[:1]),
    "last": _plain(lambda focus: focus[-1:]),
    "tail": _plain(lambda focus: focus[1:]),
    "skip": Function(_skip, 1, 1),
    "take": Function(_take, 1, 1),
    "intersect": Function(_intersect, 1, 1),
    "exclude": Function(_exclude, 1, 1),
    "union": Function(lambda s, f, a: _distinct(s, f + a[0](s)), 1, 1),
    "combine": Function(lambda s, f, a: f + a[0](s), 1, 1),
    "aggregate": Function(_aggregate, 1, 2),
    "iif": Function(_iif, 2, 3),
    "trace": Function(lambda _, focus, __: focus, 1, 2),
    "children": Function(lambda s, f, _: [c for item in f for c in s.run.model.children(item)]),
    "descendants": Function(_descendants),
    "type": Function(_type),
    "extension": Function(_extension, 1, 1),
    "hasExtension": Function(_has_extension, 1, 1),
    "hasValue": Function(_has_value),
    "getValue": Function(_get_value),
    "comparable": Function(_comparable, 1, 1),
    "resolve": Function(lambda scope, focus, _: resolved(scope, focus)),
    "now": Function(_clock("dateTime", 0, 0)),
    "today": Function(_clock("date", 0, 10)),
    "timeOfDay": Function(_clock("time", 11, 23)),
}
for _name, (_body, _fewest, _most) in (
    conversions.FUNCTIONS
    | numbers.FUNCTIONS
    | texts.FUNCTIONS
    | encodings.FUNCTIONS
    | boundaries.FUNCTIONS
    | asking.FUNCTIONS
).items():
    FUNCTIONS[_name] = Function(_body, _fewest, _most)
