"""identity — identity tokens, signed with keys of this server.

https://hl7.org/fhir/R4/security.html#authentication

OpenID Connect Core 1.0, SMART 2.2 (sso-openid-connect: RS256).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt

from fhir_server.security.tokens.ring import DAY, Kind, Ring
from fhir_server.store.contract import Store

__all__ = ["ALGORITHM", "DAY", "NAME", "PUBLISHED", "QUARTER", "Identity"]

NAME = "signing keys"  # what they are kept under
ALGORITHM: Final = "RS256"
QUARTER = 90
PUBLISHED = 1  # days after another has taken its place
LIVES = 3600  # seconds an identity token is good
MANY = 5  # keys at once, whatever makes them
KEYS = Kind(NAME, ALGORITHM, QUARTER, PUBLISHED, MANY)


class Identity:
    """Signs for a server."""

    def __init__(self, store: Store, secret: bytes) -> None:
        self._ring = Ring(store, secret, KEYS)

    async def token(self, facts: Mapping[str, Any], *, issuer: str, audience: str, now: int) -> str:
        """An identity token for who granted an application what these facts say."""
        second = now // 1000
        claims = {
            "iss": issuer,
            "sub": facts["user"],
            "aud": audience,
            "iat": second,
            "exp": second + LIVES,
            "auth_time": facts["when"] // 1000,
        }
        if "nonce" in facts:
            claims["nonce"] = facts["nonce"]
        if "fhirUser" in facts["scope"].split(" "):
            claims["fhirUser"] = f"{issuer}/{facts['user']}"
        key = await self._ring.newest(now)
        head = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(head, claims, key, algorithms=[ALGORITHM])

    async def published(self, now: int) -> Mapping[str, Any]:
        """The JWK Set by which others verify what is signed here."""
        return await self._ring.published(now)
