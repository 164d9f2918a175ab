"""fetching — a key set brought from its URL, and kept no longer than its publisher says.

https://hl7.org/fhir/R4/security.html#authentication

The URL was registered by an operator, and is all that is ever called: over TLS, without following
a redirect, no more bytes than a key set may have, and to no address that only this machine or its
network's own services have. The address that was judged is the one that is connected to.
"""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from fhir_server.security.tokens.keys import MAX_TEXT, BadKeys, Jwk, fetched

TIMEOUT = 5.0  # seconds
USUAL, LONGEST = 300, 24 * 3600  # seconds a set is kept: where nothing is said, and at most
SHORTEST = 10  # even where it says no-store, so that strangers cannot make us call at each request
AGAIN = 60  # seconds before a set that has not the key is fetched again
MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,9})", re.IGNORECASE)


class Unfetched(Exception):
    """A key set could not be had, and why."""


class Fetched(NamedTuple):
    body: bytes
    lives: int  # seconds


Fetch = Callable[[str], Fetched]


class Keys(Protocol):
    """Where the keys of somebody are looked up."""

    async def having(self, kid: object) -> Sequence[Jwk]:
        """The keys of now; where none has this kid, it may be looked once more. Raises BadKeys."""


def demand_url(url: str) -> str:
    """The URL of a key set. Raises Unfetched where it is none that may be called."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname and not parts.username
        good = good and not parts.fragment and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or len(url) > 1000 or not url.isascii() or not url.isprintable() or " " in url:
        raise Unfetched(
            f"`{url[:100]}` is no URL of a key set: say one that begins with `https://`."
        )
    return url


@dataclass(frozen=True, slots=True)
class Https:
    """Fetches by HTTPS. inside: addresses of private networks may be called, too."""

    inside: bool = False
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def __call__(self, url: str) -> Fetched:
        parts = urlsplit(demand_url(url))
        host, port = parts.hostname or "", parts.port or 443
        try:
            connection = http.client.HTTPSConnection(
                host, port, timeout=TIMEOUT, context=self.context
            )
            connection.sock = self._connected(host, port)
            try:
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", target, headers={"Accept": "application/json"})
                return _read(connection.getresponse())
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise Unfetched(f"`{url}` could not be fetched: {type(error).__name__}.") from error

    def _connected(self, host: str, port: int) -> ssl.SSLSocket:
        addresses = [each[4][0] for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not addresses or not all(self._may(str(address)) for address in addresses):
            raise Unfetched(f"`{host}` is an address that is not called from here.")
        raw = socket.create_connection((str(addresses[0]), port), timeout=TIMEOUT)
        try:
            return self.context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise

    def _may(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        if self.inside and found.is_private and not (found.is_link_local or found.is_unspecified):
            return not found.is_multicast
        return found.is_global and not found.is_multicast


def _read(response: http.client.HTTPResponse) -> Fetched:
    if response.status != http.HTTPStatus.OK:
        raise Unfetched(f"The key set was answered with status {response.status}, not 200.")
    body = response.read(MAX_TEXT + 1)
    if len(body) > MAX_TEXT:
        raise Unfetched(f"The key set is larger than {MAX_TEXT} bytes.")
    told = response.getheader("Cache-Control") or ""
    if "no-store" in told.lower() or "no-cache" in told.lower():
        return Fetched(body, SHORTEST)
    found = MAX_AGE.search(told)
    return Fetched(body, min(int(found[1]), LONGEST) if found else USUAL)


class UrlKeys:
    """The keys at a URL. A failed fetch leaves the set of before, until its time is over."""

    def __init__(
        self,
        url: str,
        algorithms: Sequence[str],
        fetch: Fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._algorithms = tuple(algorithms)
        self._fetch = fetch
        self._clock = clock
        self._keys: Sequence[Jwk] = ()
        self._until = self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def having(self, kid: object) -> Sequence[Jwk]:
        if self._is_due(kid):
            async with self._lock:
                if self._is_due(kid):  # else another has just looked
                    await self._look()
        if self._clock() >= self._until:
            raise BadKeys("The key set cannot be had at the moment.")
        return self._keys

    def _is_due(self, kid: object) -> bool:
        now = self._clock()
        waited = now - self._asked
        if now >= self._until:
            return waited >= SHORTEST
        return waited >= AGAIN and all(key["kid"] != kid for key in self._keys)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._fetch, self._url)
            self._keys = fetched(found.body, self._algorithms)
        except (Unfetched, BadKeys):
            return
        finally:
            self._asked = self._clock()
        self._until = self._clock() + max(found.lives, SHORTEST)


class FileKeys:
    """The keys in a file, read again when it was changed."""

    def __init__(self, path: Path, algorithms: Sequence[str]) -> None:
        self._path = path
        self._algorithms = tuple(algorithms)
        self._stamp: tuple[int, int] | None = None
        self._keys: Sequence[Jwk] = ()

    async def having(self, kid: object) -> Sequence[Jwk]:  # noqa: ARG002 - the signature is that of Keys
        try:
            found = self._path.stat()
            if self._stamp != (found.st_mtime_ns, found.st_size):
                self._keys = fetched(self._path.read_bytes(), self._algorithms)
                self._stamp = (found.st_mtime_ns, found.st_size)
        except OSError:
            raise BadKeys("The file of the keys cannot be read.") from None
        return self._keys
