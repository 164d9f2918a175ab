"""https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4"""

from __future__ import annotations

import pytest

from fhir_server.rest.headers import language
from tests.rest.client import on_one_database

TABLE = [
    (b"vi", "vi"),
    (b"vi-VN", "vi"),
    (b"VI-vn, en;q=0.5", "vi"),
    (b"en;q=0.5, vi;q=0.9", "vi"),
    (b"en, vi", "en"),
    (b"fr, vi;q=0.1", "vi"),
    (b"en-US,en;q=0.9", "en"),
    (b"vi;q=0, en;q=0.1", "en"),
    (b"vi;q=0", None),
    (b"fr", None),
    (b"*", None),
    (b"", None),
    (b"vi;q=shoe", None),
    (b"vi;q=2", None),
    (b"vix", None),
    (b"\xff\xfe, vi", "vi"),
    (b"x," * 5000 + b"vi", None),
]


@pytest.mark.parametrize(("header", "told"), TABLE)
def test_the_language_that_is_liked_best_of_the_two(header, told):
    assert language(header) == told


BROKEN = {"resourceType": "Patient", "gender": "shoe"}
TOLD = {
    None: ("must be", True),
    "fr": ("must be", True),
    "en": ("must be", False),
    "vi": ("phải là", False),
}


def sentence(issue, told):
    words, both = TOLD[told]
    assert words in issue["diagnostics"]
    extensions = issue.get("_diagnostics", {}).get("extension", [])
    assert bool(extensions) == both
    if both:
        content = {part["url"]: part for part in extensions[0]["extension"]}
        assert content["lang"]["valueCode"] == "vi"
        assert "phải là" in content["content"]["valueString"]


@on_one_database
@pytest.mark.parametrize("told", TOLD)
async def test_refusals_batches_and_validate_speak_the_language_asked_for(client, told):
    headers = {"Accept-Language": told} if told else {}
    refused = await client.post("/fhir/Patient", BROKEN, headers=headers)
    assert refused.status == 400
    assert "Accept-Language" in refused.headers["vary"]
    sentence(refused.issue, told)
    judged = await client.post("/fhir/Patient/$validate", BROKEN, headers=headers)
    assert judged.status == 200
    (issue,) = [each for each in judged.json["issue"] if each["severity"] == "error"]
    sentence(issue, told)
    for type, status in (("transaction", 400), ("batch", 200)):
        entry = {"resource": BROKEN, "request": {"method": "POST", "url": "Patient"}}
        bundle = {"resourceType": "Bundle", "type": type, "entry": [entry]}
        answer = await client.post("/fhir", bundle, headers=headers)
        assert answer.status == status
        issue = (
            answer.issue
            if status == 400
            else answer.json["entry"][0]["response"]["outcome"]["issue"][0]
        )
        sentence(issue, told)
        assert issue["expression"] == ["Bundle.entry[0].resource.gender"]


@on_one_database
async def test_xml_speaks_it_too(client):
    headers = {"Accept-Language": "vi", "Accept": "application/fhir+xml"}
    refused = await client.post("/fhir/Patient", BROKEN, headers=headers)
    assert "phải là" in refused.body.decode()
    both = await client.post("/fhir/Patient", BROKEN, headers={"Accept": "application/fhir+xml"})
    assert "phải là" in both.body.decode()
    assert "must be" in both.body.decode()


@on_one_database
async def test_what_a_write_tells_of_itself(client):
    headers = {"Accept-Language": "vi", "Prefer": "return=OperationOutcome"}
    stored = await client.post("/fhir/Patient", {"resourceType": "Patient"}, headers=headers)
    assert stored.status == 201
    assert stored.issue["diagnostics"] == "Đã lưu tài nguyên."
