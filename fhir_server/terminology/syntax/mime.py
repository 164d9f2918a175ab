"""mime — media types, by their grammar.

https://hl7.org/fhir/R4/valueset-mimetypes.html
https://www.rfc-editor.org/rfc/rfc6838#section-4.2
"""

from __future__ import annotations

import re

from fhir_server.terminology.syntax.rules import Rules

# RFC 6838 4.2:  type-name "/" subtype-name, each up to 127 of these characters
NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
PARAMETER = r'\s*;\s*[A-Za-z0-9!#$&^_.+*-]+=(?:[^\s;"]+|"[^"]*")'
MEDIA_TYPE = re.compile(rf"({NAME})/({NAME})(?:{PARAMETER})*\s*")
TOP_LEVEL = frozenset(
    [
        "application",
        "audio",
        "chemical",
        "example",
        "font",
        "haptics",
        "image",
        "message",
        "model",
        "multipart",
        "text",
        "video",
    ]
)
# R4 capabilitystatement-definitions#format: the simple encodings are told by these as well
SIMPLE = {"xml": "FHIR XML", "json": "FHIR JSON", "ttl": "FHIR Turtle"}


class MediaTypes(Rules):
    url = "urn:ietf:bcp:13"
    name = "BCP13"

    def reading(self, code: str) -> tuple[str, str] | None:
        if code in SIMPLE:
            return code, SIMPLE[code]
        found = MEDIA_TYPE.fullmatch(code)
        if found is None:
            return None
        kind = found[1].lower()
        return (code, code) if kind in TOP_LEVEL or kind.startswith("x-") else None
