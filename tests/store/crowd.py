"""crowd — one of several processes that write to one PostgreSQL at the same time.

`python -m tests.store.crowd conditional URL WRITERS KEYS`: create each key where none is there.
`python -m tests.store.crowd kill URL NAME`: write units of five until killed, and tell each one
after it was acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from fhir_server.foundation.outcome import Unavailable
from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, Assumption, Select, Stale, rid
from fhir_server.store.postgresql import PostgresqlStore
from tests.store.world import has, newest, rows, unit, version


async def create_if_none(store, key, code, lock):
    """Conditional create, as an interaction does it: look, and look again where it was too late."""
    select = Select(("Patient",), has(code), restriction=EVERYTHING)
    while True:
        found = tuple(await store.find(select, at_most=2))
        if found:
            return
        try:
            assumed = Assumption(select, found, 2, (lock,))
            await store.commit(unit(version(key, rows=rows(code)), assumptions=(assumed,)))
        except Stale:
            continue
        return


async def conditional(url, writers, keys):
    store = PostgresqlStore(url, pool_size=4)
    await store.open()

    async def writer(number):
        for key in range(keys):
            turn = (key * 7 + number) % keys
            name = f"Patient/{os.getpid()}-{number}-{turn}"
            await create_if_none(store, name, f"key{turn}", 1000 + turn)

    await asyncio.gather(*map(writer, range(writers)))
    await store.close()


async def kill(url, name):
    """Units of five new resources and the next version of one that everybody changes."""
    store = PostgresqlStore(url, pool_size=2)
    await store.open()

    async def writer(number):
        for turn in itertools.count():
            ids = [f"{name}-{number}-{turn}-{n}" for n in range(5)]
            new = [version(f"Encounter/{id}", rows=rows("x", id)) for id in ids]
            shared = f"Patient/{turn % 3}"
            try:
                was = await newest(store, shared)
                more = [version(shared, "a", follows=was)] if turn % 2 else []
                await store.commit(unit(*new, *more))
            except Stale:
                continue
            except Unavailable:
                if await asyncio.sleep(0.05) is None:
                    continue
            sys.stdout.write(f"{name}-{number}-{turn}\n")
            sys.stdout.flush()

    await asyncio.gather(*map(writer, range(3)))


def whole_units(versions):
    """The units of `kill` that are there, by name, each with how many of its five."""
    told: dict[str, int] = {}
    for one in versions:
        if one.key.type == "Encounter":
            name = one.key.id.rpartition("-")[0]
            told[name] = told.get(name, 0) + 1
    return told


def number_of(key: str) -> int:
    type, _, id = key.partition("/")
    return rid(Key(type, id))


if __name__ == "__main__":
    work, url, *rest = sys.argv[1:]
    if work == "conditional":
        asyncio.run(conditional(url, *map(int, rest)))
    else:
        asyncio.run(kill(url, *rest))
