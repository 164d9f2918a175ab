"""python -m bench.pushing — what a hub takes of its nodes in a second, beside plain transactions.

    python -m bench.pushing [--visits 1500] [--pushers 1,8] [--chunk 500] [--workers 1]
                            [--database postgresql]

The same visits are written by plain clients (a transaction of a visit each, and of a hundred) and
pushed by nodes, validated by all profiles both ways, on one hub with a durable database. All is
written down before the clock starts, so the hub and its database have the machine. Each figure of
the push is told beside the floor of the same run: what plain transactions did.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bench import floor
from bench.drive import Connection, connect, request
from bench.processes import cpu_of, family
from bench.visits import Resource, bundle, visits
from fhir_server.foundation import wire as json
from fhir_server.foundation.resource import Key
from fhir_server.sync import wire
from fhir_server.sync.node.line import enrol
from fhir_server.sync.words import Push, Pushed, push
from tests.sync.real.place import Place
from tests.sync.real.province import Hub, organization

PUSH, TRANSACTION = "/fhir/$sync-push", "/fhir"
ID = re.compile(rb'(?<=[/"])(?=[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-)')
DEEP = 2000  # versions of one resource
LATEST = 1_767_225_600_000
Visits = Sequence[list[Resource]]


@dataclass(frozen=True, slots=True)
class Told:
    """A run: resources a second, and microseconds of the hub's and its database's CPU for each."""

    rate: float
    cpu: float

    def line(self, what: str, beside: Told | None = None) -> None:
        more = ""
        if beside is not None:
            more = f"   {self.rate / beside.rate:5.2f} of its rate, {self.cpu / beside.cpu:5.2f}"
            more += " of its CPU"
        print(f"  {what:<44}{self.rate:8,.0f} /s {self.cpu:7,.0f} us each{more}", flush=True)


class Bench:
    """A hub, and those who write to it."""

    def __init__(self, hub: Hub, servers: Sequence[int]) -> None:
        """servers: process ids of the database's server."""
        self.hub, self.servers = hub, servers
        self._names = itertools.count(1)
        self._operator = hub.place("bench-operator", "operator", purpose="HSYSADMIN")

    def facility(self) -> str:
        name = f"bench-{next(self._names)}"
        answer = self._operator.ask("PUT", f"Organization/{name}", organization(name))
        assert answer.status_code == 201, answer.text
        return name

    async def caller(self, role: str, facility: str) -> str:
        """A token of somebody new at this facility, who is called as the role and it."""
        code = self.hub.code(f"{role}-{facility}", role, facility)
        place = Place(role, self.hub.base, await enrol(self.hub.base, code))
        assert place.key is not None
        token = place.token()
        place.close()
        return token

    def run(self, lanes: Sequence[Sequence[bytes]], resources: int) -> Told:
        """Each lane's requests, one after the other, and the lanes at one time."""
        watched = family(self.hub.process.pid) if self.hub.process else []
        for one in self.servers:
            watched += family(one)
        before, begun = cpu_of(watched), time.perf_counter()
        asyncio.run(self._run(lanes))
        spent = time.perf_counter() - begun
        return Told(resources / spent, 1e6 * (cpu_of(watched) - before) / resources)

    async def _run(self, lanes: Sequence[Sequence[bytes]]) -> None:
        at = [await connect("127.0.0.1", self.hub.port) for _ in lanes]
        await asyncio.gather(*map(sent, at, lanes))
        for one in at:
            if one.transport is not None:
                one.transport.close()


async def sent(connection: Connection, requests: Sequence[bytes]) -> None:
    for one in requests:
        status, body = await connection.ask(one)
        assert status == 200, body[:2000]
        if one.startswith(b"POST " + PUSH.encode()):
            told = wire.unpacked(body, at_most=1 << 26) if body[:1] != b"{" else body
            extension = orjson.loads(told)["meta"]["extension"][0]["extension"]
            said = {each["url"]: each for each in extension}
            assert "refused" not in said, said
            words = said["said"]["valueString"]
            assert "parked" not in words and "refused" not in words, told[:4000]


def of(facility: str, seed: int, number: int) -> Visits:
    """Visits under ids that a client of the facility may choose."""
    made = itertools.islice(visits(facility, seed), number)
    own = f"{facility}.".encode()
    return [[json.parse(ID.sub(own, json.render(one))) for one in written] for written in made]


# --- what is sent --------------------------------------------------------------------------------


def transactions(token: str, made: Visits, together: int) -> list[bytes]:
    """So many visits at once."""
    found = []
    for at in range(0, len(made), together):
        one: dict[str, Resource] = {}
        for resource in itertools.chain(*made[at : at + together]):
            one[f"{resource['resourceType']}/{resource['id']}"] = resource
        body = json.render(bundle(list(one.values())))
        found.append(request("POST", TRANSACTION, body, Authorization=f"Bearer {token}"))
    return found


def versions(made: Visits) -> list[Pushed]:
    """A group for each visit."""
    found: list[Pushed] = []
    before: dict[Key, str] = {}
    for group, written in enumerate(made, 1):
        for one in written:
            key = Key(one["resourceType"], one["id"])
            parents = (before[key],) if key in before else ()
            before[key] = rev = push.named(key, parents, one)
            number = len(found) + 1
            found.append(Pushed(number, group, key, rev, parents, "PUT", LATEST, one))
    return found


def chunks(node: str, token: str, all_of: Sequence[Pushed], size: int) -> list[bytes]:
    """Of whole groups, as a node sends them."""
    found: list[bytes] = []
    some: list[Pushed] = []
    before = ""
    groups = [list(each) for _, each in itertools.groupby(all_of, key=lambda one: one.group)]
    for at, group in enumerate(groups):
        some += group
        if len(some) < size and at + 1 < len(groups):
            continue
        now = int(time.time() * 1000)
        said = push.written(Push(node, "b1", some[0].number, before, tuple(some), now))
        headers = {"Authorization": f"Bearer {token}", "Content_Encoding": wire.CODING}
        found.append(request("POST", PUSH, wire.packed(said, wire.SMALL), **headers))
        before, some = some[-1].rev, []
    return found


# --- the figures ---------------------------------------------------------------------------------


def figures(bench: Bench, number: int, pushers: Sequence[int], size: int) -> None:
    seeds = itertools.count(100)

    def lanes(role: str, many: int) -> Iterator[tuple[str, str, Visits]]:
        for _ in range(many):
            facility = bench.facility()
            token = asyncio.run(bench.caller(role, facility))
            made = of(facility, next(seeds), number // many)
            yield f"{role}-{facility}", token, made

    # The server's caches are filled by what is not counted.
    for name, token, made in lanes("node", 1):
        bench.run([chunks(name, token, versions(made[:40]), size)], 1)
    for many in pushers:
        beside = {}
        for together in (1, 100):
            told = [
                (transactions(token, made, together), made)
                for _, token, made in lanes("system", many)
            ]
            beside[together] = bench.run(
                [one for one, _ in told], counted(made for _, made in told)
            )
            beside[together].line(f"{many} writing, transactions of {together} visits")
        some = [
            (chunks(name, token, versions(made), size), made)
            for name, token, made in lanes("node", many)
        ]
        found = bench.run([one for one, _ in some], counted(made for _, made in some))
        found.line(f"{many} pushing, chunks of {size}: beside single visits", beside[1])
        found.line(f"{many} pushing, chunks of {size}: beside 100 visits", beside[100])
    deep(bench)


def counted(all_of: Any) -> int:
    return sum(len(written) for made in all_of for written in made)


def deep(bench: Bench) -> None:
    """Versions of one resource, each made from the one before."""
    facility = bench.facility()
    token = asyncio.run(bench.caller("node", facility))
    patient = {**next(visits(facility, 9))[0], "id": f"{facility}-deep"}
    told = [
        [{**patient, "telecom": [{"system": "phone", "value": f"09{n:08d}"}]}] for n in range(DEEP)
    ]
    sending = chunks(f"node-{facility}", token, versions(told), 500)
    bench.run([sending], DEEP).line(f"{DEEP} versions of one resource")


def report(number: int, pushers: Sequence[int], size: int, workers: int) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="bench-pushing-") as name,
        floor.postgresql(Path(name)) as (url, pid, _),
    ):
        of_hub = {"profiles": "", "client_rate": 0, "client_concurrency": 0, "workers": workers}
        hub = Hub(url, Path(name), **of_hub)
        print(
            f"hub of {workers} process(es) on PostgreSQL, {number} visits; {os.cpu_count()} cores,"
            f" load {os.getloadavg()[0]:.1f} before, Python {platform.python_version()}"
        )
        hub.start()
        try:
            figures(Bench(hub, [pid]), number, pushers, size)
        finally:
            hub.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--visits", type=int, default=1500)
    parser.add_argument("--pushers", default="1,8")
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    pushers = [int(one) for one in asked.pushers.split(",")]
    report(asked.visits, pushers, asked.chunk, asked.workers)


if __name__ == "__main__":
    main()
