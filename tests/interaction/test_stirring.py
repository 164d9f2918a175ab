"""Whether something concerns who waits is looked up once for all, and nobody misses anything."""

from __future__ import annotations

import asyncio
import random

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.interaction import stirring
from fhir_server.interaction.stirring import Stirring
from fhir_server.store.contract import rid
from tests.store.test_log import HERE, MINE, THEIRS, THERE, home, marks, owned
from tests.store.world import unit, version

NOBODY = rid(Key("Organization", "nobody"))


@pytest.fixture
def stirred():
    return Stirring(pause=0.0)


async def concerned(stirred, store, since):
    return [
        facility
        for facility in (HERE, THERE, NOBODY)
        if await stirred.concerns(store, (facility, 77), since)
    ]


async def test_who_waits_is_told_of_what_may_concern_them(store, stirred):
    await store.commit(marks(home(MINE), home(THEIRS, THERE)))
    since = await stirred.moment(store)
    assert await concerned(stirred, store, since) == []
    await store.commit(unit(owned("Encounter/m", MINE)))
    assert await concerned(stirred, store, since) == [HERE]
    await store.commit(unit(owned("Encounter/t", THEIRS)))
    assert await concerned(stirred, store, since) == [HERE, THERE]
    since = await stirred.moment(store)
    assert await concerned(stirred, store, since) == []
    await store.commit(unit(version("Organization/o")))
    assert await concerned(stirred, store, since) == [HERE, THERE, NOBODY]


async def test_what_came_while_nobody_looked_is_for_everybody(store, stirred, monkeypatch):
    monkeypatch.setattr(stirring, "FORGOTTEN", 0.0)
    since = await stirred.moment(store)
    assert await concerned(stirred, store, since) == [HERE, THERE, NOBODY]


async def test_who_is_far_behind_asks_for_themselves(store, stirred, monkeypatch):
    monkeypatch.setattr(stirring, "ROWS", 1)
    monkeypatch.setattr(stirring, "LOOKS", 3)
    await store.commit(marks(home(MINE)))
    since = await stirred.moment(store)
    for number in range(3):
        await store.commit(unit(owned(f"Encounter/{number}", MINE)))
    assert await concerned(stirred, store, since) == [HERE, THERE, NOBODY]
    since = await stirred.moment(store)
    await store.commit(unit(owned("Encounter/last", MINE)))
    assert await concerned(stirred, store, since) == [HERE]


async def test_one_look_serves_all(store):
    stirred = Stirring(pause=60.0)
    await store.commit(marks(home(MINE)))
    since = await stirred.moment(store)
    await store.commit(unit(owned("Encounter/m", MINE)))
    assert await concerned(stirred, store, since) == []  # the next look is a minute away


async def test_whoever_reads_after_the_moment_misses_nothing_while_many_write(store, stirred):
    """A follower that reads only when it is told to has everything in the end."""
    await store.commit(marks(home(MINE)))
    chance = random.Random(7)
    found, after, since = set(), None, -1

    async def write(lane):
        for number in range(12):
            await store.commit(unit(owned(f"Encounter/{lane}-{number}", MINE)))
            await asyncio.sleep(chance.random() / 100)

    async def read():
        nonlocal after, since
        if not await stirred.concerns(store, (HERE,), since):
            return
        since = await stirred.moment(store)
        page = await store.log(after, facility=HERE, everywhere=(), limit=1000)
        after = page.next
        found.update(str(row.key) for row in page.rows if row.stored is not None)

    writers = asyncio.gather(*(write(lane) for lane in range(4)))
    while not writers.done():
        await read()
        await asyncio.sleep(0.002)
    await writers
    await read()
    assert found == {f"Encounter/{lane}-{number}" for lane in range(4) for number in range(12)}
