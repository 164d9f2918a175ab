"""constraint — the invariants a profile adds to those of the type it is of.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.outcome import Issue
from fhir_server.validation.invariant import Invariant, Unusable
from fhir_server.validation.profile.scope import Box, Leaf, Scope, bare
from fhir_server.validation.profile.tree import R4_TYPE, Node


class InvariantsLike(Protocol):
    """What is asked of invariants: validation.invariant.Invariants answers it."""

    def compiled(
        self, constraint: Mapping[str, Any], type_of_focus: str, *, source: str | None = None
    ) -> Invariant: ...


class Known(Protocol):
    """What the invariants of a profile are made with."""

    @property
    def definitions(self) -> Definitions: ...
    @property
    def invariants(self) -> InvariantsLike | None: ...


def leaves(known: Known, node: Node, of: Field, profile: str) -> list[Leaf]:
    """What a definition's constraints ask that R4 itself does not."""
    if known.invariants is None:
        return []
    focus = of.node
    if of.type.code == "Resource":
        focus = next((t.code for t in node.types if len(node.types) == 1), "Resource")
    found = []
    for told in node.constraints:
        if told.get("expression") and not _is_of_r4(known.definitions, told):
            found.append(_leaf(known.invariants.compiled(told, focus, source=profile), profile))
    return found


def _is_of_r4(definitions: Definitions, told: Mapping[str, Any]) -> bool:
    """Whether R4 itself makes it: then the structure's check has asked it already."""
    known = definitions.constraints.get(told.get("key", ""))
    if known is None:
        return False
    if told.get("expression", "").split() == known[1].split():
        return True
    source = told.get("source")
    name = source.removeprefix(R4_TYPE) if isinstance(source, str) else ""
    return name in definitions.all_types


def _leaf(invariant: Invariant, profile: str) -> Leaf:
    def holds(value: Any, scope: Scope) -> bool:
        if invariant.best_practice:
            return True
        beside = value if value.__class__ is Box else None
        try:
            return invariant.holds(bare(value), scope.env, beside=beside)
        except Unusable:
            return False

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        if invariant.best_practice and not scope.around.thorough:
            return
        beside = value if value.__class__ is Box else None
        found = invariant.issue(bare(value), path, scope.env, beside=beside, profile=profile)
        if found is not None:
            yield found

    return Leaf(holds, tell)
