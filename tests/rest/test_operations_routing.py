"""https://hl7.org/fhir/R4/operations.html#executing"""

from __future__ import annotations

import json

import pytest

from fhir_server.interaction.context import Answer
from fhir_server.operation.call import Given, Operation
from fhir_server.operation.parameters import answer, parameters
from fhir_server.operation.table import Table
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.interaction.conftest import server_on
from tests.rest.client import Client, on_one_database
from tests.rest.conftest import Lines

pytestmark = on_one_database

XML = {"Content-Type": "application/fhir+xml"}


async def echo(_server, call, _circumstances) -> Answer:
    """Says what it was called with."""
    told = [Given("at", f"{call.level} {call.type} {call.id}", "string")]
    told += [one for one in call.given if one.value is not None and one.type]
    told += [
        Given(one.name, one.value, "string") for one in call.given if one.type is None and one.value
    ]
    if call.body:
        told.append(Given("body", resource=call.body))
    return answer(parameters(told))


def line(name, levels, types=None, **more) -> Operation:
    return Operation(
        name=name,
        definition=f"http://example.org/OperationDefinition/{name}",
        levels=frozenset(levels.split()),
        types=types and frozenset(types.split()),
        parameters=frozenset({"code", "resource", "several"}),
        perform=echo,
        **more,
    )


TABLE = Table(
    (
        line("everywhere", "system type instance"),
        line("look", "type", "CodeSystem ValueSet", bodies=frozenset({"ValueSet"})),
        line("look", "instance", "CodeSystem"),
        line("sent", "type", get=False),
    )
)


@pytest.fixture
def client(store):
    server = server_on(store, operations=TABLE)
    return Client(create_app(server, Options(), write_log=Lines()))


PLACES = [
    ("GET", "$everywhere", "system None None"),
    ("POST", "$everywhere", "system None None"),
    ("GET", "Patient/$everywhere", "type Patient None"),
    ("GET", "Patient/a/$everywhere", "instance Patient a"),
    ("POST", "Patient/a/$everywhere", "instance Patient a"),
    ("GET", "CodeSystem/$look", "type CodeSystem None"),
    ("GET", "CodeSystem/x/$look", "instance CodeSystem x"),
    ("POST", "Patient/$sent", "type Patient None"),
]


@pytest.mark.parametrize(("method", "path", "told"), PLACES)
async def test_an_operation_is_found_where_the_table_has_it(client, method, path, told):
    answered = await client.request(method, f"/fhir/{path}")
    assert answered.status == 200, answered.body
    assert answered.json["parameter"][0]["valueString"] == told


REFUSED = [
    ("GET", "$nothing", 404, "Those of the whole system are `$everywhere`"),
    ("GET", "Patient/$nothing", 404, "Those of Patient are `$everywhere`, `$sent`"),
    ("GET", "$look", 404, "type level of CodeSystem or ValueSet; at the instance level of Code"),
    ("GET", "Patient/$look", 404, "It is at the type level of CodeSystem or ValueSet"),
    ("GET", "ValueSet/a/$look", 404, "It is at the type level"),
    ("GET", "Shoe/$look", 404, "not a resource type"),
    ("GET", "Patient/a_b/$everywhere", 404, "cannot be an id"),
    ("GET", "Patient/a/_history/1/$everywhere", 404, "at this place"),
    ("GET", "Patient/$sent", 405, "must be asked by POST"),
    ("PUT", "Patient/$everywhere", 405, "GET, HEAD, POST, OPTIONS"),
    ("GET", "$everywhere?color=red", 400, "These are: `code`, `resource`, `several`"),
]


@pytest.mark.parametrize(("method", "path", "status", "told"), REFUSED)
async def test_what_is_not_in_the_table_is_refused_with_what_is(client, method, path, status, told):
    answered = await client.request(method, f"/fhir/{path}")
    assert answered.status == status
    assert told in answered.issue["diagnostics"]


async def test_parameters_come_by_url_by_parameters_and_as_a_bare_resource(client):
    by_url = await client.get("/fhir/$everywhere?code=a&several=1&several=2&_format=json")
    assert [p.get("valueString") for p in by_url.json["parameter"][1:]] == ["a", "1", "2"]
    told = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "code", "valueCode": "a"},
            {"name": "several", "valueCoding": {"system": "http://a.example", "code": "b"}},
        ],
    }
    by_post = await client.post("/fhir/$everywhere", told)
    assert by_post.json["parameter"][1:] == told["parameter"]
    value_set = {"resourceType": "ValueSet", "status": "active"}
    bare = await client.post("/fhir/ValueSet/$look?code=a", value_set)
    assert bare.json["parameter"][-1] == {"name": "body", "resource": value_set}


async def test_lenient_passes_over_what_is_unknown(client):
    headers = {"Prefer": "handling=lenient"}
    answered = await client.get("/fhir/$everywhere?color=red&code=a", headers=headers)
    assert [p["name"] for p in answered.json["parameter"]] == ["at", "code"]


async def test_xml_is_taken_and_given(client):
    body = (
        b'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="code"/>'
        b'<valueCode value="a"/></parameter></Parameters>'
    )
    headers = {**XML, "Accept": "application/fhir+xml"}
    answered = await client.post("/fhir/$everywhere", body, headers=headers)
    assert b'<name value="code"/><valueCode value="a"/>' in answered.body


MALFORMED = [
    ({"parameter": {}}, "Parameters.parameter"),
    ({"parameter": [5]}, "Parameters.parameter[0].name"),
    ({"parameter": [{"name": "code"}]}, "Parameters.parameter[0]"),
    ({"parameter": [{"name": "code", "valueCode": "a", "part": []}]}, "Parameters.parameter[0]"),
    ({"parameter": [{"name": "code", "valueCode": " a"}]}, "Parameters.parameter[0].value"),
    ({"parameter": [{"name": "code", "valueCoding": "a"}]}, "Parameters.parameter[0].value"),
    ({"parameter": [{"name": "code", "valueShoe": {"a": 1}}]}, "Parameters.parameter[0].valueShoe"),
    ({"parameter": [{"name": "code", "value": "a"}]}, "Parameters.parameter[0].value"),
    (
        {"parameter": [{"name": "code", "valueCoding": {"code": ["a"]}}]},
        "Parameters.parameter[0].value.code",
    ),
    ({"parameter": [{"name": "resource", "resource": []}]}, "Parameters.parameter[0].resource"),
    (
        {"parameter": [{"name": "resource", "resource": {"resourceType": "Patient", "a": 1}}]},
        "Parameters.parameter[0].resource.a",
    ),
]


@pytest.mark.parametrize(("content", "place"), MALFORMED)
async def test_malformed_parameters_are_refused_with_their_place(client, content, place):
    answered = await client.post("/fhir/$everywhere", {"resourceType": "Parameters", **content})
    assert answered.status == 400
    assert place in [e for i in answered.json["issue"] for e in i["expression"]]


async def test_parameters_and_parts_have_an_end(client):
    many = [{"name": "several", "valueString": "a"}] * 1001
    deep = {"name": "several", "valueString": "a"}
    for _ in range(9):
        deep = {"name": "several", "part": [deep]}
    for listed, told in ((many, "more than 1000"), ([deep], "deeper than 8")):
        body = {"resourceType": "Parameters", "parameter": listed}
        answered = await client.post("/fhir/$everywhere", body)
        assert answered.status == 400
        assert told in answered.issue["diagnostics"]


async def test_another_resource_than_an_operation_takes_is_refused(client):
    answered = await client.post(
        "/fhir/ValueSet/$look", {"resourceType": "Patient", "active": True}
    )
    assert answered.status == 400
    assert "takes `Parameters`, `ValueSet`" in answered.issue["diagnostics"]
    broken = await client.post("/fhir/ValueSet/$look", {"resourceType": "ValueSet", "status": 1})
    assert broken.status == 400
    unread = await client.post("/fhir/$everywhere", b"{", headers={"Content-Type": "text/json"})
    assert unread.status == 400


# --- in a Bundle ---------------------------------------------------------------------------------


def bundle(type, *entries):
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def entry(method, url, resource=None):
    told = {"request": {"method": method, "url": url}}
    return {"resource": resource, **told} if resource else told


@pytest.mark.parametrize("type", ["batch", "transaction"])
async def test_the_entries_of_a_bundle_may_be_operations(client, type):
    body = {"resourceType": "Parameters", "parameter": [{"name": "code", "valueCode": "a"}]}
    patient = {"resourceType": "Patient", "active": True}
    told = await client.post(
        "/fhir",
        bundle(
            type,
            entry("GET", "$everywhere?code=b"),
            entry("POST", "CodeSystem/$look", body),
            entry("POST", "Patient", patient),
            entry("GET", "CodeSystem/x/$look"),
        ),
    )
    assert told.status == 200, told.body
    entries = told.json["entry"]
    assert [e["response"]["status"][:3] for e in entries] == ["200", "200", "201", "200"]
    assert entries[0]["resource"]["parameter"][1]["valueString"] == "b"
    assert entries[1]["resource"]["parameter"][1]["valueCode"] == "a"
    assert entries[3]["resource"]["parameter"][0]["valueString"] == "instance CodeSystem x"


async def test_in_a_batch_each_operation_is_refused_for_itself(client):
    told = await client.post(
        "/fhir",
        bundle(
            "batch",
            entry("GET", "Patient/$nothing"),
            entry("GET", "Shoe/$look"),
            entry("GET", "a/b/c/$look"),
            entry("PUT", "Patient/$everywhere", {"resourceType": "Patient"}),
            entry("GET", "Patient/$sent"),
            entry("GET", "$everywhere?color=red"),
            entry("GET", "$everywhere"),
        ),
    )
    statuses = [e["response"]["status"][:3] for e in told.json["entry"]]
    assert statuses == ["404", "404", "404", "400", "405", "400", "200"]
    refusal = told.json["entry"][5]["response"]["outcome"]["issue"][0]
    assert refusal["expression"] == ["Bundle.entry[5].request"]


async def test_a_transaction_with_an_operation_that_is_refused_changes_nothing(client):
    patient = {"resourceType": "Patient", "active": True}
    body = bundle("transaction", entry("POST", "Patient", patient), entry("GET", "$nothing"))
    assert (await client.post("/fhir", body)).status == 404
    assert (await client.get("/fhir/Patient?_summary=count")).json["total"] == 0


# --- what is told of them ------------------------------------------------------------------------


async def test_the_capability_statement_lists_the_table(client):
    (rest,) = (await client.get("/fhir/metadata")).json["rest"]
    definition = "http://example.org/OperationDefinition/everywhere"
    assert rest["operation"] == [{"name": "everywhere", "definition": definition}]
    types = {entry["type"]: [o["name"] for o in entry["operation"]] for entry in rest["resource"]}
    assert types["CodeSystem"] == ["everywhere", "look", "sent"]
    assert types["Patient"] == ["everywhere", "sent"]


async def test_options_and_head(client):
    told = await client.options("/fhir/Patient/$everywhere")
    assert told.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    assert (await client.head("/fhir/Patient/$everywhere")).status == 200


async def test_the_answer_may_be_a_summary(client):
    told = await client.get("/fhir/$everywhere?_elements=parameter")
    assert told.json["resourceType"] == "Parameters"
    assert json.loads(told.body)["parameter"]
