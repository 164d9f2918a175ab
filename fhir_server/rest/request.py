"""request — one HTTP request: its head, its parameters, and its body, read no further than allowed.

https://hl7.org/fhir/R4/http.html#general
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from fhir_server.conformance.subset import WHOLE
from fhir_server.foundation.outcome import Invalid, NotAcceptable, TooLarge, TooMany, TooSlow
from fhir_server.interaction.context import NOBODY
from fhir_server.rest import formats, headers, routes
from fhir_server.rest.compression import decompressed
from fhir_server.rest.headers import NO_PREFERENCE, Headers, Preferences
from fhir_server.rest.options import Options
from fhir_server.rest.routes import Pairs, Place, Row
from fhir_server.security.audit.record import Record

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LONG_WORK = 256 * 1024  # bytes whose parsing or packing takes milliseconds: others go first


class ClientGone(Exception):
    """The client closed the connection; nobody waits for an answer."""


class Held:
    """How much this process holds for all its clients together."""

    __slots__ = ("body_bytes", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.body_bytes = 0


class Request:
    """One request. What a refusal may need is there from the beginning, with its default."""

    __slots__ = (
        "access",
        "address",
        "base",
        "caller",
        "format",
        "headers",
        "held",
        "held_bytes",
        "id",
        "interaction",
        "language",
        "media",
        "method",
        "options",
        "origins",
        "pairs",
        "place",
        "preferences",
        "pretty",
        "raw_path",
        "raw_query",
        "receive",
        "record",
        "row",
        "shape",
        "text",
        "turn",
    )

    def __init__(self, scope: Scope, receive: Receive, options: Options, held: Held) -> None:
        self.method: str = scope["method"]
        self.raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.raw_query: bytes = scope["query_string"]
        self.receive = receive
        self.options = options
        self.held = held
        self.held_bytes = 0
        self.id = b""
        self.headers: Headers = {}
        self.format = formats.DEFAULT
        self.preferences: Preferences = NO_PREFERENCE
        self.pretty = False
        self.language: str | None = None  # en | vi: in which issues are told; None: both
        self.base = ""
        self.address = "unknown"  # where it came from
        self.origins: Collection[str] = options.cors_origins  # of pages that are let in
        self.turn = ""  # whose request it is counted as, until it is answered
        self.shape = WHOLE  # _summary and _elements
        self.caller, self.access = NOBODY  # until who asks is made out, in Dispatcher._admit
        self.record: Record | None = None  # what it is told, for the audit
        self.interaction = "none"  # for the log and the metrics
        self.place: Place = routes.NOWHERE
        self.row: Row = routes.NOTHING
        self.pairs: Pairs = []
        self.media: str | None = None  # what the body turned out to be written in
        self.text: tuple[bytes, str] | None = None  # the body, so that an issue can tell its line

    def header(self, name: bytes) -> str | None:
        return headers.text(self.headers, name)

    def negotiate(self) -> None:
        """Settle the format of the answer. R4 http#mime-type, http#parameters."""
        format: str | None = None
        for name, value in self.pairs:
            if name == "_format":
                format = value
            elif name == "_pretty":
                self.pretty = value == "true"
        accept = self.headers.get(b"accept")
        if accept is not None or format is not None:
            try:
                self.format = formats.wanted(accept, format)
            except NotAcceptable:
                # A Binary may be asked for as what it is.
                if self.place.type != "Binary" or format is not None:
                    raise
        charset = self.headers.get(b"accept-charset")
        if charset is not None and formats.charset_refused(charset):
            raise NotAcceptable("FHIR is written in UTF-8, which `Accept-Charset` leaves out.")

    # --- the body ---

    async def body(self) -> bytes:
        """The whole body, decompressed. Raises TooLarge, TooSlow, TooMany, ClientGone."""
        try:
            async with asyncio.timeout(self.options.body_timeout):
                body = await self._received()
        except TimeoutError:
            raise TooSlow(
                f"The body did not arrive within {self.options.body_timeout:g} seconds"
                " (`body_timeout`). Send it again.",
                headers={"Connection": "close"},
            ) from None
        coding = (self.header(b"content-encoding") or "identity").lower()
        if coding == "identity" or not body:
            return body
        whole = await self._apart(coding, body)
        self._hold(len(whole) - len(body))
        return whole

    async def _apart(self, coding: str, body: bytes) -> bytes:
        bounds = {"bound": self.options.max_decompressed, "ratio": self.options.max_ratio}
        if len(body) < LONG_WORK // 16:
            return decompressed(coding, body, **bounds)
        return await asyncio.to_thread(decompressed, coding, body, **bounds)

    async def _received(self) -> bytes:
        self._refuse_length()
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        first: bytes = message.get("body", b"")
        if not message.get("more_body"):
            self._hold(len(first))
            return self._bounded(first)
        parts = [first]
        size = len(first)
        self._hold(size)
        while message.get("more_body"):
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._hold(len(parts[-1]))
            if size > self.options.max_body:
                raise self._too_large()
        return b"".join(parts)

    def _refuse_length(self) -> None:
        """What the client says will come is refused before any of it is read."""
        told = self.headers.get(b"content-length")
        if told is None:
            return
        if not told.isdigit():
            raise Invalid("`Content-Length` is not a number.", headers={"Connection": "close"})
        if len(told) > 15 or int(told) > self.options.max_body:
            raise self._too_large()

    def _bounded(self, body: bytes) -> bytes:
        if len(body) > self.options.max_body:
            raise self._too_large()
        return body

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The body is larger than the {self.options.max_body} bytes of `max_body`."
            " Send it in parts, or compressed.",
            headers={} if self._drains() else {"Connection": "close"},
        )

    def _drains(self) -> bool:
        """Whether what is left of the body may pass unread, so that the client sees the answer.

        A connection that is closed while the client still sends is reset, and the refusal lost.
        """
        told = self.headers.get(b"content-length", b"")
        return told.isdigit() and len(told) < 16 and int(told) <= 16 * self.options.max_body

    def _hold(self, size: int) -> None:
        self.held_bytes += size
        self.held.body_bytes += size
        if self.held.body_bytes > self.options.max_buffered:
            raise TooMany(
                "The server is taking in as much as it can hold (`max_buffered`). Try again in a"
                " moment.",
                headers={"Retry-After": "2"},
            )

    def let_go(self) -> None:
        self.held.body_bytes -= self.held_bytes
        self.held_bytes = 0
