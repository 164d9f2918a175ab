"""What a facility reaches is read by patient and by facility: the same pages as any other way."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.store import sqlite_history
from fhir_server.store.condition import depth
from fhir_server.store.contract import (
    EVERYTHING,
    FOREVER,
    AllOf,
    AnyOf,
    ByMain,
    ByUpdated,
    Care,
    Collected,
    Contains,
    Facts,
    Ground,
    History,
    IndexRows,
    Interval,
    KeyBetween,
    KeyIs,
    Near,
    Not,
    ReferredBy,
    Refers,
    Restriction,
    Select,
    UpdatedWithin,
    Whole,
    WholeLike,
    WordStarts,
    rid,
)
from fhir_server.store.postgresql import history as postgresql_history
from fhir_server.store.schema import sqlite_path
from fhir_server.store.select import SQLITE, Bound, page, page_sql, weighing, windows
from fhir_server.store.select.reached import DEEPEST, grounds_of
from fhir_server.store.select.weighing import ByReach
from fhir_server.store.sqlite import SqliteStore
from tests.store.world import has, made, newest, rows, unit, version

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
                select = Select(("Observation",), where, restriction=restriction)
                wanted = expected(world, restriction, codes)
                everything = Select(("Observation",), where, restriction=EVERYTHING)
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
    select = Select(("Observation",), AllOf(), restriction=MINE)

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


LEAVES = {
    "a key": KeyIs(1, 2, -1),
    "keys": AnyOf((KeyIs(3, 2, 0), KeyIs(4, 2, 7))),
    "a dominant key": KeyIs(1, 2, -1, 3, "Observation"),
    "keys between": KeyBetween(1, 2, 3, -1),
    "a word": WordStarts(1, "ab", (2,), ("ac",)),
    "words": AnyOf((WordStarts(1, "ab"), Contains(1, "uy"))),
    "a whole": Whole(1, "ab c", 5, (2,)),
    "like": WholeLike(1, "ab", "ends"),
    "a range": Interval(1, 1.0, 2.0, 3.0, 4.0, 5, 6),
    "near": Near(1, 2.0, 3.0, 4.0),
    "changed": UpdatedWithin(1, 2),
}
SHAPES = {
    "not": lambda inner, key: Not(AllOf((inner, key))),
    "either": lambda inner, key: AllOf((AnyOf((inner, Not(key))), key)),
    "leads to": lambda inner, key: Refers((1,), ("Patient",), inner),
    "is led to by": lambda inner, key: ReferredBy((1,), ("Encounter",), inner, many=True),
}


def nested(leaf):
    """As deep as may be, in each order of the shapes."""
    todo = [leaf]
    while todo:
        inner = todo.pop()
        deeper = [shape(inner, LEAVES["a word"]) for shape in SHAPES.values()]
        fitting = [one for one in deeper if depth(one) <= DEEPEST]
        todo += fitting
        if len(fitting) < len(deeper):
            yield inner


@pytest.mark.parametrize("leaf", LEAVES)
def test_the_deepest_that_is_read_by_reach_is_a_statement_that_sqlite_reads(tmp_path, leaf):
    connection = sqlite3.connect(made(tmp_path))
    connection.create_function("distance", 4, lambda *_: 0.0)
    bound = Bound(9, (3,))
    for condition in nested(LEAVES[leaf]):
        select = Select(("Observation",), condition, restriction=MINE)
        assert grounds_of(select) or isinstance(condition, ReferredBy)
        for order in (ByMain(), ByMain(descending=False), ByUpdated(True)):
            (*_, window) = windows(order, limit=5, after=None, backward=False, bound=bound)
            driver = ByReach(MINE.grounds, hoped=True)
            asked = page_sql(select, window, dialect=SQLITE, driver=driver)
            connection.execute(f"explain {asked.text}", asked.values)
    connection.close()


async def test_a_question_too_deep_for_the_database_is_refused_in_words(sqlite_url):
    store = SqliteStore(sqlite_path(sqlite_url))
    await store.open()
    condition = LEAVES["a word"]
    for _ in range(6):
        condition = Refers((1,), ("Patient",), AllOf((condition, LEAVES["words"])))
    try:
        with pytest.raises(Invalid, match="less deep"):
            await store.find(Select(("Observation",), condition, restriction=EVERYTHING), at_most=1)
    finally:
        await store.close()


def past(world, restriction):
    return {key for key, (facts, _) in world.items() if restriction.allows(facts)}


NOBODYS = Ground(frozenset({"Observation"}), owners=frozenset({0}))


@pytest.mark.parametrize("reach", [3, 1500], ids=["looked up", "near"])
@pytest.mark.parametrize("ascending", [False, True], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("types", [("Observation",), ("Observation", "Encounter"), ()], ids=len)
def test_a_history_holds_what_is_reached_and_a_page_as_many_as_if_there_were_no_others(
    store, run, world, monkeypatch, clock, types, ascending, reach
):
    for module in (sqlite_history, postgresql_history):
        monkeypatch.setattr(module, "REACH", reach)

    async def judged():
        for key in sorted(world)[::4]:
            was = await newest(store, str(key))
            clock.now += 1
            new = version(str(key), "deleted", before=world[key][1], follows=was)
            await store.commit(unit(new))
        for restriction in (MINE, Restriction((*MINE.grounds, NOBODYS))):
            wanted = past(world, restriction)
            told = {"types": types, "ascending": ascending, "limit": 7}
            free = History(**told | {"limit": 999}, restriction=EVERYTHING)
            whole = [row for row in (await store.history(free)).rows if row.key in wanted]
            met, page = [], None
            while page is None or page.more:
                after, bound = (met[-1].position, page.bound) if page else (None, None)
                asked = History(**told, restriction=restriction, after=after, bound=bound)
                page = await store.history(asked)
                assert len(page.rows) == 7 or not page.more
                met += page.rows
            assert [row for row in met if row.key.type == "Observation"] == whole

    run(judged())
