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
HOLDING = ("Bundle", "Parameters")  # others, that are not contained


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
    """One resource, where it stands if that is to be told, and what it is asked for."""

    resource: Resource
    path: str
    scope: Scope
    profiles: Sequence[AppliedLike]


class Claimed(NamedTuple):
    """A profile that is asked for because a resource claims it, where there is no policy."""

    profile: str
    mode: str = "enforce"


def asked(
    resource: Resource, path: str, around: Surroundings, policy: PolicyLike | None
) -> Iterator[Asked]:
    """A resource, and every one within it. path: '' where no place is to be told."""
    yield from _within(resource, path, Scope(resource, around), policy, 0)


def _one(resource: Resource, path: str, scope: Scope, policy: PolicyLike | None) -> Asked:
    is_contained = scope.root is not resource
    profiles = _profiles(resource, scope.around.today, policy, is_contained=is_contained)
    return Asked(resource, path, scope, profiles)


def _within(
    resource: Resource, path: str, scope: Scope, policy: PolicyLike | None, depth: int
) -> Iterator[Asked]:
    is_contained = scope.root is not resource
    yield _one(resource, path, scope, policy)
    if "contained" in resource and not is_contained:
        for index, inner in _resources(resource["contained"]):
            its = Scope(inner, scope.around, container=resource, bundle=scope.bundle)
            yield from _within(inner, f"{path}.contained[{index}]", its, policy, depth)
    if depth >= MAX_NESTED:
        return
    type = resource.get("resourceType")
    if type == "Bundle":
        bundle = Bundle(resource)
        for index, entry in _objects(resource.get("entry")):
            each: Resource = entry.get("resource", {})
            if not _is_resource(each):
                continue
            its = Scope(each, scope.around, bundle=bundle)
            there = f"{path}.entry[{index}].resource" if path else ""
            if "contained" in each or each["resourceType"] in HOLDING:
                yield from _within(each, there, its, policy, depth + 1)
            else:
                yield _one(each, there, its, policy)
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
) -> Sequence[AppliedLike]:
    if policy is None:
        return [Claimed(url) for url in claimed(resource)] if "meta" in resource else []
    found = policy.judged(resource, today)
    if not is_contained:
        return found
    mine = {url.partition("|")[0] for url in claimed(resource)}  # a policy is for what is stored
    return [each for each in found if each.profile in mine]


def _is_resource(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("resourceType"), str)


def _resources(values: Any) -> list[tuple[int, Resource]]:
    return [(index, each) for index, each in _objects(values) if _is_resource(each)]


def _objects(values: Any) -> list[tuple[int, dict[str, Any]]]:
    if not isinstance(values, list):
        return []
    return [(index, each) for index, each in enumerate(values) if isinstance(each, dict)]
