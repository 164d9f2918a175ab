"""asking — the shapes sent to a server, alone and mixed, and what they took."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bench.drive import Connection, connect, request
from bench.search.shapes import DEEP, SHAPES, Question, Sample, Shape, some, wrong

HOST = "127.0.0.1"
FIFTIETH = 49  # next links to follow
DRAWN = 400  # questions of a shape, asked again and again
CHECKED = 4  # of them that are held against the oracle


@dataclass
class Taken:
    """Seconds of each answer, by shape."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    rate: float = 0.0

    def percentile(self, shape: str, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.seconds[shape])
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


async def prepared(port: int, sample: Sample) -> None:
    """Find the URLs that only the server can tell: versions and fiftieth pages."""
    connection = await connect(HOST, port)
    for _ in range(50):
        path = f"/fhir/Patient/{sample.person().id}"
        found = await told(connection, path)
        sample.versions.append(f"{path}/_history/{found['meta']['versionId']}")
    for path in DEEP:
        deep = path
        for _ in range(FIFTIETH):
            bundle = await told(connection, deep)
            onward = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            if not onward:
                break
            parts = urlsplit(onward[0])
            deep = f"{parts.path}?{parts.query}"
        sample.deep.append(deep)
    _close(connection)


async def told(connection: Connection, path: str) -> dict[str, Any]:
    status, body = await connection.ask(request("GET", path))
    assert status == 200, (path, status, body[:500])
    found: dict[str, Any] = json.loads(body)
    return found


async def alone(port: int, sample: Sample, *, samples: int) -> Taken:
    """Each shape by one client: `samples` answers, after a fifth as many that do not count."""
    taken = Taken()
    connection = await connect(HOST, port)
    for shape in SHAPES:
        questions = some(shape, sample, min(DRAWN, samples))
        await checked(connection, shape, questions[:CHECKED], taken)
        asks = [request("GET", question.path) for question in questions]
        for number in range(samples + samples // 5):
            began = time.perf_counter()
            status, body = await connection.ask(asks[number % len(asks)])
            if status != 200:
                taken.failed[shape.name] = body[:300].decode(errors="replace")
                break
            if number >= samples // 5:
                taken.seconds[shape.name].append(time.perf_counter() - began)
    _close(connection)
    return taken


async def checked(
    connection: Connection, shape: Shape, questions: list[Question], taken: Taken
) -> None:
    for question in questions:
        status, body = await connection.ask(request("GET", question.path))
        if status != 200:
            taken.failed[shape.name] = body[:300].decode(errors="replace")
        elif why := wrong(question, json.loads(body)):
            taken.wrong[shape.name] = f"{question.path}: {why}"


async def mixed(port: int, sample: Sample, *, clients: int, seconds: float) -> Taken:
    """All shapes by so many clients at once, one as often as another."""
    taken, draw = Taken(), random.Random(7)
    asks = {
        shape.name: [request("GET", question.path) for question in some(shape, sample, DRAWN)]
        for shape in SHAPES
        if shape.mixed
    }
    names = list(asks)

    def waiting() -> Iterator[tuple[str, bytes]]:
        while True:
            name = draw.choice(names)
            yield name, draw.choice(asks[name])

    begin = time.perf_counter() + 2
    stop, requests = begin + seconds, waiting()

    async def client() -> None:
        connection = await connect(HOST, port)
        for name, ask in requests:
            asked = time.perf_counter()
            if asked >= stop:
                break
            status, body = await connection.ask(ask)
            if status != 200:
                taken.failed[name] = body[:300].decode(errors="replace")
            elif asked >= begin:
                taken.seconds[name].append(time.perf_counter() - asked)
        _close(connection)

    await asyncio.gather(*(client() for _ in range(clients)))
    taken.rate = sum(map(len, taken.seconds.values())) / seconds
    return taken


def _close(connection: Connection) -> None:
    if connection.transport:
        connection.transport.close()
