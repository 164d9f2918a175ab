"""https://hl7.org/fhir/R4/search.html#total"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import TooCostly
from fhir_server.foundation.resource import Key
from fhir_server.interaction import totals
from fhir_server.store import sqlite_connection
from fhir_server.store.contract import EVERYTHING, Select, rid
from fhir_server.store.contract.reach import only
from fhir_server.store.select import counting
from tests.interaction.conftest import asked, patient, put, server_on, within
from tests.store.world import has, rows, unit, version

MANY = 3000


async def people(server, here, number):
    males = [patient(f"p{n}", gender=("male", "female")[n % 2]) for n in range(number)]
    await put(server, here, *males)


# what is asked beside _count=2                 total
TOLD = [
    ([], None),
    ([("_total", "none")], None),
    ([("_total", "accurate")], 5),
    ([("_total", "estimate")], 5),
    ([("_total", "accurate"), ("gender", "male")], 3),
    ([("_total", "estimate"), ("gender", "male")], 3),
    ([("_total", "none"), ("gender", "other")], None),
    ([("gender", "other")], 0),
    ([("_summary", "count")], 5),
    ([("_summary", "count"), ("_total", "estimate")], 5),
    ([("_summary", "count"), ("gender", "male")], 3),
]


@pytest.mark.parametrize(("pairs", "total"), TOLD)
async def test_a_total_is_told_where_it_is_asked_for_or_known(server, here, pairs, total):
    await people(server, here, 5)
    bundle = await asked(server, here, ("Patient",), ("_count", "2"), *pairs)
    assert bundle.get("total") == total


async def test_no_count_is_the_same_as_a_count_alone(server, here):
    await people(server, here, 5)
    for pair in (("_count", "0"), ("_summary", "count")):
        bundle = await asked(server, here, ("Patient",), pair)
        assert (bundle["total"], bundle.get("entry")) == (5, None)


async def test_a_count_that_takes_too_long_is_refused_and_an_estimate_named(
    database, here, monkeypatch
):
    monkeypatch.setattr(sqlite_connection, "INSTRUCTIONS", 20)
    monkeypatch.setattr(totals, "PATIENCE", 0.0)
    options = {"inline": 0.0} if database.product == "sqlite" else {}
    store = database.store(**options)
    await store.open()
    try:
        server = server_on(store)
        await people(server, here, 5)
        for pairs in ([("_summary", "count")], [("_total", "accurate"), ("_count", "1")]):
            with pytest.raises(TooCostly, match="_total=estimate") as refusal:
                await asked(server, here, ("Patient",), ("gender", "male"), *pairs)
            assert refusal.value.issues[0].code == "too-costly"
        bundle = await asked(server, here, ("Patient",), ("_count", "1"), ("_total", "estimate"))
        assert bundle["total"] == 5
    finally:
        await store.close()


async def test_an_estimate_is_near_without_counting_everything(store, monkeypatch):
    """Of 3,000 resources 600 are looked at."""
    for name, value in (("EXACT", 50), ("FEW", 100), ("SAMPLES", (300, 600)), ("ENOUGH", 400)):
        monkeypatch.setattr(counting, name, value)
    for start in range(0, MANY, 500):
        new = [
            version(f"Patient/{n}", rows=rows("x", *(["y"] if n % 3 == 0 else []), owner=n % 2 + 1))
            for n in range(start, start + 500)
        ]
        await store.commit(unit(*new))
    for select, true in (
        (Select(("Patient",), has("x"), restriction=EVERYTHING), 3000),
        (Select(("Patient",), has("y"), restriction=EVERYTHING), 1000),
        (Select((), has("y"), restriction=EVERYTHING), 1000),
        (Select(("Patient",), has("y"), restriction=only(owners=frozenset({1}))), 500),
        (Select((), has("y"), restriction=only(types=frozenset({"Patient"}))), 1000),
    ):
        assert abs(await store.estimate(select) - true) < true / 4
    assert await store.estimate(Select(("Patient",), has("z"), restriction=EVERYTHING)) == 0
    assert await store.estimate(Select(("Encounter",), restriction=EVERYTHING)) == 0


# how many were looked at, the last number, of the types, how many met       estimate
SCALED = [
    ((10, 5, 8, 3), 3),  # the sample was everything
    ((100, counting.WHOLE // 10, 70, 50), 500),
    ((100, counting.WHOLE // 10, 0, 0), 0),
    ((0, None, None, None), 0),
]


@pytest.mark.parametrize(("sample", "estimate"), SCALED)
def test_a_sample_says_as_much_of_the_rest(sample, estimate):
    assert counting.Sample(*sample).scaled(100) == estimate


async def test_what_one_may_not_reach_is_in_no_total(server, here):
    await people(server, here, 5)
    mine = only(owners=frozenset({rid(Key("Patient", "p0")), rid(Key("Patient", "p1"))}))
    inside = within(here, mine)
    for pairs in ([("_total", "estimate")], [("_total", "accurate")], [("_summary", "count")]):
        bundle = await asked(server, inside, ("Patient",), ("_count", "1"), *pairs)
        assert bundle["total"] == 2
