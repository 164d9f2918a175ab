"""However much a client sends, and however slowly: a bound, a refusal that names it, no memory.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from tests.rest.client import on_one_database

FHIR = {"Content-Type": "application/fhir+json"}
MI = 1024 * 1024


async def peak_of(request) -> int:
    """The most memory a request takes, in bytes."""
    tracemalloc.start()
    try:
        await request
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@on_one_database
async def test_a_body_of_a_hundred_megabytes_is_refused_unread(client):
    read = 0

    def chunks():
        nonlocal read
        for _ in range(1600):
            read += 64 * 1024
            yield b"x" * 64 * 1024

    async def announced():
        told = await client.post(
            "/fhir/Patient", chunks(), headers=FHIR | {"Content-Length": str(100 * MI)}
        )
        assert (told.status, told.issue["code"]) == (413, "too-long")
        assert "max_body" in told.issue["diagnostics"]

    assert await peak_of(announced()) < 4 * MI
    assert read < MI


@on_one_database
async def test_a_body_without_end_is_read_to_the_bound_and_no_further(client_with):
    client = client_with(max_body=4 * MI)
    read = 0

    def chunks():
        nonlocal read
        while True:
            read += 64 * 1024
            yield b"x" * 64 * 1024

    async def endless():
        told = await client.post("/fhir/Patient", chunks(), headers=FHIR)
        assert told.status == 413
        assert told.headers["connection"] == "close"

    assert await peak_of(endless()) < 8 * MI
    assert read < 5 * MI


BOMB = b"[" * (200 * MI)
BOMBS = {
    "gzip": gzip.compress(BOMB, 9),
    "deflate": zlib.compress(BOMB, 9),
    "zstd": zstandard.compress(BOMB),
}
del BOMB


@on_one_database
@pytest.mark.parametrize("coding", BOMBS)
async def test_a_bomb_is_refused_within_the_bounds_of_memory(client, coding):
    async def thrown():
        told = await client.post(
            "/fhir/Patient", BOMBS[coding], headers=FHIR | {"Content-Encoding": coding}
        )
        assert (told.status, told.issue["code"]) == (413, "too-long")

    assert await peak_of(thrown()) < 100 * MI


@on_one_database
async def test_all_clients_together_have_a_bound(client_with):
    client = client_with(max_buffered=MI)
    told = await client.post("/fhir/Patient", b"x" * 2 * MI, headers=FHIR)
    assert (told.status, told.issue["code"]) == (429, "throttled")
    assert told.headers["retry-after"]
    made = await client.post("/fhir/Patient", {"resourceType": "Patient"})
    assert made.status == 201, "what was held is let go"


@on_one_database
async def test_a_slow_body_is_not_waited_for(client_with):
    client = client_with(body_timeout=0.05)
    sent: list = []

    async def receive():
        await asyncio.sleep(30)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/fhir/Patient",
        "raw_path": b"/fhir/Patient",
        "query_string": b"",
        "headers": [(b"host", b"a"), (b"content-type", b"application/fhir+json")],
    }
    await client.app(scope, receive, send)
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


@on_one_database
async def test_who_hangs_up_is_not_answered(client, lines):
    told = await client.post(
        "/fhir/Patient", iter([b'{"resource', b'Type":']), headers=FHIR, gone=True
    )
    assert told.status == 0
    assert (await client.get("/fhir/Patient?_summary=count")).json["total"] == 0


@on_one_database
async def test_a_thousand_parameters_are_enough(client):
    query = "&".join(["_id=a"] * 1001)
    told = await client.get(f"/fhir/Patient?{query}")
    assert told.status == 400
    assert "max_parameters" in told.issue["diagnostics"]
    form = await client.form("/fhir/Patient/_search?_id=a", query.encode())
    assert form.status == 400


@on_one_database
@pytest.mark.parametrize(
    "path",
    [
        b"//",
        b"/fhir//",
        b"/fhir/%2e%2e/",
        b"/fhir/..",
        b"/fhir/Patient/\xff",
        b"/fhir/\x00",
        b"/fhir/*",
    ],
)
async def test_odd_paths_lead_nowhere(client, path):
    told = await client.get(path)
    assert 400 <= told.status < 500
    assert told.json["resourceType"] == "OperationOutcome"
