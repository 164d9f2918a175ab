"""merging — two versions of a resource made into one, place by place, or left to a person.

https://hl7.org/fhir/R4/http.html#concurrency
https://hl7.org/fhir/R4/datatypes.html

A place is an element of the resource, or of a BackboneElement that stands there once; an item of a
list where each has a key of its own; else the list as a whole. A datatype is one place: 5 of one
side and mg of the other are no dose. What one side changed is taken, what both changed differently
is left to a person, and nothing is taken unless all can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from fhir_server.conformance.definitions import INLINE, Definitions, Field
from fhir_server.foundation.resource import Resource


class _Sign:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


ABSENT = _Sign("absent")  # nothing stands there
UNKNOWN = _Sign("unknown")  # what stood there before is not known, or ancestors differ
Value = Any  # JSON, or ABSENT; of a primitive a pair: its value, and what extends it

# What tells the items of a list apart, by their type. One that has an id goes by that.
KEYS: Mapping[str, Callable[[Any], Any]] = {
    "Identifier": lambda item: (item.get("system"), item.get("value")),
    "ContactPoint": lambda item: (item.get("system"), item.get("value")),
    "Coding": lambda item: (item.get("system"), item.get("code")),
    "Reference": lambda item: item.get("reference"),
    "Extension": lambda item: item.get("url"),
    "Resource": lambda item: item.get("id"),
    "canonical": lambda item: item,
}
# Lists out of which one side alone may take something: how somebody is called and reached.
LOOSE = frozenset({"ContactPoint", "Address", "HumanName"})
LOOSE_PATHS = frozenset({"Meta.profile", "Meta.tag", "Patient.communication", "Patient.photo"})
MADE = frozenset({"generated", "extensions", "empty"})  # narratives that say what the data says
BY_SERVER = frozenset({"versionId", "lastUpdated"})


@dataclass(frozen=True, slots=True)
class Merged:
    """apart: the places both sides changed, or that one must not take away; then no resource."""

    resource: Resource | None
    apart: tuple[str, ...] = ()


def merged(
    definitions: Definitions,
    bases: Sequence[Resource | None],
    first: Resource,
    second: Resource,
) -> Merged:
    """One resource of two that are alive, without what a server adds to meta.

    bases: the nearest common ancestors; None: one whose content is not known. Lists of items with
    keys are in the order of `first`, then of `second`.
    """
    merging = _Merging(definitions)
    ours, theirs = _plain(first), _plain(second)
    if not same(ours, theirs):
        ours, theirs = _without_made(ours), _without_made(theirs)
    type, id = ours["resourceType"], ours["id"]
    told = [UNKNOWN if base is None else _plain(base) for base in bases] or [UNKNOWN]
    whole = merging.object(type, type, told, ours, theirs)
    if merging.apart:
        return Merged(None, tuple(merging.apart))
    return Merged({"resourceType": type, "id": id, **whole})


def places(definitions: Definitions, resource: Resource) -> dict[str, Value]:
    """What stands at each place, by the name that `merged` gives it; of what a server adds to meta
    nothing."""
    type, found = resource["resourceType"], dict[str, Value]()
    _lay(definitions, type, type, _plain(resource), found)
    return found


def _lay(
    definitions: Definitions, node: str, path: str, object: Resource, found: dict[str, Value]
) -> None:
    fields = definitions.children(node)
    for name, value in _members(object).items():
        if name in ("resourceType", "id") and path == node:
            continue
        of, place, plain = fields.get(name), f"{path}.{name}", value[0]
        many = of is not None and of.element.many
        keyed = _keyed(of, value) if of is not None and many else None
        if keyed:
            found.update((f"{place}.where({_said(key)})", item) for key, item in keyed.items())
        elif of is not None and not many and _descends(of) and plain is not ABSENT:
            _lay(definitions, of.node, place, plain, found)
        else:
            found[place] = value[1] if plain is ABSENT else plain


def _descends(of: Field) -> bool:
    """Whether its members are places of their own."""
    return of.type.code in INLINE or of.type.code == "Meta"


def same(one: Any, other: Any) -> bool:
    """Whether both are one JSON: 1.50 is not 1.5, true is not 1, and the order of members means
    nothing."""
    if type(one) is not type(other):
        return False
    match one:
        case dict():
            return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case Decimal():
            return str(one) == str(other)
    return bool(one == other)


def _plain(resource: Resource) -> Resource:
    meta = {name: one for name, one in resource.get("meta", {}).items() if name not in BY_SERVER}
    rest = {name: one for name, one in resource.items() if name != "meta"}
    return {**rest, "meta": meta} if meta else rest


def _without_made(resource: Resource) -> Resource:
    """A narrative made from one side's data does not tell the other's."""
    if resource.get("text", {}).get("status") in MADE:
        return {name: one for name, one in resource.items() if name != "text"}
    return resource


@dataclass
class _Merging:
    definitions: Definitions
    apart: list[str] = field(default_factory=list)

    def object(
        self, node: str, path: str, bases: Sequence[Value], ours: Resource, theirs: Resource
    ) -> Resource:
        """The members of both, in R4's order."""
        fields = self.definitions.children(node)
        parts = [_members(base) if isinstance(base, dict) else base for base in bases]
        mine, other = _members(ours), _members(theirs)
        whole: Resource = {}
        for name in sorted(mine.keys() | other.keys(), key=_in_order(fields)):
            if name in ("resourceType", "id") and path == node:
                continue
            stood = [_at(part, name) for part in parts]
            value = self._member(
                fields.get(name), f"{path}.{name}", stood, _at(mine, name), _at(other, name)
            )
            whole.update(_apart(name, value))
        return whole

    def _member(
        self, of: Field | None, path: str, bases: Sequence[Value], ours: Value, theirs: Value
    ) -> Value:
        if of is None or same(ours, theirs):
            return self._value(path, bases, ours, theirs)
        if of.element.many:
            return self._list(of, path, bases, ours, theirs)
        if _descends(of) and ours is not ABSENT and theirs is not ABSENT:
            stood = [base if base is UNKNOWN or base is not ABSENT else {} for base in bases]
            stood = [base[0] if isinstance(base, tuple) else base for base in stood]
            return self.object(of.node, path, stood, ours[0], theirs[0]), ABSENT
        return self._value(path, bases, ours, theirs)

    def _value(self, path: str, bases: Sequence[Value], ours: Value, theirs: Value) -> Value:
        """One place."""
        base = _agreed(bases)
        if same(ours, theirs) or same(base, theirs):
            return ours
        if same(base, ours):
            return theirs
        self.apart.append(path)
        return ours

    def _list(
        self, of: Field, path: str, bases: Sequence[Value], ours: Value, theirs: Value
    ) -> Value:
        loose = of.type.code in LOOSE or of.element.path in LOOSE_PATHS
        mine, other = _keyed(of, ours), _keyed(of, theirs)
        stood = [base if base is UNKNOWN else _keyed(of, base) for base in bases]
        if mine is None or other is None or None in stood:
            value = self._value(path, bases, ours, theirs)
            if not loose and _length(value) < _least(bases, ours, theirs):
                self.apart.append(path)
            return value
        items: list[Any] = []
        for key in dict.fromkeys((*mine, *other)):
            before = [_at(side, key) for side in stood]
            one, two = _at(mine, key), _at(other, key)
            place = f"{path}.where({_said(key)})"
            lacking = ABSENT in (one, two) and _agreed(before) is not ABSENT
            if lacking and not loose:
                self.apart.append(place)
                continue
            item = self._value(place, before, one, two)
            if item is not ABSENT:
                items.append(item)
        return (items, ABSENT) if items else ABSENT


# --- members -------------------------------------------------------------------------------------


def _members(object: Resource) -> dict[str, tuple[Value, Value]]:
    """What stands under each name, with what extends it: `birthDate` and `_birthDate`."""
    names = dict.fromkeys(name.removeprefix("_") for name in object)
    return {name: (object.get(name, ABSENT), object.get(f"_{name}", ABSENT)) for name in names}


def _apart(name: str, value: Value) -> Iterator[tuple[str, Any]]:
    """The members of JSON that a value is."""
    if value is ABSENT:
        return
    plain, extended = value
    if plain is not ABSENT:
        yield name, plain
    if extended is not ABSENT:
        yield f"_{name}", extended


def _at(part: Any, name: Any) -> Value:
    return UNKNOWN if part is UNKNOWN else ABSENT if part is ABSENT else part.get(name, ABSENT)


def _in_order(fields: Mapping[str, Field]) -> Callable[[str], tuple[int, str]]:
    order = {name: at for at, name in enumerate(fields)}
    return lambda name: (order.get(name, len(order)), name)


def _agreed(bases: Sequence[Value]) -> Value:
    """What stood there before, where all ancestors say the same."""
    first = bases[0]
    return first if first is not UNKNOWN and all(same(base, first) for base in bases) else UNKNOWN


# --- lists ---------------------------------------------------------------------------------------


def _keyed(of: Field, value: Value) -> dict[Any, Any] | None:
    """The items by their keys; None where one has none, or two have the same."""
    if value is ABSENT:
        return {}
    items, extended = value
    keys = KEYS.get(of.type.code)
    if items is ABSENT or extended is not ABSENT:
        return None
    found: dict[Any, Any] = {}
    for item in items:
        key = _key(item, keys)
        if key is None or key in found:
            return None
        found[key] = item
    return found


def _key(item: Any, keys: Callable[[Any], Any] | None) -> Any:
    if isinstance(item, dict) and item.get("id"):
        return "id", item["id"]
    key = keys(item) if keys is not None else None
    return key if key and (not isinstance(key, tuple) or all(key)) else None


def _said(key: Any) -> str:
    """A key as a person may read it."""
    return "|".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _length(value: Value) -> int:
    return 0 if value is ABSENT or value[0] is ABSENT else len(value[0])


def _least(bases: Sequence[Value], ours: Value, theirs: Value) -> int:
    """How many items a list must have that is not to be shortened."""
    known = [base for base in bases if base is not UNKNOWN]
    sides: Iterable[Value] = known if len(known) == len(bases) else (ours, theirs)
    return max(map(_length, sides), default=0)
