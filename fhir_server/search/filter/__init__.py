"""filter — `_filter`: criteria joined by and, or, not and parentheses.

https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Invalid
from fhir_server.search.filter.meaning import meaning
from fhir_server.search.filter.parse import parse
from fhir_server.search.scope import Scope
from fhir_server.store.contract import Condition

NAME = "_filter"

__all__ = ["NAME", "filtered"]


def filtered(scope: Scope, name: str, value: str) -> Condition:
    """What the filter asks. Raises Invalid, NotSupported, saying where in the text."""
    if name != NAME:
        raise Invalid(f"`{NAME}` has no modifier, and `{name[:64]}` gives it one.")
    return meaning(scope, parse(value))
