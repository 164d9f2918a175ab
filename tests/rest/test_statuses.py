"""Every status R4 speaks of, and how a client comes to see it.

https://hl7.org/fhir/R4/http.html#Status-Codes
https://hl7.org/fhir/R4/http.html#summary
"""

from __future__ import annotations

import pytest

from tests.rest.client import on_one_database

PATIENT = {"resourceType": "Patient", "active": True}
NAMED = {**PATIENT, "id": "a"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
STALE = {"If-Match": 'W/"9-x"'}
MANY = {"If-None-Exist": "active=true"}
BAD = b'{"resourceType":"Patient","birthDate":"yesterday"}'
FHIR = {"Content-Type": "application/fhir+json"}

# There are two active patients, `a` and `b`, and one, `gone`, that was deleted.
# interaction   method   path                     body         headers                     status
TABLE = [
    ("read", "GET", "Patient/a", None, {}, 200),
    ("read", "GET", "Patient/a", None, {"If-None-Match": "*"}, 304),
    ("read", "GET", "Patient/none", None, {}, 404),
    ("read", "GET", "Patient/gone", None, {}, 410),
    ("read", "GET", "Patient/a", None, {"Accept": "text/turtle"}, 406),
    ("read", "GET", "Patient/a?_format=html", None, {}, 406),
    ("read", "GET", "Patient/a?shoe=1", None, {}, 400),
    ("read", "GET", "Shoe/a", None, {}, 404),
    ("read", "GET", "Patient/" + "a" * 65, None, {}, 404),
    ("read", "HEAD", "Patient/a", None, {}, 200),
    ("read", "HEAD", "Patient/gone", None, {}, 410),
    ("vread", "GET", "Patient/a/_history/9-x", None, {}, 404),
    ("vread", "PUT", "Patient/a/_history/9-x", NAMED, {}, 405),
    ("update", "PUT", "Patient/new", {**PATIENT, "id": "new"}, {}, 201),
    ("update", "PUT", "Patient/a", {**NAMED, "active": False}, {}, 200),
    ("update", "PUT", "Patient/gone", {**PATIENT, "id": "gone"}, {}, 201),
    ("update", "PUT", "Patient/b", NAMED, {}, 400),
    ("update", "PUT", "Patient/a", PATIENT, {}, 400),
    ("update", "PUT", "Patient/a", {"resourceType": "Group", "id": "a"}, {}, 400),
    ("update", "PUT", "Patient/a", BAD, FHIR, 400),
    ("update", "PUT", "Patient/a", NAMED, STALE, 412),
    ("update", "PUT", "Patient/a", b"x", {"Content-Type": "text/plain"}, 415),
    ("update", "PUT", "Patient/a", b"{}", {}, 415),
    ("update", "PUT", "Patient/_a", NAMED, {}, 404),
    ("conditional update", "PUT", "Patient", NAMED, {}, 400),
    ("conditional update", "PUT", "Patient?active=true", PATIENT, {}, 412),
    ("conditional update", "PUT", "Patient?_id=a", NAMED, {}, 200),
    ("patch", "PATCH", "Patient/a", b'[{"op":"remove","path":"/active"}]', JSON_PATCH, 200),
    ("patch", "PATCH", "Patient/none", b"[]", JSON_PATCH, 404),
    ("patch", "PATCH", "Patient/gone", b"[]", JSON_PATCH, 410),
    ("patch", "PATCH", "Patient/a", b"[]", JSON_PATCH | STALE, 412),
    ("patch", "PATCH", "Patient/a", b"<diff/>", {"Content-Type": "text/xml"}, 400),
    ("patch", "PATCH", "Patient/a", b"x", {"Content-Type": "application/xml-patch+xml"}, 415),
    ("patch", "PATCH", "Patient/a", b'[{"op":"test","path":"/active","value":1}]', JSON_PATCH, 422),
    ("conditional patch", "PATCH", "Patient?_id=none", b"[]", JSON_PATCH, 404),
    ("conditional patch", "PATCH", "Patient?active=true", b"[]", JSON_PATCH, 412),
    ("delete", "DELETE", "Patient/a", None, {}, 204),
    ("delete", "DELETE", "Patient/gone", None, {}, 204),
    ("delete", "DELETE", "Patient/none", None, {}, 204),
    ("delete", "DELETE", "Patient/a", None, STALE, 412),
    ("conditional delete", "DELETE", "Patient?_id=a", None, {}, 204),
    ("conditional delete", "DELETE", "Patient?_id=none", None, {}, 204),
    ("conditional delete", "DELETE", "Patient?active=true", None, {}, 412),
    ("conditional delete", "DELETE", "Patient", None, {}, 400),
    ("conditional delete", "DELETE", "", None, {}, 405),
    ("create", "POST", "Patient", PATIENT, {}, 201),
    ("create", "POST", "Patient/a", PATIENT, {}, 405),
    ("create", "POST", "Shoe", {"resourceType": "Shoe"}, {}, 404),
    ("create", "POST", "Patient", b"{", FHIR, 400),
    ("create", "POST", "Patient", b"", FHIR, 400),
    ("create", "POST", "Patient", PATIENT, {"Content-Type": "multipart/form-data"}, 415),
    ("create", "POST", "Patient", PATIENT, FHIR | {"Content-Encoding": "br"}, 415),
    ("conditional create", "POST", "Patient", PATIENT, {"If-None-Exist": "_id=a"}, 200),
    ("conditional create", "POST", "Patient", PATIENT, {"If-None-Exist": "_id=none"}, 201),
    ("conditional create", "POST", "Patient", PATIENT, MANY, 412),
    ("search", "GET", "Patient", None, {}, 200),
    ("search", "GET", "Patient?shoe=1", None, {}, 400),
    ("search", "GET", "Patient?birthdate=yesterday", None, {}, 400),
    ("search", "GET", "Patient/_search", None, {}, 405),
    ("search", "POST", "Patient/_search", b"{}", FHIR, 415),
    ("search", "GET", "Observation/a/Patient", None, {}, 404),
    ("search", "GET", "Patient?name=" + "a" * 20_000, None, {}, 414),
    ("capabilities", "GET", "metadata", None, {}, 200),
    ("capabilities", "POST", "metadata", None, {}, 405),
    ("capabilities", "GET", "metadata?mode=shoe", None, {}, 400),
    ("transaction", "POST", "", {"resourceType": "Bundle", "type": "transaction"}, {}, 200),
    ("transaction", "POST", "", {"resourceType": "Bundle", "type": "searchset"}, {}, 400),
    ("transaction", "POST", "", PATIENT, {}, 400),
    ("history", "GET", "Patient/gone/_history", None, {}, 200),
    ("history", "GET", "Patient/none/_history", None, {}, 404),
    ("history", "GET", "_history?_since=yesterday", None, {}, 400),
    ("history", "DELETE", "Patient/a/_history", None, {}, 405),
    ("operation", "POST", "Patient/$shoe", PATIENT, {}, 404),
    ("any", "GET", "Patient/a/b/c", None, {}, 404),
    ("any", "TRACE", "Patient/a", None, {}, 405),
    ("any", "GET", "Patient/a", None, {"X-Long": "a" * 40_000}, 431),
]


async def filled(client):
    for id in ("a", "b", "gone"):
        made = await client.put(f"/fhir/Patient/{id}", {**PATIENT, "id": id})
        assert made.status == 201, made.body
    assert (await client.delete("/fhir/Patient/gone")).status == 204


@on_one_database
@pytest.mark.parametrize(("interaction", "method", "path", "body", "headers", "status"), TABLE)
async def test_a_status_is_the_one_r4_says_and_a_refusal_says_why(
    client, interaction, method, path, body, headers, status
):
    await filled(client)
    url = f"/fhir/{path}" if path else "/fhir"
    told = await client.request(method, url, body, headers=headers)
    assert told.status == status, told.body
    if status >= 400 and method != "HEAD":
        issue = told.issue
        assert issue["severity"] in ("error", "fatal")
        assert issue["diagnostics"].endswith((".", "?"))
    if status == 405:
        assert told.headers["allow"].endswith("OPTIONS")
    assert told.headers["x-request-id"]
    assert told.headers["cache-control"] in ("no-store", "no-cache")
