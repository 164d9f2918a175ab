"""binding — required codes: what an element bound to a value set may say.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.conformance.definitions import Definitions, Field
from fhir_server.validation.messages import MAX_LISTED

# RFC 6838 4.2:  type "/" subtype, perhaps with parameters; FHIR also writes xml, json, ttl
MIME = re.compile(
    r"(?:[A-Za-z0-9][A-Za-z0-9!#$&^_.+\-]*/[A-Za-z0-9*][A-Za-z0-9!#$&^_.+\-]*"
    r"(?:\s*;\s*[A-Za-z0-9!#$&^_.+\-]+=(?:[^\s;\"]+|\"[^\"]*\"))*|xml|json|ttl|patch|\*/\*)"
)
CURRENCY = re.compile(r"[A-Z]{3}")  # ISO 4217
LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")  # BCP 47

VALUE_SETS = "http://hl7.org/fhir/ValueSet/"
# With the message for what is not written so.
SYNTAX: dict[str, tuple[re.Pattern[str], str]] = {
    f"{VALUE_SETS}mimetypes": (MIME, "binding.mimetypes"),
    f"{VALUE_SETS}currencies": (CURRENCY, "binding.currencies"),
    # R4 binds it `preferred`, its maximum being all of BCP 47.
    f"{VALUE_SETS}languages": (LANGUAGE, "binding.languages"),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """What may stand in a bound element."""

    value_set: str
    systems: dict[str, frozenset[str]]  # empty where only the syntax is known
    codes: frozenset[str]
    syntax: re.Pattern[str] | None = None
    wrong: str = "binding.code"  # the key of the catalogue

    def has_code(self, code: Any) -> bool:
        if code.__class__ is not str:
            return False
        return bool(self.syntax.fullmatch(code)) if self.syntax else code in self.codes

    def has_coding(self, coding: Any) -> bool:
        if coding.__class__ is not dict:
            return False
        system, code = coding.get("system"), coding.get("code")
        return (
            system.__class__ is str
            and code.__class__ is str
            and code in self.systems.get(system, frozenset())
        )

    def has_concept(self, concept: Any) -> bool:
        """R4 terminologies#required: one of the codings is from the value set."""
        codings = concept.get("coding") if concept.__class__ is dict else None
        return codings.__class__ is list and any(map(self.has_coding, codings))


CHECKS: dict[str, Callable[[Bound, Any], bool]] = {
    "code": Bound.has_code,
    "string": Bound.has_code,
    "uri": Bound.has_code,
    "Coding": Bound.has_coding,
    "Quantity": Bound.has_coding,
    "CodeableConcept": Bound.has_concept,
}


def bound(definitions: Definitions, field: Field) -> Bound | None:
    """What a field is bound to; None where it is free or R4 cannot tell."""
    binding = field.element.binding
    if binding is None or field.type.code not in CHECKS:
        return None
    if (syntax := SYNTAX.get(binding.value_set)) and field.type.code == "code":
        return Bound(binding.value_set, {}, frozenset(), *syntax)
    if binding.strength != "required":
        return None
    return _enumerated(definitions, binding.value_set)


@lru_cache(maxsize=512)  # R4 has 225 required value sets
def _enumerated(definitions: Definitions, value_set: str) -> Bound | None:
    systems = definitions.codes(value_set)
    if systems is None:
        return None
    codes = frozenset().union(*systems.values())
    wrong = "binding.code-many" if len(codes) > MAX_LISTED else "binding.code"
    return Bound(value_set, systems, codes, wrong=wrong)
