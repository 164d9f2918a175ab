"""Versions of many places: several rows of one commit, whom each follows, what is half known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import digest_of
from fhir_server.store.contract import EVERYTHING, History, Select, Stale, rid
from fhir_server.store.contract.lineage import Earlier, Known, Stub
from fhir_server.store.contract.log import OWNER, owner_of
from fhir_server.store.contract.side import MARK
from tests.store.world import as_stored, chained, has, newest, rev, rows, unit, version

PATIENT = Key("Patient", "p")


async def lineage(store, key=PATIENT):
    return (await store.lineage([key])).get(key, ())


async def found(store, code, **rest):
    page = await store.search(Select(("Patient",), has(code), restriction=EVERYTHING), limit=9)
    return [stored.version_id for stored in page.rows]


def of(base, text, *parents):
    """A version as another place made it, from these."""
    made = version(f"{base.key.type}/{base.key.id}", text, follows=as_stored(base))
    digest = digest_of(
        *base.key,
        [rev(parent) for parent in parents],
        deleted=False,
        resource={"resourceType": base.key.type, "id": base.key.id, "language": text},
    )
    generation = 1 + max(parent.generation for parent in parents)
    return replace(made, generation=generation, digest=digest, parents=tuple(map(rev, parents)))


def row_of(new):
    return Earlier(new.generation, new.digest, new.method, new.tail, new.parents)


async def test_several_rows_of_one_commit_stand_in_their_order_and_the_last_stands_for_it(store):
    one, three = version("Patient/p", "a"), chained("Patient/p", "a", "b", "c", rows=rows("x"))
    committed = await store.commit(unit(version("Patient/q", "q"), three))
    assert committed.positions[1] == committed.place(3)
    assert committed.place(1) < committed.place(2) < committed.place(3)
    stored = await newest(store, "Patient/p")
    assert (stored.version_id, stored.position) == (rev(three), committed.place(3))
    assert await found(store, "x") == [rev(three)]
    page = await store.history(History(PATIENT, restriction=EVERYTHING))
    assert [one.version_id for one in page.rows] == [
        rev(three), rev(three.earlier[1]), rev(three.earlier[0])
    ]  # fmt: skip
    feed = await store.feed(None, restriction=EVERYTHING, limit=9)
    assert [one.key.id for one in feed.rows] == ["q", "p", "p", "p"]
    assert {one.position for one in feed.rows} == {committed.place(n) for n in range(4)}
    assert rev(three.earlier[0]) == rev(one)
    first = await store.at_version(PATIENT, rev(one), EVERYTHING)
    assert (first.tail, first.updated) == (one.tail, committed.updated)


async def test_who_follows_the_last_of_several_is_not_refused_and_who_follows_another_is(store):
    await store.commit(unit(chained("Patient/p", "a", "b")))
    stored = await newest(store, "Patient/p")
    await store.commit(unit(chained("Patient/p", "c", "d", follows=stored)))
    with pytest.raises(Stale):
        await store.commit(unit(version("Patient/p", "e", follows=stored)))
    told = await lineage(store)
    assert [(one.parents, one.state) for one in told] == [
        (() if not before else (before[0].rev,), "alive")
        for before in ([], *([one] for one in told[:-1]))
    ]


async def test_lineage_of_what_was_written_in_one_place_is_the_order_of_its_rows(store):
    assert await store.lineage([PATIENT]) == {}
    await store.commit(unit(version("Patient/p", "a")))
    await store.commit(unit(version("Patient/p", "b", follows=await newest(store, "Patient/p"))))
    gone = version("Patient/p", "deleted", follows=await newest(store, "Patient/p"))
    await store.commit(unit(gone))
    back = version("Patient/p", "c", follows=await newest(store, "Patient/p"))
    await store.commit(unit(back))
    told = await lineage(store)
    assert [one.state for one in told] == ["alive", "alive", "deleted", "alive"]
    assert [one.parents for one in told] == [(), *((one.rev,) for one in told[:-1])]
    assert [one.position for one in told] == sorted(one.position for one in told)


async def test_what_loses_the_display_stands_before_the_one_that_keeps_it(store):
    base = version("Patient/p", "base")
    await store.commit(unit(base))
    mine = version("Patient/p", "mine", follows=await newest(store, "Patient/p"), rows=rows("m"))
    await store.commit(unit(mine))
    stored = await newest(store, "Patient/p")
    theirs = of(base, "theirs", base)
    again = replace(mine, follows=stored, before=mine.rows, earlier=(row_of(theirs),))
    committed = await store.commit(unit(again))
    shown = await newest(store, "Patient/p")
    assert (shown.version_id, shown.position) == (rev(mine), committed.place(1))
    assert await found(store, "m") == [rev(mine)]
    told = {one.rev: one for one in await lineage(store)}
    assert told[rev(theirs)] == Known(rev(theirs), (rev(base),), "alive", committed.place(0))
    assert told[rev(mine)] == Known(rev(mine), (rev(base),), "alive", stored.position)
    page = await store.history(History(PATIENT, restriction=EVERYTHING))
    assert [one.version_id for one in page.rows] == list(map(rev, (mine, theirs, mine, base)))
    merged = replace(of(theirs, "both", mine, theirs), follows=shown, rows=rows("m"))
    await store.commit(unit(replace(merged, before=mine.rows)))
    told = {one.rev: one for one in await lineage(store)}
    assert told[rev(merged)].parents == (rev(mine), rev(theirs))
    assert await newest(store, "Patient/p")
    both = await store.at_versions([(PATIENT, rev(mine)), (PATIENT, rev(theirs))], EVERYTHING)
    assert {one.version_id: one.tail for one in both} == {
        rev(mine): mine.tail,
        rev(theirs): theirs.tail,
    }
    assert len(both) == 2


async def test_a_stub_is_known_by_its_parents_until_its_body_comes(store):
    first = version("Patient/p", "first")
    second = of(first, "second", first)
    third = of(second, "third", second)
    stubs = (
        Stub(first.generation, first.digest, ()),
        Stub(second.generation, second.digest, (rev(first),)),
    )
    await store.commit(unit(replace(third, follows=None, stubs=stubs)))
    told = {one.rev: one for one in await lineage(store)}
    assert told[rev(third)].parents == (rev(second),)
    assert told[rev(second)] == Known(rev(second), (rev(first),), "stub", None)
    assert told[rev(first)] == Known(rev(first), (), "stub", None)
    assert await store.at_version(PATIENT, rev(second), EVERYTHING) is None
    shown = await newest(store, "Patient/p")
    again = replace(third, follows=shown, earlier=(row_of(second),), parents=third.parents)
    committed = await store.commit(unit(again))
    told = {one.rev: one for one in await lineage(store)}
    assert told[rev(second)] == Known(rev(second), (rev(first),), "alive", committed.place(0))
    assert told[rev(first)].state == "stub"


async def test_what_left_is_as_if_deleted_and_comes_back_as_it_was(store):
    new = version("Patient/p", "a", rows=rows("x", owner=rid(PATIENT)))
    await store.commit(unit(new))
    stored = await newest(store, "Patient/p")
    left = replace(new, method="LEFT", tail=None, rows=rows(), before=new.rows, follows=stored)
    await store.commit(unit(left))
    hidden = await newest(store, "Patient/p")
    assert (hidden.deleted, hidden.method, hidden.owner) == (True, "LEFT", rid(PATIENT))
    assert await found(store, "x") == []
    assert await store.census() == {}
    assert [(one.rev, one.state) for one in await lineage(store)] == [(rev(new), "alive")]
    page = await store.history(History(PATIENT, restriction=EVERYTHING))
    assert [(one.method, one.version_id) for one in page.rows] == [("POST", rev(new))]
    back = replace(new, method="PUT", follows=hidden)
    await store.commit(unit(back))
    assert await found(store, "x") == [rev(new)]
    assert await store.census() == {"Patient": 1}
    assert (await newest(store, "Patient/p")).version_id == rev(new)
    then = version("Patient/p", "b", follows=await newest(store, "Patient/p"))
    await store.commit(unit(then))
    assert [one.parents for one in await lineage(store)] == [(), (rev(new),)]


async def test_a_deletion_told_again_stays_a_deletion_of_the_same_patient(store):
    owned = rows("x", owner=7)
    new = version("Encounter/e", "a", rows=owned)
    await store.commit(unit(new))
    gone = version("Encounter/e", "deleted", follows=await newest(store, "Encounter/e"))
    await store.commit(unit(replace(gone, before=owned)))
    stored = await newest(store, "Encounter/e")
    await store.commit(unit(replace(gone, follows=stored)))
    again = await newest(store, "Encounter/e")
    assert (again.version_id, again.deleted, again.owner) == (rev(gone), True, 7)
    assert await store.census() == {}
    assert [one.key.id for one in await store.compartments([7], None, limit=9)] == ["e"]


async def test_who_changes_patient_is_told_in_the_log_at_that_version(store):
    mine, theirs = rows(owner=7), rows(owner=8)
    new = version("Encounter/e", "a", rows=mine)
    await store.commit(unit(new))
    stored = await newest(store, "Encounter/e")
    moved = version("Encounter/e", "b", rows=theirs, before=mine, follows=stored)
    committed = await store.commit(unit(version("Encounter/f"), moved))
    (mark,) = await store.side.range(MARK, limit=9)
    assert (mark.seq, mark.num) == committed.place(1)
    assert (mark.kind, mark.rid, mark.whom, owner_of(mark.body)) == (OWNER, rid(new.key), 7, 8)


async def test_what_was_deleted_and_comes_back_for_another_patient_is_told_too(store):
    mine = rows(owner=7)
    await store.commit(unit(version("Encounter/e", "a", rows=mine)))
    gone = version("Encounter/e", "deleted", follows=await newest(store, "Encounter/e"))
    await store.commit(unit(replace(gone, before=mine)))
    assert await store.side.count(MARK) == 0
    back = version("Encounter/e", "b", rows=rows(owner=8))
    await store.commit(unit(replace(back, follows=await newest(store, "Encounter/e"))))
    assert await store.side.count(MARK) == 1
