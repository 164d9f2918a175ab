"""What is kept for some days only is gone after them, and nothing else is."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import psycopg
import pytest

from fhir_server.store.contract import IndexRows, Remember
from fhir_server.store.schema import DAY, HOUR, sqlite_path
from tests.store.world import newest, unit, version


def kept(key):
    return Remember(key, b"digest", lambda _: b"answer")


def moved(database):
    """How many moved rows there are."""
    with closing(
        sqlite3.connect(sqlite_path(database.url))
        if database.product == "sqlite"
        else psycopg.connect(database.url)
    ) as connection:
        return connection.execute("select count(*) from moved").fetchone()[0]


async def written(store, name, *, main, remember):
    """A resource that has moved once."""
    await store.commit(unit(version(name, "a", rows=IndexRows(main=(1, 2)))))
    was = await newest(store, name)
    rows = IndexRows(main=(main, main + 1))
    new = version(name, "b", rows=rows, before=IndexRows(main=(1, 2)), follows=was)
    await store.commit(unit(new, remember=remember))


@pytest.mark.parametrize("many", [1, 1200], ids=["one", "more than are forgotten at once"])
def test_old_answers_and_moves_are_forgotten_while_others_are_written(database, run, clock, many):
    async def life():
        store = database.store(clock=clock, keep_days=2)
        await store.open()
        await written(store, "Patient/old", main=7, remember=kept("old"))
        for n in range(many - 1):
            await store.commit(unit(version(f"Basic/{n}"), remember=kept(f"old-{n}")))
        clock.now += DAY
        await written(store, "Patient/young", main=8, remember=kept("young"))
        assert await store.remembered("old")
        clock.now += DAY + HOUR
        for n in range(4):
            await store.commit(unit(version(f"Patient/{n}")))
        await store.close()
        store = database.store(clock=clock)
        await store.open()
        told = [
            await store.remembered(key) for key in ("old", *(f"old-{n}" for n in range(many - 1)))
        ]
        assert told == [None] * many
        assert await store.remembered("young")
        assert {(await newest(store, f"Patient/{id}")).main for id in ("old", "young")} == {7, 8}
        await store.close()

    run(life())
    assert moved(database) == 1
