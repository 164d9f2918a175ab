"""The line of these tests fails as it is told to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.sync.real.line import PHASES, Line, Listening, Phase, Weather

ANSWER = b"{}".ljust(5000)


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", f"{len(ANSWER)}")
        self.end_headers()
        with suppress(OSError):  # the line breaks while it is said
            self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    found = Hub()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def line(hub: Hub) -> Iterator[Line]:
    found = Line(hub.server_port, 1)
    yield found
    found.end()


def said(line: Line, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", line.port, timeout=10)
    try:
        connection.request("POST", "/fhir/$sync-push", body)
        answer = connection.getresponse()
        if answer.read() != ANSWER:  # half a head is taken for a whole one
            raise http.client.IncompleteRead(b"")
        return answer.status
    finally:
        connection.close()


def test_what_is_said_arrives(line: Line, hub: Hub) -> None:
    assert said(line, b"x" * 100_000) == 200
    assert hub.bodies == [b"x" * 100_000]
    assert line.passed[0] > 100_000


def test_over_a_cut_line_nothing_passes_until_it_is_mended(line: Line, hub: Hub) -> None:
    line.cut()
    with pytest.raises((OSError, http.client.HTTPException)):
        said(line, b"x")
    assert hub.bodies == []
    line.mend()
    assert said(line, b"y") == 200


def test_a_line_that_breaks_ends_what_was_under_way(line: Line, hub: Hub) -> None:
    line.weather = Weather(breaks=1.0)
    with pytest.raises((OSError, http.client.HTTPException)):
        said(line, b"x")
    assert hub.bodies == []


@pytest.mark.parametrize("phase", PHASES, ids=lambda one: one.name)
def test_a_talk_breaks_off_at_the_phase_that_is_asked_for(
    line: Line, hub: Hub, phase: Phase
) -> None:
    line.break_at(phase)
    body = b"x" * 4000
    with pytest.raises((OSError, http.client.HTTPException)):
        said(line, body)
    assert line.broken == 1
    assert (body in hub.bodies) == bool(phase.way)
    assert said(line, body) == 200


def test_what_was_lost_comes_all_the_same(line: Line, hub: Hub) -> None:
    line.weather = Weather(loss=0.3, delay=0.001)
    assert said(line, b"z" * 20_000) == 200
    assert hub.bodies == [b"z" * 20_000]


def test_a_request_may_come_again(line: Line, hub: Hub) -> None:
    line.weather = Weather(again=1.0)
    assert said(line, b"x") == 200
    deadline = threading.Event()
    for _ in range(200):
        if len(hub.bodies) >= 2 and line.repeated:
            break
        deadline.wait(0.05)
    assert hub.bodies[:2] == [b"x", b"x"]


def test_requests_are_heard_whole_however_they_are_cut() -> None:
    text = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: x\r\n\r\n"
    for size in range(1, len(text)):
        heard: list[bytes] = []
        listening = Listening(heard.append)
        for at in range(0, len(text), size):
            listening.take(text[at : at + size])
        assert b"".join(heard) == text
        assert len(heard) == 2
