"""HTTP/1.1 itself, over a real socket: what comes before the application is asked.

https://hl7.org/fhir/R4/http.html#general
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import uvicorn

from fhir_server.rest.protocol import Bounds, bounded
from tests.rest.client import on_one_database

pytestmark = on_one_database

MI = 1024 * 1024


@asynccontextmanager
async def serving(app, **bounds):
    """The application on a port of this machine."""
    config = uvicorn.Config(
        app,
        port=0,
        http=bounded(Bounds(**{"head_timeout": 0.3} | bounds)),
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


# --- connections that wait -----------------------------------------------------------------------

READ = b"GET /fhir/Patient/none HTTP/1.1\r\nHost: a\r\n\r\n"
METADATA = b"GET /fhir/metadata HTTP/1.1\r\nHost: a\r\n\r\n"
BEGUN = (
    b"POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 1000\r\n\r\n"
)  # refused by its head, so that its body is wanted no more


async def answer(reader):
    """The status of the next answer, its body read."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ")[1])


async def hung_up(reader):
    """Whether the server ends the connection, saying nothing more."""
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionError:
        return True


async def test_an_idle_connection_is_ended(app):
    async with serving(app, idle_timeout=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(READ)
        assert await answer(reader) == 404
        assert await hung_up(reader)
        writer.close()


async def test_bytes_that_begin_nothing_do_not_keep_a_connection(app):
    async with serving(app, idle_timeout=0.1) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(READ)
        assert await answer(reader) == 404
        writer.write(b"\r\n")
        assert await hung_up(reader)
        writer.close()


async def test_the_rest_of_a_body_nobody_wants_is_not_waited_for_however_it_drips(app):
    async with serving(app, body_timeout=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BEGUN)
        assert await answer(reader) == 415
        ended = asyncio.create_task(hung_up(reader))
        while not ended.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert ended.result()
        writer.close()


async def test_after_such_a_rest_the_connection_serves_on(app):
    async with serving(app, body_timeout=5.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(BEGUN)
        assert await answer(reader) == 415
        writer.write(b"x" * 1000 + READ)
        assert await answer(reader) == 404
        writer.close()


async def test_who_does_not_read_is_hung_up_on(app):
    """Each answer would else be kept for as long as the client likes."""
    async with serving(app, send_timeout=0.2) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        asked = 0
        try:
            while asked < 2000:  # until the server's side and the socket are full
                writer.write(METADATA)
                asked += 1
                if asked % 50 == 0:
                    await asyncio.wait_for(writer.drain(), 0.1)
                    await asyncio.sleep(0.01)
        except (TimeoutError, ConnectionError):
            pass
        for _ in range(500):
            if not app.dispatcher.held.requests:
                break
            await asyncio.sleep(0.02)
        assert not app.dispatcher.held.requests, "an answer is still kept for it"
        writer.transport.abort()


async def test_who_reads_slowly_but_reads_is_answered(app):
    async with serving(app, send_timeout=5.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(METADATA * 5)
        for _ in range(5):
            assert await answer(reader) == 200
            await asyncio.sleep(0.05)
        writer.close()


async def test_a_connection_more_takes_the_place_of_the_one_that_is_idle_longest(app):
    async with serving(app, max_connections=2) as port:
        connections = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(READ)
            assert await answer(reader) == 404
            connections.append((reader, writer))
        assert await hung_up(connections[0][0])
        for reader, writer in connections[1:]:
            writer.write(READ)
            assert await answer(reader) == 404
            writer.close()
        connections[0][1].close()


async def test_where_none_is_idle_a_connection_more_is_told_to_come_again(app):
    async with serving(app, max_connections=2, head_timeout=5.0) as port:
        busy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in busy:
            writer.write(BEGUN.replace(b"text/plain", b"application/fhir+json"))
        await asyncio.sleep(0.05)
        found, headers, body = await told(port)
        assert found == 503
        assert headers["retry-after"]
        assert "`max_connections`" in json.loads(body)["issue"][0]["diagnostics"]
        busy[0][1].close()
        await asyncio.sleep(0.05)
        assert (await told(port, READ))[0] == 404
        busy[1][1].close()


async def test_v5_0_0_3_4_what_is_no_http_is_refused_with_the_same_care(app):
    async with serving(app) as port:
        _, headers, _ = await told(port, b"hello\r\n\r\n")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
