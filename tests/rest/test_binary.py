"""https://hl7.org/fhir/R4/binary.html#rest"""

from __future__ import annotations

import json

XML = {"Accept": "application/fhir+xml"}


async def test_a_binary_is_raw_unless_a_fhir_type_is_asked_for(client):
    png = b"\x89PNG\r\n\x1a\n\0\xff"
    made = await client.post(
        "/fhir/Binary",
        png,
        headers={"Content-Type": "image/png", "X-Security-Context": "Patient/1"},
    )
    assert made.status == 201, made.body
    assert made.json["contentType"] == "image/png"
    assert made.json["securityContext"] == {"reference": "Patient/1"}
    url = f"/fhir/Binary/{made.json['id']}"
    for accept in ({}, {"Accept": "*/*"}, {"Accept": "image/*"}, {"Accept": "image/png"}):
        raw = await client.get(url, headers=accept)
        assert (raw.status, raw.body) == (200, png), accept
        assert raw.headers["content-type"] == "image/png"
        assert raw.headers["x-security-context"] == "Patient/1"
        assert "sandbox" in raw.headers["content-security-policy"]
        assert raw.version == made.version
    for accept in ("application/fhir+json", "application/json", "image/png, application/fhir+json"):
        assert (await client.get(url, headers={"Accept": accept})).json["data"]
    assert (await client.get(f"{url}?_format=json")).json["resourceType"] == "Binary"
    assert b"<Binary" in (await client.get(url, headers=XML)).body
    assert (await client.get(url, headers={"Accept": "text/html"})).status == 406
    put = await client.put(url, b"plain", headers={"Content-Type": "text/plain; charset=utf-8"})
    assert put.status == 200, put.body
    raw = await client.get(url)
    assert (raw.body, raw.headers["content-type"]) == (b"plain", "text/plain; charset=utf-8")
    whole = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGk="}
    kept = await client.post("/fhir/Binary", whole)
    assert (await client.get(f"/fhir/Binary/{kept.json['id']}")).body == b"hi"
    facts = json.dumps({"lab": 1}).encode()
    kept = await client.post("/fhir/Binary", facts, headers={"Content-Type": "application/json"})
    raw = await client.get(f"/fhir/Binary/{kept.json['id']}")
    assert (raw.body, raw.headers["content-type"]) == (facts, "application/json")
