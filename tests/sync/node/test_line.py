"""What goes over the line is as small as the hub can read, and no smaller.

https://hl7.org/fhir/R4/http.html#compression
"""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress

import httpx
import pytest

from fhir_server.sync import wire
from fhir_server.sync.node import line as lines
from fhir_server.sync.node.alive import is_proxied
from fhir_server.sync.node.key import NodeKey, made
from fhir_server.sync.node.line import Away, Line, Refusal, client_of

BODY = b'{"resourceType":"Bundle","type":"history"}'


class Hub:
    """Speaks HTTP, and only some codings."""

    def __init__(self, *spoken):
        self.spoken = spoken
        self.status = 0  # that it says to everything, unless 0
        self.came = []  # coding and body of each push
        self.heads = []
        self._talks = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        base = f"http://127.0.0.1:{port}/fhir"
        key = dict(made().as_dict(private=True))
        self.line = Line(NodeKey(base, "tyt", f"{base}/oauth/token", "system/*.rs", key))
        return self

    async def __aexit__(self, *_):
        await self.line.close()
        await asyncio.gather(*self._talks)
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, reader, writer):
        self._talks.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.close()
        await writer.wait_closed()

    async def _answer(self, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            told = dict(one.lower().split(": ", 1) for one in lines[1:] if one)
            body = await reader.readexactly(int(told.get("content-length", 0)))
            status, answer = 200, {"access_token": "t", "expires_in": 3600}
            if "sync" in lines[0]:
                self.heads.append(head)
                coding = told.get("content-encoding", "identity")
                self.came.append((coding, body))
                status = self.status or (200 if coding in self.spoken else 415)
                answer = {"resourceType": "Bundle"}
            sent = json.dumps(answer).encode()
            head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(sent)}\r\n\r\n"
            writer.write(head.encode() + sent)

    @property
    def codings(self):
        return [coding for coding, _ in self.came]


@pytest.mark.parametrize("last", wire.CODINGS)
async def test_what_the_hub_does_not_read_is_sent_in_the_next_coding_and_so_from_then_on(last):
    async with Hub(last) as hub:
        await hub.line.push(BODY)
        tried = list(wire.CODINGS[: wire.CODINGS.index(last) + 1])
        assert hub.codings == tried
        await hub.line.push(BODY)
        assert hub.codings == [*tried, last]
        assert wire.packed(BODY, wire.SMALL, last) == hub.came[-1][1]


async def test_the_dictionary_is_tried_again_after_a_while(monkeypatch):
    monkeypatch.setattr(lines, "TRIED_AGAIN", 0.0)
    async with Hub("gzip") as hub:
        await hub.line.push(BODY)
        hub.spoken = wire.CODINGS
        await hub.line.push(BODY)
        assert hub.codings == ["dcz", "zstd", "gzip", "dcz"]


async def test_a_hub_that_reads_nothing_at_all_is_a_refusal():
    async with Hub() as hub:
        with pytest.raises(Refusal, match="415"):
            await hub.line.push(BODY)
        assert hub.codings == list(wire.CODINGS)


async def test_what_is_packed_already_is_sent_as_it_is():
    async with Hub("dcz") as hub:
        await hub.line.push(BODY, b"small")
        assert hub.came == [("dcz", b"small")]


async def test_a_question_carries_no_header_that_says_nothing():
    async with Hub(*wire.CODINGS) as hub:
        await hub.line.pull({"cursor": "c", "wait": ""})
        names = {line.partition(b":")[0].lower() for line in hub.heads[0].splitlines()[1:] if line}
        assert names == {b"host", b"accept-encoding", b"available-dictionary", b"authorization"}


@pytest.mark.parametrize("status", (408, 409, 425, 429, 500, 502, 503, 504, 507))
async def test_what_passes_by_itself_is_asked_again_soon_and_nothing_is_kept_apart(status):
    """A hub without room, too: that its disk is full is not about what was sent."""
    async with Hub(wire.CODING) as hub:
        hub.status = status
        with pytest.raises(Away):
            await hub.line.push(BODY)
        hub.status = 0
        await hub.line.push(BODY)


@pytest.mark.parametrize("proxy", ("", "http://127.0.0.1:1"), ids=["no proxy", "a proxy"])
async def test_a_connection_asks_the_system_whether_the_hub_is_still_there(monkeypatch, proxy):
    """A proxy of the environment is for hubs beyond this machine, and is not asked for this one."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    async with Hub() as hub, client_of(hub.line.key.hub) as asking:
        answer = await asking.get(f"{hub.line.key.hub}/metadata")
        made = answer.extensions["network_stream"].get_extra_info("socket")
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


async def test_a_hub_beyond_this_machine_is_asked_by_the_proxy_of_the_environment(monkeypatch):
    asked = asyncio.get_running_loop().create_future()

    async def proxy(reader, writer):
        asked.set_result(await reader.readline())
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with client_of("https://hub.example/fhir") as asking:
            with suppress(httpx.HTTPError):
                await asking.get("https://hub.example/fhir/metadata")
    assert (await asked).startswith(b"CONNECT hub.example:443 ")


# what the environment says,                                      whom,                    by it?
PROXIED = [
    ({}, "https://hub.example/fhir", False),
    ({"HTTPS_PROXY": "http://p:1"}, "https://hub.example/fhir", True),
    ({"HTTP_PROXY": "http://p:1"}, "https://hub.example/fhir", False),
    ({"ALL_PROXY": "http://p:1"}, "https://hub.example/fhir", True),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://hub.example/fhir", False),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "hub.example"}, "https://hub.example/fhir", False),
    ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other"}, "https://hub.example/fhir", True),
    ({"NO_PROXY": "*"}, "https://hub.example/fhir", False),
]


@pytest.mark.parametrize(("told", "hub", "by_it"), PROXIED)
def test_a_proxy_is_asked_where_the_environment_says_so(monkeypatch, told, hub, by_it):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        for spelled in (name, name.lower()):
            monkeypatch.delenv(spelled, raising=False)
        if name in told:
            monkeypatch.setenv(name, told[name])
    assert is_proxied(hub) == by_it
