"""What is read, written and refused is written down before it is answered, and told to who may
know it."""

from __future__ import annotations

import asyncio
import json

import pytest

from fhir_server.foundation.outcome import Unavailable
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.audit import said, verification
from fhir_server.security.audit.anchors import Anchor
from fhir_server.security.audit.record import Record
from fhir_server.security.operator import operator
from fhir_server.store.contract import Sought
from fhir_server.store.upkeep import audit
from tests.interaction.conftest import server_on
from tests.rest.client import Client, on_one_database

AN = {"resourceType": "Patient", "id": "an", "name": [{"family": "Nguyễn"}]}
BINH = {"resourceType": "Patient", "id": "binh", "name": [{"family": "Trần"}]}
PULSE = {
    "resourceType": "Observation",
    "id": "pulse",
    "status": "final",
    "code": {"text": "pulse"},
    "subject": {"reference": "Patient/an"},
}
AN_NUMBER = said.of_patient("an")
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@pytest.fixture
def server(store):
    return server_on(store, audit=True)


async def told(server, **asked):
    """What was written down, oldest first."""
    found = await server.store.audit.found(Sought(limit=1000, **asked))
    return [said.read(entered.body) for entered in reversed(found)]


async def last(server):
    return (await told(server))[-1]


async def stored(client, *resources):
    for one in resources:
        answer = await client.put(f"/fhir/{one['resourceType']}/{one['id']}", one)
        assert answer.status in (200, 201), answer.body


# asked                                     said as, with which status; of whom; of which records
READS = [
    ("/fhir/Patient/an", "read", 200, ["an"], ["Patient/an"]),
    ("/fhir/Observation/pulse", "read", 200, ["an"], ["Observation/pulse"]),
    ("/fhir/Observation/pulse?_elements=code", "read", 200, ["an"], ["Observation/pulse"]),
    ("/fhir/Patient", "search-type", 200, ["an", "binh"], ["Patient/an", "Patient/binh"]),
    ("/fhir/Patient?family=nguyen", "search-type", 200, ["an"], ["Patient/an"]),
    ("/fhir/Patient?family=nobody", "search-type", 200, [], []),
    ("/fhir/Patient?_summary=count", "search-type", 200, [], []),
    ("/fhir?_type=Observation", "search-system", 200, ["an"], ["Observation/pulse"]),
    ("/fhir/Patient/an/Observation", "search-compartment", 200, ["an"], ["Observation/pulse"]),
    (
        "/fhir/Observation?_include=Observation:subject",
        "search-type",
        200,
        ["an"],
        ["Observation/pulse", "Patient/an"],
    ),
    ("/fhir/Observation/pulse/_history", "history-instance", 200, ["an"], ["Observation/pulse"]),
    ("/fhir/Observation/_history", "history-type", 200, ["an"], ["Observation/pulse"]),
    ("/fhir/Patient/nobody", "read", 404, [], []),
    ("/fhir/Patient?nonsense=1", "search-type", 400, [], []),
    ("/fhir/Nonsense", "attempt", 404, [], []),
    ("/fhir/Patient/an/$validate", "operation", 200, ["an"], ["Patient/an"]),
    ("/fhir/Patient/an/$nonsense", "operation", 404, [], []),
]


@pytest.mark.parametrize(("url", "name", "status", "patients", "records"), READS)
async def test_v5_0_0_16_3_2_every_read_and_refusal_is_written_down(
    server, client, url, name, status, patients, records
):
    await stored(client, AN, BINH, PULSE)
    before = len(await told(server))
    answer = await client.get(url)
    (one,) = (await told(server))[before:]
    assert (answer.status, one.interaction, one.status, one.url) == (status, name, status, url)
    assert one.request == answer.headers["x-request-id"]
    assert (one.client, one.address) == ("anyone", "127.0.0.1")
    assert sorted(one.patients) == sorted(map(said.of_patient, patients))
    assert sorted(f"{type}/{id}" for type, id, _, _ in one.resources) == records
    assert bool(one.code) == (status >= 400)


async def test_an_old_version_is_told_by_its_name(server, client):
    first = await client.put("/fhir/Patient/an", AN)
    await client.put("/fhir/Patient/an", {**AN, "gender": "male"})
    answer = await client.get(f"/fhir/Patient/an/_history/{first.version}")
    assert answer.status == 200
    assert (await last(server)).resources == (("Patient", "an", first.version, 1),)


# asked, where `*` is the version that was An's            whose; how many versions are told
OLD = [
    ("/fhir/Observation/pulse/_history/*", ["an", "binh"], 1),
    ("/fhir/Observation/pulse/_history", ["an", "binh"], 2),
    ("/fhir/Observation/_history", ["an", "binh"], 2),
    ("/fhir/Observation/pulse", ["binh"], 1),
    ("/fhir/List/l?_include=x", [], 0),
    ("/fhir/List?_include=List:item", ["an", "binh"], 2),
]


@pytest.mark.parametrize(("url", "patients", "records"), OLD)
async def test_an_old_version_is_told_of_who_it_was_of_and_whose_it_is_today(
    server, client, url, patients, records
):
    """A measurement was written to the wrong patient's record, and then to the right one's."""
    first = await client.put("/fhir/Observation/pulse", PULSE)
    await client.put("/fhir/Observation/pulse", PULSE | {"subject": {"reference": "Patient/binh"}})
    item = {"reference": f"Observation/pulse/_history/{first.version}"}
    kept = {"resourceType": "List", "id": "l", "status": "current", "mode": "working"}
    await stored(client, kept | {"entry": [{"item": item}]})
    await client.get(url.replace("*", first.version))
    one = await last(server)
    assert sorted(one.patients) == sorted(map(said.of_patient, patients))
    assert len(one.resources) == records
    of_an = {version for *_, version, _ in one.of(AN_NUMBER).resources}
    assert of_an == ({first.version} if "an" in patients else set())


async def test_an_answer_that_is_given_again_is_told_of_who_it_was_of(server, client):
    once = {"Idempotency-Key": "k"}
    first = await client.put("/fhir/Observation/pulse", PULSE, headers=once)
    await client.put("/fhir/Observation/pulse", PULSE | {"subject": {"reference": "Patient/binh"}})
    again = await client.put("/fhir/Observation/pulse", PULSE, headers=once)
    assert again.body == first.body
    both = sorted(map(said.of_patient, ("an", "binh")))
    assert sorted((await last(server)).patients) == both


async def test_a_search_by_form_is_told_with_its_parameters(server, client):
    await stored(client, AN)
    await client.form("/fhir/Patient/_search", b"family=nguyen&birthdate=2000")
    assert (await last(server)).url == "/fhir/Patient/_search?family=nguyen&birthdate=2000"


async def test_what_says_nothing_of_anyone_is_not_written_down(server, client):
    for answer in (
        await client.get("/fhir/metadata"),
        await client.options("/fhir/Patient"),
        await client.get("/livez"),
    ):
        assert answer.status < 300
    assert await told(server) == []


@pytest.mark.parametrize("way", ["put", "post", "patch", "delete"])
async def test_a_write_has_one_entry_which_names_the_version_it_made(server, client, way):
    await stored(client, AN, PULSE)
    before = len(await told(server))
    match way:
        case "put":
            answer = await client.put("/fhir/Observation/pulse", {**PULSE, "status": "amended"})
        case "post":
            answer = await client.post("/fhir/Observation", PULSE)
        case "patch":
            change = [{"op": "replace", "path": "/status", "value": "amended"}]
            answer = await client.patch(
                "/fhir/Observation/pulse", json.dumps(change).encode(), headers=JSON_PATCH
            )
        case "delete":
            answer = await client.delete("/fhir/Observation/pulse")
    assert answer.status in (200, 201, 204), answer.body
    (one,) = (await told(server))[before:]
    names = {"put": "update", "post": "create", "patch": "patch", "delete": "delete"}
    assert one.interaction == names[way]
    assert one.patients == (AN_NUMBER,)
    assert [each[2] for each in one.resources] == [answer.version]


# method, body                                        the status
REFUSED = [
    ("put", "/fhir/Patient/an", {**AN, "gender": "nonsense"}, 400),
    ("put", "/fhir/Patient/an", {**AN, "id": "other"}, 400),
    ("patch", "/fhir/Patient/nobody", {"resourceType": "Parameters"}, 404),
    ("delete", "/fhir/Patient?family=nobody&nonsense=1", None, 400),
    ("post", "/fhir/Nonsense", AN, 404),
    ("post", "/fhir", AN, 400),
]


@pytest.mark.parametrize(("method", "url", "body", "status"), REFUSED)
async def test_a_write_that_is_refused_is_written_down_and_nothing_else(
    server, client, method, url, body, status
):
    await stored(client, AN)
    before = len(await told(server))
    answer = await client.request(method.upper(), url, body)
    assert answer.status == status
    (one,) = (await told(server))[before:]
    assert (one.status, one.resources) == (status, ())


async def test_what_changes_nothing_is_written_down_too(server, client):
    await stored(client, AN)
    before = len(await told(server))
    assert (await client.put("/fhir/Patient/an", AN)).status == 200
    assert (await client.delete("/fhir/Patient/nobody")).status == 204
    exists = {"If-None-Exist": "family=nguyen"}
    assert (await client.post("/fhir/Patient", AN, headers=exists)).status == 200
    kept = (await told(server))[before:]
    assert [one.interaction for one in kept] == ["update", "delete", "create"]
    assert [one.patients for one in kept] == [(AN_NUMBER,), (), (AN_NUMBER,)]


async def test_a_repeated_request_is_told_that_it_was_told_again(server, client):
    once = {"Idempotency-Key": "k"}
    first = await client.post("/fhir/Patient", AN, headers=once)
    again = await client.post("/fhir/Patient", AN, headers=once)
    assert first.body == again.body
    kept = await told(server)
    assert len(kept) == 2
    assert kept[0].resources == kept[1].resources


def entry(method, url, resource=None):
    found = {"request": {"method": method, "url": url}}
    return found | ({"resource": resource} if resource else {})


def bundle(type, *entries):
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


async def test_a_transaction_is_one_entry_and_what_it_reads_another(server, client):
    await stored(client, BINH)
    before = len(await told(server))
    asked = bundle(
        "transaction",
        entry("PUT", "Patient/an", AN),
        entry("POST", "Observation", PULSE),
        entry("GET", "Patient/binh"),
    )
    assert (await client.post("/fhir", asked)).status == 200
    written, read = (await told(server))[before:]
    assert (written.interaction, len(written.resources)) == ("transaction", 2)
    assert written.patients == (AN_NUMBER,)
    assert read.resources[0][:2] == ("Patient", "binh")


async def test_a_batch_has_an_entry_for_each_write_each_refusal_and_all_reads(server, client):
    await stored(client, BINH)
    before = len(await told(server))
    asked = bundle(
        "batch",
        entry("PUT", "Patient/an", AN),
        entry("POST", "Observation", PULSE),
        entry("GET", "Patient/binh"),
        entry("GET", "Patient/nobody"),
        {"request": 7},
    )
    assert (await client.post("/fhir", asked)).status == 200
    kept = (await told(server))[before:]
    assert sorted((one.interaction, one.status, one.url) for one in kept) == [
        ("batch", 200, "/fhir"),
        ("batch", 400, ""),
        ("batch", 404, "GET Patient/nobody"),
        ("create", 200, "/fhir"),
        ("update", 200, "/fhir"),
    ]
    (read,) = [one for one in kept if one.interaction == "batch" and one.status == 200]
    assert [each[:2] for each in read.resources] == [("Patient", "binh")]


async def test_v5_0_0_16_5_3_what_cannot_be_written_down_is_not_told(server, client, monkeypatch):
    """The database fails where the audit is written, and only there."""
    await stored(client, AN)
    commit = type(server.store).commit

    async def failing(store, unit):
        if unit.only_tells:
            raise Unavailable("The database cannot be reached at the moment.")
        return await commit(store, unit)

    monkeypatch.setattr(type(server.store), "commit", failing)
    answer = await client.get("/fhir/Patient/an")
    assert answer.status == 503
    assert "Nguyễn" not in answer.body.decode()
    assert (await client.get("/fhir/Patient/nobody")).status == 404  # which tells nothing of anyone


async def test_everything_that_was_answered_at_once_is_there_and_whole(server, client, database):
    await stored(client, AN, BINH, PULSE)
    asks = [client.get("/fhir/Observation/pulse") for _ in range(60)]
    asks += [client.post("/fhir/Observation", PULSE) for _ in range(30)]
    asks += [client.get("/fhir/Patient/nobody") for _ in range(30)]
    answers = await asyncio.gather(*asks)
    assert {answer.status for answer in answers} == {200, 201, 404}
    with audit.trail(database.url) as trail:
        found = verification.verify(trail, [])
    assert (found.wrong, found.entries) == ([], 123)


async def test_a_command_writes_down_what_it_did_beside_a_server_that_goes_on(
    server, client, database
):
    await stored(client, AN)
    assert audit.begun(database.url)
    head = audit.write(database.url, Record("backup", "monday.db").entries(operator(), 200))
    await client.get("/fhir/Patient/an")
    assert [one.interaction for one in await told(server)] == ["update", "backup", "read"]
    with audit.trail(database.url) as trail:
        found = verification.verify(trail, [Anchor(1, head)])
    assert (found.wrong, found.entries, found.chains) == ([], 3, 2)
    (event,) = (await client.get(f"/fhir/AuditEvent?agent={operator().user}")).json["entry"]
    agents = event["resource"]["agent"]
    assert agents[0]["altId"] == "operator"
    assert agents[-1]["who"] == {"identifier": {"value": operator().user}}
    assert event["resource"]["entity"][0]["description"] == "monday.db"


async def test_what_a_server_says_after_a_command_is_found_when_it_has_stopped(
    database, monkeypatch
):
    monkeypatch.setattr("fhir_server.store.sqlite_late.MANY", 1)
    store = database.store()
    await store.open()
    client = Client(create_app(server_on(store, audit=True), Options(), write_log=lambda _: None))
    await stored(client, AN)
    audit.write(database.url, Record("backup", "monday.db").entries(operator(), 200))
    for _ in range(2):
        await client.get("/fhir/Patient/an")
    await store.close()
    with audit.trail(database.url) as trail:
        assert verification.verify(trail, []).wrong == []
        about_an = trail.found(Sought((AN_NUMBER,), limit=10))
        assert [said.read(one.body).interaction for one in about_an] == [
            *("read", "read", "update")
        ]
        by_operator = trail.found(Sought((said.of_client("operator"),), limit=10))
        assert [said.read(one.body).interaction for one in by_operator] == ["backup"]


# --- AuditEvents ---------------------------------------------------------------------------------

WRITES = [
    ("POST", "/fhir/AuditEvent"),
    ("PUT", "/fhir/AuditEvent/1-1"),
    ("PATCH", "/fhir/AuditEvent/1-1"),
    ("DELETE", "/fhir/AuditEvent/1-1"),
    ("DELETE", "/fhir/AuditEvent?date=2026"),
    ("PUT", "/fhir/AuditEvent?date=2026"),
]
EVENT = {
    "resourceType": "AuditEvent",
    "type": {"code": "rest"},
    "recorded": "2026-01-01T00:00:00Z",
    "agent": [{"requestor": True}],
    "source": {"observer": {"display": "me"}},
}


@pytest.mark.parametrize(("method", "url"), WRITES)
async def test_v5_0_0_16_4_2_nobody_writes_an_audit_event(client, method, url):
    answer = await client.request(method, url, None if method == "DELETE" else EVENT)
    assert answer.status == 405
    assert "written by the server itself" in answer.issue["diagnostics"]


@pytest.mark.parametrize("type", ["batch", "transaction"])
@pytest.mark.parametrize(("method", "url"), [("POST", "AuditEvent"), ("DELETE", "AuditEvent/1-1")])
async def test_nor_by_a_bundle(server, client, type, method, url):
    one = entry(method, url, EVENT if method == "POST" else None)
    answer = await client.post("/fhir", bundle(type, one, entry("PUT", "Patient/an", AN)))
    assert "written by the server itself" in answer.body.decode()
    found = (await client.get("/fhir/AuditEvent")).json
    assert '"display": "me"' not in json.dumps(found)


async def events(client, query=""):
    answer = await client.get(f"/fhir/AuditEvent{query}")
    assert answer.status == 200, answer.body
    return answer.json


async def test_audit_events_are_found_read_and_followed_page_by_page(server, client):
    await stored(client, AN, BINH, PULSE)
    await client.get("/fhir/Observation/pulse")
    found = await events(client, "?patient=Patient/an")
    told = [each["resource"] for each in found["entry"]]
    assert [one["subtype"][0]["code"] for one in told] == ["read", "update", "update"]
    assert told[0]["entity"][1]["what"] == {"reference": "Patient/an"}
    assert told[0]["agent"][0]["network"] == {"address": "127.0.0.1", "type": "2"}
    alone = await client.get(f"/fhir/AuditEvent/{told[0]['id']}")
    assert (alone.status, alone.json) == (200, told[0])
    assert (await client.get(f"/fhir/AuditEvent/{told[0]['id']}/_history/1")).json == told[0]
    met, page = [], await events(client, "?_count=2&altid=anyone")
    while True:
        met += [each["resource"]["id"] for each in page["entry"]]
        onward = [link["url"] for link in page["link"] if link["relation"] == "next"]
        if not onward or len(met) > 40:
            break
        page = (await client.get(onward[0].partition("http://test")[2])).json
    assert len(met) == len(set(met)) > 6


@on_one_database
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?entity=Patient/an", 400),
        ("?_sort=date", 400),
        ("?_sort=-date", 200),
        ("?date=nonsense", 400),
        ("?date=ge2020&date=lt2300-01-01", 200),
        ("?_count=0", 400),
        ("?_count=99999", 200),
        ("?patient=Observation/x", 400),
        ("?patient=http://test/fhir/Patient/x", 200),
        ("?agent=Practitioner/x&altid=y&patient=z", 200),
        ("?" + "&".join(["altid=x"] * 6), 400),
        ("?_cursor=nonsense", 400),
        ("/nonsense", 404),
        ("/1-1", 404),
        ("/_history", 405),
        ("/1-1/_history", 405),
        ("/1-1/_history/2", 404),
    ],
)
async def test_a_question_about_audit_events_is_answered_or_refused_in_words(client, query, status):
    answer = await client.get(f"/fhir/AuditEvent{query}")
    assert answer.status == status, answer.body
    assert status == 200 or answer.issue["diagnostics"]


async def test_audit_events_are_in_no_compartment_and_no_search_of_everything(client):
    await stored(client, AN)
    assert (await client.get("/fhir/Patient/an/AuditEvent")).status == 400
    for url in ("/fhir/Patient/an/*", "/fhir"):
        found = (await client.get(url)).json
        assert {each["resource"]["resourceType"] for each in found["entry"]} == {"Patient"}, url


@on_one_database
async def test_the_statement_of_capabilities_offers_to_read_them_and_no_more(client):
    statement = (await client.get("/fhir/metadata")).json
    (one,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "AuditEvent"]
    assert [each["code"] for each in one["interaction"]] == ["read", "vread", "search-type"]


# --- who viewed ----------------------------------------------------------------------------------


async def test_who_viewed_a_patient_names_nobody_else(server, client):
    await stored(client, AN, BINH, PULSE)
    await client.get("/fhir/Patient?family=nguyen,tran")
    found = (await client.get("/fhir/Patient/an/$who-viewed")).json
    told = [each["resource"] for each in found["entry"]]
    assert [one["subtype"][0]["code"] for one in told] == ["search-type", "update", "update"]
    text = json.dumps(told)
    assert "Patient/an" in text
    assert "binh" not in text
    assert "tran" not in text


async def test_who_viewed_is_asked_of_a_patient_who_is_here(client):
    await stored(client, PULSE)
    assert (await client.get("/fhir/Patient/nobody/$who-viewed")).status == 404
    assert (await client.get("/fhir/Observation/pulse/$who-viewed")).status == 404
    await stored(client, AN)
    assert (await client.get("/fhir/Patient/an/$who-viewed?date=nonsense")).status == 400
    found = (await client.get("/fhir/Patient/an/$who-viewed?_count=1")).json
    (onward,) = [link["url"] for link in found["link"] if link["relation"] == "next"]
    second = (await client.get(onward.partition("http://test")[2])).json
    assert second["entry"][0]["resource"]["id"] != found["entry"][0]["resource"]["id"]


async def test_a_server_that_keeps_no_audit_writes_nothing_down(store):
    client = Client(create_app(server_on(store), Options(), write_log=lambda _: None))
    await stored(client, AN)
    assert (await client.get("/fhir/Patient/an")).status == 200
    assert await store.audit.found(Sought()) == []


# A question that leads through AuditEvents: it would find nothing, as if nobody had seen anything.
THROUGH = [
    "/fhir?_type=AuditEvent",
    "/fhir?_type=AuditEvent,Patient",
    "/fhir/Patient?_has:AuditEvent:patient:agent-name=x",
    "/fhir/Patient?_has:Observation:patient:_has:AuditEvent:entity:date=2026",
    "/fhir/Observation?subject:Patient._has:AuditEvent:patient:date=2026",
    "/fhir/Patient?_revinclude=AuditEvent:patient",
    "/fhir/Patient?_revinclude=AuditEvent:*",
    "/fhir/Observation?_include=Observation:subject&_revinclude:iterate=AuditEvent:entity",
    "/fhir/Patient?_include:iterate=AuditEvent:agent",
    "/fhir/List?_include=List:item:AuditEvent",
    "/fhir/List?item:AuditEvent.date=2026",
    "/fhir/Patient?_has:List:item:item:AuditEvent.date=2026",
    "/fhir/Patient/$explain?_has:AuditEvent:patient:date=2026",
]


@on_one_database
@pytest.mark.parametrize("url", THROUGH)
async def test_a_question_that_leads_through_audit_events_is_refused_in_words(client, url):
    answer = await client.get(url)
    assert answer.status == 400, answer.body
    assert answer.issue["code"] == "not-supported"
    assert "searched by themselves alone" in answer.issue["diagnostics"]
    if "_has" not in url:
        return
    body = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", url[6:])]}
    assert b"searched by themselves alone" in (await client.post("/fhir", body)).body
    delete = await client.delete(url) if "$" not in url else answer
    assert (delete.status, delete.issue["code"]) == (400, "not-supported")


@on_one_database
async def test_a_link_to_anything_is_followed_to_all_but_audit_events(client):
    await stored(client, AN, BINH)
    kept = {"resourceType": "List", "id": "l", "status": "current", "mode": "working"}
    await stored(client, kept | {"entry": [{"item": {"reference": "Patient/an"}}]})
    assert (await client.get("/fhir/List?item.name=nguyen")).json["entry"]
