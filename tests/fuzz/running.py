"""running — a run of many requests against one server, and what must hold after each of them.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import zstandard
from lxml import etree

from tests.access.worlds import MINE, ORGANIZATIONS
from tests.fuzz.asking import Asked, World, asked
from tests.rest.client import Client, Response
from tests.rest.conftest import Lines

HANGS = 60.0  # seconds; the longest bound of the server's own is as long
OAUTH = re.compile(rb"^/fhir/oauth/|smart-configuration")
FAILED_ENTRY = re.compile(rb'"status": ?"5|<status value="5')
UNPACK = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}
TROUBLE = b'"error"'


class Counting:
    """A store that tells how many versions were written through it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.written = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, unit: Any) -> Any:
        done = await self._store.commit(unit)
        self.written += len(unit.versions)
        return done


@dataclass
class Run:
    """Requests one after the other. `seed` and the number of a request make it again."""

    client: Client
    store: Counting
    lines: Lines
    seed: int
    tokens: list[str] = field(default_factory=list)
    world: World = field(default_factory=World)
    failures: list[str] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    async def run(self, requests: int) -> None:
        draw = random.Random(self.seed)
        for number in range(requests):
            if number % 200 == 0:
                await self._fills(number)
            one = asked(draw, self.world, self.tokens)
            try:
                await self._asked(one)
            except Exception as error:
                self.failures.append(self._told(number, one, f"{type(error).__name__}: {error}"))

    async def _asked(self, one: Asked) -> None:
        before, self.lines[:] = self.store.written, []
        async with asyncio.timeout(HANGS):
            answer = await self.client.request(one.method, one.url, one.body, headers=one.headers)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        self.client.app.log.flush()
        trouble = [line for line in self.lines if TROUBLE in line]
        assert not trouble, trouble
        assert 200 <= answer.status < 500, answer.body[:500]
        answer.body = unpacked(answer)
        assert not FAILED_ENTRY.search(answer.body), answer.body[:3000]
        for name, value in answer.raw_headers:
            assert b"\n" not in value and b"\r" not in value, (name, value)
        if answer.status >= 400:
            assert self.store.written == before, "it was refused, and something was stored"
            refusal_is_told(one, answer)
        self.world.hears(answer)

    async def _fills(self, number: int) -> None:
        """What was deleted or changed is put back: the server still works, whatever was before."""
        token = {"Authorization": "Bearer all"} if self.tokens else {}
        for one in (*ORGANIZATIONS, *MINE):
            url = f"/fhir/{one['resourceType']}/{one['id']}"
            answer = await self.client.put(url, one, headers=token)
            if answer.status not in (200, 201):
                told = f"before request {number} of seed {self.seed}: {answer.status} for {url}"
                self.failures.append(f"{told}: {answer.body!r}")

    def _told(self, number: int, one: Asked, what: str) -> str:
        return f"FHIR_FUZZ_SEED={self.seed}, request {number}: {what}\n{str(one)[:6000]}"


def unpacked(answer: Response) -> bytes:
    """The body as it was before it was packed for the way."""
    apart = UNPACK.get(answer.headers.get("content-encoding", ""))
    return apart(answer.body) if apart and answer.body else answer.body


def refusal_is_told(one: Asked, answer: Response) -> None:
    """As an OperationOutcome with words, in JSON or XML; at OAuth's endpoints in OAuth's words."""
    if one.method == "HEAD":  # beside the API, the web server leaves the body out
        assert answer.body == b"" or not one.url.startswith(b"/fhir")
        return
    media = answer.headers["content-type"]
    if media.startswith(("application/fhir+xml", "application/xml", "text/xml")):
        root = etree.fromstring(answer.body)
        assert root.tag == "{http://hl7.org/fhir}OperationOutcome"
        assert root.find(".//{http://hl7.org/fhir}diagnostics") is not None
    elif media.startswith("text/html"):
        assert OAUTH.search(one.url) and b"<p>" in answer.body
    else:
        told = json.loads(answer.body)
        if told.get("resourceType") == "OperationOutcome":
            assert told["issue"] and all(each["diagnostics"] for each in told["issue"]), told
        else:
            assert OAUTH.search(one.url) and told["error"] and told["error_description"], told
