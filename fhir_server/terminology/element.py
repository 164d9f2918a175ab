"""element — reading a definition that anyone may have written, whatever is in it.

https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.foundation.resource import Resource


def text(value: Any) -> str | None:
    """A text with something in it."""
    return value if isinstance(value, str) and value else None


def objects(value: Any) -> list[Resource]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
