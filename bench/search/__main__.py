"""python -m bench.search — W3 on the ladder of sizes, on both databases.

    python -m bench.search [--databases sqlite,postgresql] [--ladder 1000,4000,16000,64000]
                           [--samples 300] [--seconds 15] [--clients 8] [--write]

A database grows from one rung to the next, is analysed, and asked: each shape by one client, then
all of them mixed by several. Answers are held against an oracle that goes through all facts. With
--write, docs/performance.md and its pictures are made anew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import replace
from typing import Any

import psycopg

from bench.__main__ import database
from bench.processes import serving
from bench.search import asking, filling, pictures
from bench.search.facts import Facts
from bench.search.shapes import SHAPES, Sample
from fhir_server.foundation.resource import Key
from fhir_server.server import build
from fhir_server.settings import Settings

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--ladder", default="1000,4000,16000,64000")
    parser.add_argument("--samples", type=int, default=300, help="answers of a shape by one client")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the mixed run")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    asked = parser.parse_args()
    ladder = [int(rung) for rung in asked.ladder.split(",")]
    results = {name: climbed(name, ladder, asked) for name in asked.databases.split(",")}
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as kept:
        json.dump(results, kept)
    print(f"\nKept in {kept.name}")
    if asked.write:
        pictures.write(results)


def climbed(name: str, ladder: list[int], asked: argparse.Namespace) -> list[Result]:
    """What each rung gave."""
    found: list[Result] = []
    facts, there = Facts(), set[Key]()
    with database(name) as (url, _, size):
        for number, patients in enumerate(ladder):
            more = patients - (ladder[number - 1] if number else 0)
            began = time.perf_counter()
            asyncio.run(grown(url, more, number, facts, there))
            took = time.perf_counter() - began
            print(f"\n{name}, {patients:,} patients, {len(there):,} resources,"
                  f" {size() / len(there) / 1000:.3f} KB each, filled in {took:.0f} s")  # fmt: skip
            result = measured(url, Sample(facts, 5), name, asked)
            found.append({"patients": patients, "resources": len(there), **result})
    return found


async def grown(url: str, patients: int, seed: int, facts: Facts, there: set[Key]) -> None:
    server = build(replace(Settings(), database_url=url, secret="bench" * 8, profiles="off"))
    await server.store.open()
    try:
        if not there:
            await filling.facilities(server, facts)
            there.update(Key("Organization", id) for id in facts.places)
        records = filling.generated(patients, seed + 1, history=True)
        await filling.fill(server, records, facts, there, progress)
    finally:
        await server.store.close()
    if url.startswith("postgresql"):  # what autovacuum would do before long
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("vacuum analyze")


def progress(count: int) -> None:
    if sys.stderr.isatty():
        print(f"\r  {count:,}", end="", file=sys.stderr)


def measured(url: str, sample: Sample, name: str, asked: argparse.Namespace) -> Result:
    workers = 2 if name == "postgresql" else 1
    with serving(url, workers=workers) as (_, port):
        asyncio.run(asking.prepared(port, sample))
        alone = asyncio.run(asking.alone(port, sample, samples=asked.samples))
        mixed = asyncio.run(
            asking.mixed(port, sample, clients=asked.clients, seconds=asked.seconds)
        )
    print(f"  mixed, {asked.clients} clients: {mixed.rate:,.0f} searches/s")
    shapes: dict[str, Result] = {}
    for shape in SHAPES:
        times = {
            f"{way}{int(share * 100)}": round(taken.percentile(shape.name, share), 3)
            for way, taken in (("alone", alone), ("mixed", mixed))
            for share in (0.5, 0.95, 0.99)
        }
        failed = alone.failed.get(shape.name) or mixed.failed.get(shape.name) or ""
        shapes[shape.name] = {**times, "failed": failed, "wrong": alone.wrong.get(shape.name, "")}
        told = "  ".join(f"{times[k]:7.2f}" for k in times)
        print(f"  {shape.name:<52}{told}  {failed[:200]}{shapes[shape.name]['wrong'][:300]}")
    return {"rate": round(mixed.rate), "shapes": shapes}


if __name__ == "__main__":
    main()
