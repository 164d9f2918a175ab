"""python -m bench.access — what a small facility's questions cost beside what others have.

    python -m bench.access [--databases sqlite,postgresql] [--patients 4000] [--records 200000]

The store is asked itself. A facility has 100 patients in its care, whose records are the oldest
there are, which is the worst there is for who walks the newest first. Each question is told beside
the same asked by who reaches everything.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.__main__ import database
from fhir_server.foundation.resource import Key
from fhir_server.store.contract import (
    EVERYTHING,
    FOREVER,
    NEWEST,
    AllOf,
    ByUpdated,
    Care,
    Condition,
    Ground,
    History,
    NewVersion,
    Order,
    Restriction,
    Select,
    Store,
    rid,
)
from fhir_server.store.postgresql import PostgresqlStore
from fhir_server.store.schema import sqlite_path
from fhir_server.store.sqlite import SqliteStore
from tests.store.world import has, rows, unit, version

HERE, THERE = (rid(Key("Organization", id)) for id in ("here", "there"))
MINE = Restriction((Ground(in_care_of=(HERE, 1)), Ground(facility=HERE)))
TREATED, EACH, TOGETHER, TIMES = 100, 50, 1000, 5
Ask = Callable[[Store, Restriction], Awaitable[object]]


def searching(where: Condition, order: Order = NEWEST) -> Ask:
    def ask(store: Store, reach: Restriction) -> Awaitable[object]:
        select = Select(("Observation",), where, restriction=reach)
        return store.search(select, limit=50, order=order)

    return ask


def counting(store: Store, reach: Restriction) -> Awaitable[object]:
    return store.count(Select(("Observation",), has("x"), restriction=reach))


def looking_back(store: Store, reach: Restriction) -> Awaitable[object]:
    return store.history(History(types=("Observation",), restriction=reach))


QUESTIONS: dict[str, Ask] = {
    "page of all": searching(AllOf()),
    "page of a common code": searching(has("x")),
    "page by _lastUpdated": searching(AllOf(), order=ByUpdated(descending=True)),
    "count of a common code": counting,
    "history of the type": looking_back,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--patients", type=int, default=4000)
    parser.add_argument("--records", type=int, default=200_000)
    asked = parser.parse_args()
    for name in asked.databases.split(","):
        with database(name) as (url, _, _size):
            asyncio.run(measured(name, url, asked.patients, asked.records))


async def measured(name: str, url: str, patients: int, records: int) -> None:
    path = sqlite_path(url) if name == "sqlite" else Path()
    store: Store = SqliteStore(path) if name == "sqlite" else PostgresqlStore(url)
    await store.open()
    try:
        batch: list[NewVersion] = []
        for new in resources(patients, records):
            batch.append(new)
            if len(batch) == TOGETHER:
                await store.commit(unit(*batch))
                batch = []
        await store.commit(unit(*batch))
        print(f"\n{name}: {records:,} records of {patients:,} patients; facility, everybody (ms)")
        for told, ask in QUESTIONS.items():
            mine, all_of = await timed(store, ask, MINE), await timed(store, ask, EVERYTHING)
            print(f"  {told:<24}{mine:9.1f}{all_of:9.1f}", flush=True)
    finally:
        await store.close()


def resources(patients: int, records: int) -> Iterator[NewVersion]:
    people = [rid(Key("Patient", str(n))) for n in range(patients)]
    for n, owner in enumerate(people):
        care = Care(owner, owner, HERE if n < TREATED else THERE, FOREVER)
        yield replace(version(f"Patient/{n}", rows=rows(owner=owner)), cares=(care,))
    for n in range(records):
        theirs = n % TREATED if n < TREATED * EACH else TREATED + n % (patients - TREATED)
        told = rows("x", day=1 + n // 3, owner=people[theirs])
        yield version(f"Observation/{n}", rows=told)


async def timed(store: Store, ask: Ask, reach: Restriction) -> float:
    took = []
    for _ in range(TIMES):
        start = time.perf_counter()
        await ask(store, reach)
        took.append(time.perf_counter() - start)
    return 1000 * median(took)


if __name__ == "__main__":
    main()
