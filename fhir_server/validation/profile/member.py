"""member — what is asked of one element of an object, as closures over the object.

https://hl7.org/fhir/R4/profiling.html
https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_server.conformance.definitions import Field
from fhir_server.validation.profile.constraint import together
from fhir_server.validation.profile.items import items
from fhir_server.validation.profile.kept import Kept, text_of
from fhir_server.validation.profile.plan import Member, Slice, Sliced
from fhir_server.validation.profile.scope import Scope, boxed

CODED = {"CodeableConcept", "Coding"}

Check = Callable[[Any, Scope], bool]


def accept(_value: Any, _scope: Scope) -> bool:
    return True


# --- counting -------------------------------------------------------------------------------------


def absent(member: Member) -> Check:
    names = {f.name for f in member.fields} | member.forbidden
    forbidden = frozenset(names | {f"_{name}" for name in names})
    return lambda owner, _scope: forbidden.isdisjoint(owner)


def is_single(member: Member) -> bool:
    """An element of one name and one value, whose own check sees that it is there."""
    return len(member.fields) == 1 and not member.fields[0].element.many and not member.boxed


def present(member: Member) -> Check:
    names = {f.name for f in member.fields}
    wanted = frozenset(names | {f"_{name}" for name in names})
    if len(names) == 1:
        [name] = names
        return lambda owner, _scope: name in owner or f"_{name}" in owner
    return lambda owner, _scope: not wanted.isdisjoint(owner)


def counted(member: Member) -> Check:
    fields, least, most = member.fields, member.min, member.max

    def holds(owner: Any, _scope: Scope) -> bool:
        count = sum(len(items(owner, field, boxed=False)) for field in fields)
        return count >= least and (most is None or count <= most)

    return holds


def is_count(each: Slice, count: int) -> bool:
    return count >= each.min and (each.max is None or count <= each.max)


def placed(sliced: Sliced, groups: list[list[int]], rest: list[int]) -> bool:
    """Whether the values stand where closed, openAtEnd and ordered slicing lets them."""
    if rest and sliced.rules == "closed":
        return False
    if rest and sliced.rules == "openAtEnd" and any(g and g[-1] > rest[0] for g in groups):
        return False
    if not sliced.ordered:
        return True
    order = sorted((place, number) for number, group in enumerate(groups) for place in group)
    numbers = [number for _, number in order]
    return numbers == sorted(numbers)


# --- coded elements -------------------------------------------------------------------------------


def is_coded(member: Member) -> bool:
    """Whether it is asked for its codes: there are few, and they come again."""
    if len(member.fields) != 1 or member.boxed or member.forbidden:
        return False
    told = (leaf.coded for _, value in member.all_values() for leaf in value.leaves)
    return member.fields[0].type.code in CODED and (member.sliced is not None or any(told))


def remembering(member: Member, check: Check) -> Check:
    name, ask = member.fields[0].name, Kept(check).holds

    def holds(owner: Any, scope: Scope) -> bool:
        value = owner.get(name)
        text = None if value is None else text_of(value)
        return check(owner, scope) if text is None else ask(text, owner, scope)

    return holds


# --- values of an element -------------------------------------------------------------------------


def each_of(member: Member, values: dict[str, Check]) -> Check:
    if len(member.fields) == 1 and not member.boxed:
        [field] = member.fields
        check = values[field.name]
        if field.element.many:
            return _each_of_list(field, check, member.values[field.name].weight())
        return _single(field.name, check, required=bool(member.min))
    if len(member.fields) == 1 and not member.fields[0].element.many:
        return _plain(member, member.fields[0], values[member.fields[0].name])
    return _boxes(member, values)


def _boxes(member: Member, values: dict[str, Check]) -> Check:
    fields, boxed = member.fields, member.boxed
    weights = {name: value.weight() for name, value in member.values.items()}

    def holds(owner: Any, scope: Scope) -> bool:
        for field in fields:
            found = items(owner, field, boxed=field.name in boxed)
            scope.spend(len(found) * weights[field.name])
            for value in found:
                if not values[field.name](value, scope):
                    return False
        return True

    return holds


def _plain(member: Member, field: Field, check: Check) -> Check:
    """A primitive whose invariants may ask for its `_name`, which most often is not there."""
    value, name, beside = member.values[field.name], field.name, f"_{field.name}"
    asking = [leaf for leaf in value.leaves if leaf.holds]
    fasts = tuple(leaf.fast for leaf in asking if leaf.fast and leaf.whole)
    weight = value.weight()
    ask = together(fasts, lambda given, scope: check(boxed(given), scope), alone=False)

    def holds(owner: Any, scope: Scope) -> bool:
        given = owner.get(name)
        if beside in owner:
            scope.spend(weight)
            return check(boxed(given, owner[beside]), scope)
        if given is None:
            return True
        scope.spend(weight)
        return ask(given, scope)

    is_plain = len(fasts) == len(asking) and value.place is None and not value.profiles
    return holds if is_plain else _boxes(member, {name: check})


def _single(name: str, check: Check, *, required: bool) -> Check:
    beside = f"_{name}"

    def holds(owner: Any, scope: Scope) -> bool:
        value = owner.get(name)
        if value is None and beside not in owner:
            return not required
        return check(value, scope)

    return holds


def _each_of_list(field: Field, check: Check, weight: int) -> Check:
    name, beside = field.name, f"_{field.name}"

    def holds(owner: Any, scope: Scope) -> bool:
        values = items(owner, field, boxed=False) if beside in owner else owner.get(name, ())
        if values:
            scope.spend(len(values) * weight)
        for value in values:  # noqa: SIM110 - a generator costs as much as two tests
            if not check(value, scope):
                return False
        return True

    return holds


# --- slices told by one property ------------------------------------------------------------------


class Table(NamedTuple):
    """Which slice a value is of: by what stands in one property, or by a closer look."""

    name: str
    numbers: dict[str, int]
    others: list[tuple[int, Check]]

    def number(self, value: Any, scope: Scope) -> int | None:
        found = self.numbers.get(value.get(self.name))
        for number, match in self.others:
            if found is not None and number > found:
                break  # the first slice it is of is the one it is of
            if match(value, scope):
                return number
        return found


def by_number(
    name: str, table: Table, checks: list[Check], every: Check, sliced: Sliced, weight: int
) -> Check:
    slices = list(enumerate(sliced.slices))
    limits = [(number, each) for number, each in slices if each.min or each.max is not None]
    asks = [check is not accept for check in checks]
    closed = sliced.rules == "closed"
    least = any(each.min for each in sliced.slices)
    free = every is accept
    weight += len(table.others)

    def holds(owner: Any, scope: Scope) -> bool:
        values = owner.get(name)
        if values is None:
            return not least
        scope.spend(len(values) * weight)
        counts = [0] * len(checks)
        for value in values:
            if not free and not every(value, scope):
                return False
            number = table.number(value, scope)
            if number is not None:
                if asks[number] and not checks[number](value, scope):
                    return False
                counts[number] += 1
            elif closed:
                return False
        for number, each in limits:  # noqa: SIM110 - a generator costs as much as two tests
            if not is_count(each, counts[number]):
                return False
        return True

    return holds
