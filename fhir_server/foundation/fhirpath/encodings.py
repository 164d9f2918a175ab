"""encodings — a string in another guise: base64, hexadecimal, escaped for HTML or JSON.

http://hl7.org/fhirpath/#additional-string-functions
"""

from __future__ import annotations

import base64
import binascii
import html
import json
from collections.abc import Callable
from typing import Any

from fhir_server.foundation.fhirpath.texts import Body, of_string

Encode = Callable[[str], str]


def _decoded(decode: Callable[[str], bytes]) -> Callable[[str], str]:
    return lambda text: decode(text).decode()


# name: how to write it, and how to read it
FORMATS: dict[str, tuple[Encode, Encode]] = {
    "base64": (
        lambda text: base64.b64encode(text.encode()).decode(),
        _decoded(lambda text: base64.b64decode(text, validate=True)),
    ),
    "urlbase64": (
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        _decoded(lambda text: base64.b64decode(text, altchars="-_", validate=True)),
    ),
    "hex": (lambda text: text.encode().hex(), _decoded(bytes.fromhex)),
}
ESCAPES: dict[str, tuple[Encode, Encode]] = {
    "html": (html.escape, html.unescape),
    "json": (
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: str(json.loads(f'"{text}"')) if '"' not in text else text,
    ),
}


def _by(table: dict[str, tuple[Encode, Encode]], place: int) -> Body:
    def converted(value: str, format: Any) -> str | None:
        if format not in table:
            return None
        try:
            return table[format][place](value)
        except (ValueError, binascii.Error):
            return None

    return of_string(converted)


FUNCTIONS: dict[str, tuple[Body, int, int]] = {
    "encode": (_by(FORMATS, 0), 1, 1),
    "decode": (_by(FORMATS, 1), 1, 1),
    "escape": (_by(ESCAPES, 0), 1, 1),
    "unescape": (_by(ESCAPES, 1), 1, 1),
}
