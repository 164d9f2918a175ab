"""What a facility reaches is read by patient and by facility: the same pages as any other way."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import (
    FOREVER,
    AllOf,
    AnyOf,
    ByMain,
    ByUpdated,
    Care,
    Collected,
    Facts,
    Ground,
    IndexRows,
    Restriction,
    Select,
    rid,
)
from fhir_server.store.select import page, weighing
from tests.store.world import has, newest, rows, unit, version

HERE, THERE = rid(Key("Organization", "here")), rid(Key("Organization", "there"))
PATIENTS = [rid(Key("Patient", str(n))) for n in range(6)]
MINE = Restriction((Ground(in_care_of=(HERE, 10)), Ground(facility=HERE)))
ORDERS = {
    "newest first": ByMain(),
    "oldest first": ByMain(descending=False),
    "last changed first": ByUpdated(True),
    "last changed last": ByUpdated(False),
    "by id": Collected(lambda version: (version.key.id,), (False,), bodies=False),
}


def observation(draw, id, patient):
    codes = draw.sample(("x", "y", "z"), 2)
    told = rows(*codes, day=draw.choice((0, 1, 2, 3, 4)), owner=patient)
    return version(f"Observation/{id:02}", rows=told)


@pytest.fixture
def world(store, run, clock):
    """Observations of six patients, of whom three are in the care of HERE; a few are its own."""
    draw, facts = random.Random(5), dict[Key, tuple[Facts, IndexRows]]()

    async def live():
        for n, patient in enumerate(PATIENTS):
            ends = (FOREVER, 11, FOREVER, 10, 9, FOREVER)[n]
            place = HERE if n != 5 else THERE
            basis = version(f"Patient/{n}", rows=rows(owner=patient))
            cares = (Care(patient, patient, place, ends), Care(patient, PATIENTS[0], HERE, 99))
            await store.commit(unit(replace(basis, cares=cares[: 1 + (n == 1)])))
        for id in range(60):
            clock.now += 1
            patient, place = draw.choice((*PATIENTS, 0)), draw.choice((0, THERE, THERE, HERE))
            new = replace(observation(draw, id, patient), facility=place)
            await store.commit(unit(new))
            cared = frozenset({HERE} if patient in PATIENTS[:3] else ())
            facts[new.key] = Facts("Observation", patient, place, cared), new.rows
        return facts

    return run(live())


async def walk(store, select, order, limit, change=None):
    """All pages, forward and then back; something happens after the first."""
    met, edges, bound, after = [], [], None, None
    while True:
        found = await store.search(select, limit=limit, order=order, after=after, bound=bound)
        met += [row.key for row in found.rows]
        bound, after = found.bound, found.edge
        if after is None:
            break
        edges.append(after)
        if change is not None:
            await change()
            change = None
    back = []
    for edge in reversed(edges):
        found = await store.search(
            select, limit=limit, order=order, after=edge, bound=bound, backward=True
        )
        back = [row.key for row in found.rows] + back
    return met, back


def expected(world, restriction, codes):
    keys = (
        [frozenset({(row.v, row.w) for row in rows("x", "y", "z").keys})]
        if not codes
        else [frozenset((row.v, row.w) for row in rows(*codes).keys)]
    )
    return {
        key
        for key, (facts, index) in world.items()
        if restriction.allows(facts) and {(row.v, row.w) for row in index.keys} & keys[0]
    }


@pytest.mark.parametrize("at_once", [99, 0], ids=["looked up", "hoped for"])
@pytest.mark.parametrize("order", ORDERS)
def test_pages_hold_what_is_reached_once_in_order_whatever_changes(
    store, run, world, monkeypatch, order, at_once
):
    monkeypatch.setattr(weighing, "TREATED_AT_ONCE", at_once)
    monkeypatch.setattr(weighing, "WEIGHED_UP_TO", 5)
    monkeypatch.setattr(page, "REACH", 20)
    restrictions = (MINE, Restriction(MINE.grounds[:1]), Restriction(MINE.grounds[1:]))
    conditions = ((), ("x",), ("x", "y"))

    async def judged():
        for restriction in restrictions:
            for codes in conditions:
                where = AnyOf(tuple(map(has, codes))) if len(codes) > 1 else AllOf()
                where = has(*codes) if len(codes) == 1 else where
                select = Select(("Observation",), where, restriction)
                wanted = expected(world, restriction, codes)
                everything = Select(("Observation",), where)
                whole, _ = await walk(store, everything, ORDERS[order], 99)
                for limit in (1, 4, 70):
                    met, back = await walk(store, select, ORDERS[order], limit)
                    assert met == [key for key in whole if key in wanted], (codes, limit)
                    assert back == met[: len(back)]
                assert await store.count(select) == len(wanted)
                assert await store.estimate(select) == len(wanted)

    run(judged())


@pytest.mark.parametrize("at_once", [99, 0], ids=["looked up", "hoped for"])
@pytest.mark.parametrize("order", ["newest first", "oldest first", "last changed first"])
def test_who_moves_between_two_pages_is_met_once_where_they_stood(
    store, run, world, monkeypatch, clock, order, at_once
):
    monkeypatch.setattr(weighing, "TREATED_AT_ONCE", at_once)
    monkeypatch.setattr(page, "REACH", 20)
    select = Select(("Observation",), AllOf(), MINE)

    async def change():
        for key in sorted(world)[::3]:
            was = await newest(store, str(key))
            facts, index = world[key]
            told = rows("x", day=7, owner=facts.owner)
            clock.now += 1
            new = version(str(key), "b", rows=told, before=index, follows=was)
            await store.commit(unit(replace(new, facility=facts.facility)))

    async def walked():
        whole, _ = await walk(store, select, ORDERS[order], 99)
        met, back = await walk(store, select, ORDERS[order], 4, change)
        assert met == whole
        assert back == met[: len(back)]

    run(walked())
