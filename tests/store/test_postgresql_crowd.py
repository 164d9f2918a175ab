"""Many processes on one PostgreSQL: nothing doubled, skipped, lost, or half."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from fhir_server.foundation.outcome import Unavailable
from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, Select, Stale
from fhir_server.store.migrate import migrate
from fhir_server.store.postgresql import PostgresqlStore
from tests import postgresql
from tests.store.crowd import whole_units
from tests.store.world import has, newest, rows, unit, version

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("FHIR_TEST_KILLS", "4"))


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.crowd", *map(str, arguments)], cwd=ROOT, **options
    )


async def everything(store):
    """Every version there is, in the order of the change log."""
    met, cursor = [], None
    while (page := await store.feed(cursor, limit=500, restriction=EVERYTHING)).rows:
        met += page.rows
        cursor = page.next
    return met


async def opened(url, **options):
    store = PostgresqlStore(url, **options)
    await store.open()
    return store


# --- nothing is doubled --------------------------------------------------------------------------


async def test_64_writers_in_4_processes_create_each_key_once(postgresql_url):
    keys = 25
    crowd = [start("conditional", postgresql_url, 16, keys) for _ in range(4)]
    assert [await asyncio.to_thread(one.wait, 120) for one in crowd] == [0] * 4
    store = await opened(postgresql_url)
    assert await store.count(Select(("Patient",), restriction=EVERYTHING)) == keys
    for n in range(keys):
        assert await store.count(Select(("Patient",), has(f"key{n}"), restriction=EVERYTHING)) == 1
    await store.close()


async def test_many_processes_may_open_an_unmigrated_database_at_once(postgresql_url):
    """The first settles the epoch; the others find it settled."""
    stores = [PostgresqlStore(postgresql_url, pool_size=1) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].commit(unit(version("Patient/1")))
    assert (
        len({(await store.feed(None, limit=5, restriction=EVERYTHING)).next for store in stores})
        == 1
    )
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("select count(*) from epoch").fetchone() == (1,)
    await asyncio.gather(*(store.close() for store in stores))


async def test_migrating_at_once_is_migrating_once():
    postgresql.server()
    with postgresql.database(migrated=False) as url:
        await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
        store = await opened(url)
        await store.close()


# --- nothing is skipped --------------------------------------------------------------------------


async def test_a_follower_misses_nothing_while_transactions_commit_late_and_out_of_order(
    postgresql_url,
):
    """Transactions of others hold a drawn id open, and write with it at their end."""
    store = await opened(postgresql_url)
    done = threading.Event()
    draw = random.Random(5)

    def late(number):
        """What a slow process does: draws its transaction id, dawdles, writes, commits."""
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            for turn in range(12):
                with connection.transaction():
                    connection.execute("select pg_current_xact_id()")
                    connection.execute("select pg_sleep(%s)", (draw.random() * 0.08,))
                    connection.execute(
                        "insert into version select %s, base + pg_current_xact_id()::text::bigint,"
                        " 0, 0, 0, 0, 1, 1, 0, 1, %s, null from epoch",
                        (10_000 * number + turn, f"late{number}-{turn}"),
                    )

    async def quick(number):
        for turn in range(40):
            await store.commit(unit(version(f"Patient/{number}-{turn}")))
            await asyncio.sleep(draw.random() * 0.01)

    async def follow():
        met, cursor = [], None
        while True:
            finished = done.is_set()
            page = await store.feed(cursor, limit=7, restriction=EVERYTHING)
            met += page.rows
            cursor = page.next
            if finished and not page.rows:
                return met
            await asyncio.sleep(0.001)

    follower = asyncio.create_task(follow())
    await asyncio.gather(
        *(asyncio.to_thread(late, number) for number in range(8)), *map(quick, range(4))
    )
    done.set()
    met = [one.position for one in await follower]
    assert met == sorted(met)
    with psycopg.connect(postgresql_url) as connection:
        written = connection.execute("select seq, num from version").fetchall()
    assert len(written) == 8 * 12 + 4 * 40
    assert met == sorted(written)
    await store.close()


async def test_versions_of_one_resource_stand_in_the_order_of_their_history(postgresql_url):
    """A writer that waited for another draws its transaction id after it."""
    stores = [await opened(postgresql_url, pool_size=4) for _ in range(2)]
    await stores[0].commit(unit(version("Patient/1")))

    async def writer(store):
        for _ in range(15):
            try:
                was = await newest(store, "Patient/1")
                await store.commit(unit(version("Patient/1", "a", follows=was)))
            except Stale:
                continue

    await asyncio.gather(*(writer(store) for store in stores * 6))
    generations = [one.generation for one in await everything(stores[0])]
    assert generations == list(range(1, len(generations) + 1))
    for store in stores:
        await store.close()


# --- nothing is lost, nothing is half ------------------------------------------------------------


async def check_whole(store, acknowledged):
    met = whole_units(await everything(store))
    halves = {name: number for name, number in met.items() if number != 5}
    assert halves == {}
    assert set(acknowledged) <= set(met)
    assert await store.count(Select(("Encounter",), has("x"), restriction=EVERYTHING)) == 5 * len(
        met
    )
    for name in list(met)[:20]:
        assert (
            await store.count(Select(("Encounter",), has(f"{name}-3"), restriction=EVERYTHING)) == 1
        )


def told_by(process):
    """The lines a killed process had written whole."""
    text = process.stdout.read().decode()
    process.stdout.close()
    return text[: text.rfind("\n") + 1].split()


async def test_killing_writers_loses_no_acknowledged_unit_and_leaves_no_half(postgresql_url):
    acknowledged, draw = [], random.Random(3)
    for turn in range(KILLS):
        crowd = [start("kill", postgresql_url, f"k{turn}{c}", stdout=subprocess.PIPE) for c in "ab"]
        for one in crowd:
            await asyncio.to_thread(one.stdout.peek, 1)  # it has begun
        await asyncio.sleep(draw.random() * 0.2)
        for one in crowd:
            one.send_signal(signal.SIGKILL)
            one.wait()
            acknowledged += told_by(one)
    store = await opened(postgresql_url)
    assert acknowledged
    await check_whole(store, acknowledged)
    await store.close()


async def test_killing_the_database_loses_no_acknowledged_unit_and_leaves_no_half():
    """The postmaster and its children die at once, and it recovers from its log."""
    acknowledged, draw = [], random.Random(4)
    with postgresql.cluster() as server:
        migrate(server.url)
        for turn in range(max(2, KILLS // 2)):
            writer = start("kill", server.url, f"k{turn}", stdout=subprocess.PIPE)
            await asyncio.to_thread(writer.stdout.peek, 1)
            await asyncio.sleep(0.1 + draw.random() * 0.3)
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            acknowledged += told_by(writer)
            await asyncio.to_thread(server.start)
        store = await opened(server.url)
        assert acknowledged
        await check_whole(store, acknowledged)
        await store.close()


async def test_a_lost_connection_is_never_half_an_answer(postgresql_url):
    """Whatever commit says while backends are shot down is what is in the database."""
    store = await opened(postgresql_url, pool_size=4)
    stop = threading.Event()

    def shoot():
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            while not stop.wait(0.02):
                connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'fhir-server' and datname = current_database()"
                    " order by random() limit 2"
                )

    async def writer(number):
        acknowledged = []
        for turn in range(40):
            name = f"w{number}-{turn}"
            new = [
                version(f"Encounter/{name}-{n}", rows=rows("x", f"{name}-{n}")) for n in range(5)
            ]
            try:
                await store.commit(unit(*new))
                acknowledged.append(name)
            except (Unavailable, Stale):
                await asyncio.sleep(0.01)
        return acknowledged

    shooter = asyncio.create_task(asyncio.to_thread(shoot))
    told = await asyncio.gather(*map(writer, range(4)))
    stop.set()
    await shooter
    await store.close()
    store = await opened(postgresql_url)
    await check_whole(store, itertools.chain(*told))
    await store.close()


async def test_a_database_that_is_gone_is_unavailable_and_serves_again_when_it_is_back():
    with postgresql.cluster(postgresql.ORDINARY) as server:
        migrate(server.url)
        store = await opened(server.url)
        await store.commit(unit(version("Patient/1")))
        await asyncio.to_thread(server.stop)
        with pytest.raises(Unavailable):
            await store.commit(unit(version("Patient/2")))
        with pytest.raises(Unavailable):
            await store.newest([Key("Patient", "1")], EVERYTHING)
        assert (await store.health()).schema is None
        await asyncio.to_thread(server.start)
        for _ in range(100):
            try:
                found = await store.newest([Key("Patient", "1")], EVERYTHING)
                break
            except Unavailable:
                await asyncio.sleep(0.1)
        assert len(found) == 1
        await store.close()
