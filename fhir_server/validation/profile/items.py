"""items — the values that stand in an object, and which of its element's slices they are of.

https://hl7.org/fhir/R4/json.html#primitive
https://hl7.org/fhir/R4/profiling.html#slicing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhir_server.conformance.definitions import Field
from fhir_server.validation.profile.plan import Sliced
from fhir_server.validation.profile.scope import Scope
from fhir_server.validation.profile.scope import boxed as put_in_box


def items(owner: Mapping[str, Any], of: Field, *, boxed: bool) -> list[Any]:
    """The values of a field: None for a primitive that has only its `_name`."""
    values, besides = owner.get(of.name), owner.get(f"_{of.name}")
    if besides is None and not boxed:
        if values is None:
            return []
        return values if isinstance(values, list) else [values]
    listed = _list(values)
    beside = _list(besides)
    found = []
    for index in range(max(len(listed), len(beside))):
        value = listed[index] if index < len(listed) else None
        other = beside[index] if index < len(beside) else None
        found.append(put_in_box(value, other) if boxed else value)
    return found


def _list(values: Any) -> list[Any]:
    if values is None:
        return []
    return values if isinstance(values, list) else [values]


def sort(
    sliced: Sliced, of: Field, values: list[Any], scope: Scope, holds: Any
) -> tuple[list[list[int]], list[int]]:
    """The places of a field's values by slice, and those of none."""
    scope.spend(len(values) * len(sliced.slices))
    groups: list[list[int]] = [[] for _ in sliced.slices]
    rest = []
    for place, value in enumerate(values):
        for number, each in enumerate(sliced.slices):
            if of.name not in each.values:
                continue
            known = each.matchers[of.name]
            if known.match(value, scope) if known else holds(each.values[of.name], value, scope):
                groups[number].append(place)
                break
        else:
            rest.append(place)
    return groups, rest
