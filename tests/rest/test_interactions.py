"""Each interaction over HTTP, with the headers R4 asks for.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import pytest

PATIENT = {"resourceType": "Patient", "name": [{"family": "Nguyễn", "given": ["Thị Hoà"]}]}
IDENTIFIED = {**PATIENT, "identifier": [{"system": "urn:cccd", "value": "092190000001"}]}
BASE = "http://test/fhir"
XML = {"Accept": "application/fhir+xml"}


async def created(client, resource=PATIENT, **named):
    response = await client.post(f"/fhir/{resource['resourceType']}", resource, **named)
    assert response.status in (200, 201), response.body
    return response


async def test_create_read_update_vread_delete_and_their_headers(client):
    made = await created(client)
    id, first = made.json["id"], made.version
    assert made.status == 201
    assert made.headers["location"] == f"{BASE}/Patient/{id}/_history/{first}"
    assert made.headers["content-location"] == made.headers["location"]
    assert made.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert made.headers["last-modified"].endswith("GMT")
    assert made.headers["content-length"] == str(len(made.body))

    read = await client.get(f"/fhir/Patient/{id}")
    assert (read.status, read.version, read.body) == (200, first, made.body)
    assert "location" not in read.headers
    assert read.headers["cache-control"] == "no-store"
    assert read.headers["x-content-type-options"] == "nosniff"

    second = await client.put(f"/fhir/Patient/{id}", {**PATIENT, "id": id, "active": True})
    assert second.status == 200
    assert second.version.startswith("2-")
    assert second.headers["content-location"].endswith(second.version)

    old = await client.get(f"/fhir/Patient/{id}/_history/{first}")
    assert (old.status, old.version) == (200, first)
    assert "active" not in old.json

    gone = await client.delete(f"/fhir/Patient/{id}")
    assert (gone.status, gone.body) == (204, b"")
    assert gone.version.startswith("3-")
    after = await client.get(f"/fhir/Patient/{id}")
    assert (after.status, after.issue["code"]) == (410, "deleted")
    assert after.version == gone.version
    assert (await client.delete(f"/fhir/Patient/{id}")).status == 204


async def test_head_is_get_without_the_body(client):
    made = await created(client)
    url = f"/fhir/Patient/{made.json['id']}"
    head, get = await client.head(url), await client.get(url)
    assert head.body == b""
    drop = {"x-request-id"}
    assert {n: v for n, v in head.headers.items() if n not in drop} == {
        n: v for n, v in get.headers.items() if n not in drop
    }
    assert (await client.head("/fhir/Patient/none")).status == 404


async def test_a_read_is_conditional_on_what_the_client_has(client):
    made = await created(client)
    url = f"/fhir/Patient/{made.json['id']}"
    same = await client.get(url, headers={"If-None-Match": made.headers["etag"]})
    assert (same.status, same.body) == (304, b"")
    assert same.headers["etag"] == made.headers["etag"]
    assert "content-length" not in same.headers
    since = {"If-Modified-Since": made.headers["last-modified"]}
    assert (await client.get(url, headers=since)).status == 304
    assert (await client.get(url, headers={"If-None-Match": 'W/"9-x"'})).status == 200


async def test_update_is_aware_of_versions(client):
    made = await created(client)
    id = made.json["id"]
    url, changed = f"/fhir/Patient/{id}", {**PATIENT, "id": id, "active": True}
    stale = await client.put(url, changed, headers={"If-Match": 'W/"9-x"'})
    assert (stale.status, stale.issue["code"]) == (412, "conflict")
    listed = {"If-Match": f'W/"9-x", {made.headers["etag"]}'}
    done = await client.put(url, changed, headers=listed)
    assert done.status == 200
    assert (await client.put(url, PATIENT | {"id": id}, headers=listed)).status == 412
    star = {"If-Match": "*"}
    assert (await client.put(url, PATIENT | {"id": id}, headers=star)).status == 200
    none = await client.put("/fhir/Patient/new", {**PATIENT, "id": "new"}, headers=star)
    assert none.status == 412
    assert (await client.delete(url, headers={"If-Match": '"9-x"'})).status == 412


async def test_if_none_match_on_a_write_is_refused_rather_than_passed_over(client):
    told = await client.put(
        "/fhir/Patient/a", {**PATIENT, "id": "a"}, headers={"If-None-Match": "*"}
    )
    assert (told.status, told.issue["expression"]) == (400, ["http.If-None-Match"])
    assert (await client.get("/fhir/Patient/a")).status == 404


PREFERENCES = [
    (None, "Patient"),
    ("return=representation", "Patient"),
    ("return=minimal", None),
    ("return=OperationOutcome", "OperationOutcome"),
]


@pytest.mark.parametrize(("prefer", "type"), PREFERENCES)
async def test_what_comes_back_is_what_was_preferred(client, prefer, type):
    headers = {"Prefer": prefer} if prefer else {}
    made = await client.post("/fhir/Patient", PATIENT, headers=headers)
    assert made.status == 201
    assert made.version
    assert made.headers["location"].endswith(made.version)
    assert made.headers.get("preference-applied") == prefer
    if type is None:
        assert (made.body, made.headers["content-length"]) == (b"", "0")
    else:
        assert made.json["resourceType"] == type
        assert ("content-location" in made.headers) is (type == "Patient")


async def test_a_delete_tells_of_itself_if_it_is_asked_to(client):
    id = (await created(client)).json["id"]
    gone = await client.delete(f"/fhir/Patient/{id}", headers={"Prefer": "return=OperationOutcome"})
    assert (gone.status, gone.json["resourceType"]) == (200, "OperationOutcome")


async def test_a_conditional_create_finds_or_makes(client):
    exists = {"If-None-Exist": "identifier=urn:cccd|092190000001"}
    first = await created(client, IDENTIFIED, headers=exists)
    again = await created(client, IDENTIFIED, headers=exists)
    assert (first.status, again.status) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    await created(client, IDENTIFIED)
    many = await client.post("/fhir/Patient", IDENTIFIED, headers=exists)
    assert (many.status, many.issue["code"]) == (412, "multiple-matches")


async def test_conditional_update_patch_and_delete_by_the_query(client):
    url = "/fhir/Patient?identifier=urn:cccd%7C092190000001"
    made = await client.put(url, IDENTIFIED)
    assert made.status == 201
    same = await client.put(url, {**IDENTIFIED, "active": True})
    assert (same.status, same.json["id"]) == (200, made.json["id"])
    patched = await client.patch(
        url + "&_format=json",
        b'[{"op":"replace","path":"/active","value":false}]',
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert (patched.status, patched.json["active"]) == (200, False)
    assert (await client.delete(url)).status == 204
    assert (await client.get(f"/fhir/Patient/{made.json['id']}")).status == 410


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("query", ["", "?", "?_format=json&_pretty=true"])
async def test_without_id_and_criteria_nothing_is_written(client, method, query):
    await created(client)
    told = await client.request(method, f"/fhir/Patient{query}", PATIENT)
    assert (told.status, told.issue["code"]) == (400, "invalid")
    assert "identifier" in told.issue["diagnostics"]


async def test_patch_by_json_patch_and_by_fhirpath_patch(client):
    id = (await created(client)).json["id"]
    done = await client.patch(
        f"/fhir/Patient/{id}",
        b'[{"op":"add","path":"/active","value":true}]',
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert (done.status, done.json["active"]) == (200, True)
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.active"},
        {"name": "value", "valueBoolean": False},
    ]
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    done = await client.patch(f"/fhir/Patient/{id}", parameters)
    assert (done.status, done.json["active"]) == (200, False)
    wrong = await client.patch(f"/fhir/Patient/{id}", PATIENT)
    assert (wrong.status, wrong.issue["code"]) == (400, "invalid")
    other = await client.patch(
        f"/fhir/Patient/{id}", b"<diff/>", headers={"Content-Type": "application/xml-patch+xml"}
    )
    assert other.status == 415
    assert "application/json-patch+json" in other.headers["accept-patch"]


async def test_search_by_get_and_by_post_at_every_level(client):
    id = (await created(client, IDENTIFIED)).json["id"]
    await created(client, {"resourceType": "Group", "type": "person", "actual": True})
    query = b"identifier=urn:cccd%7C092190000001"
    found = [
        await client.get(b"/fhir/Patient?" + query),
        await client.get(b"/fhir/Patient/?" + query),
        await client.form("/fhir/Patient/_search", query),
        await client.post("/fhir/Patient/_search?" + query.decode()),
        await client.form("/fhir/Patient/_search?" + query.decode(), b"_count=5"),
        await client.get(f"/fhir?_id={id}"),
        await client.get(f"/fhir/?_id={id}"),
        await client.form("/fhir/_search", f"_id={id}".encode()),
    ]
    for response in found:
        assert response.status == 200, response.body
        assert response.json["type"] == "searchset"
        assert [entry["resource"]["id"] for entry in response.json["entry"]] == [id]
    xml = await client.form("/fhir/Patient/_search", query + b"&_format=xml")
    assert b"<Bundle" in xml.body
    joined = await client.form(f"/fhir/Patient/_search?_id={id}", b"name=nobody")
    assert "entry" not in joined.json


async def test_search_in_a_compartment(client):
    id = (await created(client)).json["id"]
    note = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{id}"},
    }
    made = (await created(client, note)).json["id"]
    for path in (f"{id}/Observation", f"{id}/*"):
        found = await client.get(f"/fhir/Patient/{path}")
        assert made in [entry["resource"]["id"] for entry in found.json["entry"]], path
    found = await client.form(f"/fhir/Patient/{id}/Observation/_search", b"status=final")
    assert [entry["resource"]["id"] for entry in found.json["entry"]] == [made]
    assert "entry" not in (await client.get("/fhir/Patient/other/Observation")).json


async def test_history_at_every_level(client):
    made = await created(client)
    id = made.json["id"]
    await client.delete(f"/fhir/Patient/{id}")
    for path in (f"Patient/{id}/_history", "Patient/_history", "_history"):
        told = await client.get(f"/fhir/{path}?_count=10")
        assert (told.status, told.json["type"]) == (200, "history")
        assert [e["request"]["method"] for e in told.json["entry"]] == ["DELETE", "POST"]


async def test_pages_follow_their_links_to_the_end(client):
    ids = {(await created(client)).json["id"] for _ in range(7)}
    seen, url = [], "/fhir/Patient?_count=3"
    while url:
        page = (await client.get(url)).json
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        url = links.get("next", "").removeprefix("http://test")
    assert len(seen) == 7
    assert set(seen) == ids


async def test_batch_and_transaction(client):
    entry = {"resource": PATIENT, "request": {"method": "POST", "url": "Patient"}}
    for type in ("batch", "transaction"):
        bundle = {"resourceType": "Bundle", "type": type, "entry": [entry, entry]}
        for url in ("/fhir", "/fhir/"):
            done = await client.post(url, bundle)
            assert (done.status, done.json["type"]) == (200, f"{type}-response")
            assert done.json["entry"][0]["response"]["status"].startswith("201")
            assert "resource" not in done.json["entry"][0]
        full = await client.post("/fhir", bundle, headers={"Prefer": "return=representation"})
        assert full.json["entry"][0]["resource"]["resourceType"] == "Patient"


async def test_capabilities_are_told_by_mode(client):
    told = await client.get("/fhir/metadata")
    assert (told.status, told.json["resourceType"]) == (200, "CapabilityStatement")
    assert told.json["fhirVersion"] == "4.0.1"
    again = await client.get("/fhir/metadata", headers={"If-None-Match": told.headers["etag"]})
    assert again.status == 304
    assert (await client.get("/fhir/metadata?mode=terminology")).status == 200
    wrong = await client.get("/fhir/metadata?mode=other")
    assert (wrong.status, wrong.issue["expression"]) == (400, ["http.mode"])


async def test_xml_both_ways(client):
    body = '<Patient xmlns="http://hl7.org/fhir"><name><family value="Đặng"/></name></Patient>'
    made = await client.post(
        "/fhir/Patient", body.encode(), headers={**XML, "Content-Type": "application/fhir+xml"}
    )
    assert made.status == 201, made.body
    assert made.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert '<family value="Đặng"/>' in made.body.decode()
    id = made.headers["location"].split("/")[-3]
    assert (await client.get(f"/fhir/Patient/{id}")).json["name"] == [{"family": "Đặng"}]
    found = await client.get("/fhir/Patient?_format=xml")
    assert found.body.startswith((b"<?xml", b"<Bundle"))
    missing = await client.get("/fhir/Patient/none", headers=XML)
    assert missing.status == 404
    assert b"<OperationOutcome" in missing.body


async def test_pretty_is_for_people(client):
    id = (await created(client)).json["id"]
    plain = await client.get(f"/fhir/Patient/{id}")
    pretty = await client.get(f"/fhir/Patient/{id}?_pretty=true")
    assert b"\n" not in plain.body
    assert b"\n  " in pretty.body
    assert plain.json == pretty.json
    assert b"\n  " in (await client.get(f"/fhir/Patient/{id}?_pretty=true&_format=xml")).body
    assert b"\n  " in (await client.get("/fhir/Patient/none?_pretty=true")).body


async def test_a_read_in_part(client):
    id = (await created(client, {**PATIENT, "active": True})).json["id"]
    part = await client.get(f"/fhir/Patient/{id}?_elements=active")
    assert part.json["active"] is True
    assert "name" not in part.json
    text = await client.get(f"/fhir/Patient/{id}?_summary=text")
    assert "name" not in text.json
    for query in ("_summary=count", "_summary=shoe", "_elements=shoe"):
        assert (await client.get(f"/fhir/Patient/{id}?{query}")).status == 400


async def test_the_general_parameters_go_with_every_interaction(client):
    made = await client.post(
        "/fhir/Patient?_elements=active&_pretty=true", {**PATIENT, "active": True}
    )
    assert (made.status, made.json["active"]) == (201, True)
    assert "name" not in made.json
    id = made.json["id"]
    whole = await client.get(f"/fhir/Patient/{id}")
    assert whole.json["name"] == PATIENT["name"]
    told = await client.get(f"/fhir/Patient/{id}/_history?_elements=active")
    assert "name" not in told.json["entry"][0]["resource"]
    part = await client.get("/fhir/metadata?_elements=fhirVersion")
    assert "software" not in part.json
    done = await client.put(f"/fhir/Patient?_id={id}&_summary=text", {**PATIENT, "id": id})
    assert (done.status, "name" in done.json) == (200, False)
    assert (await client.put("/fhir/Patient?_summary=text", PATIENT)).status == 400


async def test_unknown_parameters_are_refused_unless_the_client_is_lenient(client):
    id = (await created(client)).json["id"]
    lenient = {"Prefer": "handling=lenient"}
    for path in (f"Patient/{id}", "Patient", f"Patient/{id}/_history", "metadata"):
        told = await client.get(f"/fhir/{path}?shoe=1")
        assert told.status == 400, path
        assert "shoe" in told.issue["diagnostics"]
        assert (await client.get(f"/fhir/{path}?shoe=1", headers=lenient)).status == 200


async def test_the_same_request_again_is_answered_not_done_again(client):
    key = {"Idempotency-Key": "9a2b"}
    first = await client.post("/fhir/Patient", PATIENT, headers=key)
    again = await client.post("/fhir/Patient", PATIENT, headers=key)
    assert (first.status, again.status) == (201, 201)
    assert again.headers["location"] == first.headers["location"]
    assert again.body == first.body
    other = await client.post("/fhir/Patient", {**PATIENT, "active": True}, headers=key)
    assert other.status == 422
    elsewhere = await client.put("/fhir/Patient/a", {**PATIENT, "id": "a"}, headers=key)
    assert elsewhere.status == 201
    assert len((await client.get("/fhir/Patient")).json["entry"]) == 2


async def test_request_ids_come_back(client):
    made = await client.get("/fhir/metadata")
    assert len(made.headers["x-request-id"]) > 8
    own = "3f0c7784-1b2a-4c3d-8e4f-5a6b7c8d9e0f"
    kept = await client.get(
        "/fhir/Patient/none", headers={"X-Request-Id": own, "X-Correlation-Id": "b-2"}
    )
    assert (kept.headers["x-request-id"], kept.headers["x-correlation-id"]) == (own, "b-2")
    named = await client.get("/fhir/metadata", headers={"X-Request-Id": "a-1"})
    assert named.headers["x-request-id"] != "a-1", "the log tells it, and it may be a patient's"
    assert named.headers["x-correlation-id"] == "a-1"
    spaced = await client.get("/fhir/metadata", headers={"X-Request-Id": "two words"})
    assert " " not in spaced.headers["x-request-id"]
    assert spaced.headers["x-correlation-id"] == "two words"
    endless = await client.get("/fhir/metadata", headers={"X-Request-Id": "a" * 1000})
    assert len(endless.headers["x-request-id"]) < 100
    assert "x-correlation-id" not in endless.headers


async def test_options_tell_what_can_be_done(client):
    told = await client.options("/fhir/Patient/1")
    assert (told.status, told.body) == (204, b"")
    assert told.headers["allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
    assert "application/json-patch+json" in told.headers["accept-patch"]
    assert (await client.options("/fhir/Shoe")).status == 404
