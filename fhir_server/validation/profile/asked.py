"""asked — the profiles each resource is asked for: its own, its contained ones', its entries'.

https://hl7.org/fhir/R4/resource.html#Meta
https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from fhir_server.foundation.resource import Resource
from fhir_server.validation.profile.known import claimed
from fhir_server.validation.profile.scope import Bundle, Scope, Surroundings

MAX_NESTED = 10  # Bundles within Bundles


class AppliedLike(Protocol):
    """A profile that is asked for, and what it means not to meet it: `enforce` or `warn`."""

    @property
    def profile(self) -> str: ...
    @property
    def mode(self) -> str: ...


class PolicyLike(Protocol):
    """Which profiles the deployment asks for: validation.policy.Policy tells."""

    def judged(self, resource: Resource, today: dt.date) -> Sequence[AppliedLike]: ...
    def speaks_of(self, type: str) -> bool: ...


class Asked(NamedTuple):
    """One resource, where it stands, and what it is asked for: profiles, and whether they only
    warn."""

    resource: Resource
    path: str
    scope: Scope
    profiles: list[tuple[str, bool]]


def asked(
    resource: Resource, path: str, around: Surroundings, policy: PolicyLike | None
) -> Iterator[Asked]:
    """A resource, and every one within it."""
    yield from _within(resource, path, Scope(resource, around), policy, 0)


def _within(
    resource: Resource, path: str, scope: Scope, policy: PolicyLike | None, depth: int
) -> Iterator[Asked]:
    is_contained = scope.root is not resource
    profiles = _profiles(resource, scope.around.today, policy, is_contained=is_contained)
    yield Asked(resource, path, scope, profiles)
    if "contained" in resource and not is_contained:
        for index, each in _resources(resource["contained"]):
            inner = Scope(each, scope.around, container=resource, bundle=scope.bundle)
            yield from _within(each, f"{path}.contained[{index}]", inner, policy, depth)
    if depth >= MAX_NESTED:
        return
    type = resource.get("resourceType")
    if type == "Bundle":
        bundle = Bundle(resource)
        for index, entry in _objects(resource.get("entry")):
            if _is_resource(entry.get("resource")):
                inner = Scope(entry["resource"], scope.around, bundle=bundle)
                there = f"{path}.entry[{index}].resource"
                yield from _within(entry["resource"], there, inner, policy, depth + 1)
    elif type == "Parameters":
        yield from _parameters(resource, path, scope, policy, depth)


def _parameters(
    owner: Any, path: str, scope: Scope, policy: PolicyLike | None, depth: int
) -> Iterator[Asked]:
    name = "part" if "name" in owner else "parameter"
    if depth >= MAX_NESTED:
        return
    for index, each in _objects(owner.get(name)):
        there = f"{path}.{name}[{index}]"
        if _is_resource(each.get("resource")):
            inner = Scope(each["resource"], scope.around)
            yield from _within(each["resource"], f"{there}.resource", inner, policy, depth + 1)
        yield from _parameters(each, there, scope, policy, depth + 1)


def _profiles(
    resource: Resource, today: dt.date, policy: PolicyLike | None, *, is_contained: bool
) -> list[tuple[str, bool]]:
    if policy is None:
        return [(url, False) for url in claimed(resource)] if "meta" in resource else []
    found = [(each.profile, each.mode == "warn") for each in policy.judged(resource, today)]
    if not is_contained:
        return found
    mine = {url.partition("|")[0] for url in claimed(resource)}  # a policy is for what is stored
    return [(url, warns) for url, warns in found if url in mine]


def _is_resource(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("resourceType"), str)


def _resources(values: Any) -> list[tuple[int, Resource]]:
    return [(index, each) for index, each in _objects(values) if _is_resource(each)]


def _objects(values: Any) -> list[tuple[int, dict[str, Any]]]:
    if not isinstance(values, list):
        return []
    return [(index, each) for index, each in enumerate(values) if isinstance(each, dict)]
