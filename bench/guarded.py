"""python -m bench.guarded — what the audit and access cost: W1 and W2 open, audited, with a token.

    python -m bench.guarded [--databases sqlite,postgresql] [--works W1,W2,read] [--turns 24]

A server of each way runs, and all are asked in turns of a second, first to last and last to first:
whatever else the machine does meets all alike. What is told is the median of a turn's shares of the
open server's, by rate and by the CPU of server and database for each operation, which other load
disturbs less. The token's role reaches and writes all there is, as the province's exchange does,
but by a rule and not for want of one: it is looked up, decided by and written down with each
request, and its reach is part of each question. What reach costs a facility is told by
bench.access.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import data
from bench.__main__ import HOST, Run, database
from bench.drive import drive, request
from bench.processes import cpu_of, family, serving
from fhir_server.security.tokens import client
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.issued import ACCESS, digest_of, new_token
from fhir_server.store.contract.access import Issued
from fhir_server.store.upkeep import access

TURN = 1.0  # seconds
POLICY = """
[[purpose]]
code = "TREAT"
basis = "rule"
law = "bench"

[[role]]
name = "exchange"
title = "bench"
purposes = ["TREAT"]

[[group]]
name = "directory"
types = ["Organization"]

[[rule]]
name = "exchange"
roles = ["exchange"]
letters = "cruds"
types = ["*"]
reach = "all"

[consent]
honoured = ["TREAT"]

[break_glass]
reason = 20

[deidentified]
parameters = ["code"]
"""
WAYS: Mapping[str, Mapping[str, str]] = {
    "open": {"FHIR_ACCESS": "off", "FHIR_AUDIT": "false"},
    "audited": {"FHIR_ACCESS": "off", "FHIR_AUDIT": "true"},
    "access": {"FHIR_ACCESS": "on", "FHIR_AUDIT": "true"},
}


class Figures(NamedTuple):
    """Of a turn: operations a second, and the CPU of each in microseconds."""

    rate: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--works", default="W1,W2,read")
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2, help="server processes, PostgreSQL only")
    parser.add_argument("--at-once", type=int, default=16, help="clients that ask at once")
    asked = parser.parse_args()
    asked.clients, asked.seconds = str(asked.at_once), TURN
    for name in asked.databases.split(","):
        for work in asked.works.split(","):
            tell(name, work, measured(name, work, asked))


def measured(name: str, work: str, asked: argparse.Namespace) -> dict[str, list[Figures]]:
    """The turns of each way."""
    found: dict[str, list[Figures]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        runs = {way: stack.enter_context(running(name, way, asked)) for way in WAYS}
        for run in runs.values():
            run.fill(work, asked)
            run.turn()
        order = list(runs)
        for _ in range(asked.turns):
            for way in order:
                found[way].append(runs[way].turn())
            order.reverse()
    return found


@contextmanager
def running(name: str, way: str, asked: argparse.Namespace) -> Iterator[Guarded]:
    """A server of this way, on a database of its own."""
    workers = asked.workers if name == "postgresql" else 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "access.toml").write_text(POLICY)
        settings = dict(WAYS[way])
        if way == "access":
            settings["FHIR_ACCESS_POLICY"] = str(folder / "access.toml")
        url, servers, _ = stack.enter_context(database(name))
        run = Guarded(name, url, servers, asked, workers)
        with ExitStack() as told:
            for setting, value in settings.items():
                told.enter_context(variable(setting, value))
            run.pid, run.port = stack.enter_context(serving(url, workers=workers))
        run.token = registered(url) if way == "access" else ""
        yield run


class Guarded(Run):
    """Sends its token with each request. The ids it chooses begin with its facility's."""

    token = ""
    requests: Iterator[bytes]

    def fill(self, work: str, asked: argparse.Namespace) -> None:
        """Something to ask for; `requests` is what the turns ask."""
        bundles = iter(data.w1_requests(asked.patients, 1, ahead=3000 if work == "W1" else 1500))
        self.timed(bundles, asked.at_once)
        if work == "W1":
            self.requests = bundles
        elif work == "W2":
            self.requests = iter(data.w2_requests(self.keys(), seed=2, ahead=6000))
        else:
            self.requests = (request("GET", f"/fhir/{key}") for key in endless(self.keys()))

    def turn(self) -> Figures:
        """Ask for a second."""
        watched = set(family(self.pid) + self.servers)
        for server in self.servers:
            watched |= set(family(server))
        before, asks = cpu_of(sorted(watched)), self.told(self.requests)
        told = asyncio.run(
            drive(HOST, self.port, asks, clients=self.clients[0], seconds=TURN, warm=0)
        )
        if told.failed:
            raise SystemExit(f"{told.failed} failed: {told.refused[:1]}")
        many = max(len(told.latencies), 1)
        return Figures(many / told.seconds, 1e6 * (cpu_of(sorted(watched)) - before) / many)

    def told(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        bearer = f"\r\nAuthorization: Bearer {self.token}" if self.token else ""
        for each in requests:
            own = each.replace(b"/bench-", b"/bench.").replace(b'"bench-', b'"bench.')
            yield own.replace(b"\r\n", bearer.encode() + b"\r\n", 1) if bearer else own


def registered(url: str) -> str:
    """A token of a client that may all the policy lets it."""
    whose = Client(
        id="exchange", scopes="system/*.cruds", roles=("exchange",), facility="bench", changed=1
    )
    if not access.register(url, client.row(whose)):
        raise SystemExit("The client was not registered.")
    token, now = new_token(), int(time.time() * 1000)
    told = json.dumps({"scope": "system/*.cruds", "purpose": "TREAT"})
    lasting = Issued(digest_of(token), ACCESS, "exchange", told, now, now + 86_400_000)
    if not access.issue(url, lasting):
        raise SystemExit("The token was not issued.")
    return token


def tell(name: str, work: str, turns: dict[str, list[Figures]]) -> None:
    print(f"\n{name} {work}: the way, its figures, its share of the open server's", flush=True)
    for way, found in turns.items():
        for place, unit in ((0, "/s"), (1, "us of CPU each")):
            middle = median(each[place] for each in found)
            shares = sorted(
                each[place] / first[place] - 1
                for each, first in zip(found, turns["open"], strict=True)
            )
            quarter = len(shares) // 4
            told = f"{shares[quarter]:+.1%} to {shares[-1 - quarter]:+.1%}"
            print(
                f"  {way:<8}{middle:9,.0f} {unit:<15}{median(shares):+7.1%}  ({told})", flush=True
            )


def endless(keys: list[str]) -> Iterator[str]:
    while True:
        yield from keys


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


if __name__ == "__main__":
    main()
