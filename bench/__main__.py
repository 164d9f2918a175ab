"""python -m bench — validation, then W1, reads, W2, disk, memory and start on both databases.

    python -m bench [--databases sqlite,postgresql] [--seconds 8] [--clients 1,8] [--patients 2000]

Every figure is printed beside a floor taken in the same run; docs/performance.md says what was
reached where, and how to read it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import data, disk, floor, validation
from bench.drive import Measured, drive, request
from bench.processes import cpu_of, family, resident, serving
from fhir_server.store.migrate import migrate

HOST = "127.0.0.1"
AHEAD = 30_000  # bundles made before the clock starts, so that making them is not measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2, help="server processes, PostgreSQL only")
    asked = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, patients {asked.patients}")
    floors(asked.seconds)
    validation.report(seconds=asked.seconds / 8, patients=300)
    for name in asked.databases.split(","):
        with database(name) as (url, servers, size):
            workers = asked.workers if name == "postgresql" else 1
            Run(name, url, servers, asked, workers).all()
        with database(name) as (url, _, size):
            each, held = disk.measured(url, size, patients=asked.patients // 2, seed=3)
            print(f"  disk, history included{each / 1000:8.3f} KB a resource ({held:,})")


class Run:
    """All workloads on one database."""

    def __init__(
        self, name: str, url: str, servers: list[int], asked: argparse.Namespace, workers: int
    ) -> None:
        """servers: process ids of the database server, if it is one."""
        self.name, self.url, self.servers = name, url, servers
        self.seconds, self.patients = asked.seconds, asked.patients
        self.clients = [int(n) for n in asked.clients.split(",")]
        self.workers = workers

    def all(self) -> None:
        print(f"\n{self.name}, {self.workers} worker(s)")
        start = time.perf_counter()
        with serving(self.url, workers=self.workers) as (pid, port):
            print(f"  start to ready        {time.perf_counter() - start:8.2f} s")
            print(f"  idle memory           {resident(family(pid)) / 1e6:8.0f} MB")
            self.pid, self.port = pid, port
            self.uploads()
            self.reads_and_mix()
            print(f"  memory after          {resident(family(pid)) / 1e6:8.0f} MB")

    def uploads(self) -> None:
        bundles = iter(data.w1_requests(self.patients, seed=1, ahead=AHEAD))
        for clients in self.clients:
            measured, cpu = self.timed(bundles, clients)
            entries = data.W1_ENTRIES
            line(f"W1 bundles, {clients} clients", measured, cpu, per=entries, unit="resources")

    def reads_and_mix(self) -> None:
        keys = self.keys()
        reads = itertools.cycle([request("GET", f"/fhir/{key}") for key in keys])
        for clients in (1, 16):
            measured, cpu = self.timed(reads, clients)
            line(f"read by id, {clients} clients", measured, cpu)
        measured, cpu = self.timed(data.w2_requests(keys, seed=2), 16)
        line("W2 CRUD mix, 16 clients", measured, cpu)

    def timed(self, requests: Iterator[bytes], clients: int) -> tuple[Measured, float]:
        watched = family(self.pid) + self.servers
        for server in self.servers:
            watched += family(server)
        before = cpu_of(sorted(set(watched)))
        measured = asyncio.run(
            drive(HOST, self.port, self.told(requests), clients=clients, seconds=self.seconds)
        )
        return measured, cpu_of(sorted(set(watched))) - before

    def told(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        """The requests as they are sent."""
        return requests

    def keys(self) -> list[str]:
        found = []
        for type in ("Patient", "Encounter", "MedicationRequest"):
            bundle = self.get(f"/fhir/{type}?_count=500&_elements=id")
            found += [f"{type}/{entry['resource']['id']}" for entry in bundle["entry"]]
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer: list[bytes] = []

        async def once() -> None:
            asks = self.told(iter([request("GET", path)]))
            await drive(HOST, self.port, asks, clients=1, seconds=5, warm=0, seen=answer.append)

        asyncio.run(once())
        found: dict[str, Any] = json.loads(answer[0])
        return found


def line(name: str, measured: Measured, cpu: float, *, per: float = 1, unit: str = "/s") -> None:
    rate = measured.rate * per
    each = 1e6 * cpu / max(len(measured.latencies) * per, 1)
    print(
        f"  {name:<28}{rate:9,.0f} {unit:<10} p50 {measured.percentile(0.5):6.1f}"
        f"  p99 {measured.percentile(0.99):6.1f} ms  server+DB {each:5.0f} us each"
        f"  generator {measured.cpu / measured.seconds:4.0%}"
        + (f"  FAILED {measured.failed} {measured.refused[:1]}" if measured.failed else "")
    )
    sys.stdout.flush()


def floors(seconds: float) -> None:
    print("\nfloors")
    with floor.raw_asgi() as port:
        asks = itertools.cycle([request("GET", "/x")])
        measured = asyncio.run(drive(HOST, port, asks, clients=16, seconds=seconds / 2))
        print(f"  raw ASGI, 0.9 KB, 16 clients {measured.rate:9,.0f} /s")
    for name, rate in floor.fsyncs():
        print(f"  {name:<28} {rate:9,.0f} /s")


@contextmanager
def database(name: str) -> Iterator[tuple[str, list[int], Callable[[], int]]]:
    """Its URL, the process ids of its server, and the bytes it takes."""
    with tempfile.TemporaryDirectory(prefix="fhir-bench-") as folder:
        if name == "sqlite":
            path = Path(folder) / "fhir.db"
            url = f"sqlite:///{path}"
            migrate(url)
            yield url, [], lambda: path.stat().st_size
            return
        with floor.postgresql(Path(folder)) as (url, pid, size):
            yield url, [pid], size


if __name__ == "__main__":
    main()
