"""line — the way to the hub, which fails: one question, and an answer or a reason why not.

https://hl7.org/fhir/R4/http.html

RFC 6749 4.4, RFC 7523: tokens are had by an assertion, kept until they end, and asked for once more
when the hub does not know one. All is bounded: what an answer may hold, and how long it may take.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import orjson
from joserfc import jwk

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.wire import parse
from fhir_server.security.tokens.keys import BadKeys, Jwk, fetched
from fhir_server.store.codec import DEEPEST
from fhir_server.sync import wire
from fhir_server.sync.node.alive import asked, is_proxied
from fhir_server.sync.node.hub_key import hub_key
from fhir_server.sync.node.key import (
    BadKey,
    NodeKey,
    follow,
    follower,
    made,
    of_receipts,
    pin,
    public,
    read,
)
from fhir_server.sync.node.refusing import Away, Refusal, failure, small, why
from fhir_server.sync.node.wiping import ToldToWipe, told_to_wipe
from fhir_server.sync.receipts import ALGORITHM

__all__ = ["Away", "Line", "Refusal", "Told", "client_of", "enrol"]

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JSON = "application/fhir+json"
ACCEPTED = f"{wire.CODING}, {wire.ZSTD}"
UNKNOWN_CODING = httpx.codes.UNSUPPORTED_MEDIA_TYPE
TRIED_AGAIN = 3600.0  # seconds after which a coding is tried again that the hub did not know
PATIENCE = httpx.Timeout(30.0, connect=5.0, read=45.0)  # seconds: of each step
LONGEST = 900.0  # seconds a question may take as a whole
LARGEST = 32 * 1024 * 1024  # bytes of an answer as it is sent
UNPACKED = 256 * 1024 * 1024  # bytes of an answer
EARLY = 30  # seconds before its end a token is used no more
SKEW = 20  # seconds by which clocks may differ before it matters
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Told(NamedTuple):
    """An answer, and how many bytes went over the line for it."""

    bundle: Any
    up: int
    down: int


class Line:
    """A node's connection to its hub. Sent and received bytes are counted. file: where the key is,
    which may be followed by another while it works."""

    def __init__(self, key: NodeKey, file: Path | None = None) -> None:
        self.key = key
        self.file = file
        self.up = self.down = 0
        self.offset = 0.0  # seconds the hub's clock is ahead
        self._client = client_of(key.hub)
        self._token = ""
        self._until = 0.0
        self._coding = 0  # of wire.CODINGS: how far down the hub has sent us
        self._coding_until = 0.0  # then the first is tried again: the hub may be newer
        self._receipt_keys: Sequence[Jwk] | None = None
        self._asking = asyncio.Lock()
        self._pinned = bool(key.receipt_keys)

    async def close(self) -> None:
        await self._client.aclose()

    async def pull(self, asked: Mapping[str, str]) -> Told:
        """Raises Away, Refusal."""
        said = {name: value for name, value in asked.items() if value}
        patience = httpx.Timeout(
            PATIENCE.write, connect=PATIENCE.connect, read=25.0 + float(asked.get("wait") or 0)
        )
        url = f"{self.key.hub}/$sync-pull"
        if not said.get("shown"):
            return await self._answered("GET", url, params=said, timeout=patience)
        listed = [{"name": name, "valueString": value} for name, value in said.items()]
        body = orjson.dumps({"resourceType": "Parameters", "parameter": listed})  # too long for it
        told = {"content": body, "headers": {"Content-Type": JSON}, "timeout": patience}
        return await self._answered("POST", url, **told)

    async def push(self, body: bytes, small: bytes = b"") -> Told:
        """small: the body as it is sent first, if that is at hand. Raises Away, Refusal."""
        return await self._posted_as_taken("$sync-push", body, small)

    async def rescue(self, body: bytes) -> Told:
        """Bring pieces of a copy. Raises Away, Refusal."""
        return await self._posted_as_taken("$sync-rescue", body, b"")

    async def _posted_as_taken(self, name: str, body: bytes, small: bytes) -> Told:
        """As the hub takes it: a coding it does not know is left for the next."""
        if time.monotonic() > self._coding_until:
            self._coding = 0
        while True:
            try:
                return await self._packed(name, body, small, wire.CODINGS[self._coding])
            except Refusal as refusal:
                if refusal.status != UNKNOWN_CODING or self._coding + 1 == len(wire.CODINGS):
                    raise
            self._coding += 1
            self._coding_until = time.monotonic() + TRIED_AGAIN

    async def _packed(self, name: str, body: bytes, small: bytes, coding: str) -> Told:
        packed = small if coding == wire.CODING else b""
        if not packed:
            packed = await asyncio.to_thread(wire.packed, body, wire.SMALL, coding)
        headers = {"Content-Type": JSON}
        if coding != wire.IDENTITY:
            headers["Content-Encoding"] = coding
        url = f"{self.key.hub}/{name}"
        return await self._answered("POST", url, content=packed, headers=headers)

    async def receipt_keys(self, *, anew: bool = False) -> Sequence[Jwk]:
        """By which the hub's receipts are verified; none: it publishes none. anew: those that are
        kept here were not enough. Raises Away, Refusal."""
        if anew or self._receipt_keys is None:
            headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
            url = f"{self.key.hub}/oauth/receipt-keys"
            status, said, body, _ = await self._asked("GET", url, headers=headers)
            if status not in (httpx.codes.OK, httpx.codes.NOT_FOUND):
                raise failure(status, said, body)
            try:
                found = fetched(body, (ALGORITHM,)) if status == httpx.codes.OK else ()
            except BadKeys as error:
                raise Refusal(f"The hub's receipt keys cannot be read: {error}") from None
            self._receipt_keys = found
        return self._receipt_keys

    async def pin(self, keys: Sequence[Jwk]) -> None:
        """A receipt was verified by one of these, the first of a node that was told of none."""
        if self.file is not None and not self._pinned:
            await asyncio.to_thread(pin, self.file, self.key, keys)
            self._pinned = True

    # --- asking ---

    async def _answered(self, method: str, url: str, **asked: Any) -> Told:
        headers = {
            "Accept-Encoding": ACCEPTED,
            "Available-Dictionary": wire.newest().available,
            **asked.pop("headers", {}),
        }
        for turn in range(2):
            headers["Authorization"] = f"Bearer {await self._bearer()}"
            status, said, body, size = await self._asked(method, url, headers=headers, **asked)
            if status == httpx.codes.UNAUTHORIZED and not turn:
                self._token = ""  # it may have ended early: once more with a new one
                continue
            break
        up = len(asked.get("content", b""))
        self.up += up
        self.down += size
        if status != httpx.codes.OK:
            raise failure(status, said, body)
        try:
            return Told(await asyncio.to_thread(parse, body, max_depth=DEEPEST), up, size)
        except FhirError as error:
            raise Refusal(f"What the hub answered cannot be read: {error}") from error

    async def _asked(
        self, method: str, url: str, **asked: Any
    ) -> tuple[int, httpx.Headers, bytes, int]:
        try:
            async with (
                asyncio.timeout(LONGEST),
                self._client.stream(method, url, **asked) as response,
            ):
                self._look_at_clock(response.headers)
                packed = bytearray()
                async for part in response.aiter_raw():
                    packed += part
                    if len(packed) > LARGEST:
                        raise Refusal(f"The hub's answer is larger than {LARGEST} bytes.")
                body = await asyncio.to_thread(_unpacked, response.headers, bytes(packed))
                return response.status_code, response.headers, body, len(packed)
        except TimeoutError:
            raise Away("The hub took too long to answer.") from None
        except (httpx.HTTPError, OSError) as error:
            raise Away(why(error)) from error

    def _look_at_clock(self, headers: httpx.Headers) -> None:
        """Assertions are dated by the hub's clock: this one may be a year off."""
        try:
            told = parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, ValueError, TypeError):
            return
        offset = told - time.time()
        self.offset = offset if abs(offset) > SKEW else 0.0

    # --- tokens ---

    async def rotate(self, file: Path) -> NodeKey:
        """Bring the hub the key that follows, and have it take the place of the one in the file.
        May be asked again whatever came in between. Raises Away, Refusal, OSError."""
        following = await asyncio.to_thread(follower, file, self.key)
        own = jwk.import_key(following.jwk)
        assert isinstance(own, jwk.ECKey)
        url, form = f"{self.key.hub}/oauth/rotate", {"jwks": public(own)}
        claims = {"next_key": own.thumbprint()}
        try:
            await self._proven(url, form, self.key, **claims)
        except Refusal as refusal:
            if refusal.status != httpx.codes.UNAUTHORIZED or isinstance(refusal, ToldToWipe):
                raise
            # The hub may have it since long ago, and this one have ended: it says so itself.
            await self._proven(url, form, following, **claims)
        await asyncio.to_thread(follow, file, following)
        self.key = following
        return following

    async def _bearer(self) -> str:
        async with self._asking:
            if not self._token or time.monotonic() > self._until:
                await self._have_token()
            return self._token

    async def _have_token(self) -> None:
        self._look_at_key()
        form = {"grant_type": "client_credentials", "scope": self.key.scope}
        told = await self._proven(self.key.token_url, form, self.key)
        token, lives = told.get("access_token"), told.get("expires_in")
        if not isinstance(token, str) or not isinstance(lives, int):
            raise Refusal("The hub's token endpoint gave no token.")
        self._token, self._until = token, time.monotonic() + max(lives - EARLY, EARLY)

    def _look_at_key(self) -> None:
        """A command may have brought the hub another since."""
        try:
            found = read(self.file) if self.file is not None else self.key
        except BadKey:  # the one that is known here may still be good
            return
        if (found.hub, found.client) == (self.key.hub, self.key.client):
            self.key = found

    async def _proven(
        self, url: str, form: Mapping[str, str], key: NodeKey, **claimed: str
    ) -> Mapping[str, Any]:
        """What the hub answers to a form that says who this is. Raises Away, Refusal."""
        before = self.offset
        try:
            return await self._posted(url, form, key, claimed)
        except Refusal:
            if abs(self.offset - before) <= SKEW:
                raise
            return await self._posted(url, form, key, claimed)  # dated as the hub's answer was

    async def _posted(
        self, url: str, form: Mapping[str, str], key: NodeKey, claimed: Mapping[str, str]
    ) -> Mapping[str, Any]:
        proof = {
            "client_assertion_type": KIND,
            "client_assertion": key.assertion(time.time() + self.offset, **claimed),
        }
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        asked = {"data": {**form, **proof}, "headers": headers}
        status, said, body, _ = await self._asked("POST", url, **asked)
        if status != httpx.codes.OK:
            raise told_to_wipe(status, body, key, self.file) or failure(status, said, body)
        return small(body)

    async def wiped(self, at: int) -> None:
        """Say that what was ordered at this moment is done. Raises Away, Refusal."""
        await self._proven(f"{self.key.hub}/oauth/wiped", {}, self.key, wiped=str(at))


def client_of(hub: str) -> httpx.AsyncClient:
    """Raises Refusal where the way would be open to all."""
    parts = urlsplit(hub)
    is_here = parts.hostname in LOOPBACK
    if parts.scheme != "https" and not is_here:
        raise Refusal(f"`{hub}` must begin with `https://`: records travel there.")
    limits = httpx.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=60)
    direct = None
    if is_here or not is_proxied(hub):  # by a transport of one's own, httpx asks for no proxy
        direct = httpx.AsyncHTTPTransport(
            limits=limits, trust_env=not is_here, socket_options=asked()
        )
    found = httpx.AsyncClient(
        timeout=PATIENCE, limits=limits, follow_redirects=False, trust_env=not is_here,
        transport=direct,
    )  # fmt: skip
    found.headers.clear()  # what httpx says by itself tells the hub nothing, and costs 100 bytes
    return found


async def enrol(hub: str, code: str) -> NodeKey:
    """Make a key, and bring its public part with a code. Raises Away, Refusal."""
    key = made()
    async with client_of(hub) as asking:
        try:
            form = {"code": code, "jwks": public(key)}
            response = await asking.post(f"{hub}/oauth/enrol", data=form)
            seal = await hub_key(asking, hub) if response.is_success else None
        except httpx.HTTPError as error:
            raise Away(why(error)) from error
    if response.status_code != httpx.codes.OK:
        raise failure(response.status_code, response.headers, response.content)
    told = small(response.content)
    try:
        client, token_url, scope = (told[name] for name in ("client_id", "token_endpoint", "scope"))
    except KeyError:
        raise Refusal("What the hub answered to the code is no enrolment.") from None
    own = dict(key.as_dict(private=True))
    found = NodeKey(hub, str(client), str(token_url), str(scope), own, made=time.time())
    receipts = list(of_receipts(told.get("receipt_keys")))
    return replace(found, receipt_keys=receipts, seal=dict(seal or {}))


def _unpacked(headers: httpx.Headers, body: bytes) -> bytes:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return body
    if coding not in (wire.CODING, wire.ZSTD):
        raise Refusal(
            f"The hub's answer is compressed by `{coding[:20]}`, which was not asked for."
        )
    try:
        return wire.unpacked(body, coding, at_most=UNPACKED)
    except wire.UnknownDictionary:
        raise Refusal(
            "The hub's answer is compressed with a dictionary that is not here."
        ) from None
    except ValueError as error:  # the line may have cut it
        raise Away(f"The hub's answer is damaged: {error}") from None
