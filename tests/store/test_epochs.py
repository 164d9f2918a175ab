"""A history ends where a copy surely has everything; each that follows has its own name."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import psycopg
import pytest

from fhir_server.store import upkeep
from fhir_server.store.contract import EVERYTHING, EpochEnded, Position, Unit
from fhir_server.store.contract.log import HELD, Mark
from fhir_server.store.postgresql import PostgresqlStore
from fhir_server.store.postgresql.epoch import FORGET
from fhir_server.store.schema import sqlite_path
from fhir_server.sync.epochs import NAME
from tests import postgresql
from tests.conftest import Database
from tests.store.test_lineage_rows import of, row_of
from tests.store.world import newest, rows, unit, version

HERE = 501


def mark(rid):
    return Unit((), marks=(Mark(HELD, rid, HERE),))


async def log(store, after=None):
    return await store.log(after, facility=HERE, everywhere=(), limit=500)


async def opened(database: Database):
    store = database.store()
    await store.open()
    return store


@pytest.fixture
def other(database, tmp_path):
    """Another empty place for the same product."""
    if database.product == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path}/other.db")
    else:
        with postgresql.database() as url:
            yield Database("postgresql", url)


async def test_a_restored_backup_shares_the_history_before_it_and_no_more(
    database, other, tmp_path
):
    store = await opened(database)
    (first,) = await store.epochs()
    assert (first.end, NAME.fullmatch(first.name) is not None) == (None, True)
    await store.commit(unit(version("Patient/a")))
    last = (await store.commit(mark(1))).place(0)
    told = await log(store)
    await store.close()
    upkeep.backup(database.url, tmp_path / "backup")
    store = await opened(database)
    lost = (await store.commit(mark(2))).place(0)
    beyond = (await log(store)).next
    await store.close()
    names = []
    for _ in range(2):
        upkeep.restore(other.url, tmp_path / "backup", replace=True)
        store = await opened(other)
        one, now = await store.epochs()
        assert (one.name, now.end) == (first.name, None)
        assert last < one.end <= lost
        assert [row.rid for row in (await log(store, told.next)).rows] == []
        with pytest.raises(EpochEnded):
            await log(store, beyond)
        new = (await store.commit(mark(3))).place(0)
        assert new >= one.end
        (row,) = (await log(store, told.next)).rows
        assert (row.position, row.rid) == (new, 3)
        names.append(now.name)
        await store.close()
    assert len({first.name, *names}) == 3


async def test_versions_of_many_places_are_found_whole(database):
    store = await opened(database)
    base = version("Patient/p", "base")
    await store.commit(unit(base))
    mine = version("Patient/p", "mine", follows=await newest(store, "Patient/p"))
    await store.commit(unit(mine))
    shown = await newest(store, "Patient/p")
    theirs = of(base, "theirs", base)
    again = Unit((_told_again(mine, shown, theirs),))
    await store.commit(again)
    shown = await newest(store, "Patient/p")
    both = of(mine, "both", mine, theirs)
    await store.commit(unit(_following(both, shown)))
    await store.close()
    assert upkeep.verify(database.url) == []
    forget = "delete from lineage"
    if database.product == "sqlite":
        _on_file(database.url, forget)
    else:
        with psycopg.connect(database.url) as connection:
            connection.execute(forget)
    assert len(upkeep.verify(database.url)) == 2


def _told_again(new, shown, loser):
    return _following(new, shown, earlier=(row_of(loser),))


def _following(new, shown, **rest):
    return replace(new, follows=shown, **rest)


def _on_file(url, text):
    with closing(sqlite3.connect(sqlite_path(url))) as connection, connection:
        connection.execute(text)


# --- a server whose transactions end late --------------------------------------------------------


def copied(source, target):
    """As pg_dump and pg_restore do it: in one snapshot, and asking nobody to wait."""
    with psycopg.connect(source) as given, psycopg.connect(target) as taking:
        given.execute("set transaction isolation level repeatable read, read only")
        for table in ("version", "current", "setting", "epoch"):
            taken = taking.cursor().copy(f"copy {table} from stdin")
            with given.cursor().copy(f"copy {table} to stdout") as out, taken as into:
                for data in out:
                    into.write(data)


INSERT = (
    "insert into version select %s, base + pg_current_xact_id()::text::bigint, 0, 0, 0, 0, 1, 1, 0,"
    " 1, %s, null from epoch returning seq"
)


async def test_what_a_copy_lacks_although_it_has_what_comes_later_is_beyond_its_end(
    postgresql_url,
):
    """One transaction is open, a later one commits, a copy is taken, the first commits."""
    store = PostgresqlStore(postgresql_url)
    await store.open()
    await store.commit(unit(version("Patient/early")))
    with psycopg.connect(postgresql_url) as late:
        (seq,) = late.execute(INSERT, (77, b"late")).fetchone()
        later = (await store.commit(unit(version("Patient/later")))).positions[0]
        await store.close()
        assert seq < later.seq
        with postgresql.database() as url:
            copied(postgresql_url, url)
            late.commit()
            with psycopg.connect(url) as connection:
                connection.execute(FORGET)
            after = PostgresqlStore(url)
            await after.open()
            first, _ = await after.epochs()
            feed = await after.feed(None, restriction=EVERYTHING, limit=9)
            assert [one.key.id for one in feed.rows] == ["early", "later"]
            assert feed.rows[0].position < first.end <= Position(seq)
            await after.commit(unit(version("Patient/new")))
            feed = await after.feed(feed.next, restriction=EVERYTHING, limit=9)
            assert [one.key.id for one in feed.rows] == ["new"]
            await after.close()


async def test_the_log_skips_nothing_while_transactions_commit_late_and_out_of_order(
    postgresql_url,
):
    """Transactions of others hold a drawn id open, and write a mark with it at their end."""
    store = PostgresqlStore(postgresql_url)
    await store.open()
    done = threading.Event()
    draw = random.Random(6)

    def late(number):
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            for turn in range(6):
                with connection.transaction():
                    connection.execute("select pg_current_xact_id()")
                    connection.execute("select pg_sleep(%s)", (draw.random() * 0.06,))
                    connection.execute(
                        "insert into mark select base + pg_current_xact_id()::text::bigint, 0, %s,"
                        f" {HELD}, {HERE}, '' from epoch",
                        (10_000 * number + turn,),
                    )

    async def quick(number):
        for turn in range(20):
            patient = rows(owner=7)
            new = unit(version(f"Encounter/{number}-{turn}", rows=patient))
            await store.commit(Unit(new.versions, marks=(Mark(HELD, number * 100 + turn, HERE),)))
            await asyncio.sleep(draw.random() * 0.01)

    async def follow(limit):
        met, cursor = [], None
        while True:
            finished = done.is_set()
            page = await store.log(cursor, facility=HERE, everywhere=("Encounter",), limit=limit)
            met, cursor = met + [row.position for row in page.rows], page.next
            if finished and not page.more:
                return met
            await asyncio.sleep(0.001)

    followers = [asyncio.create_task(follow(limit)) for limit in (3, 50)]
    await asyncio.gather(
        *(asyncio.to_thread(late, number) for number in range(6)), *map(quick, range(3))
    )
    done.set()
    one, other = await asyncio.gather(*followers)
    with psycopg.connect(postgresql_url) as connection:
        written = connection.execute("select seq, num from mark").fetchall()
    assert len(written) == 6 * 6 + 3 * 20
    assert one == other == sorted(written)
    await store.close()
