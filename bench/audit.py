"""python -m bench.audit — what the audit costs: W1 and W2 with it and without, taken in turns.

    python -m bench.audit [--databases sqlite,postgresql] [--seconds 6] [--rounds 3]

The share is told by rate and by the CPU of server and database for each operation, which other
load on the machine disturbs less. Each round has databases of its own, so that both sides grow
alike.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench import data
from bench.__main__ import AHEAD, Run, database
from bench.drive import request
from bench.processes import serving

Figures = dict[str, tuple[float, float]]  # of each workload: operations a second, CPU for each
CLIENTS = 16
MANY = 64  # clients: so that the server has something to do while some wait for the disk


def asked_for(manual: str | None) -> argparse.Namespace:
    """What the command line asks: of which databases, for how long, how often."""
    parser = argparse.ArgumentParser(description=manual.splitlines()[0] if manual else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2, help="server processes, PostgreSQL only")
    parser.add_argument("--clients", default="8")
    return parser.parse_args()


def main() -> None:
    asked = asked_for(__doc__)
    for name in asked.databases.split(","):
        tell(
            name,
            [
                (measured(name, asked, "false"), measured(name, asked, "true"))
                for _ in range(asked.rounds)
            ],
        )


def measured(name: str, asked: argparse.Namespace, audit: str) -> Figures:
    workers = asked.workers if name == "postgresql" else 1
    found: Figures = {}
    with variable("FHIR_AUDIT", audit), database(name) as (url, servers, _):
        run = Run(name, url, servers, asked, workers)
        with serving(url, workers=workers) as (run.pid, run.port):
            bundles = iter(data.w1_requests(asked.patients, seed=1, ahead=AHEAD // 3))
            found["W1 bundles"] = figures(run, bundles)
            keys = run.keys()
            reads = (request("GET", f"/fhir/{key}") for key in endless(keys))
            found["read by id"] = figures(run, reads)
            mixed = data.w2_requests(keys, seed=2)
            found["W2 mix"] = figures(run, mixed)
            found[f"W2 by {MANY}"] = figures(run, mixed, MANY)
    return found


def figures(run: Run, requests: Iterator[bytes], clients: int = CLIENTS) -> tuple[float, float]:
    told, cpu = run.timed(requests, clients)
    if told.failed:
        raise SystemExit(f"{told.failed} failed: {told.refused[:1]}")
    return told.rate, 1e6 * cpu / max(len(told.latencies), 1)


def endless(keys: list[str]) -> Iterator[str]:
    while True:
        yield from keys


def tell(name: str, rounds: list[tuple[Figures, Figures]]) -> None:
    print(f"\n{name}: without, with, share")
    for work in rounds[0][0]:
        for place, unit in ((0, "/s"), (1, "us of CPU each")):
            off = median(one[work][place] for one, _ in rounds)
            on = median(one[work][place] for _, one in rounds)
            print(f"  {work:<12}{off:9,.0f}{on:9,.0f} {unit:<15} {on / off - 1:+6.1%}", flush=True)


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
