"""What the server answers is what an independent, slow and simple search finds."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation import wire
from fhir_server.interaction import bundle, search
from tests.interaction.conftest import told
from tests.oracle.answer import in_order, included
from tests.oracle.evaluate import Oracle
from tests.oracle.questions import Questions
from tests.oracle.world import World

WORLDS, EACH = 3, 700


async def stored(server, here, world):
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in world.records
    ]
    asked = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    text = json.dumps(asked).encode()  # as a client would send it
    answer = await bundle.bundle(server, bundle.Ask(wire.parse(text)), here)
    assert answer.status == 200, answer.body


async def answered(server, here, question, **more):
    pairs = [*question.criteria, *question.results, *more.items()]
    return told(await search.search(server, search.Ask((question.type,), pairs), here))


def named(answer, mode):
    """By `type/id`, in the order of the answer."""
    found = [one for one in answer.get("entry", []) if one["search"]["mode"] == mode]
    return [f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in found]


async def walked(server, here, question):
    """The matches of all pages, three at a time."""
    answer, found = await answered(server, here, question, _count="3"), []
    while True:
        found += named(answer, "match")
        links = {link["relation"]: link["url"] for link in answer["link"]}
        if "next" not in links:
            return found
        pairs = parse_qsl(urlsplit(links["next"]).query, keep_blank_values=True)
        answer = told(await search.search(server, search.Ask((question.type,), pairs), here))


async def check(server, here, oracle, question):
    """What is wrong with the answer, or nothing; and how many it finds."""
    expected = {f"{question.type}/{id}" for id in oracle.find(question.type, question.criteria)}
    answer = await answered(server, here, question, _count="1000")
    assert answer["total"] == len(expected)
    matches = named(answer, "match")
    if question.given("_summary"):
        assert not matches
        return len(expected)
    assert sorted(matches) == sorted(expected)
    includes = [*question.given("_include"), *question.given("_revinclude")]
    assert sorted(named(answer, "include")) == sorted(included(oracle, expected, includes))
    for _, sort in question.given("_sort"):
        assert in_order([oracle.by_key[key] for key in matches], sort)
    if question.walked:
        assert await walked(server, here, question) == matches
    return len(expected)


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_every_answer_is_that_of_the_oracle(server, here, seed):
    world = World(seed)
    await stored(server, here, world)
    oracle, questions = Oracle(world.records), Questions(world, seed)
    found_some = 0
    for _ in range(EACH):
        question = questions.one()
        try:
            found_some += bool(await check(server, here, oracle, question))
        except Exception as wrong:
            wrong.add_note(json.dumps(question, ensure_ascii=False))
            raise
    assert found_some > EACH / 4  # else the questions prove little
