"""constraint — the invariants of R4's own types, asked of each place as it is checked.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.foundation.fhirpath.scope import ENGINE_STEP, MAX_TOGETHER, Meter
from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import Resource
from fhir_server.validation.invariant import NOWHERE, Env, Invariant, Invariants
from fhir_server.validation.structure.demand import demanding
from fhir_server.validation.structure.report import Report

Check = Callable[[Any], bool]

# What a short way may stumble over where a value has not its type's structure.
STUMBLES = (AttributeError, TypeError, KeyError, IndexError, ValueError, FhirError)
UNUSABLE = "invariant-unusable"


def asking(check: Check, invariants: Sequence[Invariant]) -> Check:
    """The check of a place, its invariants asked too. False: perhaps not."""
    asked = [each for each in invariants if not each.best_practice]
    if not asked:
        return check
    if any(each.of_resource for each in asked):
        return lambda _: False  # what is around a place only the walk knows
    short = [each.fast or each.by_engine_alone for each in asked]
    if len(short) == 1:
        [only] = short

        def both(value: Any) -> bool:
            try:
                return check(value) and only(value, None, NOWHERE)
            except STUMBLES:
                return False

        return both

    def every(value: Any) -> bool:
        try:
            return check(value) and all(holds(value, None, NOWHERE) for holds in short)
        except STUMBLES:
            return False

    return every


class Asking:
    """The invariants asked on one walk, each that cannot be asked told once."""

    def __init__(self, invariants: Invariants, report: Report, *, thorough: bool) -> None:
        self.invariants = invariants
        self.report = report
        self.thorough = thorough
        self.env = NOWHERE
        self.unusable: set[str] = set()

    def enter(self, resource: Resource, container: Resource | None = None) -> Env:
        """The resource that is walked from here on; answers where the walk was before."""
        meter = Meter(ENGINE_STEP * MAX_TOGETHER)  # R4's own are known to end
        before, self.env = self.env, Env(resource, container or resource, meter=meter)
        return before

    def of_place(self, value: Resource, node: str, path: str) -> None:
        """Those of a type or a BackboneElement."""
        invariants = self.invariants.of(node)
        if invariants:
            missing = _missing(self.invariants.definitions, node, frozenset(value))
            self._ask(value, [i for i in invariants if not _names(i.expression, missing)], path)

    def of_element(self, value: Any, field: Field, path: str) -> None:
        """Those of an element that its type has not."""
        element = field.element.path
        if element != field.node:
            self._ask(value, self.invariants.of_element(element, field.node), path)

    def _ask(self, value: Any, invariants: Sequence[Invariant], path: str) -> None:
        for each in invariants:
            if each.best_practice and not self.thorough:
                continue
            told = each.issue(value, path, self.env)
            if told is not None and (told.rule != UNUSABLE or self._is_new(each.key, path)):
                self.report.take(told)

    def _is_new(self, key: str, path: str) -> bool:
        """Whether a rule that cannot be asked is worth telling: once, and not of what is broken."""
        if key in self.unusable or self.report.has_error(path):
            return False
        self.unusable.add(key)
        return True


def _missing(definitions: Definitions, node: str, names: frozenset[str]) -> frozenset[str]:
    """What a place should have and has not: that is told, and nothing more is asked about it."""
    return frozenset(
        group[0].element.name
        for group in demanding(definitions, node)
        if group[0].element.min and not any(f.name in names or f"_{f.name}" in names for f in group)
    )


@lru_cache(maxsize=4096)
def _names(expression: str, names: frozenset[str]) -> bool:
    """Whether an expression speaks of one of the elements."""
    return any(re.search(rf"\b{re.escape(name)}\b", expression) for name in names)
