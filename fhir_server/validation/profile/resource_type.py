"""resource_type — which types of resource an element of a profile may hold.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type
https://hl7.org/fhir/R4/resource.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from fhir_server.foundation.outcome import Issue
from fhir_server.validation.messages import issue
from fhir_server.validation.profile.scope import Leaf, Scope
from fhir_server.validation.profile.tree import Type


class ProfilesLike(Protocol):
    """What is asked of all profiles."""

    def is_a(self, type: str, general: str) -> bool: ...


def type_leaf(profiles: ProfilesLike, types: tuple[Type, ...], profile: str) -> list[Leaf]:
    """`Bundle.entry.resource` that a profile narrows to a Composition."""
    codes = {type.code for type in types}
    if not codes or "Resource" in codes:
        return []

    def holds(value: Any, _scope: Scope) -> bool:
        type = value.get("resourceType") if isinstance(value, dict) else None
        return isinstance(type, str) and any(profiles.is_a(type, code) for code in codes)

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        if not holds(value, scope):
            found = value.get("resourceType") if isinstance(value, dict) else None
            yield issue(
                "narrowed-type.resource", path, profile=profile, found=found, types=sorted(codes)
            )

    return [Leaf(holds, tell)]
