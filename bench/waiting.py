"""python -m bench.waiting — what nodes that wait for news cost a hub, and how soon they have it.

    python -m bench.waiting [--nodes 164] [--visits 5] [--seconds 30] [--workers 2]

A province's nodes ask a hub on PostgreSQL to be told of what is new. Somebody writes so many visits
a second, of patients of one facility alone: that facility's node is told, and nobody else has
anything to hear. What it costs is told as cores in use, by the hub and its database together,
beside a hub that is written to in the same way and for which nobody waits.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import quote

import orjson

from bench import floor
from bench.drive import Connection, connect, request
from bench.processes import cpu_of, family
from bench.pushing import Bench, of, transactions
from fhir_server.sync import wire
from tests.sync.real.province import Hub

WAIT = 20  # seconds, as nodes wait
PULL = "/fhir/$sync-pull"
MOST = 1 << 26  # bytes of a page
BEGINNING = 30.0  # seconds within which everybody stands at the end


@dataclass
class Node:
    """One that waits. told: when it was told of a visit."""

    token: str
    cursor: str = ""
    answers: int = 0
    told: dict[str, float] = field(default_factory=dict)

    async def ask(self, connection: Connection, wait: int) -> bool:
        """Whether there is more at once."""
        asked = f"{PULL}?wait={wait}" + (f"&cursor={quote(self.cursor)}" if self.cursor else "")
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept_Encoding": wire.CODING,
            "Available_Dictionary": wire.newest().available,
        }
        status, body = await connection.ask(request("GET", asked, **headers))
        assert status == 200, body[:500]
        now = time.perf_counter()
        found = orjson.loads(body if body[:1] == b"{" else wire.unpacked(body, at_most=MOST))
        said = {one["url"]: one for one in found["meta"]["extension"][0]["extension"]}
        self.cursor = said["next"]["valueString"]
        self.answers += 1
        for entry in found.get("entry", ()):
            resource = entry.get("resource", {})
            if resource.get("resourceType") == "Encounter":
                self.told.setdefault(resource["id"], now)
        return "more" in said or "entering" in said

    async def stay(self, connection: Connection) -> None:
        """Until it is cancelled."""
        while True:
            await self.ask(connection, WAIT)


class Waiting:
    """A hub with its nodes, and who writes to it."""

    def __init__(self, bench: Bench, nodes: int) -> None:
        self.bench = bench
        self.facilities = [bench.facility() for _ in range(nodes)]
        tokens = [asyncio.run(bench.caller("node", one)) for one in self.facilities]
        self.nodes = [Node(token) for token in tokens]
        self.writer = asyncio.run(bench.caller("system", self.facilities[0]))
        self.written: dict[str, float] = {}

    async def write(self, rate: float, seconds: float, seed: int) -> None:
        """So many visits a second, each a transaction."""
        connection = await connect("127.0.0.1", self.bench.hub.port)
        made = of(self.facilities[0], seed, max(1, round(rate * seconds)))
        begun = time.perf_counter()
        for number, visit in enumerate(made):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            [asked] = transactions(self.writer, [visit], 1)
            status, body = await connection.ask(asked)
            assert status == 200, body[:500]
            now = time.perf_counter()
            self.written |= {one["id"]: now for one in visit if one["resourceType"] == "Encounter"}
        await asyncio.sleep(max(0.0, begun + seconds - time.perf_counter()))
        close(connection)

    async def among(self, rate: float, seconds: float, seed: int, servers: Sequence[int]) -> float:
        """Cores in use while everybody waits."""
        at = [await connect("127.0.0.1", self.bench.hub.port) for _ in self.nodes]
        for node, connection in zip(self.nodes, at, strict=True):
            until = time.perf_counter() + BEGINNING
            while await node.ask(connection, 0):
                assert time.perf_counter() < until
        waiting = [
            asyncio.create_task(node.stay(connection))
            for node, connection in zip(self.nodes, at, strict=True)
        ]
        await asyncio.sleep(2)
        self.written.clear()
        used = await self.alone(rate, seconds, seed, servers)
        for task in waiting:
            assert not task.done(), task.exception()
            task.cancel()
        for connection in at:
            close(connection)
        return used

    async def alone(self, rate: float, seconds: float, seed: int, servers: Sequence[int]) -> float:
        """Cores in use while somebody writes."""
        before, begun = cpu_of(servers), time.perf_counter()
        await self.write(rate, seconds, seed)
        return (cpu_of(servers) - before) / (time.perf_counter() - begun)


def close(connection: Connection) -> None:
    if connection.transport is not None:
        connection.transport.close()


def report(nodes: int, rate: float, seconds: float, workers: int) -> None:
    settings = {"profiles": "", "client_rate": 0, "client_concurrency": 0, "workers": workers}
    with (
        tempfile.TemporaryDirectory(prefix="bench-waiting-") as name,
        floor.postgresql(Path(name)) as (url, pid, _),
    ):
        hub = Hub(url, Path(name), None, None, **settings)
        hub.start()
        try:
            waiting = Waiting(Bench(hub, [pid]), nodes)
            assert hub.process is not None
            print(
                f"{nodes} nodes, hub of {workers} process(es) on PostgreSQL, {rate:g} visits a"
                f" second; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before,"
                f" Python {platform.python_version()}",
                flush=True,
            )
            watched = [*family(hub.process.pid), *family(pid)]
            asyncio.run(waiting.alone(rate, 5, 1, watched))  # the server's caches are filled
            watched = [*family(hub.process.pid), *family(pid)]
            alone = asyncio.run(waiting.alone(rate, seconds, 2, watched))
            tell("cores in use, nobody waits", alone)
            among = asyncio.run(waiting.among(rate, seconds, 3, watched))
            tell(f"cores in use, {nodes} nodes wait", among)
            first, *others = waiting.nodes
            told = [first.told[id] - at for id, at in waiting.written.items() if id in first.told]
            tell("milliseconds until the one node is told of a visit, median", 1000 * median(told))
            tell("answers to each of the others", sum(one.answers for one in others) / len(others))
        finally:
            hub.end()


def tell(what: str, value: float) -> None:
    print(f"  {what:<64} {value:>10,.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=164)
    parser.add_argument("--visits", type=float, default=5.0, help="written in a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    report(asked.nodes, asked.visits, asked.seconds, asked.workers)


if __name__ == "__main__":
    main()
