"""discovery — what an outside OpenID provider tells of itself: its endpoints and its keys.

https://hl7.org/fhir/R4/security.html#authentication

OpenID Connect Discovery 1.0, section 4. It is believed where it names the issuer that was
configured, exactly: else another's endpoints would be told to clients as the provider's (a mix-up).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fhir_server.security.tokens.fetching import (
    SHORTEST,
    Fetch,
    Fetched,
    Unfetched,
    UrlKeys,
    demand_url,
)
from fhir_server.security.tokens.keys import MAX_TEXT, BadKeys, Jwk, Strict

PATH = "/.well-known/openid-configuration"
KEYS = "jwks_uri"
ENDPOINTS = (
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "registration_endpoint",
    "end_session_endpoint",
    KEYS,
)
NEEDED = ("authorization_endpoint", "token_endpoint", KEYS)
LISTS = (
    "grant_types_supported",
    "response_types_supported",
    "scopes_supported",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
)
MAX_LIST = 200
FILE_LIVES = 60  # seconds


class Discovery:
    """Of one provider, kept as long as its publisher says. source: an https URL, or a file.

    A fetch that fails leaves what was known, until its time is over."""

    def __init__(
        self,
        issuer: str,
        source: str,
        fetch: Fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._source = source or issuer.rstrip("/") + PATH
        self._fetch = fetch
        self._clock = clock
        self._told: Mapping[str, Any] = {}
        self._until = self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def told(self) -> Mapping[str, Any]:
        """What the provider tells, all of it checked. Raises Unfetched."""
        if self._is_due():
            async with self._lock:
                if self._is_due():  # else another has just looked
                    await self._look()
        if self._clock() >= self._until:
            raise Unfetched("The OpenID provider's configuration cannot be had at the moment.")
        return self._told

    def _is_due(self) -> bool:
        now = self._clock()
        return now >= self._until and now - self._asked >= SHORTEST

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._read)
            self._told = checked(found.body, self._issuer)
        except Unfetched:
            return
        finally:
            self._asked = self._clock()
        self._until = self._clock() + max(found.lives, SHORTEST)

    def _read(self) -> Fetched:
        if self._source.startswith("https://"):
            return self._fetch(self._source)
        try:
            return Fetched(Path(self._source).read_bytes(), FILE_LIVES)
        except OSError as error:
            raise Unfetched(f"`{self._source}` cannot be read: {error.strerror}.") from None


def checked(text: bytes, issuer: str) -> Mapping[str, Any]:
    """The endpoints and lists of a configuration, of this issuer. Raises Unfetched."""
    try:
        told = json.loads(text, cls=Strict) if len(text) <= MAX_TEXT else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unfetched("The OpenID provider's configuration is no JSON object.")
    if told.get("issuer") != issuer:
        raise Unfetched(f"The configuration is not of the issuer `{issuer}`.")
    found: dict[str, Any] = {"issuer": issuer}
    for name in ENDPOINTS:
        if name in told:
            if not isinstance(told[name], str):
                raise Unfetched(f"The configuration's `{name}` is no URL.")
            found[name] = demand_url(told[name])
        elif name in NEEDED:
            raise Unfetched(f"The configuration has no `{name}`.")
    for name in LISTS:
        if name in told:
            found[name] = _listed(name, told[name])
    return found


def _listed(name: str, told: object) -> list[str]:
    if not isinstance(told, list) or len(told) > MAX_LIST:
        raise Unfetched(f"The configuration's `{name}` is no list of at most {MAX_LIST}.")
    return [each for each in told if isinstance(each, str)]


class DiscoveredKeys:
    """The keys at the URL that a provider's configuration names."""

    def __init__(self, discovery: Discovery, algorithms: Sequence[str], fetch: Fetch) -> None:
        self._discovery = discovery
        self._algorithms = algorithms
        self._fetch = fetch
        self._keys: tuple[str, UrlKeys] | None = None

    async def having(self, kid: object) -> Sequence[Jwk]:
        """See fetching.Keys."""
        try:
            url = (await self._discovery.told())[KEYS]
        except Unfetched as error:
            raise BadKeys(str(error)) from None
        if self._keys is None or self._keys[0] != url:
            self._keys = url, UrlKeys(url, self._algorithms, self._fetch)
        return await self._keys[1].having(kid)
