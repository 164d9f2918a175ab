"""compiled — the fast answer to a plan: yes, all a profile asks is so; or no, have a closer look.

https://hl7.org/fhir/R4/profiling.html

Each Place, Member and Value of a plan becomes one closure over what it asks, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fhir_server.conformance.definitions import Field
from fhir_server.validation.profile.plan import Member, Place, Slice, Sliced, Value, items, sort
from fhir_server.validation.profile.scope import Scope

Check = Callable[[Any, Scope], bool]


class Conforms(Protocol):
    """Whether a value is valid against a profile."""

    def __call__(self, value: Any, url: str, scope: Scope) -> bool: ...


def _accept(_value: Any, _scope: Scope) -> bool:
    return True


class Compiler:
    """The closures of one profile's plan."""

    def __init__(self, conforms: Conforms) -> None:
        self._conforms = conforms
        self._places: dict[int, Check] = {}
        self._wholes: dict[int, Check] = {}

    # --- values ----------------------------------------------------------------------------------

    def value(self, value: Value) -> Check:
        tests = [
            _of_box(leaf.holds) if value.boxed and not leaf.whole else leaf.holds
            for leaf in value.leaves
            if leaf.holds
        ]
        if value.profiles:
            tests.append(self._profiles(value.profiles))
        if value.place is not None:
            place = self.place(value.place)
            tests.append(_of_resource(place) if value.is_resource else _if_object(place))
        return _all(tests)

    def _profiles(self, urls: tuple[str, ...]) -> Check:
        conforms = self._conforms
        if len(urls) == 1:
            [url] = urls
            return lambda value, scope: conforms(value, url, scope)
        return lambda value, scope: any(conforms(value, url, scope) for url in urls)

    # --- places ----------------------------------------------------------------------------------

    def place(self, place: Place) -> Check:
        found = self._places.get(id(place))
        if found is not None:
            return found
        self._places[id(place)] = self._later(id(place))
        checks = [check for m in place.members if (check := self.member(m)) is not None]
        made = _all(checks)
        if place.dated:
            made = _dated(made)
        self._places[id(place)] = made
        return made

    def _later(self, place: int) -> Check:
        """A place within itself, while it is being made."""
        places = self._places

        def holds(value: Any, scope: Scope) -> bool:
            return places[place](value, scope)

        return holds

    # --- members ---------------------------------------------------------------------------------

    def member(self, member: Member) -> Check | None:
        """What is asked of one element, of the object it is in; None where nothing is."""
        if member.max == 0:
            return _absent(member)
        tests: list[Check] = []
        if member.forbidden:
            forbidden = member.forbidden
            tests.append(lambda owner, _scope: forbidden.isdisjoint(owner))
        values = {f.name: self.value(member.values[f.name]) for f in member.fields}
        if member.sliced is not None:
            tests.append(self._of_slices(member, member.sliced, values))
        elif any(check is not _accept for check in values.values()):
            tests.append(_each(member, values))
        elif member.min:
            tests.append(_present(member))
        if member.min > 1 or member.max is not None or (member.sliced and member.min):
            tests.append(_counted(member))
        elif member.min and tests and member.sliced is None and not _is_single(member):
            tests.append(_present(member))
        return _all(tests) if tests else None

    def _of_slices(self, member: Member, sliced: Sliced, values: dict[str, Check]) -> Check:
        if (check := self._by_table(member, sliced, values)) is not None:
            return check
        fields, boxed = member.fields, member.boxed
        check_slices = self._sliced(sliced)
        weights = {name: value.weight() for name, value in member.values.items()}

        def holds(owner: Any, scope: Scope) -> bool:
            there = []
            for field in fields:
                found = items(owner, field, boxed=field.name in boxed)
                check = values[field.name]
                scope.spend(len(found) * weights[field.name])
                if not all(check(value, scope) for value in found):
                    return False
                there.append((field, found))
            return check_slices(there, scope)

        return holds

    def _sliced(self, sliced: Sliced) -> Check:
        """What the slices ask of the values that are there, by their fields."""
        slices = [*sliced.slices, sliced.default] if sliced.default else sliced.slices
        checks = [{n: self.value(v) for n, v in each.values.items()} for each in slices]
        inner = [self._sliced(each.sliced) if each.sliced else None for each in slices]
        weights = [{n: v.weight() for n, v in each.values.items()} for each in slices]

        def holds(there: Any, scope: Scope) -> bool:
            counts = [0] * len(slices)
            for field, values in there:
                groups, rest = sort(sliced, field, values, scope, self.meets)
                if sliced.default:
                    groups.append(rest)
                    rest = []
                if not _placed(sliced, groups, rest):
                    return False
                for number, group in enumerate(groups):
                    mine = [values[place] for place in group]
                    counts[number] += len(mine)
                    if mine:
                        scope.spend(len(mine) * weights[number].get(field.name, 1))
                    check = checks[number].get(field.name, _accept)
                    if not all(check(value, scope) for value in mine):
                        return False
                    below = inner[number]
                    if below is not None and not below([(field, mine)], scope):
                        return False
            return all(map(_is_count, slices, counts))

        return holds

    def meets(self, value: Value, given: Any, scope: Scope) -> bool:
        """Whether a value meets a slice's whole definition, where nothing else tells the slice."""
        check = self._wholes.get(id(value))
        if check is None:
            check = self._wholes[id(value)] = self.value(value)
        return check(given, scope)

    def _by_table(self, member: Member, sliced: Sliced, values: dict[str, Check]) -> Check | None:
        """The common slicing: a list of objects told apart by one property, `url` or `system`;
        some slices may need another look."""
        [field, *more] = member.fields
        if more or member.boxed or sliced.ordered or sliced.default or not field.element.many:
            return None
        known = [each.matchers.get(field.name) for each in sliced.slices]
        names = Counter(each.key.name for each in known if each and each.key)
        if not names or sliced.rules == "openAtEnd" or any(s.sliced for s in sliced.slices):
            return None
        [(name, _)] = names.most_common(1)
        table = _Table(name, {}, [])
        for number, each in enumerate(known):
            if each is None:
                return None
            if each.key and each.key.name == name:
                table.numbers.setdefault(each.key.value, number)
            else:
                table.others.append((number, each.match))
        checks = [self.value(each.values[field.name]) for each in sliced.slices]
        weight = member.values[field.name].weight()
        weight += max((each.values[field.name].weight() for each in sliced.slices), default=0)
        return _by_number(field.name, table, checks, values[field.name], sliced, weight)


class _Table(NamedTuple):
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


def _all(tests: Sequence[Check]) -> Check:
    """One closure for several; two are the most common number."""
    if not tests:
        return _accept
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda value, scope: first(value, scope) and second(value, scope)
    every = tuple(tests)

    def holds(value: Any, scope: Scope) -> bool:
        for test in every:  # noqa: SIM110 - a generator costs as much as two tests
            if not test(value, scope):
                return False
        return True

    return holds


def _if_object(place: Check) -> Check:
    """A primitive that has only its `_name` is no object to look into."""
    return lambda value, scope: value is None or place(value, scope)


def _of_resource(place: Check) -> Check:
    return lambda value, scope: place(value, scope.inner(value))


def _dated(inner: Check) -> Check:
    def holds(value: Any, scope: Scope) -> bool:
        period = value.get("period")
        if period is None:
            return inner(value, scope)
        before = scope.periods
        scope.periods = period, before
        try:
            return inner(value, scope)
        finally:
            scope.periods = before

    return holds


def _of_box(check: Check) -> Check:
    return lambda value, scope: check(value.get("value"), scope)


# --- counting -------------------------------------------------------------------------------------


def _absent(member: Member) -> Check:
    names = {f.name for f in member.fields} | member.forbidden
    forbidden = frozenset(names | {f"_{name}" for name in names})
    return lambda owner, _scope: forbidden.isdisjoint(owner)


def _is_single(member: Member) -> bool:
    """An element of one name and one value, whose own check sees that it is there."""
    return len(member.fields) == 1 and not member.fields[0].element.many and not member.boxed


def _present(member: Member) -> Check:
    names = {f.name for f in member.fields}
    wanted = frozenset(names | {f"_{name}" for name in names})
    if len(names) == 1:
        [name] = names
        return lambda owner, _scope: name in owner or f"_{name}" in owner
    return lambda owner, _scope: not wanted.isdisjoint(owner)


def _counted(member: Member) -> Check:
    fields, least, most = member.fields, member.min, member.max

    def holds(owner: Any, _scope: Scope) -> bool:
        count = sum(len(items(owner, field, boxed=False)) for field in fields)
        return count >= least and (most is None or count <= most)

    return holds


def _is_count(each: Slice, count: int) -> bool:
    return count >= each.min and (each.max is None or count <= each.max)


def _placed(sliced: Sliced, groups: list[list[int]], rest: list[int]) -> bool:
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


# --- values of an element -------------------------------------------------------------------------


def _each(member: Member, values: dict[str, Check]) -> Check:
    if len(member.fields) == 1 and not member.boxed:
        [field] = member.fields
        check = values[field.name]
        if field.element.many:
            return _each_of_list(field, check, member.values[field.name].weight())
        return _single(field.name, check, required=bool(member.min))
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


def _by_number(
    name: str, table: _Table, checks: list[Check], every: Check, sliced: Sliced, weight: int
) -> Check:
    slices = list(enumerate(sliced.slices))
    limits = [(number, each) for number, each in slices if each.min or each.max is not None]
    asks = [check is not _accept for check in checks]
    closed = sliced.rules == "closed"
    least = any(each.min for each in sliced.slices)
    free = every is _accept
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
        return all(_is_count(each, counts[number]) for number, each in limits)

    return holds
