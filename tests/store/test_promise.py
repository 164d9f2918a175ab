"""What a store promises, tried on every database we promise it for."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from contextlib import closing

import psycopg
import pytest

from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.store.contract import (
    EVERYTHING,
    AllOf,
    Assumption,
    DateRow,
    EpochEnded,
    Facts,
    History,
    IndexRows,
    KeyIs,
    KeyRow,
    Not,
    Place,
    QuantityRow,
    Remember,
    Remembered,
    RidIn,
    Select,
    Stale,
    StringRow,
    Unchanged,
    WordStarts,
    rid,
)
from fhir_server.store.contract.reach import only
from fhir_server.store.schema import sqlite_path
from tests.store.world import DAY, has, newest, rows, unit, version

PATIENTS = Select(("Patient",), restriction=EVERYTHING)


async def put(store, key, text="", *, rows=None, before=None):
    """Write the next version of a resource, and read it back."""
    was = await newest(store, key)
    new = version(key, text, rows=rows or IndexRows(), before=before or IndexRows(), follows=was)
    await store.commit(unit(new))
    return await newest(store, key)


async def walk(store, select, *, limit, between=None):
    """Every page of a search, with something done between one page and the next."""
    page = await store.search(select, limit=limit)
    found, bound = list(page.rows), page.bound
    while page.more:
        if between:
            await between(len(found))
        last = page.rows[-1]
        place = Place(last.main, rid(last.key))
        page = await store.search(select, limit=limit, after=place, bound=bound)
        found += page.rows
    return found


def ids(versions):
    return [version.key.id for version in versions]


# --- versions ------------------------------------------------------------------------------------


async def test_what_was_written_is_read(store, clock):
    new = version("Patient/1", "vi", rows=rows(day=3, owner=7))
    done = await store.commit(unit(new))
    (found,) = (await store.newest([new.key, Key("Patient", "2")], EVERYTHING)).values()
    assert (found.key, found.tail, found.digest) == (new.key, new.tail, new.digest)
    assert (found.generation, found.method, found.main) == (1, "POST", 3 * DAY)
    assert (found.updated, found.position) == (clock.now, done.positions[0])
    assert done.updated == clock.now


async def test_every_version_is_read_by_its_name(store):
    made = [await put(store, "Patient/1", text) for text in ("a", "b", "deleted", "c")]
    for one in made:
        found = await store.at_version(one.key, one.version_id, EVERYTHING)
        assert (found.tail, found.position) == (one.tail, one.position)
    assert [one.deleted for one in made] == [False, False, True, False]
    for name in ("5-" + "a" * 26, "1-", "x", "", made[0].version_id.upper(), "1-" + "1" * 26):
        assert await store.at_version(made[0].key, name, EVERYTHING) is None
    other = Key("Patient", "2")
    assert await store.at_version(other, made[0].version_id, EVERYTHING) is None


async def test_a_deletion_is_a_version_and_is_found_by_nothing(store):
    await put(store, "Patient/1", "a", rows=rows("x", day=2, names=("ngo",)))
    gone = await put(store, "Patient/1", "deleted", before=rows("x", day=2, names=("ngo",)))
    assert gone.deleted
    assert await store.by_rid([rid(gone.key)], EVERYTHING) == []
    for where in (AllOf(), has("x"), WordStarts(2, "ng"), Not(has("x")), RidIn((rid(gone.key),))):
        assert await store.find(Select(("Patient",), where, restriction=EVERYTHING), at_most=5) in (
            (),
            [],
        )
    assert await store.census() == {}


async def test_the_time_of_a_version_is_never_before_the_one_it_follows(store, clock):
    first = await put(store, "Patient/1", "a")
    clock.now -= 60_000
    second = await put(store, "Patient/1", "b")
    assert second.updated == first.updated
    assert second.position > first.position


async def test_one_unit_has_one_time_and_its_versions_stand_in_order(store):
    new = [version(f"Patient/{n}") for n in range(20)]
    done = await store.commit(unit(*new))
    found = await store.newest([one.key for one in new], EVERYTHING)
    assert [found[one.key].position for one in new] == sorted(done.positions)
    assert {one.updated for one in found.values()} == {done.updated}


async def test_any_text_can_be_written_and_none_can_be_injected(store):
    words = ("a\0b", "\ud800", "'; drop table version; --", "%s $1 ? {}", "ngọ" * 900, "")
    new = version("Patient/1", "x", rows=rows(names=words))
    await store.commit(unit(new))
    for word in words:
        found = await store.find(
            Select(("Patient",), WordStarts(2, word), restriction=EVERYTHING), at_most=2
        )
        assert tuple(found) in ((), (rid(new.key),))
    assert await store.find(
        Select(("Patient",), WordStarts(2, "'; drop"), restriction=EVERYTHING), at_most=2
    )
    assert await store.find(
        Select(("Patient",), WordStarts(2, words[4]), restriction=EVERYTHING), at_most=2
    )


# --- what a unit assumed -------------------------------------------------------------------------


async def test_a_version_that_follows_an_old_one_is_refused_and_nothing_of_its_unit_written(store):
    old = await put(store, "Patient/1", "a")
    await put(store, "Patient/1", "b")
    lost, new = version("Patient/1", "c", follows=old), version("Patient/2", rows=rows("x"))
    with pytest.raises(Stale):
        await store.commit(unit(new, lost))
    assert await newest(store, "Patient/2") is None
    assert await store.count(PATIENTS) == 1
    assert await store.count_history(History(restriction=EVERYTHING)) == 2


async def test_what_exists_cannot_be_created(store):
    await put(store, "Patient/1", "a")
    with pytest.raises(Stale):
        await store.commit(unit(version("Patient/2"), version("Patient/1", "b")))
    with pytest.raises(Stale):
        await store.commit(unit(version("Patient/1", "b"), unchanged=()))
    assert await newest(store, "Patient/2") is None


async def test_what_was_deleted_comes_back_as_the_next_version(store):
    await put(store, "Patient/1", "a", rows=rows("x"))
    await put(store, "Patient/1", "deleted", before=rows("x"))
    back = await put(store, "Patient/1", "b", rows=rows("x"))
    assert (back.generation, back.deleted) == (3, False)
    assert await store.count(Select(("Patient",), has("x"), restriction=EVERYTHING)) == 1


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        ((), False),
        (("1",), True),
        (("2",), False),
        (("1", "2"), False),
    ],
)
async def test_a_unit_is_written_only_if_its_conditional_query_finds_the_same(store, found, holds):
    await put(store, "Patient/1", "a", rows=rows("x"))
    numbers = tuple(sorted(rid(Key("Patient", id)) for id in found))
    assumed = Assumption(Select(("Patient",), has("x"), restriction=EVERYTHING), numbers, 2, (5,))
    asked = unit(version("Encounter/1"), assumptions=(assumed,))
    if holds:
        await store.commit(asked)
    else:
        with pytest.raises(Stale):
            await store.commit(asked)
    assert (await newest(store, "Encounter/1") is not None) == holds


async def test_several_assumptions_are_all_checked(store):
    await put(store, "Patient/1", "a", rows=rows("x"))
    good = Assumption(
        Select(("Patient",), has("x"), restriction=EVERYTHING),
        (rid(Key("Patient", "1")),),
        2,
        (5, 6),
    )
    none = Assumption(Select(("Patient",), has("y"), restriction=EVERYTHING), (), 2, (4,))
    wrong = Assumption(
        Select((), AllOf((has("x"), has("y"))), restriction=EVERYTHING), (9,), 2, (3,)
    )
    await store.commit(unit(version("Encounter/1"), assumptions=(good, none)))
    with pytest.raises(Stale):
        await store.commit(unit(version("Encounter/2"), assumptions=(good, none, wrong)))


async def test_a_unit_that_writes_nothing_still_checks_what_it_says(store):
    one = await put(store, "Patient/1", "a")
    same = Unchanged(one.key, one.position)
    assert (await store.commit(unit(unchanged=(same,)))).positions in ([], ())
    await put(store, "Patient/1", "b")
    with pytest.raises(Stale):
        await store.commit(unit(unchanged=(same,)))
    with pytest.raises(Stale):
        await store.commit(unit(unchanged=(Unchanged(Key("Patient", "9"), one.position),)))


async def test_an_answer_is_remembered_with_its_write_or_not_at_all(store):
    kept = Remember("k", b"digest", lambda updated: b"%d" % updated)
    done = await store.commit(unit(version("Patient/1"), remember=kept))
    assert await store.remembered("k") == Remembered(b"digest", b"%d" % done.updated)
    with pytest.raises(Stale):
        await store.commit(unit(version("Patient/2"), remember=kept))
    assert await newest(store, "Patient/2") is None
    with pytest.raises(Stale):
        lost = Remember("l", b"digest", lambda updated: b"")
        await store.commit(unit(version("Patient/1"), remember=lost))
    assert await store.remembered("l") is None


# --- writers at the same time --------------------------------------------------------------------


async def create_if_none(store, key, code):
    """Conditional create, as an interaction does it: look, and look again where it was too late."""
    select = Select(("Patient",), has(code), restriction=EVERYTHING)
    while True:
        found = tuple(await store.find(select, at_most=2))
        if found:
            return
        try:
            assumed = Assumption(select, found, 2, (hash(code) & 0xFFFF,))
            new = version(key, rows=rows(code))
            await store.commit(unit(new, assumptions=(assumed,)))
        except Stale:
            continue
        return


async def test_64_writers_on_the_same_keys_make_each_once(store):
    keys = 8
    await asyncio.gather(
        *(create_if_none(store, f"Patient/{n}", f"key{n % keys}") for n in range(64))
    )
    assert await store.count(PATIENTS) == keys
    for n in range(keys):
        assert (
            len(
                await store.find(
                    Select(("Patient",), has(f"key{n}"), restriction=EVERYTHING), at_most=3
                )
            )
            == 1
        )


async def test_concurrent_updates_lose_none(store):
    await put(store, "Patient/1", "0")

    async def increase():
        while True:
            was = await newest(store, "Patient/1")
            number = int(was.tail.split(b'"')[3])
            try:
                await store.commit(unit(version("Patient/1", str(number + 1), follows=was)))
            except Stale:
                continue
            return

    await asyncio.gather(*(increase() for _ in range(12)))
    last = await newest(store, "Patient/1")
    assert (last.generation, last.tail.endswith(b'"12"}')) == (13, True)
    history = await store.history(History(key=last.key, limit=50, restriction=EVERYTHING))
    assert [one.generation for one in history.rows] == list(range(13, 0, -1))


async def test_units_that_touch_the_same_in_opposite_order_do_not_wait_for_ever(store):
    for n in range(4):
        await put(store, f"Patient/{n}", "0")

    async def turn(order):
        while True:
            was = [await newest(store, f"Patient/{n}") for n in order]
            try:
                new = (version(str(w.key), "x", follows=w) for w in was)
                await store.commit(unit(*new))
            except Stale:
                continue
            return

    await asyncio.gather(*(turn(order) for order in ((0, 1, 2, 3), (3, 2, 1, 0)) * 6))
    assert (await newest(store, "Patient/0")).generation == 13


# --- searches ------------------------------------------------------------------------------------


async def test_a_search_is_ordered_by_main_date_and_every_walk_is_whole(store):
    for n in range(23):
        await put(store, f"Patient/{n}", "a", rows=rows("x", day=n * 7 % 5))
    whole = ids((await store.search(PATIENTS, limit=100)).rows)
    places = [(n.main, rid(n.key)) for n in (await store.search(PATIENTS, limit=100)).rows]
    assert places == sorted(places, reverse=True)
    for select in (
        PATIENTS,
        Select((), has("x"), restriction=EVERYTHING),
        Select(("Patient",), Not(has("y")), restriction=EVERYTHING),
    ):
        for limit in (1, 2, 7, 23, 24):
            assert ids(await walk(store, select, limit=limit)) == whole


async def test_a_walk_meets_each_that_matched_throughout_once_while_others_write(store):
    told = {n: rows("x", day=n % 9 + 1) for n in range(40)}
    for n, r in told.items():
        await put(store, f"Patient/{n}", "a", rows=r)
    turns = itertools.count(1)

    async def disturb(_):
        turn = next(turns)
        await put(store, f"Patient/new{turn}", "a", rows=rows("x", day=turn % 9 + 1))
        for n in range(turn % 5, 40, 5):  # to another place, some of them more than once
            after = rows("x", day=(n * 5 + turn * 3) % 11 + 1)
            await put(store, f"Patient/{n}", "b", rows=after, before=told[n])
            told[n] = after

    for select in (
        Select(("Patient",), has("x"), restriction=EVERYTHING),
        PATIENTS,
        Select((), Not(has("y")), restriction=EVERYTHING),
    ):
        before = ids((await store.search(select, limit=1000)).rows)
        met = ids(await walk(store, select, limit=3, between=disturb))
        assert met == before


async def test_deleted_and_unmatching_resources_leave_a_walk_and_late_ones_stay_out(store):
    for n in range(10):
        await put(store, f"Patient/{n}", "a", rows=rows("x", day=n + 1))

    async def disturb(met):
        if met == 2:
            await put(store, "Patient/3", "deleted", before=rows("x", day=4))
            await put(store, "Patient/4", "b", rows=rows("y", day=5), before=rows("x", day=5))
            await put(store, "Patient/3", "back", rows=rows("x", day=4))
            await put(store, "Patient/late", "a", rows=rows("x", day=2))

    met = ids(
        await walk(
            store, Select(("Patient",), has("x"), restriction=EVERYTHING), limit=2, between=disturb
        )
    )
    assert met == ["9", "8", "7", "6", "5", "2", "1", "0"]


async def test_finds_and_counts_stop_where_they_are_told(store):
    for n in range(9):
        await put(store, f"Patient/{n}", "a", rows=rows("x"))
    every = sorted(rid(Key("Patient", str(n))) for n in range(9))
    assert tuple(await store.find(PATIENTS, at_most=3)) == tuple(every[:3])
    assert tuple(await store.find(PATIENTS, at_most=50)) == tuple(every)
    for at_most, told in ((None, 9), (4, 4), (20, 9)):
        assert await store.count(PATIENTS, at_most=at_most) == told
        assert (
            await store.count(Select((), has("x"), restriction=EVERYTHING), at_most=at_most) == told
        )
    assert await store.count(Select(("Encounter",), restriction=EVERYTHING)) == 0
    assert await store.census() == {"Patient": 9}


async def test_one_code_under_two_systems_is_one_match(store):
    v = 1 << 50 | 99
    both = IndexRows(keys=frozenset({KeyRow(v, 1 << 32 | 5), KeyRow(v, 2 << 32 | 5)}))
    await put(store, "Patient/1", "a", rows=both)
    for key, count in (
        (KeyIs(v, 5, 0xFFFFFFFF), 1),
        (KeyIs(v), 1),
        (KeyIs(v, 2 << 32, -(1 << 32)), 1),
        (KeyIs(v, 2 << 32 | 5, -1), 1),
        (KeyIs(v, 3 << 32 | 5, -1), 0),
        (KeyIs(v, 6, 0xFFFFFFFF), 0),
    ):
        assert await store.count(Select(("Patient",), key, restriction=EVERYTHING)) == count
        assert (
            len((await store.search(Select((), key, restriction=EVERYTHING), limit=5)).rows)
            == count
        )


@pytest.mark.parametrize(
    "bound", ["", "x", "-1", "1.-2", "9" * 40, "1.2.3.4.x", "\N{SUPERSCRIPT TWO}"]
)
async def test_a_damaged_bound_is_refused_as_the_client_s_mistake(store, bound):
    with pytest.raises(Invalid):
        await store.search(PATIENTS, limit=5, bound=bound)
    with pytest.raises(Invalid):
        await store.history(History(bound=bound, restriction=EVERYTHING))


async def test_a_question_too_deep_or_too_long_is_refused(store):
    deep = has("x")
    for _ in range(2000):
        deep = Not(deep)
    many = AllOf(tuple(has(str(n)) for n in range(5000)))
    for where in (deep, many):
        with pytest.raises(FhirError):
            await store.search(Select((), where, restriction=EVERYTHING), limit=1)


# --- history -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"key": Key("Patient", "1")}, 4),
        ({"types": ("Patient",)}, 12),
        ({"types": ("Patient", "Encounter")}, 24),
        ({}, 24),
    ],
)
async def test_history_is_newest_first_and_bound_to_its_first_page(store, clock, asked, number):
    for n in range(12):
        clock.now += 1000
        await put(store, f"Patient/{n % 3}", str(n))
        await put(store, "Encounter/1", str(n))
    whole = await store.history(History(**asked, limit=100, restriction=EVERYTHING))
    positions = [one.position for one in whole.rows]
    assert positions == sorted(positions, reverse=True)
    assert (
        len(positions)
        == number
        == await store.count_history(History(**asked, restriction=EVERYTHING))
    )
    page = await store.history(History(**asked, limit=3, restriction=EVERYTHING))
    met, bound = list(page.rows), page.bound
    while page.more:
        await put(store, "Patient/1", "later")
        after = met[-1].position
        page = await store.history(
            History(**asked, limit=3, after=after, bound=bound, restriction=EVERYTHING)
        )
        met += page.rows
    assert [one.position for one in met] == positions
    assert (
        await store.count_history(History(**asked, bound=bound, restriction=EVERYTHING)) == number
    )


async def test_history_can_be_walked_oldest_first(store):
    for n in range(6):
        await put(store, "Encounter/1", str(n))
    key = Key("Encounter", "1")
    first = await store.history(History(key=key, ascending=True, limit=3, restriction=EVERYTHING))
    assert [one.generation for one in first.rows] == [1, 2, 3]
    after = first.rows[-1].position
    more = History(
        key=key, ascending=True, limit=3, after=after, bound=first.bound, restriction=EVERYTHING
    )
    assert [one.generation for one in (await store.history(more)).rows] == [4, 5, 6]


async def test_history_since_and_at_a_time(store, clock):
    start = clock.now
    for text in ("a", "b", "deleted"):
        await put(store, "Patient/1", text)
        clock.now += 1000
    key = Key("Patient", "1")

    async def generations(**asked):
        found = await store.history(History(key=key, **asked, restriction=EVERYTHING))
        assert await store.count_history(History(key=key, **asked, restriction=EVERYTHING)) == len(
            found.rows
        )
        return [one.generation for one in found.rows]

    assert await generations(since=start) == [3, 2, 1]
    assert await generations(since=start + 1) == [3, 2]
    assert await generations(since=start + 2001) == []
    assert await generations(at=(start, start + 1)) == [1]
    assert await generations(at=(start + 999, start + 1001)) == [2, 1]
    assert await generations(at=(start + 1000, start + 1001)) == [2]
    assert await generations(at=(start - 10, start)) == []
    assert await generations(at=(start - 10, start + 9999)) == [3, 2, 1]


# --- restriction ---------------------------------------------------------------------------------


async def test_a_restriction_is_honoured_on_every_read(store):
    for type in ("Patient", "Encounter"):
        for owner in (0, 1, 2):
            await put(store, f"{type}/{owner}", "a", rows=rows("x", owner=owner))
    await put(store, "Encounter/gone", "a", rows=rows("x", owner=1))
    await put(store, "Encounter/gone", "deleted", before=rows("x", owner=1))
    known = (await store.history(History(limit=100, restriction=EVERYTHING))).rows
    for allowed in (
        EVERYTHING,
        only(types=frozenset({"Patient"})),
        only(owners=frozenset({1})),
        only(frozenset({"Encounter", "Basic"}), frozenset({0, 1})),
        only(types=frozenset()),
        only(owners=frozenset()),
    ):
        owners = {one.key: 1 if one.key.id == "gone" else int(one.key.id) for one in known}
        seen = {key for key, owner in owners.items() if allowed.allows(Facts(key.type, owner))}
        alive = {key for key in seen if key.id != "gone"}
        assert set(await store.newest(list(owners), allowed)) == seen
        everyone = [rid(key) for key in owners]
        assert {one.key for one in await store.by_rid(everyone, allowed)} == alive
        for one in known:
            found = await store.at_version(one.key, one.version_id, allowed)
            assert (found is not None) == (one.key in seen)
            assert await store.count_history(History(key=one.key, restriction=allowed)) == (
                sum(other.key == one.key for other in known) if one.key in seen else 0
            )
        for types in ((), ("Patient",), ("Patient", "Encounter")):
            reached = {key for key in alive if not types or key.type in types}
            for where in (AllOf(), has("x"), Not(has("y"))):
                select = Select(types, where, restriction=allowed)
                page = await store.search(select, limit=50)
                assert {one.key for one in page.rows} == reached
                assert set(await store.find(select, at_most=50)) == {rid(key) for key in reached}
                assert await store.count(select) == len(reached)
            asked = History(types=types, restriction=allowed)
            told = {one.key for one in (await store.history(asked)).rows}
            assert told == {key for key in seen if not types or key.type in types}
            assert await store.count_history(asked) == len((await store.history(asked)).rows)


async def test_an_assumption_sees_only_what_the_caller_may_reach(store):
    await put(store, "Patient/1", "a", rows=rows("x", owner=1))
    hidden = Select(("Patient",), has("x"), restriction=only(owners=frozenset({2})))
    await store.commit(unit(version("Encounter/1"), assumptions=(Assumption(hidden, (), 2, (1,)),)))


# --- the change log ------------------------------------------------------------------------------


async def test_the_feed_tells_every_version_in_order_from_any_place(store):
    for n in range(7):
        await store.commit(
            unit(version(f"Patient/{n}"), version(f"Encounter/{n}"), version(f"Basic/{n}"))
        )
    await put(store, "Patient/3", "deleted")
    whole = await store.feed(None, limit=100, restriction=EVERYTHING)
    assert [one.position for one in whole.rows] == sorted(one.position for one in whole.rows)
    assert len(whole.rows) == 22
    assert whole.rows[-1].deleted
    for limit in (1, 2, 5, 22, 23):
        met, cursor = [], None
        while (page := await store.feed(cursor, limit=limit, restriction=EVERYTHING)).rows:
            met += page.rows
            cursor = page.next
        assert met == list(whole.rows)
        assert (await store.feed(cursor, limit=limit, restriction=EVERYTHING)).next == cursor
    only = await store.feed(None, types=("Patient",), limit=100, restriction=EVERYTHING)
    assert len(only.rows) == 8
    assert (
        await store.feed(only.next, types=("Patient",), limit=100, restriction=EVERYTHING)
    ).rows in ([], ())
    await put(store, "Patient/9", "a")
    for cursor in (whole.next, only.next):
        assert ids((await store.feed(cursor, limit=9, restriction=EVERYTHING)).rows)[-1] == "9"


@pytest.mark.parametrize("cursor", ["", "x", "1.2", "1.2.3.4.5", "a.b.c.d", "9" * 99, "1.1.1.-1"])
async def test_a_cursor_that_is_not_one_is_refused(store, cursor):
    with pytest.raises(Invalid):
        await store.feed(cursor, limit=5, restriction=EVERYTHING)


async def test_a_cursor_of_another_history_has_ended(store):
    await put(store, "Patient/1", "a")
    cursor = (await store.feed(None, limit=5, restriction=EVERYTHING)).next
    epoch, mark, *place = cursor.split(".")
    with pytest.raises(EpochEnded):
        await store.feed(
            ".".join([epoch, str(int(mark) + 1), *place]), limit=5, restriction=EVERYTHING
        )
    with pytest.raises(EpochEnded):
        await store.feed(
            ".".join([str(int(epoch) + 1), mark, *place]), limit=5, restriction=EVERYTHING
        )


# --- index rows ----------------------------------------------------------------------------------

INDEXES = {
    "index_key": "v, main, rid, w",
    "index_string": "param, word, rid, whole",
    "index_date": "param, lo, hi, rid",
    "index_quantity": "param, unit, lo, hi, rid",
}


def kept(database):
    """Every index row there is."""
    with closing(
        sqlite3.connect(sqlite_path(database.url))
        if database.product == "sqlite"
        else psycopg.connect(database.url)
    ) as connection:
        found = {
            table: {tuple(row) for row in connection.execute(f"select {columns} from {table}")}
            for table, columns in INDEXES.items()
        }
        bits = connection.execute("select rid, keys from current where keys <> 0").fetchall()
        return {**found, "bits": {tuple(row) for row in bits}}


def due(resources):
    """Every index row there should be."""
    told = {table: set() for table in (*INDEXES, "bits")}
    for key, r in resources.items():
        n = rid(key)
        told["index_key"] |= {(k.v, r.main[0], n, k.w) for k in r.keys if not k.dominant}
        if bits := sum(1 << k.dominant - 1 for k in r.keys if k.dominant):
            told["bits"].add((n, bits))
        told["index_string"] |= {(s.param, s.word, n, s.whole) for s in r.strings}
        told["index_date"] |= {(*d, n) for d in r.dates}
        told["index_quantity"] |= {(*q, n) for q in r.quantities}
    return told


async def test_after_updates_and_deletes_the_index_rows_are_those_of_the_newest(store, database):
    def made(n):
        return IndexRows(
            frozenset(KeyRow(1 << 50 | m, m, 0 if m % 4 else 1 + m % 62) for m in range(n, n * 3)),
            frozenset(StringRow(1, f"w{m}") for m in range(n % 3, n)),
            frozenset(DateRow(2, m, m + n) for m in range(1, n)),
            frozenset(QuantityRow(3, m % 2, float(m), m + 0.5) for m in range(n % 2, n)),
            (n % 3, n % 3 + 1) if n % 3 else (0, 0),
            n % 2,
        )

    now: dict[Key, IndexRows] = {}
    for step in range(60):
        key = Key("Patient", str(step * 7 % 10))
        was = now.get(key, IndexRows())
        gone = step % 6 == 5 and key in now
        new = IndexRows() if gone else made(step % 5 + step // 20)
        await put(store, str(key), "deleted" if gone else "a", rows=new, before=was)
        now[key] = new
        if gone:
            del now[key]
    assert kept(database) == due(now)
