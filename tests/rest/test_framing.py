"""Where a request ends is said once, or the connection does: nothing is hidden behind another.

https://hl7.org/fhir/R4/http.html#general

A proxy and a server that end a request at different bytes take the rest for different requests
(RFC 9112, section 11.2). What is hidden here asks for `smuggled`, which must never be answered.
"""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from tests.rest.client import on_one_database
from tests.rest.test_protocol import serving

pytestmark = on_one_database

HEAD = (
    b"POST /fhir/Patient/_search HTTP/1.1\r\nHost: a\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)
HIDDEN = b"GET /fhir/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = b"\r\n\r\n0\r\n\r\n"
#  what                              after the head
AMBIGUOUS = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked" + CHUNKS,
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 4" + CHUNKS,
    "a space before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: 5" + CHUNKS,
    "a vertical tab": b"Transfer-Encoding: \x0bchunked" + CHUNKS,
    "an unknown coding": b"Transfer-Encoding: xchunked" + CHUNKS,
    "chunks not the last coding": b"Transfer-Encoding: chunked, identity" + CHUNKS,
    "identity and a length": b"Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
    "two codings in two lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x" + CHUNKS,
    "a folded line": b"Transfer-Encoding:\r\n chunked" + CHUNKS,
    "a plus": b"Content-Length: +0\r\n\r\n",
    "hexadecimal": b"Content-Length: 0x0\r\n\r\n",
    "a list of lengths": b"Content-Length: 0, 0\r\n\r\n",
    "two lengths in one": b"Content-Length: 0 0\r\n\r\n",
    "two lengths that differ": b"Content-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "a chunk too large": b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n",
    "a chunk below zero": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk that does not end": b"Transfer-Encoding: chunked\r\n\r\n1\r\naX0\r\n\r\n",
    "a chunk's line that ends otherwise": b"Transfer-Encoding: chunked\r\n\r\n0\n\n",
    "a chunk of 0x": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "a carriage return alone": b"X: a\rContent-Length: 3\r\n\r\n",
    "lines that end otherwise": b"Content-Length: 0\n\n",
}


async def all_of(port: int, sent: bytes) -> bytes:
    """All the server says until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.mark.parametrize("after", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_v5_0_0_4_2_1_what_may_end_in_two_places_is_refused_and_ends_the_connection(
    app, after
):
    async with serving(app, body_timeout=1.0) as port:
        said = await all_of(port, HEAD + after + HIDDEN)
    assert re.findall(rb"HTTP/1\.1 (\d+)", said) == [b"400"]
    assert b"connection: close" in said.lower()
    assert b"smuggled" not in said
    assert json.loads(said.partition(b"\r\n\r\n")[2])["resourceType"] == "OperationOutcome"


async def test_v5_0_0_4_2_1_an_old_client_that_speaks_of_chunks_is_the_last_on_its_connection(app):
    head = HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked"
    async with serving(app, body_timeout=1.0) as port:
        said = await all_of(port, head + CHUNKS + HIDDEN)
    assert len(re.findall(rb"HTTP/1\.1 \d+", said)) == 1
    assert b"smuggled" not in said


#  the target of the request line          statuses it may be answered with
TARGETS = [
    (b"http://evil.example/fhir/Patient/none", 404),
    (b"a:80", 400),
    (b"*", 404),
    (b"/fhir/../metrics", 404),
    (b"/fhir/%2e%2e/metrics", 404),
    (b"/fhir/%252e%252e/metrics", 404),
    (b"/fhir//Patient/none", 404),
    (b"//evil.example/fhir/metadata", 404),
    (b"/fhir\\metadata", 404),
    (b"/fhir/Patient/none#a", 404),
    (b"/fhir/Patient/a%00b", 400),
    (b"/fhir/Patient/a\x00b", 400),
    (b"/fhir/Patient/%c0%ae", 400),
    (b"/fhir;a=b/metadata", 404),
]


@pytest.mark.parametrize(("target", "status"), TARGETS, ids=[repr(t) for t, _ in TARGETS])
async def test_a_target_is_taken_as_it_stands_and_leads_nowhere_else(app, target, status):
    async with serving(app) as port:
        said = await all_of(port, b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, body
    assert json.loads(body)["resourceType"] == "OperationOutcome"


async def test_nothing_but_http_1_is_spoken(app):
    for sent in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /fhir/metadata HTTP/9.9\r\nHost: a\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        async with serving(app) as port:
            said = await all_of(port, sent)
        assert said.startswith(b"HTTP/1.1 400")


LINES = b"GET /fhir/metadata HTTP/%b\r\n%bAccept: application/json\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("version", "host", "status"),
    [
        (b"1.1", b"", 400),
        (b"1.1", b"Host: a\r\nHost: b\r\n", 400),
        (b"1.1", b"Host: a\r\nHost: a\r\n", 400),
        (b"1.1", b"Host: a b\r\n", 400),
        (b"1.1", b"Host: a/fhir\r\n", 400),
        (b"1.1", b"Host: evil@a\r\n", 400),
        (b"1.1", b"Host: a:80x\r\n", 400),
        (b"1.0", b"Host: a\r\nHost: b\r\n", 400),
        (b"1.1", b"Host: a\r\n", 200),
        (b"1.1", b"host: [::1]:8000\r\n", 200),
        (b"1.1", b"Host:\r\n", 200),
        (b"1.0", b"", 200),
    ],
    ids=[
        "none",
        "two",
        "one twice",
        "no name",
        "a path",
        "a user",
        "no port",
        "two, of an old client",
        "one",
        "an address",
        "an empty one",
        "none, of an old client",
    ],
)
async def test_v5_0_0_4_2_1_a_request_says_for_whom_it_is(app, version, host, status):
    async with serving(app) as port:
        said = await all_of(port, LINES % (version, host))
    assert int(said.split(b" ", 2)[1]) == status
    if status == 400:
        assert json.loads(said.partition(b"\r\n\r\n")[2])["resourceType"] == "OperationOutcome"
        assert b"Host" in said
