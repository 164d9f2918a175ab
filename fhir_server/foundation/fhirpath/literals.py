"""literals — the value of what is written in an expression.

http://hl7.org/fhirpath/N1/#literals
"""

from __future__ import annotations

from typing import Any

from fhir_server.foundation.fhirpath.quantity import Quantity
from fhir_server.foundation.fhirpath.temporal import Temporal
from fhir_server.foundation.outcome import Invalid


def literal(value: Any, type: str) -> Any:
    """The value of a tree.Literal. Raises Invalid where there is no such day or time."""
    if type == "quantity":
        return Quantity(*value)
    if type in ("date", "dateTime", "time"):
        found = Temporal.parse(value, type)
        if found is None:
            raise Invalid(f"FHIRPath: `@{value}` is no {type} there is.")
        return found
    return value
