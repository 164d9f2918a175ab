"""The log tells a facility all that may concern it, in one order, whoever commits late."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, EpochEnded, Position, Unit, rid
from fhir_server.store.contract.log import (
    HELD,
    HOME_IN,
    HOME_OUT,
    OUTSIDE,
    OWNER,
    VERSION,
    Mark,
    owner_of,
)
from tests.store.world import chained, newest, rows, unit, version

HERE, THERE = 501, 502  # facilities
MINE, THEIRS = rid(Key("Patient", "mine")), rid(Key("Patient", "theirs"))
KNOWN = ("Organization", "Practitioner")


def home(patient, facility=HERE, kind=HOME_IN):
    return Mark(kind, patient, facility)


def owned(key, owner, text="", **rest):
    return version(key, text, rows=rows(owner=owner), **rest)


def marks(*all):
    return Unit((), marks=all)


async def all_of(store, facility=HERE, *, limit=100, after=None):
    """All pages: their rows, each as it was looked at, and the last page."""
    found, looked = [], 0
    while True:
        page = await store.log(after, facility=facility, everywhere=KNOWN, limit=limit)
        found += page.rows
        after, looked = page.next, looked + 1
        if not page.more:
            return found, page


def said(found):
    return [str(row.key) if row.kind == VERSION else (row.kind, row.rid) for row in found]


async def live(store):
    """Two patients of two facilities, what is theirs, and what is everybody's."""
    await store.commit(unit(owned("Patient/mine", MINE), owned("Patient/theirs", THEIRS)))
    await store.commit(unit(version("Organization/o"), version("Basic/b")))
    await store.commit(marks(home(MINE), home(THEIRS, THERE)))
    await store.commit(unit(owned("Encounter/m", MINE), owned("Encounter/t", THEIRS)))
    await store.commit(marks(Mark(HELD, 1, HERE, b"m"), Mark(HELD, 2, THERE), Mark(OUTSIDE, 3, 77)))
    await store.commit(marks(home(MINE, HERE, HOME_OUT)))
    await store.commit(unit(owned("Encounter/m2", MINE)))


async def test_a_facility_is_told_what_may_concern_it_however_small_the_pages(store):
    await live(store)
    for limit in (1, 2, 3, 100):
        await told_in_pages(store, limit)


async def told_in_pages(store, limit):
    found, last = await all_of(store, limit=limit)
    assert said(found) == [
        "Patient/mine",
        "Organization/o",
        (HOME_IN, MINE),
        "Encounter/m",
        (HELD, 1),
        (OUTSIDE, 3),
        (HOME_OUT, MINE),
        "Encounter/m2",
    ]
    assert [row.position for row in found] == sorted(row.position for row in found)
    assert found[4].body == b"m"
    assert (found[3].owner, found[3].stored.tail) == (MINE, owned("Encounter/m", MINE).tail)
    assert (found[2].key, found[4].key) == (Key("Patient", "mine"), None)
    assert (last.more, last.reached < last.horizon) == (False, True)
    again = await store.log(last.next, facility=HERE, everywhere=KNOWN, limit=limit)
    assert (again.rows, again.more, again.next) == ([], False, last.next)
    other, _ = await all_of(store, THERE)
    assert said(other) == [
        "Patient/theirs", "Organization/o", (HOME_IN, THEIRS), "Encounter/t", (HELD, 2),
        (OUTSIDE, 3),
    ]  # fmt: skip
    nobody, _ = await all_of(store, 999)
    assert said(nobody) == ["Organization/o", (OUTSIDE, 3)]


async def test_what_stood_before_versions_is_read_at_once(store):
    await store.commit(unit(chained("Basic/a", "1", "2"), version("Basic/b", "1")))
    await store.commit(unit(version("Basic/a", "deleted", follows=await newest(store, "Basic/a"))))
    page = await store.feed(None, restriction=EVERYTHING, limit=10)
    before = await store.before(page.rows)
    assert sorted((str(one.key), one.generation, one.deleted) for one in before) == [
        ("Basic/a", 1, False),
        ("Basic/a", 2, False),
    ]
    assert await store.before([]) == []


async def test_an_empty_log_has_an_end_to_go_on_from(store):
    page = await store.log(None, facility=HERE, everywhere=KNOWN, limit=5)
    assert (page.rows, page.more, page.reached) == ([], False, Position(0))
    await store.commit(unit(version("Organization/o")))
    found, _ = await all_of(store, after=page.next)
    assert said(found) == ["Organization/o"]


async def test_what_changes_patient_is_told_to_whom_it_was_and_to_whom_it_is(store):
    await store.commit(marks(home(MINE), home(THEIRS, THERE)))
    await store.commit(unit(owned("Encounter/e", MINE, "a")))
    moved = owned("Encounter/e", THEIRS, "b", before=rows(owner=MINE))
    await store.commit(unit(replace(moved, follows=await newest(store, "Encounter/e"))))
    number = rid(moved.key)
    for facility, patient in ((HERE, MINE), (THERE, THEIRS)):
        for limit in (1, 9):
            found, _ = await all_of(store, facility, limit=limit)
            told = ["Encounter/e", "Encounter/e", (OWNER, number)]
            assert said(found) == [(HOME_IN, patient), *told]
        assert found[-1].position == found[-2].position
        assert (found[-1].whom, owner_of(found[-1].body)) == (MINE, THEIRS)


async def test_whom_new_rows_may_concern_is_told_without_them(store):
    await live(store)
    end = (await store.log(None, facility=0, everywhere=(), limit=0)).end
    moved = owned("Encounter/t", MINE, "b", before=rows(owner=THEIRS))
    moved = replace(moved, follows=await newest(store, "Encounter/t"))
    for what, whom, everybody in (
        (unit(owned("Encounter/m3", MINE)), {HERE}, False),  # home has ended, and may be told of
        (unit(owned("Encounter/t2", THEIRS), owned("Encounter/m4", MINE)), {HERE, THERE}, False),
        (unit(owned("Encounter/n", rid(Key("Patient", "new")))), set(), False),
        (unit(version("Organization/o2")), set(), True),
        (marks(home(MINE, THERE)), {THERE}, False),
        (marks(Mark(HELD, 3, HERE), Mark(OUTSIDE, 3, 77)), {77}, False),
        (unit(moved), {HERE, THERE}, True),
    ):
        await store.commit(what)
        found = await store.stirred(end, limit=1)
        looked = [found]
        while looked[-1].more:
            looked.append(await store.stirred(looked[-1].next, limit=1))
        assert set().union(*(each.whom for each in looked)) == whom
        assert any(each.everybody for each in looked) is everybody
        end = looked[-1].next
    assert not (await store.stirred(end, limit=1)).whom


async def test_homes_are_those_of_the_last_mark_up_to_a_place(store):
    one = await store.commit(marks(home(1), home(2), home(1, THERE)))
    two = await store.commit(marks(home(1, HERE, HOME_OUT), home(3)))
    assert await store.homes([1, 2, 3, 4]) == {
        (1, HERE): False, (1, THERE): True, (2, HERE): True, (3, HERE): True,
    }  # fmt: skip
    assert await store.homes([1, 2, 3], HERE) == {
        (1, HERE): False, (2, HERE): True, (3, HERE): True,
    }  # fmt: skip
    assert await store.homes([1, 2, 3], HERE, one.place(1)) == {(1, HERE): True, (2, HERE): True}
    assert await store.homes([1, 3], HERE, two.place(0)) == {(1, HERE): False}
    assert await store.homes([], HERE) == {}


async def test_a_compartment_is_walked_by_rid_deletions_and_all(store):
    keys = [f"Encounter/{n}" for n in range(7)]
    mine = rows(owner=MINE)
    await store.commit(unit(*(owned(key, MINE) for key in keys), owned("Encounter/x", THEIRS)))
    gone = version(keys[3], "deleted", before=mine, follows=await newest(store, keys[3]))
    await store.commit(unit(gone))
    met, after = [], None
    while page := await store.compartments([MINE], after, limit=3):
        met += page
        after = rid(page[-1].key)
    assert [rid(one.key) for one in met] == sorted(rid(one.key) for one in met)
    assert {str(one.key) for one in met} == set(keys)
    assert [str(one.key) for one in met if one.deleted] == [keys[3]]
    assert await store.compartments([0], None, limit=3) == []
    assert await store.compartments([], None, limit=3) == []
    both = sorted((MINE, THEIRS))
    for after, limit in ((None, 100), (None, 2), (max(map(rid_of, met)), 100)):
        found = await store.compartments(both, after, limit=limit)
        everything = [*met, *await store.compartments([THEIRS], None, limit=9)]
        told = sorted((one.owner, rid_of(one)) for one in everything)
        told = [one for one in told if after is None or one > (both[0], after)]
        assert [(one.owner, rid_of(one)) for one in found] == told[:limit]


def rid_of(stored):
    return rid(stored.key)


FOREIGN = ("", "1", "1.2.3.4", "1.2.3.4.2", "a.b.c.d.e", "1.2.3.4.5.6", f"1.2.{2**62}.0.0")


async def test_a_cursor_nobody_gave_is_refused(store):
    for cursor in FOREIGN:
        with pytest.raises(Invalid, match="Leave it out"):
            await store.log(cursor, facility=HERE, everywhere=(), limit=5)


async def test_a_cursor_of_another_history_or_from_beyond_the_end_has_ended(store):
    page = await store.log(None, facility=HERE, everywhere=(), limit=5)
    number, mark, *_ = page.next.split(".")
    for cursor in (f"{number}.{int(mark) + 1}.0.0.1", f"{number}.{mark}.{2**60}.0.0"):
        with pytest.raises(EpochEnded):
            await store.log(cursor, facility=HERE, everywhere=(), limit=5)
        with pytest.raises(EpochEnded):
            await store.stirred(cursor, limit=5)


async def test_a_follower_meets_every_row_once_in_order_while_many_write(store):
    await store.commit(marks(home(MINE)))

    async def writer(number):
        for turn in range(12):
            new = unit(*(owned(f"Encounter/{number}-{turn}-{n}", MINE) for n in range(3)))
            await store.commit(replace(new, marks=(Mark(HELD, number * 100 + turn, HERE),)))

    async def follower(limit):
        met, after = [], None
        while len(met) < 1 + 8 * 12 * 4:
            page = await store.log(after, facility=HERE, everywhere=KNOWN, limit=limit)
            assert all(row.position < page.horizon for row in page.rows)
            met, after = met + list(page.rows), page.next
            await asyncio.sleep(0.001)
        return met

    writers = [writer(number) for number in range(8)]
    *_, one, other = await asyncio.gather(*writers, follower(7), follower(400))
    assert [row.position for row in one] == [row.position for row in other]
    assert [row.position for row in one] == sorted({row.position for row in one})


async def test_the_feed_and_the_log_have_the_same_order(store):
    await live(store)
    feed = await store.feed(None, restriction=EVERYTHING, limit=99)
    found, _ = await all_of(store)
    told = [row.position for row in found if row.kind == VERSION]
    assert told == [one.position for one in feed.rows if one.position in told]
