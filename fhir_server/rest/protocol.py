"""protocol — HTTP/1.1 as uvicorn reads it, with a bound on a request's head and on its time.

uvicorn takes in headers without end and waits for them without end; the application is only called
when they are complete. And what is not HTTP is refused here as everywhere: by an OperationOutcome.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fhir_server.foundation.outcome import Issue, operation_outcome
from fhir_server.foundation.wire import render

SMALL = 64 * 1024  # bytes: joining more costs more than a system call
LINGER = 1.0  # seconds a refused client is listened to, so that it can read why


class HeadTooLarge(Exception):
    """The URL or the headers passed their bound."""


class BoundedProtocol(HttpToolsProtocol):
    """Subclass with the bounds (see `bounded`) and give it to uvicorn as `http=`."""

    max_head = 64 * 1024  # above every bound the application itself tells of
    head_timeout = 20.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head = 0
        self._unfinished = 0
        self._in_head = True
        self._timer: TimerHandle | None = None
        self._refusal = HTTPStatus.BAD_REQUEST
        self._refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(cast("asyncio.Transport", Together(transport, self.loop)))
        self._timer = self.loop.call_later(self.head_timeout, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # read on for a moment: to close on unread bytes would reset the connection
        super().data_received(data)
        if not self._in_head:
            self._stop_clock()
        elif self._head and not self._refused:
            self._waiting(len(data))

    def _waiting(self, size: int) -> None:
        """A head has begun and is not whole. The parser keeps an unfinished header to itself."""
        self._unfinished += size
        if self._unfinished > self.max_head:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self.send_400_response("")
        elif self._timer is None:
            self._timer = self.loop.call_later(self.head_timeout, self._too_slow)

    def on_message_begin(self) -> None:
        self._head = 1
        self._unfinished = 0
        self._in_head = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._grown(len(url), HTTPStatus.REQUEST_URI_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._grown(len(name) + len(value), HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def _grown(self, size: int, refusal: HTTPStatus) -> None:
        self._head += size + 4
        if self._head > self.max_head:
            self._refusal = refusal
            raise HeadTooLarge

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if not self._refused and not self.transport.is_closing():
            self._refusal = HTTPStatus.REQUEST_TIMEOUT
            self.send_400_response("")

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it is uvicorn's signature
        """uvicorn's one way to refuse what is not HTTP; `msg` is its English, not ours."""
        status = self._refusal
        sentence, code = SENTENCES[status]
        body = render(operation_outcome([Issue("fatal", code, sentence)]))
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/fhir+json; charset=utf-8\r\n"
            b"content-length: %d\r\ncache-control: no-store\r\nconnection: close\r\n\r\n%b"
            % (status, status.phrase.encode(), len(body), body)
        )
        self._stop_clock()
        self._refused = True
        self._timer = self.loop.call_later(LINGER, self.transport.close)


class Together:
    """A transport that sends a response's head along with the beginning of its body.

    uvicorn writes them one after the other, and each write is a system call: a sixth of what a
    read costs. A head that no body follows is sent as soon as the loop comes round.
    """

    __slots__ = ("_held", "_loop", "_timer", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._timer: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            head, self._held = self._held, b""
            if len(data) <= SMALL:
                data = head + data
            else:
                self._transport.write(head)
        elif data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/"):
            self._held = data
            self._timer = self._loop.call_soon(self._send)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            head, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


SENTENCES = {
    HTTPStatus.BAD_REQUEST: ("What was sent is not an HTTP/1.1 request.", "structure"),
    HTTPStatus.REQUEST_URI_TOO_LONG: (
        "The URL is too long. Send a long search as a POST to `_search`.",
        "too-long",
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "The headers are too large (`max_header`). Send fewer or shorter.",
        "too-long",
    ),
    HTTPStatus.REQUEST_TIMEOUT: (
        "The head of the request did not arrive in time (`header_timeout`).",
        "timeout",
    ),
}


def bounded(*, max_head: int, head_timeout: float) -> type[BoundedProtocol]:
    """The protocol with these bounds, for uvicorn's `http=`."""
    return type("Bounded", (BoundedProtocol,), {"max_head": max_head, "head_timeout": head_timeout})
