"""protocol — HTTP/1.1 as uvicorn reads it, with bounds on what a connection sends and takes.

uvicorn takes in headers without end and waits for them without end; the application is only called
when they are complete. It waits as long for a client that does not read its answer, for the rest of
a body that nobody wants any more, and takes as many connections as come. And what is not HTTP is
refused here as everywhere: by an OperationOutcome.
"""

from __future__ import annotations

import asyncio
import re
from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fhir_server.foundation.outcome import Issue, operation_outcome
from fhir_server.foundation.wire import render
from fhir_server.rest.reply import SAFE

STEP = 64 * 1024  # bytes of its answer a client must take in each `send_timeout`
SMALL = 64 * 1024  # bytes: joining more costs more than a system call
LINGER = 1.0  # seconds a refused client is listened to, so that it can read why


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connection may ask for, in bytes and seconds; each is a setting."""

    max_head: int = 64 * 1024  # above every bound the application itself tells of
    head_timeout: float = 20.0
    body_timeout: float = 60.0
    send_timeout: float = 30.0
    idle_timeout: float = 130.0
    max_connections: int = 1000


class HeadTooLarge(Exception):
    """The URL or the headers passed their bound."""


class NoHost(Exception):
    """It is not said, or not once, for whom the request is (RFC 9112, section 3.2)."""


class BoundedProtocol(HttpToolsProtocol):
    """Subclass with the bounds (see `bounded`) and give it to uvicorn as `http=`."""

    bounds = Bounds()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.timeout_keep_alive = self.bounds.idle_timeout  # type: ignore[assignment] # any number
        self.idle_since: float | None = None  # None: something is under way
        self._in_message = False
        self._unread = 0
        self._reader: TimerHandle | None = None  # waits for the client to read
        self._rest: TimerHandle | None = None  # waits for what is left of an answered body
        self._head = 0
        self._unfinished = 0
        self._in_head = True
        self._timer: TimerHandle | None = None
        self._refusal = HTTPStatus.BAD_REQUEST
        self._sentences = SENTENCES
        self._refused = False

    def connection_made(self, transport: Any) -> None:
        room = self._make_room()
        super().connection_made(cast("asyncio.Transport", Together(transport, self.loop)))
        if room:
            self._start_clock(self.bounds.head_timeout, self._too_slow)
        else:
            self._refusal = HTTPStatus.SERVICE_UNAVAILABLE
            self.send_400_response("")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._stop_reader()
        self._stop_rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return  # read on for a moment: to close on unread bytes would reset the connection
        self.idle_since = None
        super().data_received(data)
        if self._refused:
            return
        if self._is_done() and not self.transport.is_closing():
            self._wait_for_more()
        if not self._in_head:
            self._stop_clock()
        elif self._head and not self._refused:
            self._waiting(len(data))

    def _waiting(self, size: int) -> None:
        """A head has begun and is not whole. The parser keeps an unfinished header to itself."""
        self._unfinished += size
        if self._unfinished > self.bounds.max_head:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self.send_400_response("")
        elif self._timer is None:
            self._start_clock(self.bounds.head_timeout, self._too_slow)

    # --- connections that wait ---

    def _make_room(self) -> bool:
        """Whether there is room for one more; the one that is idle longest makes it."""
        if len(self.connections) < self.bounds.max_connections:
            return True
        idle = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol) and each.idle_since is not None
        ]
        if not idle:
            return False
        longest = min(idle, key=lambda each: each.idle_since or 0.0)
        longest.idle_since = None
        longest.transport.close()
        self.connections.discard(longest)
        return True

    def _is_done(self) -> bool:
        """Whether all that was begun has been answered."""
        return self.cycle is not None and self.cycle.response_complete and not self.pipeline

    def _wait_for_more(self) -> None:
        """After an answer, or after bytes that begin nothing. What is left of a body that was
        answered before its end is waited for as long as a body is, however it drips."""
        if self._in_message:
            if self._rest is None:
                self._rest = self.loop.call_later(self.bounds.body_timeout, self.transport.close)
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.bounds.idle_timeout, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            if self._is_done():
                self._wait_for_more()
        elif self._reader is None and self.transport.get_write_buffer_size():
            self._reader = self.loop.call_later(self.bounds.send_timeout, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # it has not taken its answer, and will not
        else:
            super().timeout_keep_alive_handler()

    def on_message_complete(self) -> None:
        self._in_message = False
        self._stop_rest()
        super().on_message_complete()

    def _stop_rest(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    # --- clients that do not read ---

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._reader = self.loop.call_later(self.bounds.send_timeout, self._look_at_reader)

    def resume_writing(self) -> None:
        self._stop_reader()
        super().resume_writing()

    def _look_at_reader(self) -> None:
        """A client that takes its answer by the drop keeps the whole of it in memory."""
        left = self.transport.get_write_buffer_size()
        if self._unread - left < STEP:
            self._reader = None
            self.transport.abort()
            return
        self._unread = left
        self._reader = self.loop.call_later(self.bounds.send_timeout, self._look_at_reader)

    def _stop_reader(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None

    # --- heads ---

    def on_message_begin(self) -> None:
        self._in_message = True
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
        hosts = [value for name, value in self.headers if name == b"host"]
        if (
            len(hosts) > 1
            or (hosts and HOST.fullmatch(hosts[0]) is None)
            or (not hosts and self.parser.get_http_version() != "1.0")
        ):
            self._sentences = {**SENTENCES, HTTPStatus.BAD_REQUEST: WITHOUT_HOST}
            raise NoHost
        super().on_headers_complete()

    def _grown(self, size: int, refusal: HTTPStatus) -> None:
        self._head += size + 4
        if self._head > self.bounds.max_head:
            self._refusal = refusal
            raise HeadTooLarge

    def _start_clock(self, seconds: float, then: Callable[[], object]) -> None:
        self._timer = self.loop.call_later(seconds, then)

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
        sentence, code = self._sentences[status]
        body = render(operation_outcome([Issue("fatal", code, sentence)]))
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/fhir+json; charset=utf-8\r\n"
            b"content-length: %d\r\ncache-control: no-store\r\n%b%bconnection: close\r\n\r\n%b"
            % (status, status.phrase.encode(), len(body), CAREFUL, LATER.get(status, b""), body)
        )
        self._stop_clock()
        self._unset_keepalive_if_required()
        self._refused = True
        self._start_clock(LINGER, self._leave)

    def _leave(self) -> None:
        """Say goodbye; and to who does not listen, leave."""
        self.transport.close()
        self._start_clock(LINGER, self.transport.abort)


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


CAREFUL = b"".join(b"%b: %b\r\n" % header for header in SAFE)
LATER = {HTTPStatus.SERVICE_UNAVAILABLE: b"retry-after: 5\r\n"}
HOST = re.compile(rb"(\[[0-9A-Za-z:.~%!$&'()*+,;=_-]+\]|[0-9A-Za-z.~%!$&'()*+,;=_-]*)(:[0-9]*)?")
WITHOUT_HOST = (
    "The request does not say once for whom it is. Send one `Host`, as in `fhir.example.vn:8000`.",
    "structure",
)
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
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "The server has as many connections as it takes (`max_connections`). Try again in a"
        " moment, and keep the connection for the next request.",
        "throttled",
    ),
}


def bounded(bounds: Bounds) -> type[BoundedProtocol]:
    """The protocol with these bounds, for uvicorn's `http=`."""
    return type("Bounded", (BoundedProtocol,), {"bounds": bounds})
