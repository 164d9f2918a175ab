"""Records stored by the interactions a client would use."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.demo import Way, expected, facility_bundles, visits
from fhir_server.demo.load import Loaded, load
from fhir_server.foundation import wire
from fhir_server.interaction.bundle import Ask, bundle
from fhir_server.store.contract import EVERYTHING, History
from tests.interaction.conftest import BY_ANYBODY, server_on, told

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def server(store):
    return server_on(store)


async def test_loading_twice_changes_nothing(server):
    first = await load(server, patients=5, seed=3, circumstances=BY_ANYBODY)
    census = await server.store.census()
    assert first.stored == sum(census.values())
    assert await load(server, patients=5, seed=3, circumstances=BY_ANYBODY) == Loaded(
        0, first.stored
    )
    assert await server.store.census() == census
    assert await server.store.count_history(History(restriction=EVERYTHING)) == first.stored


async def test_a_load_that_was_broken_off_goes_on_where_it_stopped(server):
    for part in facility_bundles(500):
        await bundle(server, Ask(part), BY_ANYBODY)
    loaded = await load(server, patients=5, seed=3, circumstances=BY_ANYBODY)
    assert loaded.already == 472
    assert loaded.stored > 0


async def test_a_load_tells_how_far_it_is(server):
    at = []
    loaded = await load(
        server, patients=5, seed=3, circumstances=BY_ANYBODY, progress=lambda *told: at.append(told)
    )
    assert at[0] == (200, expected(5))
    assert at[-1] == (loaded.stored, loaded.stored)


@pytest.mark.parametrize("way", [Way.CONDITIONAL, Way.PUT])
async def test_visits_sent_again_make_nothing_new(server, way):
    for part in facility_bundles():
        await bundle(server, Ask(part), BY_ANYBODY)
    for visit in visits(4, 8, way=way):
        await bundle(server, Ask(visit), BY_ANYBODY)
    census = await server.store.census()
    for visit in visits(4, 8, way=way):
        await bundle(server, Ask(visit), BY_ANYBODY)
    assert await server.store.census() == census
    assert census["Patient"] == 4


async def test_the_example_visit_is_stored_once_however_often_it_is_sent(server):
    await bundle(server, Ask(wire.parse((EXAMPLES / "facility.json").read_bytes())), BY_ANYBODY)
    visit = wire.parse((EXAMPLES / "visit.json").read_bytes())
    statuses = []
    for _ in range(2):
        answer = told(await bundle(server, Ask(visit), BY_ANYBODY))
        statuses.append([entry["response"]["status"][:3] for entry in answer["entry"]])
    assert statuses == [["201"] * 5, ["200"] * 5]
    census = await server.store.census()
    assert census == {"Organization": 1, "Patient": 1, "Encounter": 1, "MedicationRequest": 3}
