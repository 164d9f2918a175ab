"""reference — how a Reference may be written, and which type it tells.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fhir_server.foundation.resource import ID, literal

OWN = "http://hl7.org/fhir/StructureDefinition/"  # what a relative Reference.type is relative to

# R4 references#literal:  [type]/[id], the usual way
RELATIVE = re.compile(rf"([A-Z][A-Za-z]+)/{ID.pattern}").fullmatch
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:\S+").fullmatch
URN_UUID = re.compile(r"urn:uuid:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
URN_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
# R4 http#trules: a conditional reference, in a transaction only
CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?\S+").fullmatch


class Read(NamedTuple):
    """A reference understood: the type it tells, if it does; and the message of what is wrong."""

    type: str | None = None
    wrong: str | None = None  # the key of the catalogue


CONDITIONAL_HERE = Read(wrong="reference.conditional")


def read(text: str, types: frozenset[str], *, conditional: bool) -> Read:
    """What a literal reference, not a `#fragment`, says of itself."""
    if text.startswith("urn:"):
        return _urn(text)
    if found := CONDITIONAL(text):
        return _known(found[1], types) if conditional else CONDITIONAL_HERE
    found_literal = literal(text.partition("#")[0])
    if found_literal and not found_literal.base:
        return _known(found_literal.key.type, types)
    if not ABSOLUTE(text):
        return Read(wrong="reference.text")
    is_web = text.startswith(("http://", "https://"))
    type = found_literal.key.type if found_literal and is_web else None
    return Read(type if type in types else None)  # not every URL that looks like it is FHIR's


def _urn(text: str) -> Read:
    """A URN is compared, not looked up: one that is badly made can still be what it says."""
    if not ABSOLUTE(text):
        return Read(wrong="reference.urn")
    if text.startswith("urn:uuid:") and not URN_UUID(text):
        return Read(wrong="reference.uuid")
    if text.startswith("urn:oid:") and not URN_OID(text):
        return Read(wrong="reference.oid")
    return Read()


def _known(type: str, types: frozenset[str]) -> Read:
    return Read(type, None if type in types else "reference.type")
