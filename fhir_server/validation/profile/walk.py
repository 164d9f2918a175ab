"""walk — the slow answer to a plan: everything that is not as a profile asks, and where.

https://hl7.org/fhir/R4/profiling.html
https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from fhir_server.conformance.definitions import Field
from fhir_server.foundation.outcome import Issue
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.compiled import Compiler
from fhir_server.validation.profile.items import items, sort
from fhir_server.validation.profile.plan import Member, Place, Slice, Sliced, Value
from fhir_server.validation.profile.scope import Scope
from fhir_server.validation.profile.tree import DEFAULT

Placed = tuple[str, Any]  # a path, and the value that stands there


class ProfilesLike(Protocol):
    """What is asked of all profiles."""

    def conforms(self, value: Any, url: str, scope: Scope) -> bool: ...
    def issues(self, value: Any, url: str, scope: Scope, path: str) -> Iterator[Issue]: ...


class Walk:
    """The walk of one profile's plan."""

    def __init__(self, profiles: ProfilesLike, url: str, compiler: Compiler) -> None:
        self._profiles = profiles
        self._url = url
        self._meets: Callable[[Value, Any, Scope], bool] = compiler.meets

    def value(self, plan: Value, value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        """What is wrong with one value."""
        scope.spend(1 + len(plan.leaves))
        bare = value.get("value") if plan.boxed else value
        for leaf in plan.leaves:
            yield from leaf.tell(value if leaf.whole else bare, scope, path)
        if plan.profiles:
            yield from self._by_profiles(plan.profiles, value, scope, path)
        if plan.place is not None and isinstance(value, dict):
            scope = scope.inner(value) if plan.is_resource else scope
            yield from self.place(plan.place, value, scope, path)

    def _by_profiles(
        self, urls: tuple[str, ...], value: Any, scope: Scope, path: str
    ) -> Iterator[Issue]:
        inner = scope.inner(value) if isinstance(value, dict) and "resourceType" in value else scope
        if len(urls) == 1:
            yield from self._profiles.issues(value, urls[0], inner, path)
        elif not any(self._profiles.conforms(value, url, inner) for url in urls):
            yield issue("type-profile", path, profile=self._url, profiles=list(urls))

    def place(self, plan: Place, owner: dict[str, Any], scope: Scope, path: str) -> Iterator[Issue]:
        """What is wrong within an object."""
        before = scope.periods
        if plan.dated and "period" in owner:
            scope.periods = owner["period"], before
        try:
            for member in plan.members:
                yield from self.member(member, owner, scope, path)
        finally:
            scope.periods = before

    # --- members ---------------------------------------------------------------------------------

    def member(
        self, plan: Member, owner: dict[str, Any], scope: Scope, path: str
    ) -> Iterator[Issue]:
        there = f"{path}.{plan.name}"
        said = {"name": plan.name, "profile": self._url}
        if plan.max == 0:
            names = {f.name for f in plan.fields} | plan.forbidden
            if any(name in owner or f"_{name}" in owner for name in names):
                yield issue("profile-max.none", there, **said)
            return
        if found := [name for name in plan.forbidden if name in owner]:
            kept = [f.name for f in plan.fields]
            yield issue("narrowed-type", there, found=found[0].lstrip("_"), types=kept, **said)
        placed = [(f, _placed(owner, f, there, boxed=f.name in plan.boxed)) for f in plan.fields]
        count = sum(len(values) for _, values in placed)
        if count < plan.min and not found:
            key = "profile-min" if count == 0 else "profile-min.some"
            yield issue(key, there, found=count, min=plan.min, **said)
        if plan.max is not None and count > plan.max:
            yield issue("profile-max", there, found=count, max=plan.max, **said)
        if plan.must_support and not count and not plan.min:
            scope.around.unsupported.append(there)
        for field, values in placed:
            for where, value in values:
                yield from self.value(plan.values[field.name], value, scope, where)
        if plan.sliced is not None:
            yield from self.slices(plan.sliced, placed, scope, there)

    # --- slices ----------------------------------------------------------------------------------

    def slices(
        self,
        sliced: Sliced,
        placed: list[tuple[Field, list[Placed]]],
        scope: Scope,
        path: str,
    ) -> Iterator[Issue]:
        slices = [*sliced.slices, sliced.default] if sliced.default else sliced.slices
        counts = [0] * len(slices)
        for field, values in placed:
            bare_values = [value for _, value in values]
            groups, rest = sort(sliced, field, bare_values, scope, self._meets)
            if sliced.default:
                groups.append(rest)
                rest = []
            yield from self._places(sliced, values, groups, rest, path)
            for number, group in enumerate(groups):
                counts[number] += len(group)
                mine = [values[place] for place in group]
                yield from self._slice(slices[number], field, mine, scope, path)
        for each, count in zip(slices, counts, strict=True):
            yield from self._counted(each, count, scope, path)

    def _slice(
        self, each: Slice, field: Field, mine: list[Placed], scope: Scope, path: str
    ) -> Iterator[Issue]:
        plan = each.values.get(field.name)
        for where, value in mine:
            if plan is not None:
                yield from self.value(plan, value, scope, where)
        if each.sliced is not None:
            yield from self.slices(each.sliced, [(field, mine)], scope, path)

    def _counted(self, each: Slice, count: int, scope: Scope, path: str) -> Iterator[Issue]:
        said = {"slice": each.name, "name": path.rpartition(".")[2], "profile": self._url}
        if count < each.min:
            yield issue("slice-min", path, found=count, min=each.min, **said)
        if each.max is not None and count > each.max:
            yield issue("slice-max", path, found=count, max=each.max, **said)
        if each.must_support and not count and not each.min:
            scope.around.unsupported.append(f"{path}:{each.name}")

    def _places(
        self,
        sliced: Sliced,
        values: list[Placed],
        groups: list[list[int]],
        rest: list[int],
        path: str,
    ) -> Iterator[Issue]:
        """Values that stand where closed, openAtEnd and ordered slicing does not let them."""
        said = {"name": path.rpartition(".")[2], "profile": self._url}
        names = [each.name for each in sliced.slices] + [DEFAULT] * (sliced.default is not None)
        if sliced.rules == "closed":
            for place in rest:
                yield issue("slice-closed", values[place][0], slices=names, **said)
        if sliced.rules == "openAtEnd":
            last = max((group[-1] for group in groups if group), default=-1)
            for place in rest:
                if place < last:
                    yield issue("slice-open-at-end", values[place][0], slices=names, **said)
        if sliced.ordered:
            latest = -1
            of = {place: number for number, group in enumerate(groups) for place in group}
            for place in sorted(of):
                if of[place] < latest:
                    here, before = names[of[place]], names[latest]
                    where = values[place][0]
                    yield issue("slice-order", where, slice=here, before=before, **said)
                latest = max(latest, of[place])


def _placed(owner: dict[str, Any], field: Field, path: str, *, boxed: bool) -> list[Placed]:
    values = items(owner, field, boxed=boxed)
    if not field.element.many:
        return [(path, value) for value in values]
    return [(f"{path}[{index}]", value) for index, value in enumerate(values)]
