"""compiled — the fast answer to a plan: yes, all a profile asks is so; or no, have a closer look.

https://hl7.org/fhir/R4/profiling.html

Each Place, Member and Value of a plan becomes one closure over what it asks, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from fhir_server.validation.profile.constraint import together
from fhir_server.validation.profile.items import items, sort
from fhir_server.validation.profile.member import (
    Check,
    Table,
    absent,
    accept,
    by_number,
    counted,
    each_of,
    is_coded,
    is_count,
    is_single,
    placed,
    present,
    remembering,
)
from fhir_server.validation.profile.plan import Member, Place, Sliced, Value
from fhir_server.validation.profile.scope import Scope


class Conforms(Protocol):
    """Whether a value is valid against a profile."""

    def __call__(self, value: Any, url: str, scope: Scope) -> bool: ...


class Compiler:
    """The closures of one profile's plan."""

    def __init__(self, conforms: Conforms) -> None:
        self._conforms = conforms
        self._places: dict[int, Check] = {}
        self._wholes: dict[int, Check] = {}

    # --- values ----------------------------------------------------------------------------------

    def value(self, value: Value) -> Check:
        fast = [leaf for leaf in value.leaves if leaf.fast and not value.boxed]
        tests = [
            _of_box(leaf.holds) if value.boxed and not leaf.whole else leaf.holds
            for leaf in value.leaves
            if leaf.holds and (len(fast) < 2 or leaf not in fast)
        ]
        if len(fast) > 1:
            slowly = _all([leaf.holds for leaf in fast if leaf.holds])
            fasts = tuple(leaf.fast for leaf in fast if leaf.fast)
            alone = all(leaf.alone for leaf in fast)
            tests.append(together(fasts, slowly, alone=alone))
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
            return absent(member)
        tests: list[Check] = []
        if member.forbidden:
            forbidden = member.forbidden
            tests.append(lambda owner, _scope: forbidden.isdisjoint(owner))
        values = {f.name: self.value(member.values[f.name]) for f in member.fields}
        if member.sliced is not None:
            tests.append(self._of_slices(member, member.sliced, values))
        elif any(check is not accept for check in values.values()):
            tests.append(each_of(member, values))
        elif member.min:
            tests.append(present(member))
        if member.min > 1 or member.max is not None or (member.sliced and member.min):
            tests.append(counted(member))
        elif member.min and tests and member.sliced is None and not is_single(member):
            tests.append(present(member))
        if not tests:
            return None
        return remembering(member, _all(tests)) if is_coded(member) else _all(tests)

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
                if not placed(sliced, groups, rest):
                    return False
                for number, group in enumerate(groups):
                    mine = [values[place] for place in group]
                    counts[number] += len(mine)
                    if mine:
                        scope.spend(len(mine) * weights[number].get(field.name, 1))
                    check = checks[number].get(field.name, accept)
                    if not all(check(value, scope) for value in mine):
                        return False
                    below = inner[number]
                    if below is not None and not below([(field, mine)], scope):
                        return False
            return all(map(is_count, slices, counts))

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
        table = Table(name, {}, [])
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
        return by_number(field.name, table, checks, values[field.name], sliced, weight)


def _all(tests: Sequence[Check]) -> Check:
    """One closure for several; two are the most common number."""
    if not tests:
        return accept
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
