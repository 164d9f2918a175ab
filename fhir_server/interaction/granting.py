"""granting — what the parameters of a scope mean: `patient/Encounter.rs?class=AMB`.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.foundation.outcome import FhirError
from fhir_server.search.live import Live
from fhir_server.search.query import parse
from fhir_server.store.contract import AllOf, AnyOf, Beneath, Condition, Not, ReferredBy, Refers
from fhir_server.store.contract.index import TextHas
from fhir_server.validation.knowledge import Knowledge

# What these say of a record is not in the record, so a change elsewhere would open or close it.
ELSEWHERE = (Refers, ReferredBy, Beneath, TextHas)


class Granting:
    """Says what parameters mean, by what is known now: see decision.Meaning."""

    def __init__(self, live: Live, knowledge: Knowledge) -> None:
        self._live, self._knowledge = live, knowledge

    def __call__(self, type: str, parameters: tuple[tuple[str, str], ...]) -> Condition | None:
        """What records of the type must meet. None where it is not wholly understood: a parameter
        that were passed over would open more than the scope says."""
        now = self._live.current
        if type not in now.parameters.definitions.resource_types:
            return None
        site = replace(now.indexer.site, terms=self._knowledge.current.terms)
        try:
            where = parse(now.parameters, (type,), parameters, site=site, strict=True).where
        except FhirError:
            return None
        return where if where != AllOf() and _is_own(where) else None


def _is_own(condition: Condition) -> bool:
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            return all(map(_is_own, conditions))
        case Not(inner):
            return _is_own(inner)
    return not isinstance(condition, ELSEWHERE)
