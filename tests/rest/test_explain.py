"""`$explain` as a client asks it: the URL of a search with one word more."""

from __future__ import annotations

import pytest

from tests.rest.client import on_one_database

pytestmark = on_one_database

# the URL of a search                                           what it is of
SEARCHES = [
    ("/fhir/Patient", "?name=ngu&_summary=count", "Patient"),
    ("/fhir/Patient", "?name=ngu&_elements=name&_summary=true", "Patient"),
    ("/fhir/Patient", "?_sort=-birthdate&_count=5&_total=accurate", "Patient"),
    ("/fhir/Patient", "", "Patient"),
    ("/fhir", "?_type=Patient,Encounter&_lastUpdated=gt2020", None),
    ("/fhir/Encounter", "?_include=Encounter:subject&_format=json", "Encounter"),
]


def named(told, name):
    return [p for p in told["parameter"] if p["name"] == name]


@pytest.mark.parametrize(("path", "query", "type"), SEARCHES)
async def test_any_search_can_be_explained_by_its_own_url(client, path, query, type):
    assert (await client.get(f"{path}{query}")).status == 200
    answer = await client.get(f"{path}/$explain{query}")
    assert answer.status == 200, answer.body
    asked = named(answer.json, "query")[0]["valueString"]
    assert asked == f"http://test{path}{query}"
    assert named(answer.json, "step")


async def test_it_is_told_in_xml_too(client):
    answer = await client.get(
        "/fhir/Patient/$explain?name=x", headers={"Accept": "application/xml"}
    )
    assert answer.status == 200
    assert b"begins with" in answer.body


async def test_what_a_search_refuses_is_refused(client):
    for query in ("?shoe=1", "?_summary=short", "?_cursor=x", "?_include=Patient:shoe"):
        answer = await client.get(f"/fhir/Patient/$explain{query}")
        assert answer.status == 400, query
        assert answer.issue["expression"][0].startswith("http.")
    assert (await client.get("/fhir/Patient/1/$explain")).status == 404
    assert (await client.post("/fhir/Patient/$explain", {"resourceType": "Patient"})).status == 400


async def test_the_statement_of_capabilities_names_it(client):
    rest = (await client.get("/fhir/metadata")).json["rest"][0]
    assert "explain" in {operation["name"] for operation in rest["operation"]}
    entries = [entry for entry in rest["resource"] if entry["type"] != "AuditEvent"]
    assert all("explain" in {o["name"] for o in entry["operation"]} for entry in entries)
