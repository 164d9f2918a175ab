"""python -m bench.search.cost — the CPU of one search, in the server and in its database.

    python -m bench.search.cost [--databases sqlite,postgresql] [--patients 1000]
                                [--requests 1500] [--clients 1,8]

CPU, unlike time, is hardly changed by what else the machine does. Beside it stands a floor taken in
the same run: what as many reads by id cost, which pass the same HTTP and the same log.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
from dataclasses import dataclass
from functools import partial

from bench.__main__ import HOST, database
from bench.drive import connect, request
from bench.processes import cpu_of, family, serving
from bench.search.__main__ import grown
from bench.search.facts import Facts
from bench.search.shapes import SHAPES, Sample, some
from fhir_server.foundation.resource import Key

# What is asked most often of a province's server, and one of each way a search is done.
TYPICAL = (
    "Patient by id",
    "Patient?identifier (CCCD)",
    "Patient?family",
    "Encounter?patient&_sort=-date",
    "Encounter?service-provider&date",
    "Encounter?patient.identifier",
    "Encounter?patient&_include (two)",
)
DRAWN = 200  # questions of a shape, asked again and again


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU that one answer takes."""

    server: float
    database: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--requests", type=int, default=1500, help="of each shape")
    parser.add_argument("--clients", default="1,8")
    asked = parser.parse_args()
    clients = [int(number) for number in asked.clients.split(",")]
    for name in asked.databases.split(","):
        facts, there = Facts(), set[Key]()
        with database(name) as (url, servers, _):
            asyncio.run(grown(url, asked.patients, 0, facts, there))
            print(f"\n{name}, {asked.patients:,} patients: us of CPU in the server + the database")
            told(url, servers, Sample(facts, 5), clients, asked.requests)


def told(url: str, servers: list[int], sample: Sample, clients: list[int], number: int) -> None:
    print(f"  {'clients':<40}" + "".join(f"{n:>18}" for n in clients))
    with serving(url) as (pid, port):
        for shape in SHAPES:
            if shape.name not in TYPICAL:
                continue
            asks = [request("GET", question.path) for question in some(shape, sample, DRAWN)]
            asyncio.run(asked_by(port, asks, clients=1, number=number // 3))
            found = [cost(pid, servers, partial(asked_by, port, asks), n, number) for n in clients]
            figures = "".join(f"{one.server:>11.0f} +{one.database:>5.0f}" for one in found)
            print(f"  {shape.name:<40}{figures}", flush=True)


def cost(  # type: ignore[no-untyped-def]  # `ask` is asked_by with its first two bound
    pid: int, servers: list[int], ask, clients: int, number: int
) -> Cost:
    def spent() -> tuple[float, float]:
        theirs = {one for server in servers for one in family(server)}
        return cpu_of(family(pid)), cpu_of(sorted(theirs))

    before = spent()
    asyncio.run(ask(clients=clients, number=number))
    server, held = (1e6 * (b - a) / number for a, b in zip(before, spent(), strict=True))
    return Cost(server, held)


async def asked_by(port: int, asks: list[bytes], *, clients: int, number: int) -> None:
    """So many answers, by so many clients at once."""
    waiting = itertools.islice(itertools.cycle(asks), number)

    async def client() -> None:
        connection = await connect(HOST, port)
        for ask in waiting:
            status, body = await connection.ask(ask)
            assert status == 200, body[:500]
        assert connection.transport is not None
        connection.transport.close()

    await asyncio.gather(*(client() for _ in range(clients)))


if __name__ == "__main__":
    main()
