"""Resource — a plain dict — and the names by which one resource finds another.

https://hl7.org/fhir/R4/resource.html
https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

Resource = dict[str, Any]

# R4 datatypes#id:  [A-Za-z0-9\-\.]{1,64}
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

# R4 references#literal:  [type]/[id] ( "/_history/" [vid] )?
LITERAL = re.compile(
    rf"(?P<base>[A-Za-z][A-Za-z0-9+.\-]*:.*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>{ID.pattern})"
    rf"(?:/_history/(?P<version>{ID.pattern}))?"
)


class Key(NamedTuple):
    """The logical identity of a resource: `Patient/1`."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


class Literal(NamedTuple):
    """A literal reference, taken apart: base is '' where the reference is relative."""

    base: str
    key: Key
    version: str | None


def key(resource: Resource) -> Key:
    return Key(resource["resourceType"], resource["id"])


def literal(reference: str) -> Literal | None:
    """The parts of a literal reference, or None for `#x`, `urn:...` and anything else."""
    found = LITERAL.fullmatch(reference)
    if found is None:
        return None
    return Literal(found["base"] or "", Key(found["type"], found["id"]), found["version"])
