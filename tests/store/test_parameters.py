"""Parameters beside R4's own have their numbers, and no write by rules of before comes through."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.store.contract import EVERYTHING, NO_ROWS, Position, Select, Stale
from fhir_server.store.contract.parameter import (
    BUILDING,
    FIRST_CUSTOM,
    GONE,
    LAST_CUSTOM,
    READY,
    REMOVED,
    Declaration,
    Declared,
    Filling,
    Reached,
    changes,
    only,
    without,
)

from .world import has, key_row, newest, rows, unit, version

A, B = FIRST_CUSTOM, FIRST_CUSTOM + 1
START = Reached()


def wanted(code="ward", base="Patient", facts="{}", types=("Patient",)):
    return Declaration(base, code, facts, types)


def coded(*codes, number=A):
    return replace(NO_ROWS, keys=frozenset(key_row(code, number) for code in codes))


async def put(store, key, *, rules=0, unsure=frozenset(), **told):
    follows = await newest(store, key)
    new = replace(version(key, follows=follows, **told), unsure=unsure)
    return await store.commit(unit(new, rules=rules))


async def declare(store, *declarations, source="http://here.example/ward"):
    return await store.parameters.declare(source, None, declarations)


async def table(store):
    return {row.number: row for row in (await store.parameters.all()).rows}


async def found(store, code, number=A):
    page = await store.search(
        Select(("Patient",), has(code, number), restriction=EVERYTHING), limit=100
    )
    return sorted(stored.key.id for stored in page.rows)


async def fill(store, number, types=("Patient",), limit=2, made=lambda _stored: coded("all")):
    """As reindexing does it, one page at a time."""
    row = (await table(store))[number]
    after = Position(row.reached.seq, row.reached.num)
    versions = await store.parameters.following(types[0], after, row.horizon, limit=limit)
    if not versions:
        await store.parameters.finish([number], row.reached)
        return False
    reached = Reached(103, *versions[-1].position)
    pairs = [(one, made(one)) for one in versions]
    return await store.parameters.fill(Filling((number,), row.reached, reached, pairs, 0, 5.0))


# --- numbers and states --------------------------------------------------------------------------


async def test_what_no_resource_has_is_ready_at_once_and_else_it_is_to_be_built(store):
    assert await declare(store, wanted())
    await put(store, "Patient/1", rules=1)
    assert await declare(store, wanted("bed"), source="http://here.example/bed")
    rows = await table(store)
    assert (rows[A].state, rows[B].state) == (READY, BUILDING)
    assert (await store.parameters.all()).change == 2


async def test_the_same_declared_again_changes_nothing(store):
    assert await declare(store, wanted())
    assert not await declare(store, wanted())
    assert (await store.parameters.all()).change == 1


async def test_other_facts_are_another_number_and_the_old_one_is_gone_for_ever(store):
    await declare(store, wanted())
    await declare(store, wanted(facts='{"other":1}'))
    await declare(store, wanted())
    told = {number: row.state for number, row in (await table(store)).items()}
    assert told == {A: GONE, A + 1: GONE, A + 2: READY}


async def test_a_code_belongs_to_who_declared_it_first(store):
    await declare(store, wanted())
    assert not await declare(store, wanted(facts="2"), source="http://there.example/ward")
    assert list(await table(store)) == [A]


async def test_only_the_newest_version_of_a_definition_declares(store):
    await put(store, "SearchParameter/ward", text="first")
    await put(store, "SearchParameter/ward", text="second")
    source = "SearchParameter/ward"
    assert not await store.parameters.declare(source, 1, [wanted()])
    assert not await store.parameters.declare("SearchParameter/none", 1, [wanted()])
    assert await store.parameters.declare(source, 2, [wanted()])


async def test_two_that_declare_at_one_time_are_given_two_numbers(store):
    sources = [f"http://here.example/{n}" for n in range(5)]
    await asyncio.gather(
        *(declare(store, wanted(f"c{n}"), source=source) for n, source in enumerate(sources))
    )
    rows = await table(store)
    assert sorted(rows) == [A, A + 1, A + 2, A + 3, A + 4]
    assert {row.source for row in rows.values()} == set(sources)
    assert sorted(row.change for row in rows.values()) == [1, 2, 3, 4, 5]


def test_where_no_number_is_left_none_is_given():
    rows = [
        Declared(number, "http://a", "Patient", str(number), "", GONE, 1, 0)
        for number in range(FIRST_CUSTOM, LAST_CUSTOM)
    ]
    found = changes(rows, "http://b", [wanted("x"), wanted("y")])
    assert [(number, one.code) for number, one in found.new] == [(LAST_CUSTOM, "x")]


# --- writers -------------------------------------------------------------------------------------


async def test_a_unit_made_by_rules_of_before_is_stale(store):
    await put(store, "Patient/1")
    await declare(store, wanted())
    for new in ("Patient/1", "Patient/2"):  # one that follows, one that is plain
        with pytest.raises(Stale):
            await put(store, new)
    with pytest.raises(Stale):
        await store.commit(unit(rules=0))
    await put(store, "Patient/1", rules=1)
    await put(store, "Patient/2", rules=1)


async def test_plain_units_gathered_across_a_change_are_each_judged_by_themselves(store):
    await declare(store, wanted())
    made = [unit(version(f"Patient/{n}"), rules=n % 2) for n in range(20)]
    told = await asyncio.gather(*map(store.commit, made), return_exceptions=True)
    assert [isinstance(one, Stale) for one in told] == [n % 2 == 0 for n in range(20)]


async def test_an_update_leaves_whole_rows_though_those_of_before_were_never_there(store):
    await put(store, "Patient/1", rows=rows("x"))
    await declare(store, wanted())
    both = replace(rows("x"), keys=rows("x").keys | coded("kept").keys)
    building = frozenset([A])
    await put(store, "Patient/1", rules=1, rows=both, before=both, unsure=building)
    assert await found(store, "kept") == ["1"]
    assert await found(store, "x", 1) == ["1"]
    await put(store, "Patient/1", rules=1, rows=rows("x"), before=both, unsure=building)
    assert await found(store, "kept") == []


# --- filling -------------------------------------------------------------------------------------


async def test_filling_goes_through_what_is_older_than_the_number_and_nothing_else(store):
    for n in range(5):
        await put(store, f"Patient/{n}")
    await put(store, "Patient/3", text="deleted")
    await put(store, "Observation/9")
    await declare(store, wanted())
    await put(store, "Patient/later", rules=1)
    await put(store, "Patient/0", rules=1, unsure=frozenset([A]))
    await store.parameters.ask([A], began=7, total=5)
    while await fill(store, A):
        pass
    assert await found(store, "all") == ["1", "2", "4"]
    row = (await table(store))[A]
    assert (row.state, row.done, row.total, row.began) == (READY, 3, 3, 0)


async def test_what_is_no_longer_current_is_given_no_rows(store):
    await put(store, "Patient/1")
    await put(store, "Patient/2")
    await declare(store, wanted())
    await store.parameters.ask([A], began=7, total=2)
    horizon = (await table(store))[A].horizon
    read = await store.parameters.following("Patient", Position(0, -1), horizon, limit=9)
    await put(store, "Patient/1", rules=1, unsure=frozenset([A]))  # between reading and writing
    reached = Reached(103, *read[-1].position)
    pairs = [(one, coded("old")) for one in read]
    assert await store.parameters.fill(Filling((A,), START, reached, pairs, 0, 1.0))
    assert await found(store, "old") == ["2"]


async def test_nothing_is_filled_unasked_twice_or_from_elsewhere(store):
    await put(store, "Patient/1")
    await declare(store, wanted())
    [read] = await store.parameters.following("Patient", Position(0, -1), 2**40, limit=9)
    reached = Reached(103, *read.position)
    once = Filling((A,), START, reached, [(read, coded("x"))], 0, 1.0)
    assert not await store.parameters.fill(once)
    await store.parameters.ask([A], began=7, total=1)
    assert await store.parameters.fill(once)
    assert not await store.parameters.fill(once)
    again = replace(once, before=reached)
    await store.parameters.cancel([A])
    assert not await store.parameters.fill(again)
    await store.parameters.finish([A], reached)
    assert (await table(store))[A].state == BUILDING
    await declare(store)
    assert not await store.parameters.fill(again)


async def test_rows_of_a_parameter_that_is_gone_are_taken_away_and_no_others(store):
    await declare(store, wanted(), wanted("bed"))
    both = replace(NO_ROWS, keys=coded("x").keys | coded("x", number=B).keys)
    for n in range(3):
        await put(store, f"Patient/{n}", rules=1, rows=both)
    await declare(store, wanted("bed"))
    while await store.parameters.sweep(A):
        pass
    assert await found(store, "x") == []
    assert await found(store, "x", B) == ["0", "1", "2"]
    assert (await table(store))[A].state == REMOVED


async def test_one_process_at_a_time_is_alone(database, run, store):
    async with store.parameters.alone() as first:
        assert first
        if database.product == "sqlite":
            return
        async with store.parameters.alone() as second:
            assert not second
    async with store.parameters.alone() as again:
        assert again


def test_rows_are_told_apart_by_their_parameter():
    mixed = replace(rows("x", names=("a",)), keys=rows("x").keys | coded("y").keys)
    assert only(mixed, frozenset([A])).keys == coded("y").keys
    assert only(mixed, frozenset([A])).strings == frozenset()
    assert without(mixed, frozenset([A])) == rows("x", names=("a",))
