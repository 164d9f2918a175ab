"""ring — the keys this server signs with, and those by which others verify what it signed.

https://hl7.org/fhir/R4/security.html#authentication

The keys are made when the first is needed and kept in the database for all processes, encrypted
under the server's secret, so that a copy of the database alone signs nothing where the secret is
kept elsewhere. A key signs for some days, and is published as long as what it signed may still be
looked at.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from joserfc import jwk

from fhir_server.store.contract import Store

DAY = 24 * 3_600_000  # milliseconds
BITS = 2048
NONCE = 16  # bytes


@dataclass(frozen=True, slots=True)
class Kind:
    """What a ring's keys are for. name: what they are kept under. quarter: days that one signs.
    published: days that it can be had after another has taken its place. many: at once."""

    name: str
    algorithm: Literal["RS256", "ES256", "ECDH-ES+A256KW"]
    quarter: int
    published: int
    many: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as the database keeps it. sealed: its private part; public: as it is published."""

    made: int
    public: Mapping[str, Any]
    sealed: str


class Ring:
    """The keys of one kind. The newest signs, or is sealed to; each that is published verifies, or
    opens."""

    def __init__(self, store: Store, secret: bytes, kind: Kind) -> None:
        self.kind = kind
        self._store = store  # which is opened later
        # blake2b takes 64 bytes of key; whoever sets a longer secret has all of it count.
        key = blake2b(blake2b(secret).digest(), digest_size=64, person=b"signing").digest()
        self._cipher = AESSIV(key)
        self._known: dict[str, jwk.Key] = {}  # by what is sealed

    async def newest(self, now: int) -> jwk.Key:
        """The key to sign with."""
        _, key = await self._keys(now)
        return key

    async def by_kid(self, kid: str, now: int) -> jwk.Key | None:
        """The key that is published under this name; None: there is none, or it was kept under
        another secret."""
        kept, _ = await self._keys(now)
        found = next((each for each in kept if each.public["kid"] == kid), None)
        return None if found is None else self._opened(found)

    async def published(self, now: int) -> Mapping[str, Any]:
        """The JWK Set by which others verify what is signed here."""
        kept, _ = await self._keys(now)
        return {"keys": [dict(each.public) for each in kept]}

    async def _keys(self, now: int) -> tuple[Sequence[Kept], jwk.Key]:
        """Those that are published, the newest first, and the newest itself."""
        told = await self._store.access.keep(self.kind.name, "[]")
        while True:
            kept = [Kept(**each) for each in json.loads(told)]
            key = self._opened(kept[0]) if kept else None
            due = [each for n, each in enumerate(kept) if n == 0 or self._is_due(kept, n, now)]
            if key is not None and now < kept[0].made + self.kind.quarter * DAY:
                return due, key
            new = await asyncio.to_thread(self._made, now)
            text = json.dumps([_fields(each) for each in (new, *due[: self.kind.many - 1])])
            told = await self._store.access.keep(self.kind.name, text, replaces=told)

    def _made(self, now: int) -> Kept:
        kid = f"{now:x}-{secrets.token_hex(4)}"
        made: dict[str, Callable[[], jwk.Key]] = {
            "ES256": lambda: jwk.generate_key(
                "EC", "P-256", {"kid": kid, "use": "sig", "alg": "ES256"}
            ),
            "RS256": lambda: jwk.generate_key(
                "RSA", BITS, {"kid": kid, "use": "sig", "alg": "RS256"}
            ),
            "ECDH-ES+A256KW": lambda: jwk.generate_key(
                "EC", "P-256", {"kid": kid, "use": "enc", "alg": "ECDH-ES+A256KW"}
            ),
        }
        key = made[self.kind.algorithm]()
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

    def _is_due(self, kept: Sequence[Kept], n: int, now: int) -> bool:
        """Whether the nth is still published: another took its place not long ago."""
        return now < kept[n - 1].made + self.kind.published * DAY


def _fields(kept: Kept) -> dict[str, Any]:
    return {"made": kept.made, "public": dict(kept.public), "sealed": kept.sealed}
