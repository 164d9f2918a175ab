"""identity — identity tokens, and the keys of this server that sign them.

https://hl7.org/fhir/R4/security.html#authentication

OpenID Connect Core 1.0, SMART 2.2 (sso-openid-connect: RS256). The keys are made when the first is
needed and kept in the database for all processes, encrypted under the server's secret, so that a
copy of the database alone signs nothing where the secret is kept elsewhere. A key signs for
QUARTER days, and is published as long as what it signed may still be looked at.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from joserfc import jwk, jwt

from fhir_server.store.contract import Store

NAME = "signing keys"  # what they are kept under
ALGORITHM = "RS256"
BITS = 2048
DAY = 24 * 3_600_000  # milliseconds
QUARTER = 90
PUBLISHED = 1  # days after another has taken its place
LIVES = 3600  # seconds an identity token is good
NONCE = 16  # bytes
MANY = 5  # keys at once, whatever makes them


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as the database keeps it. sealed: its private part; public: as it is published."""

    made: int
    public: Mapping[str, Any]
    sealed: str


class Identity:
    """Signs for a server. Its newest key signs; each that is published verifies."""

    def __init__(self, store: Store, secret: bytes) -> None:
        self._store = store  # which is opened later
        # blake2b takes 64 bytes of key; whoever sets a longer secret has all of it count.
        key = blake2b(blake2b(secret).digest(), digest_size=64, person=b"signing").digest()
        self._cipher = AESSIV(key)
        self._known: dict[str, jwk.Key] = {}  # by what is sealed

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
        _, key = await self._keys(now)
        head = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(head, claims, key, algorithms=[ALGORITHM])

    async def published(self, now: int) -> Mapping[str, Any]:
        """The JWK Set by which others verify what is signed here."""
        kept, _ = await self._keys(now)
        return {"keys": [dict(each.public) for each in kept]}

    async def _keys(self, now: int) -> tuple[Sequence[Kept], jwk.Key]:
        """Those that are published, the newest first, and the newest itself."""
        told = await self._store.access.keep(NAME, "[]")
        while True:
            kept = [Kept(**each) for each in json.loads(told)]
            key = self._opened(kept[0]) if kept else None
            due = [each for n, each in enumerate(kept) if n == 0 or _is_due(kept, n, now)]
            if key is not None and now < kept[0].made + QUARTER * DAY:
                return due, key
            new = await asyncio.to_thread(self._made, now)
            text = json.dumps([_fields(each) for each in (new, *due[: MANY - 1])])
            told = await self._store.access.keep(NAME, text, replaces=told)

    def _made(self, now: int) -> Kept:
        kid = f"{now:x}-{secrets.token_hex(4)}"
        key = jwk.generate_key("RSA", BITS, {"kid": kid, "use": "sig", "alg": ALGORITHM})
        nonce = secrets.token_bytes(NONCE)
        body = json.dumps(key.as_dict(private=True)).encode()
        sealed = nonce + self._cipher.encrypt(body, [kid.encode(), nonce])
        public = dict(key.as_dict(private=False))
        return Kept(now, public, base64.b64encode(sealed).decode())

    def _opened(self, kept: Kept) -> jwk.Key | None:
        """The key; None where it was sealed under another secret: another is made then."""
        if kept.sealed not in self._known:
            data = base64.b64decode(kept.sealed)
            beside = [kept.public["kid"].encode(), data[:NONCE]]
            try:
                body = self._cipher.decrypt(data[NONCE:], beside)
            except InvalidTag:
                return None
            self._known = {kept.sealed: jwk.import_key(json.loads(body))}
        return self._known[kept.sealed]


def _is_due(kept: Sequence[Kept], n: int, now: int) -> bool:
    """Whether the nth is still published: another took its place not long ago."""
    return now < kept[n - 1].made + PUBLISHED * DAY


def _fields(kept: Kept) -> dict[str, Any]:
    return {"made": kept.made, "public": dict(kept.public), "sealed": kept.sealed}
