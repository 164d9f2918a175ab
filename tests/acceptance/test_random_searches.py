"""Whatever is searched for: never a 5xx, and every refusal says which parameter it is about.

https://hl7.org/fhir/R4/search.html#errors
FHIR_TEST_EXAMPLES makes it long, and other each time; a failure shows its seed and its URL.
"""

from __future__ import annotations

import json
import os
import random

import pytest

from fhir_server.interaction.text_following import TextFollowing
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.acceptance.searches import Searches, written
from tests.interaction.bounds import tighten
from tests.interaction.conftest import server_on
from tests.interaction.test_text_following import texts
from tests.oracle.world import World
from tests.rest.client import Client
from tests.terminology.known import code_system, system, value_set

LONG = "FHIR_TEST_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FHIR_TEST_EXAMPLES", "400"))
SEEDS = [random.randrange(2**32)] if LONG else [1, 2]
LENIENT = {"Prefer": "handling=lenient"}
PLACES = [(10.03, 105.78), (90, 0), (-90, 10), (0, 180), (0, -179.99)]
SPECIAL = [
    {"resourceType": "List", "id": "five", "status": "current", "mode": "working",
     "entry": [{"item": {"reference": f"Patient/patient-{n}"}} for n in range(5)]},
    *({"resourceType": "Location", "id": f"place-{n}", "name": "x",
       "position": {"latitude": latitude, "longitude": longitude}}
      for n, (latitude, longitude) in enumerate(PLACES)),
    {**code_system("urn:x:codes", "a", {"code": "b", "concept": [{"code": "c"}]}), "id": "codes"},
    {**value_set("urn:x:set", system("urn:x:codes")), "id": "set"},
]  # fmt: skip


@pytest.fixture
def troubles():
    return []


@pytest.fixture
def server(store):
    return server_on(store, texts=TextFollowing(texts(), store))


@pytest.fixture
def client(server, run, troubles):
    client = Client(create_app(server, Options(max_url=64 * 1024), write_log=troubles.append))

    async def fill():
        for one in [*World(1).records, *SPECIAL]:
            told = await client.put(f"/fhir/{one['resourceType']}/{one['id']}", one)
            assert told.status == 201, told.body

    run(fill())
    return client


@pytest.mark.parametrize("seed", SEEDS)
async def test_any_search_is_answered_or_refused_with_a_reason(server, client, troubles, seed):
    searches, found = Searches(server.parameters, seed), 0
    for number in range(EXAMPLES):
        path, pairs = searches.one()
        asked = seed, path, pairs
        url = f"/fhir/{path}?{written(pairs)}"
        told = await client.get(url, headers=LENIENT if number % 4 == 0 else {})
        client.app.log.flush()
        assert not [line for line in troubles if b'"level":"error"' in line], (asked, troubles)
        troubles.clear()
        assert 200 <= told.status < 500, (asked, told)
        if "json" in told.headers["content-type"] and "content-encoding" not in told.headers:
            resource = json.loads(told.body)
            found += told.status == 200 and "entry" in resource
            assert_a_reason(resource, told.status, asked)
    assert found > EXAMPLES / 20  # else they prove little


@pytest.mark.parametrize("seed", SEEDS)
async def test_whichever_way_it_is_done_the_answer_is_the_same(server, client, monkeypatch, seed):
    """With the bounds there are, and where everything is many."""
    searches = Searches(server.parameters, seed + 10)
    asked = [searches.one() for _ in range(EXAMPLES)]
    ordinary = [await answered(client, *one) for one in asked]
    tighten(monkeypatch)
    found = 0
    for one, expected in zip(asked, ordinary, strict=True):
        if all(pair != ("_total", "estimate") for pair in one[1]):
            assert await answered(client, *one) == expected, (seed, one)
            found += len(expected) > 2
    assert found > EXAMPLES / 40


async def answered(client, path, pairs):
    """The status, and of what was found the total and what it is, in order."""
    told = await client.get(f"/fhir/{path}?{written(pairs)}", headers=LENIENT)
    if told.status != 200 or "json" not in told.headers["content-type"]:
        return [told.status]
    bundle = told.json
    there = [entry["resource"] for entry in bundle.get("entry", ())]
    return [200, bundle.get("total"), *((one["resourceType"], one.get("id")) for one in there)]


def assert_a_reason(resource, status, asked):
    if status == 200:
        assert resource["resourceType"] == "Bundle", asked
        return
    assert resource["resourceType"] == "OperationOutcome", asked
    for issue in resource["issue"]:
        assert issue["diagnostics"], asked
        assert len(issue["diagnostics"]) < 5000, asked
        if status == 400 and "the query there" not in issue["diagnostics"]:  # no parameter's fault
            assert issue["expression"][0].startswith("http."), (asked, issue)
