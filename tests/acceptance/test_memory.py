"""What a client sends does not make the server grow without bound.

The bounds are generous: a leak grows with what is sent, and a hundred times is sent what may stay.
FHIR_TEST_ROUNDS makes it long.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import random

import pytest
import zstandard

from tests.acceptance.crowd import patient, visit
from tests.acceptance.web import Client, Lost

ROUNDS = int(os.environ.get("FHIR_TEST_ROUNDS", "1"))
MI = 1024 * 1024
MAY_GROW = 200 * MI


def bomb(size):
    """Zeros that become `size` bytes."""
    return gzip.compress(b" " * size, 6)


class Watched:
    """How large a server became while something was done to it."""

    def __init__(self, server, what):
        self.server, self.what, self.most = server, what, 0

    async def __aenter__(self):
        self.before = self.server.resident()
        self.task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        after = self.server.resident()
        self.most = max(self.most, after)
        print(
            f"\n{self.what}: {self.before / MI:.0f} MB before,"
            f" {self.most / MI:.0f} at most, {after / MI:.0f} after"
        )

    async def _watch(self):
        while True:
            self.most = max(self.most, await asyncio.to_thread(self.server.resident))
            await asyncio.sleep(0.05)

    @property
    def grown(self):
        return self.most - self.before


@pytest.fixture
def server(sqlite_url, serve):
    return serve(sqlite_url, concurrency=1000)


async def test_a_body_of_100_mb_is_refused_without_being_held(server):
    async with Watched(server, "100 MB body") as watched:
        async with Client(server.port) as client:
            told = await client.ask("POST", "Patient", b" " * (100 * MI))
            assert told.status == 413
            assert "max_body" in told.refusal
        async with Client(server.port) as client:  # without a length, so it is read
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(
                b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: application/fhir+json\r\n\r\n"
            )
            chunk = b"%x\r\n%b\r\n" % (MI, b" " * MI)
            try:
                for _ in range(100):
                    writer.write(chunk)
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
                answer = await asyncio.wait_for(reader.read(4096), 30)
                assert answer.startswith(b"HTTP/1.1 413"), answer
            except ConnectionError:
                pass
            writer.close()
            assert (await client.ask("GET", "metadata")).status == 200
    assert watched.grown < MAY_GROW


async def test_bombs_are_not_unpacked(server):
    bodies = [
        ("gzip", bomb(200 * MI)),
        ("gzip", gzip.compress(gzip.compress(b"\0" * 50 * MI))),
        ("zstd", zstandard.compress(b" " * (200 * MI))),
    ]
    async with Watched(server, "bombs") as watched, Client(server.port) as client:
        for coding, body in bodies * 5 * ROUNDS:
            told = await client.ask("POST", "Patient", body, Content_Encoding=coding)
            assert told.status in (400, 413), told
            assert told.refusal
    assert watched.grown < MAY_GROW


async def test_depth_is_refused_however_often(server):
    bodies = [
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"resourceType":"Patient","extension":' + b'[{"url":"a","extension":' * 100_000,
    ]
    async with Watched(server, "10^5 deep") as watched, Client(server.port) as client:
        for body in bodies * 20 * ROUNDS:
            told = await client.ask("POST", "Patient", body)
            assert told.status == 400, told
            assert told.refusal
    assert watched.grown < MAY_GROW


async def test_large_transactions_again_and_again_leave_nothing_behind(server):
    visits = [visit(f"v{n}") for n in range(1000)]
    entries = [entry for told in visits for entry in told["entry"][:-1]]
    for entry in entries:
        type = entry["resource"]["resourceType"]
        name = entry["resource"]["identifier"][0]["value"]
        entry["request"]["ifNoneExist"] = f"identifier=urn:kill|{name}"
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    async with Client(server.port, patience=120) as client:
        sizes = []
        for _ in range(3 * ROUNDS):
            told = await client.ask("POST", "/fhir", bundle)
            assert told.status == 200, told.body[:500]
            assert len(told.json["entry"]) == 5000
            sizes.append(server.resident())
        print(f"\n5,000 entries, MB after each: {[size // MI for size in sizes]}")
        assert sizes[-1] - sizes[0] < MAY_GROW
        assert (await client.ask("GET", f"{type}?_summary=count")).json["total"] == 1000


async def test_many_slow_connections_cost_little_and_others_are_served(server):
    held = []
    async with Watched(server, "400 slow connections") as watched:
        for number in range(400):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            held.append(writer)
            if number % 2:
                writer.write(b"GET /fhir/Patient?family=" + b"x" * 2000)
            else:
                writer.write(
                    b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
                )
                writer.write(b"Content-Type: application/fhir+json\r\n\r\n" + b" " * 50_000)
        await asyncio.sleep(0.5)
        async with Client(server.port) as client:
            assert (await client.ask("GET", "Patient")).status == 200
            assert (await client.ask("POST", "Patient", patient("a"))).status == 201
        for writer in held:
            writer.close()
    assert watched.grown < MAY_GROW


async def test_many_searches_leave_nothing_behind(server):
    """Different ones, so that whatever is remembered of each would add up."""
    draw = random.Random(2)
    templates = [
        "Patient?family={}", "Patient?name:exact={}", "Patient?identifier=urn:{}|{}",
        "Patient?birthdate=ge19{:02d}-01-01", "Observation?code=http://l|{}&value-quantity=gt{}",
        "Encounter?subject=Patient/{}&_count=7", "Patient?_id={},{},x", "Patient?{}=1",
        "Patient?_lastUpdated=gt2024&gender={}", "Organization/_history?_since=20{:02d}",
    ]  # fmt: skip

    def question():
        number = draw.randrange(10**9)
        template = draw.choice(templates)
        return template.format(*[number % 100 if ":02d" in template else number] * 3)

    async def ask(times):
        async with Client(server.port) as client:
            for _ in range(times):
                told = await client.ask("GET", question())
                assert told.status in (200, 400), told

    await asyncio.gather(*(ask(100) for _ in range(4)))  # whatever is made once is made
    async with Watched(server, f"{4000 * ROUNDS} searches") as watched:
        await asyncio.gather(*(ask(1000 * ROUNDS) for _ in range(4)))
    assert watched.grown < MAY_GROW // 4


async def test_what_hangs_up_in_the_middle_is_forgotten(server):
    body = b" " * MI
    async with Watched(server, "300 broken uploads") as watched:
        for _ in range(300 * ROUNDS):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n"
            writer.write(head + b"Content-Type: application/fhir+json\r\n\r\n" + body)
            await writer.drain()
            writer.close()
        async with Client(server.port) as client:
            try:
                assert (await client.ask("GET", "metadata")).status == 200
            except Lost as lost:
                raise AssertionError(server.told()) from lost
    assert watched.grown < MAY_GROW
    assert "Traceback" not in server.told()
