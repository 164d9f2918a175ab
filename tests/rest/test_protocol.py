"""HTTP/1.1 itself, over a real socket: what comes before the application is asked.

https://hl7.org/fhir/R4/http.html#general
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import uvicorn

from fhir_server.rest.protocol import bounded
from tests.rest.client import on_one_database

pytestmark = on_one_database

MI = 1024 * 1024


@asynccontextmanager
async def serving(app):
    """The application on a port of this machine."""
    config = uvicorn.Config(
        app,
        port=0,
        http=bounded(max_head=64 * 1024, head_timeout=0.3),
        lifespan="off",
        log_level="critical",
        server_header=False,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def told(port, *parts, wait=0.0):
    """What the server says to these bytes; `wait` seconds between them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(wait)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split(" ")[1]), headers, body
    finally:
        writer.close()


NO_HTTP = [
    (b"hello\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS, spoken to a plain port
    (b"GET /fhir/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /fhir/metadata HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
    (b"GET /fhir/metadata HTTP/1.1\r\nHost a\r\n\r\n", 400),
    (b"GET /fhir/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /fhir/metadata HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
    (b"GET /fhir/metadata HTTP/1.1\r\n" + b"X: a\r\n" * 70_000, 431),
    (b"POST /fhir HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    (b"POST /fhir HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (
        b"POST /fhir HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
]


@pytest.mark.parametrize(("sent", "status"), NO_HTTP)
async def test_what_is_not_http_is_refused_by_an_operation_outcome(app, sent, status):
    async with serving(app) as port:
        found, headers, body = await told(port, sent)
    assert found == status
    assert headers["connection"] == "close"
    assert json.loads(body)["resourceType"] == "OperationOutcome"


async def test_a_head_that_does_not_come_is_not_waited_for(app):
    async with serving(app) as port:
        found, _, body = await told(port, b"GET /fhir/metadata HTTP/1.1\r\nHost:")
        assert found == 408
        assert json.loads(body)["issue"][0]["code"] == "timeout"


async def test_a_head_that_comes_in_parts_is_read(app):
    async with serving(app) as port:
        parts = (b"GET /fhir/Patient/no", b"ne HTTP/1.1\r\nHos", b"t: a\r\n\r\n")
        found, _, _ = await told(port, *parts, wait=0.05)
        assert found == 404


async def test_who_sends_too_much_can_read_why(app):
    """A connection closed while the client still sends is reset, and the refusal lost."""
    head = (
        b"POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Type: application/fhir+json\r\n"
        b"Content-Length: %d\r\n\r\n" % (100 * MI)
    )
    chunk = b"x" * MI
    async with serving(app) as port:
        found, _, body = await told(port, head, *([chunk] * 100))
        assert found == 413
        assert "max_body" in json.loads(body)["issue"][0]["diagnostics"]


async def test_one_connection_serves_many_requests(app):
    request = b"GET /fhir/Patient/none HTTP/1.1\r\nHost: a\r\n\r\n"
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404")
            assert b"server:" not in head
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()
