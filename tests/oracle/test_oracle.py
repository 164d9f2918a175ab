"""What the server finds is what an independent, slow and simple search finds."""

from __future__ import annotations

import json

import pytest

from fhir_server.foundation import wire
from fhir_server.interaction import bundle, search
from tests.interaction.conftest import here, server, told  # noqa: F401 - fixtures
from tests.oracle.evaluate import Oracle
from tests.oracle.questions import Questions
from tests.oracle.world import World

WORLDS, EACH = 3, 700


async def stored(server, here, world):  # noqa: F811 - fixtures
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in world.records
    ]
    asked = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    text = json.dumps(asked).encode()  # as a client would send it
    answer = await bundle.bundle(server, bundle.Ask(wire.parse(text)), here)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_every_answer_is_that_of_the_oracle(server, here, seed):  # noqa: F811 - fixtures
    world = World(seed)
    await stored(server, here, world)
    oracle, questions = Oracle(world.records), Questions(world, seed)
    found_some = 0
    for _ in range(EACH):
        type, pairs = questions.one()
        expected = oracle.find(type, pairs)
        ask = search.Ask((type,), [*pairs, ("_count", "1000")])
        answer = told(await search.search(server, ask, here))
        found = {entry["resource"]["id"] for entry in answer.get("entry", [])}
        assert found == expected, json.dumps([type, pairs], ensure_ascii=False)
        assert answer["total"] == len(expected)
        found_some += bool(expected)
    assert found_some > EACH / 4  # else the questions prove little
