"""invariant — the constraints of R4's types and of profiles, ready to be asked of an element.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.constraint
"""

from __future__ import annotations

from fhir_server.validation.invariant.asked import NOWHERE, Env, Invariant, Unusable
from fhir_server.validation.invariant.known import Invariants

__all__ = ["NOWHERE", "Env", "Invariant", "Invariants", "Unusable"]
