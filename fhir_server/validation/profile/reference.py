"""reference — what a Reference of a profile may name, and how the target may be held.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type.targetProfile
https://hl7.org/fhir/R4/valueset-resource-aggregation-mode.html
https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource, literal
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.scope import Leaf, Scope
from fhir_server.validation.profile.tree import R4_TYPE, Type

ANY = {"Resource", "DomainResource"}


class ProfilesLike(Protocol):
    """What is asked of all profiles."""

    def type_of(self, url: str) -> str | None: ...
    def is_base(self, url: str) -> bool: ...
    def conforms(self, value: Any, url: str, scope: Scope) -> bool: ...


class Targets(NamedTuple):
    """What may be referred to: types, and of each the profiles one of which it must be."""

    by_type: Mapping[str, tuple[str, ...]]  # no profile: the type alone
    any: bool  # a profile is not known, so nothing can be said

    def profiles(self, type: str) -> tuple[str, ...] | None:
        """The profiles for a type; () for any of that type; None where the type may not stand."""
        if type in self.by_type:
            return self.by_type[type]
        for general in ANY:
            if general in self.by_type:
                return self.by_type[general]
        return () if self.any else None


def targets(profiles: ProfilesLike, type: Type) -> Targets:
    found: dict[str, tuple[str, ...]] = {}
    free: set[str] = set()
    unknown = False
    for url in type.targets:
        name = profiles.type_of(url)
        if name is None:
            unknown = True
        elif profiles.is_base(url):
            free.add(name)
        else:
            found[name] = (*found.get(name, ()), url)
    return Targets(found | dict.fromkeys(free, ()), unknown)


def leaves(profiles: ProfilesLike, type: Type, profile: str, base: tuple[str, ...]) -> list[Leaf]:
    """What a profile asks of References beyond R4 itself, whose own targets are `base`."""
    found = []
    own = {url.removeprefix(R4_TYPE) for url in type.targets}
    if type.targets and "Resource" not in own and own != set(base):
        found.append(_targets_leaf(profiles, type, profile))
    if type.aggregation and type.aggregation != {"contained", "bundled", "referenced"}:
        found.append(_aggregation_leaf(type.aggregation, profile))
    return found


class Target(NamedTuple):
    """What a Reference names, as far as it can be told."""

    type: str | None
    resource: Resource | None
    how: str | None  # contained | bundled | referenced


def named(value: Any, scope: Scope) -> Target:
    """The target of a Reference."""
    text = value.get("reference") if isinstance(value, dict) else None
    said = value.get("type") if isinstance(value, dict) else None
    said = said.removeprefix(R4_TYPE) if isinstance(said, str) else None
    if not isinstance(text, str):
        return Target(said, None, None)
    how = "contained" if text.startswith("#") else "referenced"
    found = scope.find(text)
    if found is not None:
        type = found.get("resourceType")
        how = "bundled" if how == "referenced" else how
        return Target(type if isinstance(type, str) else said, found, how)
    known = literal(text.partition("#")[0])
    is_rest = known and (not known.base or known.base.startswith("http"))
    return Target(known.key.type if known and is_rest else said, None, how)


def _targets_leaf(profiles: ProfilesLike, type: Type, profile: str) -> Leaf:
    allowed: list[Targets] = []  # made when first asked: profiles may refer to each other

    def ready() -> Targets:
        if not allowed:
            allowed.append(targets(profiles, type))
        return allowed[0]

    def holds(value: Any, scope: Scope) -> bool:
        target = named(value, scope)
        if target.type is None:
            return True
        wanted = ready().profiles(target.type)
        if wanted is None:
            return False
        if not wanted or target.resource is None:
            return True
        return any(_conforms(profiles, target.resource, url, scope) for url in wanted)

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        if holds(value, scope):
            return
        target = named(value, scope)
        told = value.get("reference") or target.type
        if ready().profiles(target.type or "") is None:
            types = sorted(ready().by_type)
            said: dict[str, Any] = {"found": target.type, "told": told, "types": types}
            yield issue("reference-target", path, profile=profile, **said)
        else:
            wanted = ready().profiles(target.type or "") or ()
            yield issue(
                "reference-profile", path, profile=profile, told=told, profiles=list(wanted)
            )

    return Leaf(holds, tell)


def _conforms(profiles: ProfilesLike, resource: Resource, url: str, scope: Scope) -> bool:
    return profiles.conforms(resource, url, scope.inner(resource))


def _aggregation_leaf(modes: frozenset[str], profile: str) -> Leaf:
    def holds(value: Any, scope: Scope) -> bool:
        how = named(value, scope).how
        if how == "referenced" and scope.bundle is None and "bundled" in modes:
            return True  # it stands alone: the Bundle it came in is not at hand
        return how is None or how in modes

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        if not holds(value, scope):
            how = named(value, scope).how
            yield issue(
                f"reference-aggregation.{how}",
                path,
                profile=profile,
                told=value.get("reference"),
                modes=sorted(modes),
            )

    return Leaf(holds, tell)
