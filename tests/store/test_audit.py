"""What is written down goes with what it is about or not at all, and stays whatever else goes."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, suppress
from itertools import pairwise

import psycopg
import pytest

from fhir_server.foundation.outcome import Conflict
from fhir_server.foundation.resource import Key
from fhir_server.store import block, upkeep
from fhir_server.store.audit import FIRST, Lane, Lanes, sealed
from fhir_server.store.contract import (
    EVERYTHING,
    Before,
    Entry,
    Remember,
    Sought,
    Stale,
    Unit,
    rid,
)
from fhir_server.store.schema import DAY, HOUR, sqlite_path
from fhir_server.store.upkeep import audit
from tests.store.world import newest, rows, unit, version

AN, BINH = rid(Key("Patient", "an")), rid(Key("Patient", "binh"))


def entry(text: str, *subjects: int, at: int = 1) -> Entry:
    return Entry(at, subjects, text.encode())


def told(*entries: Entry) -> Unit:
    return Unit((), audit=entries)


async def bodies(store, *subjects, **asked):
    found = await store.audit.found(Sought(subjects, **asked))
    return [entered.body.decode() for entered in found]


def trail(database):
    """Rows, each of what one transaction wrote."""
    with audit.trail(database.url) as all_of_it:
        return [row for part in all_of_it.parts() for row in part]


def entries_of(rows):
    return [entered for row in rows for entered in block.entries(row)]


def demand_sealed(rows):
    """Every chain counts from one, and every seal holds."""
    before = {}
    for entered in rows:
        number, seal = before.get(entered.chain, (0, FIRST))
        assert entered.number == number + block.count(entered)
        assert entered.seal == sealed(seal, *entered[:3], entered.body)
        before[entered.chain] = entered.number, entered.seal
    return before


async def test_a_write_and_its_entry_are_there_together(store):
    await store.commit(unit(version("Patient/an"), audit=(entry("created", AN),)))
    assert await bodies(store, AN) == ["created"]
    assert await newest(store, "Patient/an")


async def test_what_is_refused_leaves_no_entry_and_no_hole(store, database):
    await store.commit(unit(version("Patient/an", "a"), audit=(entry("first", AN),)))
    for _ in range(3):
        with pytest.raises(Stale):
            await store.commit(unit(version("Patient/an", "b"), audit=(entry("second", AN),)))
    twice = (version("Basic/x"), version("Basic/x"))
    with pytest.raises(Conflict):
        await store.commit(unit(*twice, audit=(entry("twice", AN),)))
    await store.commit(told(entry("third", AN)))
    assert sorted(await bodies(store, AN)) == ["first", "third"]
    demand_sealed(trail(database))


async def test_an_answer_that_is_remembered_has_its_entry(store):
    kept = Remember("key", b"digest", lambda _: b"answer")
    await store.commit(unit(version("Patient/an"), remember=kept, audit=(entry("once", AN),)))
    with pytest.raises(Stale):
        await store.commit(Unit((), remember=kept, audit=(entry("again", AN),)))
    assert await bodies(store, AN) == ["once"]


async def test_what_is_only_told_does_not_wait_for_the_rules_and_changes_no_resource(store):
    before = await store.feed(None, limit=10, restriction=EVERYTHING)
    await store.commit(Unit((), rules=7, audit=(entry("read", AN),)))
    assert await bodies(store, AN) == ["read"]
    assert not (await store.feed(before.next, limit=10, restriction=EVERYTHING)).rows


@pytest.mark.parametrize("many", [1, 400])
async def test_many_at_once_all_lie_in_chains_without_a_hole(store, database, many):
    """New resources, updates that meet one another, and reads, all under way together."""
    await store.commit(unit(version("Patient/an", "0", rows=rows(owner=AN))))
    was = await newest(store, "Patient/an")

    async def update(n):
        new = version("Patient/an", f"a{n}", follows=was)
        try:
            await store.commit(unit(new, audit=(entry(f"update {n}", AN),)))
        except Stale:
            return 0
        return 1

    writes = [
        store.commit(unit(version(f"Basic/{n}"), audit=(entry(f"create {n}", BINH, at=n),)))
        for n in range(many)
    ]
    reads = [store.commit(told(entry(f"read {n}", AN, at=n))) for n in range(many)]
    updates = [update(n) for n in range(10)]
    results = await asyncio.gather(*writes, *reads, *updates)
    assert sum(results[-10:]) == 1
    written = trail(database)
    assert len(entries_of(written)) == 2 * many + 1
    ends = demand_sealed(written)
    heads = {head.chain: (head.number, head.seal) for head in store.audit.heads()}
    assert heads == ends


async def test_what_a_write_took_along_is_told_though_the_write_is_refused(store, database):
    """What is read while a write is under way may go with it, and stays if it does not."""
    await store.commit(unit(version("Patient/an", "0")))

    async def refused(n):
        with pytest.raises(Stale):
            await store.commit(unit(version("Patient/an", f"{n}"), audit=(entry("never", AN),)))

    reads = [store.commit(told(entry(f"read {n}", AN))) for n in range(40)]
    await asyncio.gather(*(each for n in range(40) for each in (reads[n], refused(n))))
    assert sorted(await bodies(store, AN)) == sorted(f"read {n}" for n in range(40))
    demand_sealed(trail(database))


async def test_two_processes_write_chains_of_their_own(database, run):
    if database.product == "sqlite":
        pytest.skip("a file has one writer")
    stores = [database.store() for _ in range(3)]
    for store in stores:
        await store.open()
    await asyncio.gather(
        *(store.commit(told(entry(f"{n}", AN))) for n in range(20) for store in stores)
    )
    chains = [{head.chain for head in store.audit.heads()} for store in stores]
    assert all(one.isdisjoint(other) for one, other in pairwise(chains))
    for store in stores:
        await store.close()
    assert len(entries_of(trail(database))) == 60
    demand_sealed(trail(database))


# who is asked for        when              found, newest first
FOUND = [
    ((), {}, ["d", "c", "e", "b", "a"]),
    ((AN,), {}, ["d", "b", "a"]),
    ((BINH,), {}, ["c", "b"]),
    ((AN, BINH), {}, ["b"]),
    ((AN,), {"since": 20}, ["d", "b"]),
    ((AN,), {"since": 20, "until": 40}, ["b"]),
    ((), {"until": 20}, ["a"]),
    ((), {"limit": 2}, ["d", "c"]),
    ((AN, AN + 1), {}, []),  # in one transaction, of two entries
    ((AN + 1,), {}, ["e"]),
    ((7,), {}, []),
]


@pytest.mark.parametrize(("subjects", "asked", "found"), FOUND)
async def test_entries_are_found_by_whom_they_are_about_and_when(store, subjects, asked, found):
    await store.commit(told(entry("a", AN, at=10)))
    await store.commit(told(entry("b", AN, BINH, at=20), entry("e", AN + 1, at=20)))
    await store.commit(told(entry("c", BINH, at=30)))
    await store.commit(told(entry("d", AN, at=40)))
    assert await bodies(store, *subjects, **asked) == found


@pytest.mark.parametrize("subjects", [(), (AN,)])
async def test_pages_meet_every_entry_once_also_those_of_one_moment(store, subjects):
    await store.commit(told(*(entry(f"{n}", AN, at=5) for n in range(25))))
    met, before = [], None
    while page := await store.audit.found(Sought(subjects, before=before, limit=4)):
        met += [entered.body for entered in page]
        last = page[-1]
        before = Before(last.at, last.chain, last.number)
    assert sorted(met) == sorted(b"%d" % n for n in range(25))


async def test_one_entry_is_found_by_its_place(store):
    await store.commit(told(entry("here", AN)))
    (head,) = store.audit.heads()
    assert (await store.audit.entered(head.chain, 1)).body == b"here"
    assert await store.audit.entered(head.chain, 2) is None
    assert await store.audit.entered(1, 1) is None


async def test_numbers_are_named_for_those_who_are_deleted_too(store):
    await store.commit(unit(version("Patient/an", "x", rows=rows("k", owner=AN))))
    was = await newest(store, "Patient/an")
    gone = version("Patient/an", "deleted", before=rows("k", owner=AN), follows=was)
    await store.commit(unit(gone))
    assert await store.audit.keys([AN, BINH]) == {AN: Key("Patient", "an")}


def test_forgetting_what_is_old_forgets_no_entry(database, run, clock):
    async def life():
        store = database.store(clock=clock, keep_days=1)
        await store.open()
        kept = Remember("key", b"digest", lambda _: b"answer")
        await store.commit(
            unit(version("Patient/an"), remember=kept, audit=(entry("old", AN, at=clock.now),))
        )
        clock.now += 4000 * DAY + HOUR
        for n in range(3):
            await store.commit(unit(version(f"Basic/{n}")))
        await store.close()
        store = database.store(clock=clock)
        await store.open()
        assert await store.remembered("key") is None
        assert await bodies(store, AN) == ["old"]
        await store.close()

    run(life())


def test_a_restore_keeps_what_was_written_down_after_the_backup(database, run, tmp_path):
    """Who saw a record has seen it, whatever became of the record."""
    file = tmp_path / "backup"

    async def life(*bodies):
        store = database.store()
        await store.open()
        for body in bodies:
            await store.commit(unit(version(f"Basic/{body}"), audit=(entry(body, AN),)))
        await store.close()

    run(life("before"))
    upkeep.backup(database.url, file)
    run(life("after", "later"))
    upkeep.restore(database.url, file, replace=True)
    written = trail(database)
    assert sorted(one.body for one in entries_of(written)) == [b"after", b"before", b"later"]
    demand_sealed(written)
    with audit.trail(database.url) as all_of_it:
        pointers = [(AN, *one[2:3], *one[:2]) for one in written]
        assert all_of_it.there(pointers) == all_of_it.pointers() == 3
    run(life("again"))
    assert len(trail(database)) == 4


def test_a_restore_where_nothing_was_brings_the_audit_along(database, run, tmp_path):
    async def life():
        store = database.store()
        await store.open()
        await store.commit(told(entry("seen", AN)))
        await store.close()

    run(life())
    upkeep.backup(database.url, tmp_path / "backup")
    emptied(database)
    upkeep.restore(database.url, tmp_path / "backup", replace=True)
    assert [entered.body for entered in entries_of(trail(database))] == [b"seen"]


def emptied(database):
    if database.product == "sqlite":
        sqlite_path(database.url).unlink()
        return
    with psycopg.connect(database.url) as connection:
        connection.execute("truncate audit, audit_subject")


def test_the_heads_of_a_store_that_is_closed_have_ended(database, run):
    async def life():
        store = database.store()
        await store.open()
        await store.commit(told(entry("seen", AN)))
        going = store.audit.heads()
        await store.close()
        return going, store.audit.heads()

    going, ended = run(life())
    assert [head.ended for head in going] == [False]
    assert [head._replace(ended=False) for head in ended] == going
    assert [head.ended for head in ended] == [True]


def test_an_entry_that_somebody_else_put_where_the_next_belongs_hinders_nobody(database, run):
    """The number is taken: the chain is left, and another begun."""

    async def life():
        store = database.store()
        await store.open()
        await store.commit(told(entry("mine", AN)))
        (head,) = store.audit.heads()
        forged = (head.chain, head.number + 1)
        with closing(connected(database)) as connection:
            connection.execute(
                f"insert into audit (chain, number, at, seal, body) values ({forged[0]},"
                f" {forged[1]}, 1, {EMPTY[database.product]}, {EMPTY[database.product]})"
            )
            connection.commit()
        await store.commit(told(entry("read", AN)))
        await store.commit(unit(version("Patient/an"), audit=(entry("written", AN),)))
        assert sorted(await bodies(store, AN)) == ["mine", "read", "written"]
        await store.close()

    run(life())


EMPTY = {"sqlite": "x''", "postgresql": "''"}


def connected(database):
    if database.product == "sqlite":
        return sqlite3.connect(sqlite_path(database.url))
    return psycopg.connect(database.url)


# what ends the transaction                    whether its chain may go on
ENDS = [
    (None, True),
    (Stale(), True),  # the statement found something changed
    (Stale("by the database"), False),
    (OSError("the connection was lost"), False),
    (asyncio.CancelledError(), False),
]


@pytest.mark.parametrize(("error", "goes_on"), ENDS, ids=repr)
def test_a_chain_goes_on_only_where_it_is_known_how_it_ends(error, goes_on):
    lanes = Lanes()
    with lanes.rows([entry("a", AN)]) as written:
        chain = written.entries[0][0]
    with suppress(BaseException), lanes.rows([entry("b", AN)]):
        end(error)
    with lanes.rows([entry("c", AN)]) as written:
        assert (written.entries[0][0] == chain) == goes_on
        assert written.entries[0][1] == (1 if not goes_on else 2 + (error is None))
    assert chain in {head.chain for head in lanes.heads()}


def end(error):
    if error is not None:
        raise error from (ValueError() if error.args else None)


def test_who_writes_at_the_same_time_writes_to_another_chain():
    lanes = Lanes()
    with lanes.rows([entry("a")]) as one, lanes.rows([entry("b")]) as other:
        assert one.entries[0][0] != other.entries[0][0]
    assert len(lanes.free) == 2
    with lanes.rows([]) as nothing:
        assert nothing.entries == nothing.subjects == ()


def test_a_chains_number_fits_and_comes_after_those_begun_before():
    first, second = Lane.begun().chain, Lane.begun().chain
    assert 0 < first < 1 << 63
    assert first >> 20 <= second >> 20
