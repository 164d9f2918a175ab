"""page — the next page, from a sealed token that only this server can read, for whom it was made.

https://hl7.org/fhir/R4/http.html#paging

A token tells a place in an index, which is a name or a day of birth, and how much has been written
by everyone: neither is for a URL, which proxies and browsers write down. So it is encrypted
(AES-SIV, RFC 5297), never twice into the same letters, in sizes that tell nothing, and opens only
for who it was given to.
"""

from __future__ import annotations

import base64
import secrets
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import orjson

from fhir_server.foundation.outcome import Invalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

NONCE = 16  # bytes: two tokens of one place have nothing in common
BLOCK = 256  # what is sealed is filled up to a multiple of it
LONGEST = 16_384  # characters of a token; a search's own URL is bounded too


def seal(secret: bytes, payload: dict[str, Any], *, to: str) -> str:
    """The payload in letters that are safe in a URL; to: the identity of who is given it."""
    body = orjson.dumps(payload)
    body += b" " * (-len(body) % BLOCK)  # which JSON passes over
    nonce = secrets.token_bytes(NONCE)
    sealed = nonce + _cipher(secret).encrypt(body, [to.encode(), nonce])
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(secret: bytes, text: str, *, to: str) -> dict[str, Any]:
    """What was sealed. Raises Invalid for anything that was not sealed here for this identity."""
    refused = Invalid(
        "This `_cursor` is damaged, or was given by another server or to somebody else. Follow the "
        "`next` link as it was given, or begin the search again without `_cursor`.",
        expression="http._cursor",
    )
    if len(text) > LONGEST or not text.isascii():
        raise refused
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise refused from None
    nonce, sealed = data[:NONCE], data[NONCE:]
    body = _opened(secret, sealed, [to.encode(), nonce]) if len(sealed) > BLOCK else None
    if body is None or base64.urlsafe_b64encode(data).decode().rstrip("=") != text:
        raise refused
    payload: dict[str, Any] = orjson.loads(body)
    return payload


def _opened(secret: bytes, sealed: bytes, beside: list[bytes]) -> bytes | None:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _cipher

    try:
        return _cipher(secret).decrypt(sealed, beside)
    except InvalidTag:
        return None


@lru_cache(maxsize=4)
def _cipher(secret: bytes) -> AESSIV:
    """The cipher under a key of its own, made of the server's secret."""
    # Loading it takes as long as a command that shows its `--help`, so it waits for a first page.
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 - above

    # blake2b takes 64 bytes of key; whoever sets a longer secret has all of it count.
    key = blake2b(blake2b(secret).digest(), digest_size=64, person=b"cursor").digest()
    return AESSIV(key)
