"""filling — a world of patients straight into a store, with the facts its answers are checked by.

Every record is indexed, named and packed as a write would have it; only HTTP and validation are
left out, so that a million records take minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.search.facts import Facts
from fhir_server.demo.facility import organizations, people
from fhir_server.demo.records import events, resources
from fhir_server.demo.world import World
from fhir_server.foundation.resource import Key, key
from fhir_server.interaction.context import DEFAULT, Server
from fhir_server.interaction.writing import new_version, with_id
from fhir_server.store.contract import EVERYTHING, Unit

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
    """Store them in their order; `there` is what the store has already. How many were new."""
    new = count = 0
    for part in _parts(records):
        again = [key(one) for one in part if key(one) in there]
        before = await server.store.newest(again, EVERYTHING) if again else {}
        versions = tuple(
            new_version(server, DEFAULT, with_id(one, one["id"]), "PUT", before.get(key(one)))
            for one in part
        )
        await server.store.commit(Unit(versions))
        for one in part:
            new += key(one) not in there
            there.add(key(one))
            facts.add(one)
        count += len(part)
        if count % TOLD < len(part):
            progress(count)
    return new


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
