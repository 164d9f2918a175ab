"""structure — whether a resource has the shape R4 gives it: the first thing asked of any input.

https://hl7.org/fhir/R4/validation.html
https://hl7.org/fhir/R4/json.html

A resource goes through closures that answer yes in microseconds; only where they do not, a walk
finds everything that is wrong, with its place, its rule and what to do.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.datatype import Rules
from fhir_server.validation.invariant import Invariants
from fhir_server.validation.messages import issue
from fhir_server.validation.structure.compiled import Compiled
from fhir_server.validation.structure.diagnosis import Walk

__all__ = ["Validator"]

REFERENCE_TARGETS = ("error", "warning", "off")


class Validator:
    """Structural validation against R4 itself. One for all threads; check() keeps nothing.

    reference_targets: how to tell of a reference to a type its element does not allow, `error`,
    `warning` or `off`: some of HL7's own examples do it. invariants: R4's own; made if not given.
    rules: of datatypes, with or without codes.
    """

    def __init__(
        self,
        definitions: Definitions,
        *,
        reference_targets: str = "error",
        invariants: Invariants | None = None,
        rules: Rules | None = None,
    ) -> None:
        if reference_targets not in REFERENCE_TARGETS:
            raise ValueError(f"reference_targets is one of {', '.join(REFERENCE_TARGETS)}")
        self.definitions = definitions
        self.reference_targets = reference_targets
        self.invariants = invariants or Invariants(definitions)
        targets_matter = reference_targets != "off"
        self.rules = rules or Rules()
        made = partial(
            Compiled, definitions, self.invariants, self.rules, targets_matter=targets_matter
        )
        self._compiled = made()
        self._transaction = made(conditional=True)

    def check(
        self, resource: Resource, *, expected_type: str | None = None, thorough: bool = False
    ) -> list[Issue]:
        """Every issue of a resource, at most a hundred; none where it is valid R4.

        thorough: what is only good practice, too.
        """
        type = resource.get("resourceType") if isinstance(resource, dict) else None
        if expected_type is not None and type != expected_type:
            said = {"found": type, "wanted": expected_type}
            return [issue("resource-type.expected", "resourceType", **said)]
        if not thorough and self._surely_valid(resource):
            return []
        surely = self._never if thorough else self._surely_valid
        targets = self.reference_targets
        walk = Walk(self.invariants, self.rules, targets, surely, thorough=thorough)
        walk.resource(resource, "")
        return walk.report.all()

    def _never(self, _: Any) -> bool:
        return False

    def _surely_valid(self, resource: Any) -> bool:
        try:
            compiled = self._transaction if _is_transaction(resource) else self._compiled
            return compiled.resource(resource)
        except RecursionError:
            return False  # the walk counts the levels


def _is_transaction(resource: Any) -> bool:
    """Whether its entries may refer conditionally; a Bundle within it is a matter for the walk."""
    if not isinstance(resource, dict) or resource.get("type") != "transaction":
        return False
    entries = resource.get("entry")
    inner = [e.get("resource") for e in entries or () if isinstance(e, dict)]
    return resource.get("resourceType") == "Bundle" and not any(
        isinstance(each, dict) and each.get("resourceType") == "Bundle" for each in inner
    )
