"""https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

import json

import pytest

from fhir_server.conformance import definitions
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.terminology.terms import Terms
from fhir_server.validation.knowledge import Knowledge, Known
from fhir_server.validation.validator import Validator
from tests.interaction.conftest import server_on
from tests.rest.client import Client, on_one_database
from tests.rest.conftest import Lines

pytestmark = on_one_database

XML = {"Content-Type": "application/fhir+xml"}
PATIENT = {"resourceType": "Patient", "id": "a", "name": [{"family": "Nguyễn"}]}
BROKEN = {**PATIENT, "gender": "nam"}
UNKNOWN = "http://a.example/p"
BASE = "http://hl7.org/fhir/StructureDefinition/"
DIV = "<div xmlns='http://www.w3.org/1999/xhtml'>Nguyễn</div>"
OLDER = f"{BASE}Patient|3.0.1"
# Best practice (dom-6) is that there is a narrative; then nothing at all is left to say.
WHOLE = {**PATIENT, "text": {"status": "generated", "div": DIV}}


@pytest.fixture
def client_that_knows(store):
    """A client of a server that knows R4's definitions, and what is stored above them."""
    known = definitions.load()

    def make(canonicals):
        terms = Terms(canonicals)
        return Known(canonicals, terms, Validator(known, canonicals=canonicals, terms=terms))

    server = server_on(store, knowledge=Knowledge(canonicals_of_r4(), make))
    return Client(create_app(server, Options(), write_log=Lines()))


def parameters(**given):
    """`mode="create"`, `resource={...}`"""
    types = {"mode": "valueCode", "profile": "valueUri", "resource": "resource"}
    listed = [{"name": name, types.get(name, "valueString"): v} for name, v in given.items()]
    return {"resourceType": "Parameters", "parameter": listed}


def rules(told):
    issues = told.json["issue"]
    return {i["details"]["coding"][0]["code"] for i in issues if i["severity"] == "error"}


WAYS = [
    ("Patient/$validate", lambda resource: resource),
    ("Patient/$validate?mode=create", lambda resource: resource),
    ("Patient/$validate", lambda resource: parameters(resource=resource)),
    ("Patient/$validate", lambda resource: parameters(mode="create", resource=resource)),
    ("Patient/a/$validate", lambda resource: resource),
    ("Patient/a/$validate", lambda resource: parameters(mode="update", resource=resource)),
    ("Patient/a/$validate?mode=update", lambda resource: resource),
    (f"Patient/$validate?profile={BASE}Patient", lambda resource: resource),
]


@pytest.mark.parametrize(("url", "body"), WAYS, ids=range(len(WAYS)))
async def test_it_is_200_whether_the_resource_is_valid_or_not(client, url, body):
    good = await client.post(f"/fhir/{url}", body(WHOLE))
    assert good.status == 200, good.body
    assert good.issue["severity"] == "information"
    assert good.issue["diagnostics"].startswith("All is well")
    extension = good.issue["_diagnostics"]["extension"][0]["extension"]
    assert "Hợp lệ" in extension[1]["valueString"]
    bad = await client.post(f"/fhir/{url}", body(BROKEN))
    assert bad.status == 200
    assert rules(bad) == {"binding"}
    (issue,) = [i for i in bad.json["issue"] if i["severity"] == "error"]
    assert issue["expression"] == ["Patient.gender"]


async def test_nothing_is_stored(client):
    await client.post("/fhir/Patient/$validate", parameters(mode="create", resource=PATIENT))
    await client.post("/fhir/Patient/a/$validate", parameters(mode="update", resource=PATIENT))
    assert (await client.get("/fhir/Patient?_summary=count")).json["total"] == 0


async def test_what_cannot_be_read_is_told_as_an_outcome(client):
    cases = [
        (b'{\n"resourceType": "Patient",\n"active": tru}', {"Content-Type": "text/json"}),
        (b"<Patient xmlns='http://hl7.org/fhir'><shoe value='1'/></Patient>", XML),
        (b"\xff\xfe", {"Content-Type": "text/json"}),
        (b'{"resourceType": 5}', {"Content-Type": "text/json"}),
    ]
    for body, headers in cases:
        told = await client.post("/fhir/Patient/$validate", body, headers=headers)
        assert told.status == 200, told.body
        assert told.issue["severity"] == "fatal"
    told = await client.post("/fhir/Patient/$validate", *cases[0][:1], headers=cases[0][1])
    assert {e["url"][-4:]: e["valueInteger"] for e in told.issue["extension"]}["line"] == 3


async def test_an_issue_tells_its_line_in_what_was_sent(client):
    body = json.dumps(parameters(mode="create", resource=BROKEN), indent=2, ensure_ascii=False)
    headers = {"Content-Type": "application/fhir+json"}
    told = await client.post("/fhir/Patient/$validate", body.encode(), headers=headers)
    (issue,) = [i for i in told.json["issue"] if i["severity"] == "error"]
    line, column = (each["valueInteger"] for each in issue["extension"])
    assert body.splitlines()[line - 1][column - 1 :] == '"nam"'
    namespace = "http://hl7.org/fhir"
    xml = f'<Patient xmlns="{namespace}">\n<id value="a"/>\n  <gender value="nam"/></Patient>'
    told = await client.post("/fhir/Patient/a/$validate", xml.encode(), headers=XML)
    (issue,) = [i for i in told.json["issue"] if i["severity"] == "error"]
    assert [each["valueInteger"] for each in issue["extension"]] == [3, 3]


async def test_a_refused_write_tells_the_line_too(client):
    body = json.dumps(BROKEN, indent=1, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/fhir+json"}
    for method, url in (("POST", "Patient"), ("PUT", "Patient/a")):
        told = await client.request(method, f"/fhir/{url}", body, headers=headers)
        assert told.status == 400
        assert [e["valueInteger"] for e in told.issue["extension"]] == [9, 12]
    entries = [
        {"resource": resource, "request": {"method": "POST", "url": "Patient"}}
        for resource in (PATIENT, BROKEN)
    ]
    for type in ("transaction", "batch"):
        bundle = {"resourceType": "Bundle", "type": type, "entry": entries}
        body = json.dumps(bundle, indent=1, ensure_ascii=False).encode()
        told = await client.post("/fhir", body, headers=headers)
        batch = type == "batch"
        outcome = told.json["entry"][1]["response"]["outcome"] if batch else told.json
        (issue,) = outcome["issue"]
        assert issue["expression"] == ["Bundle.entry[1].resource.gender"]
        line, column = (each["valueInteger"] for each in issue["extension"])
        assert body.decode().splitlines()[line - 1][column - 1 :] == '"nam"'


async def test_the_id_must_be_that_of_the_instance(client):
    other = {**PATIENT, "id": "b"}
    assert rules(await client.post("/fhir/Patient/a/$validate", other)) == {"id-other"}
    without = {k: v for k, v in PATIENT.items() if k != "id"}
    assert rules(await client.post("/fhir/Patient/a/$validate", without)) == set()
    updating = parameters(mode="update", resource=without)
    assert rules(await client.post("/fhir/Patient/a/$validate", updating)) == {"id-missing"}


async def test_another_type_than_that_of_the_url_is_an_issue(client):
    told = await client.post("/fhir/Observation/$validate", PATIENT)
    assert told.status == 200
    assert rules(told) == {"resource-type"}


async def test_a_profile_of_another_type_is_an_issue(client):
    told = await client.post(f"/fhir/Patient/$validate?profile={BASE}Observation", PATIENT)
    assert told.status == 200
    assert rules(told) == {"profile-of-type"}


async def test_a_profile_that_is_stored_can_be_asked_for_and_a_broken_one_is_refused(
    client_that_knows,
):
    client = client_that_knows
    url = "http://hospital.example/StructureDefinition/named"
    constrained = {"id": "Patient.gender", "path": "Patient.gender", "min": 1}
    profile = {
        "resourceType": "StructureDefinition",
        "id": "named",
        "url": url,
        "name": "Named",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": f"{BASE}Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient", "path": "Patient"}, constrained]},
    }
    assert (await client.put("/fhir/StructureDefinition/named", profile)).status == 201
    told = await client.post(f"/fhir/Patient/$validate?profile={url}", PATIENT)
    assert told.status == 200
    assert rules(told) == {"profile-min"}
    broken = {**profile, "baseDefinition": "http://nobody.example/StructureDefinition/none"}
    assert (await client.put("/fhir/StructureDefinition/named", broken)).status == 200
    told = await client.post(f"/fhir/Patient/$validate?profile={url}", PATIENT)
    assert told.status == 422
    assert told.issue["details"]["coding"][0]["code"] == "profile-unusable"


async def test_whether_a_delete_would_be_allowed(client):
    deleting = parameters(mode="delete")
    missing = await client.post("/fhir/Patient/a/$validate", deleting)
    assert missing.status == 200
    assert (missing.issue["severity"], missing.issue["code"]) == ("error", "not-found")
    await client.put("/fhir/Patient/a", PATIENT)
    there = await client.get("/fhir/Patient/a/$validate?mode=delete")
    assert there.issue["diagnostics"] == "`Patient/a` may be deleted."
    await client.delete("/fhir/Patient/a")
    gone = await client.post("/fhir/Patient/a/$validate?mode=delete")
    assert (gone.issue["severity"], gone.issue["code"]) == ("information", "deleted")


async def test_what_is_stored_can_be_judged(client):
    await client.put("/fhir/Patient/a", WHOLE)
    by_id = await client.get("/fhir/Patient/a/$validate")
    assert by_id.issue["diagnostics"].startswith("All is well")
    url = f"/fhir/Patient/a/$validate?mode=profile&profile={BASE}Patient"
    assert (await client.get(url)).issue["severity"] == "information"
    assert (await client.get("/fhir/Patient/none/$validate")).status == 404


async def test_parameters_themselves_can_be_judged(client):
    odd = {"resourceType": "Parameters", "parameter": [{"name": "shoe", "valueCode": "a"}]}
    told = await client.post("/fhir/Parameters/$validate", odd)
    assert told.status == 200
    assert rules(told) == set()
    within = parameters(resource={**odd, "shoe": 1})
    assert rules(await client.post("/fhir/Parameters/$validate", within)) == {"unknown-element"}


REFUSED = [
    ("Patient/$validate", parameters(profile=UNKNOWN, resource=PATIENT), 422, UNKNOWN),
    ("Patient/$validate", parameters(profile=OLDER, resource=PATIENT), 422, OLDER),
    ("Patient/$validate?mode=shoe", PATIENT, 400, "`shoe`"),
    ("Patient/$validate?mode=update", PATIENT, 400, "[type]/[id]/$validate"),
    ("Patient/$validate?mode=delete", None, 400, "[type]/[id]/$validate"),
    ("Patient/a/$validate?mode=profile", None, 400, "needs the parameter `profile`"),
    (f"Patient/a/$validate?mode=profile&profile={BASE}Patient", PATIENT, 400, "what is stored"),
    ("Patient/$validate", None, 400, "nothing to validate"),
    ("Patient/$validate", parameters(mode="create"), 400, "nothing to validate"),
    ("Patient/$validate?mode=create&mode=update", PATIENT, 400, "more than once"),
    ("Patient/$validate?color=red", PATIENT, 400, "`mode`, `profile`, `resource`"),
    ("Patient/$validate?resource=a", None, 400, "must be a resource"),
    ("$validate", PATIENT, 404, "at the type and instance level"),
]  # fmt: skip


@pytest.mark.parametrize(("url", "body", "status", "told"), REFUSED)
async def test_a_question_that_has_no_answer_is_refused(client, url, body, status, told):
    answer = await client.post(f"/fhir/{url}", body)
    assert answer.status == status
    assert told in answer.issue["diagnostics"]


async def test_it_may_be_asked_in_a_batch(client):
    entry = {"resource": BROKEN, "request": {"method": "POST", "url": "Patient/$validate"}}
    told = await client.post("/fhir", {"resourceType": "Bundle", "type": "batch", "entry": [entry]})
    (answered,) = told.json["entry"]
    assert answered["response"]["status"] == "200 OK"
    assert answered["resource"]["resourceType"] == "OperationOutcome"
    assert ["Patient.gender"] in [i["expression"] for i in answered["resource"]["issue"]]
