"""constraint — the invariants a profile adds to those of the type it is of.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
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
    of_type = partial(known.invariants.compiled, source=profile)
    return [
        _leaf(_Typed(told, of_type, of.node), profile)
        for told in node.constraints
        if told.get("expression") and not _is_of_r4(known.definitions, told)
    ]


class _Typed:
    """One constraint, compiled for the type of what it is asked of: any resource may stand in an
    entry of a Bundle."""

    def __init__(
        self,
        told: Mapping[str, Any],
        compiled: Callable[[Mapping[str, Any], str], Invariant],
        node: str,
    ) -> None:
        self._told = told
        self._compiled = compiled
        self._dynamic = node == "Resource"
        self.usual = compiled(told, node)
        self._by_type: dict[str, Invariant] = {}

    def of(self, value: Any) -> Invariant:
        if not self._dynamic:
            return self.usual
        type = value["resourceType"]
        found = self._by_type.get(type)
        if found is None:
            found = self._by_type[type] = self._compiled(self._told, type)
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


def _leaf(typed: _Typed, profile: str) -> Leaf:
    is_advice = typed.usual.best_practice

    def holds(value: Any, scope: Scope) -> bool:
        beside = value if value.__class__ is Box else None
        try:
            return typed.of(value).holds(bare(value), scope.env, beside=beside)
        except Unusable:
            return False

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        if is_advice and not scope.around.thorough:
            return
        beside = value if value.__class__ is Box else None
        invariant = typed.of(value)
        found = invariant.issue(bare(value), path, scope.env, beside=beside, profile=profile)
        if found is not None:
            yield found

    return Leaf(None if is_advice else holds, tell)
