"""filling — a world of patients straight into a store, with the facts its answers are checked by.

Every record is indexed, named and packed as a write would have it; only HTTP and validation are
left out, so that a million records take minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.search.facts import Facts
from fhir_server.demo.facility import organizations, people
from fhir_server.demo.records import events, resources
from fhir_server.demo.world import World
from fhir_server.foundation.resource import Key, key
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.interaction.writing import new_version, with_id
from fhir_server.store.contract import EVERYTHING, NewVersion, Stored, Unit

Resource = dict[str, Any]
AT_ONCE = 500  # resources of a unit
TOLD = 20_000  # resources between two words of progress


def generated(patients: int, seed: int, *, history: bool) -> Iterator[Resource]:
    """The visits of so many people; a resource that comes again is its next version."""
    world = World(patients, seed)
    for event in events(world, history=history):
        yield from resources(world, event, history=history)


async def facilities(server: Server, facts: Facts) -> None:
    """What every world begins with: those who give care."""
    await fill(server, [*organizations(), *people()], facts, set())


async def fill(
    server: Server,
    records: Iterable[Resource],
    facts: Facts,
    there: set[Key],
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Store them in their order; `there` is what the store has already. How many were new.

    While the database takes in one part, the next is made.
    """
    new = count = 0
    parts, under_way = _parts(records), asyncio.create_task(asyncio.sleep(0))
    while part := await asyncio.to_thread(next, parts, None):
        before: dict[Key, Stored] = {}
        if again := [key(one) for one in part if key(one) in there]:
            await under_way
            before = await server.store.newest(again, EVERYTHING)
        versions = await asyncio.to_thread(_versions, server, part, before)
        await under_way
        under_way = asyncio.create_task(_stored(server, versions))
        for one in part:
            new += key(one) not in there
            there.add(key(one))
            facts.add(one)
        count += len(part)
        if count % TOLD < len(part):
            progress(count)
    await under_way
    return new


def _versions(
    server: Server, part: Iterable[Resource], before: dict[Key, Stored]
) -> tuple[NewVersion, ...]:
    return tuple(
        new_version(server, BY_OPERATOR, with_id(one, one["id"]), "PUT", before.get(key(one)))
        for one in part
    )


async def _stored(server: Server, versions: tuple[NewVersion, ...]) -> None:
    await server.store.commit(Unit(versions))


def _parts(records: Iterable[Resource]) -> Iterator[list[Resource]]:
    """A resource comes at most once in a part."""
    part: dict[Key, Resource] = {}
    for one in records:
        if len(part) == AT_ONCE or key(one) in part:
            yield list(part.values())
            part = {}
        part[key(one)] = one
    if part:
        yield list(part.values())
