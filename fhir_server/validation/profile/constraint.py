"""constraint — the invariants a profile adds to those of the type it is of.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.validation.invariant import Invariant, Unusable
from fhir_server.validation.invariant.asked import Fast
from fhir_server.validation.profile.scope import AROUND, Box, Leaf, Scope
from fhir_server.validation.profile.tree import R4_TYPE, Node

# A value that is not of the shape its type has: the engine takes whatever there is.
Asking = Callable[[Any, Scope], bool]
NOT_ALONE = ("%", "today", "now", "timeOfDay", "resolve", "memberOf", "subsume", "conformsTo")
NOT_ITS_SHAPE = (AttributeError, TypeError, KeyError, IndexError, ValueError)


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
    made = _of_primitive if of.type.code in known.definitions.primitive_types else _of_object
    return [made(_Typed(told, of_type, of.node), profile) for told in own(known, node)]


def own(known: Known, node: Node) -> list[Mapping[str, Any]]:
    """The constraints of a definition that are not R4's."""
    return [
        told
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
        self.is_dynamic = node == "Resource"
        self.usual = compiled(told, node)
        self._by_type: dict[str, Invariant] = {}

    def of(self, value: Any) -> Invariant:
        if not self.is_dynamic:
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


def _is_alone(invariant: Invariant) -> bool:
    """Whether it is about the value alone: not what is around it, nor the time it is."""
    return not invariant.of_resource and not any(w in invariant.expression for w in NOT_ALONE)


def _of_object(typed: _Typed, profile: str) -> Leaf:
    fast = None if typed.is_dynamic else typed.usual.fast
    alone = _is_alone(typed.usual)

    def slowly(value: Any, scope: Scope) -> bool:
        scope.touched |= AROUND
        try:
            return typed.of(value).holds(value, scope.env)
        except Unusable:
            return False

    def quickly(value: Any, scope: Scope) -> bool:
        assert fast is not None
        if not alone:
            scope.touched |= AROUND
        try:
            return fast(value, None, scope.env)
        except (Invalid, *NOT_ITS_SHAPE):
            return slowly(value, scope)

    def tell(value: Any, scope: Scope, path: str) -> Iterator[Issue]:
        invariant = typed.of(value)
        if invariant.best_practice and not scope.around.thorough:
            return
        found = invariant.issue(value, path, scope.env, profile=profile)
        if found is not None:
            yield found

    if typed.usual.best_practice:
        return Leaf(None, tell)
    return Leaf(slowly if fast is None else quickly, tell, fast=fast, alone=alone)


def together(fasts: tuple[Fast, ...], slowly: Asking, *, alone: bool) -> Asking:
    """Several invariants of one value, asked in one go. slowly: asked where they stumble."""

    def holds(value: Any, scope: Scope) -> bool:
        if not alone:
            scope.touched |= AROUND
        env = scope.env
        try:
            for fast in fasts:
                if not fast(value, None, env):
                    return False
        except (Invalid, *NOT_ITS_SHAPE):
            return slowly(value, scope)
        return True

    return holds


def _of_primitive(typed: _Typed, profile: str) -> Leaf:
    """It may ask for what stands beside the value, too."""
    invariant = typed.usual

    def holds(box: Box, scope: Scope) -> bool:
        scope.touched |= AROUND
        try:
            return invariant.holds(box.get("value"), scope.env, beside=box)
        except Unusable:
            return False

    def tell(box: Box, scope: Scope, path: str) -> Iterator[Issue]:
        if invariant.best_practice and not scope.around.thorough:
            return
        found = invariant.issue(box.get("value"), path, scope.env, beside=box, profile=profile)
        if found is not None:
            yield found

    if invariant.best_practice:
        return Leaf(None, tell, whole=True)
    return Leaf(holds, tell, whole=True, fast=invariant.fast)
