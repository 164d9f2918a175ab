"""page — the next page, from an opaque token that only this server can make.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import orjson

from fhir_server.foundation.outcome import Invalid

SIGNATURE = 16  # bytes of HMAC-SHA256 that are kept: 128 bits
LONGEST = 16_384  # characters of a token; a search's own URL is bounded too


def seal(secret: bytes, payload: dict[str, Any]) -> str:
    """The payload in letters that are safe in a URL, and proof of who wrote it."""
    body = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
    return base64.urlsafe_b64encode(_signature(secret, body) + body).decode().rstrip("=")


def unseal(secret: bytes, text: str) -> dict[str, Any]:
    """What was sealed. Raises Invalid for anything this server did not seal."""
    refused = Invalid(
        "This `_cursor` is damaged, or another server's. Follow the `next` link as it was given, "
        "or begin the search again without `_cursor`.",
        expression="http._cursor",
    )
    if len(text) > LONGEST or not text.isascii():
        raise refused
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise refused from None
    body = data[SIGNATURE:]
    if not hmac.compare_digest(data[:SIGNATURE], _signature(secret, body)):
        raise refused
    payload: dict[str, Any] = orjson.loads(body)
    return payload


def _signature(secret: bytes, body: bytes) -> bytes:
    return hmac.new(secret, body, hashlib.sha256).digest()[:SIGNATURE]
