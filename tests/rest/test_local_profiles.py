"""What a client is told where the local profiles are enforced.

https://hl7.org/fhir/R4/http.html#create
https://hl7.org/fhir/R4/http.html#return
"""

from __future__ import annotations

from functools import cache

import pytest

from fhir_server.conformance import definitions
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.server import knowledge_of
from fhir_server.settings import Settings
from tests.interaction.conftest import server_on
from tests.rest.client import Client, on_one_database
from tests.rest.conftest import Lines

pytestmark = on_one_database

CCCD = "http://fhir.hl7.org.vn/core/sid/cccd"
GOOD = {
    "resourceType": "Patient",
    "identifier": [{"system": CCCD, "value": "092091001234"}],
    "name": [{"text": "Trần Văn Bình"}],
    "gender": "male",
    "birthDate": "1991-03-02",
}
DOUBTFUL = {**GOOD, "gender": "female"}  # the number says male: a warning
WRONG = {**GOOD, "identifier": [{"system": CCCD, "value": "09209100123"}]}
BROKEN = {**WRONG, "gender": "nam"}


@cache
def knowledge():
    return knowledge_of(Settings(), definitions.load())


@pytest.fixture
def client(store):
    server = server_on(store, knowledge=knowledge())
    return Client(create_app(server, Options(), write_log=Lines()))


def rules(outcome):
    return [
        (each["severity"], coding["code"])
        for each in outcome["issue"]
        for coding in each.get("details", {}).get("coding", [])
    ]


@pytest.mark.parametrize(
    ("patient", "status", "told"),
    [
        (WRONG, 422, [("error", "vn-pat-cccd")]),
        (BROKEN, 400, [("error", "vn-pat-cccd"), ("error", "binding")]),
    ],
    ids=["what only a profile forbids", "what R4 forbids, and the rest with it"],
)
async def test_a_refusal_is_422_where_only_a_profile_is_broken(client, patient, status, told):
    refused = await client.post("/fhir/Patient", patient)
    assert (refused.status, rules(refused.json)) == (status, told)


async def test_a_warning_is_stored_and_counted_in_the_answer(client):
    good = await client.post("/fhir/Patient", GOOD)
    assert (good.status, good.headers.get("warning")) == (201, None)
    stored = await client.post("/fhir/Patient", DOUBTFUL)
    assert stored.status == 201
    assert stored.headers["warning"].startswith('299 - "1 warning')
    assert stored.json["resourceType"] == "Patient"


async def test_who_asks_for_an_outcome_is_told_the_warnings(client):
    headers = {"Prefer": "return=OperationOutcome"}
    stored = await client.post("/fhir/Patient", DOUBTFUL, headers=headers)
    assert stored.status == 201
    assert ("warning", "vn-pat-cccd-sex") in rules(stored.json)


@pytest.mark.parametrize("type", ["batch", "transaction"])
async def test_an_entry_tells_its_own_warnings(client, type):
    request = {"method": "POST", "url": "Patient"}
    entries = [{"resource": each, "request": request} for each in (GOOD, DOUBTFUL)]
    bundle = {"resourceType": "Bundle", "type": type, "entry": entries}
    answer = await client.post("/fhir", bundle)
    first, second = (each["response"] for each in answer.json["entry"])
    assert first["status"] == second["status"] == "201 Created"
    assert "outcome" not in first
    assert rules(second["outcome"]) == [("warning", "vn-pat-cccd-sex")]


async def test_what_was_found_is_counted_by_rule(client):
    for patient in (WRONG, DOUBTFUL, WRONG):
        await client.post("/fhir/Patient", patient)
    told = (await client.get("/metrics")).body.decode()
    assert 'fhir_validation_issues_total{rule="vn-pat-cccd",severity="error"} 2.0' in told
    assert 'fhir_validation_issues_total{rule="vn-pat-cccd-sex",severity="warning"} 1.0' in told


async def test_types_without_a_rule_are_asked_for_r4_alone(client):
    assert (await client.post("/fhir/Location", {"resourceType": "Location"})).status == 201
