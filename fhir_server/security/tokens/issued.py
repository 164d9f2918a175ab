"""issued — how a token looks: a random number for its holder, a digest of it for everyone else.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

import hashlib
import secrets

ACCESS = "access"  # the kind of an access token, among what the database keeps
BYTES = 32  # of chance
SIGNS = 43  # that they are in base64url


def new_token() -> str:
    return secrets.token_urlsafe(BYTES)


def digest_of(token: str) -> bytes:
    """What is kept of a token. It needs no salt: nobody can try all tokens there might be."""
    return hashlib.sha256(token.encode()).digest()


def number_of(digest: bytes) -> str:
    """What a token is called in the audit, where nobody can use it."""
    return digest.hex()[:32]
