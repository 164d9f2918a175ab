"""A backup loaded elsewhere serves the same bytes, and the change log goes on where it stood."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading

import psycopg
import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store import upkeep
from fhir_server.store.contract import EVERYTHING, EpochEnded, Select, Stale
from fhir_server.store.migrate import migrate
from fhir_server.store.postgresql import PostgresqlStore
from tests import postgresql
from tests.store.world import has, newest, rows, unit, version


async def opened(url):
    store = PostgresqlStore(url, pool_size=2)
    await store.open()
    return store


async def everything(store, cursor=None):
    met = []
    while (page := await store.feed(cursor, limit=50, restriction=EVERYTHING)).rows:
        met += page.rows
        cursor = page.next
    return met, cursor


def dumped(server, source, target, folder):
    """pg_dump and pg_restore, as an operator who never heard of our own backup would do it."""
    file = folder / "dump"
    programs = server.programs
    environment = {**os.environ, "LC_ALL": "C"}
    dump = [programs / "pg_dump", "-Fc", "-f", file, source]
    subprocess.run(dump, check=True, env=environment)
    load = [programs / "pg_restore", "--no-owner", "--exit-on-error", "-d", target, file]
    subprocess.run(load, check=True, env=environment)


def own(_server, source, target, folder):
    upkeep.backup(source, folder / "own.backup")
    upkeep.restore(target, folder / "own.backup")


@pytest.mark.parametrize("way", [dumped, own])
async def test_a_backup_loaded_into_another_cluster_serves_the_same_and_goes_on(
    way, postgresql_url, tmp_path
):
    with psycopg.connect(postgresql_url) as connection:  # transaction ids far ahead of a fresh one
        for _ in range(3000):
            connection.execute("select pg_current_xact_id()")
            connection.commit()
    before = await opened(postgresql_url)
    for n in range(30):
        await before.commit(unit(version(f"Patient/{n}", "a", rows=rows("x"))))
    was = await newest(before, "Patient/7")
    gone = version("Patient/7", "deleted", before=rows("x"), follows=was)
    await before.commit(unit(gone))
    met, cursor = await everything(before)
    await before.close()  # what it knows to be whole is written down
    before = await opened(postgresql_url)

    with postgresql.cluster(postgresql.ORDINARY) as elsewhere:
        if way is own:
            migrate(elsewhere.url)
        await asyncio.to_thread(way, elsewhere, postgresql_url, elsewhere.url, tmp_path)
        # Written after the backup, and so not in it.
        await before.commit(unit(version("Patient/lost")))
        lost = (await before.feed(cursor, limit=5, restriction=EVERYTHING)).next
        await before.close()

        after = await opened(elsewhere.url)
        assert (await everything(after))[0] == met
        assert await after.count(Select(("Patient",), has("x"), restriction=EVERYTHING)) == 29
        page = await after.search(Select(("Patient",), restriction=EVERYTHING), limit=100)
        assert len(page.rows) == 29
        assert page.bound != "0"

        await after.commit(unit(version("Patient/new")))
        (new,), _ = await everything(after, cursor)
        assert new.key == Key("Patient", "new")
        assert new.position > met[-1].position
        assert (
            len((await after.search(Select(("Patient",), restriction=EVERYTHING), limit=100)).rows)
            == 30
        )
        with pytest.raises(EpochEnded):
            await after.feed(lost, limit=5, restriction=EVERYTHING)
        assert upkeep.verify(elsewhere.url) == []
        await after.close()

        again = await opened(elsewhere.url)  # a second start changes nothing
        assert len((await everything(again, cursor))[0]) == 1
        await again.close()


async def test_a_backup_taken_while_others_write_has_no_gap(postgresql_url, tmp_path):
    """What a cursor has passed is in the backup: no write was open when it was taken."""
    store, stop = await opened(postgresql_url), threading.Event()
    seen: list[str] = []

    async def writer(number):
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                await store.commit(unit(version(f"Patient/{number}-{turn}")))
            except Stale:
                continue

    async def follow():
        cursor = None
        while not stop.is_set():
            page = await store.feed(cursor, limit=100, restriction=EVERYTHING)
            seen.extend(page.next for _ in page.rows[-1:])
            cursor = page.next
            await asyncio.sleep(0.002)

    async def copy():
        await asyncio.sleep(0.3)
        await asyncio.to_thread(upkeep.backup, postgresql_url, tmp_path / "backup")
        stop.set()

    await asyncio.gather(*map(writer, range(4)), follow(), copy())
    whole = [one.position for one in (await everything(store))[0]]
    await store.close()
    with postgresql.database() as url:
        upkeep.restore(url, tmp_path / "backup")
        after = await opened(url)
        kept = [one.position for one in (await everything(after))[0]]
        assert kept == whole[: len(kept)]
        assert 0 < len(kept) < len(whole)
        assert await after.newest([Key("Patient", "none")], EVERYTHING) == {}
        await after.close()
