"""https://hl7.org/fhir/R4/http.html#brules"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.resource import Key
from fhir_server.interaction import bundle, read, update
from tests.interaction.conftest import patient, told


def batch(*entries):
    return {"resourceType": "Bundle", "type": "batch", "entry": list(entries)}


def entry(method, url, resource=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    return {"resource": resource, **made} if resource else made


async def done(server, here, *entries):
    answer = await bundle.bundle(server, bundle.Ask(batch(*entries)), here)
    assert answer.status == 200
    return told(answer).get("entry", [])


def statuses(entries):
    return [int(entry["response"]["status"].split()[0]) for entry in entries]


async def test_each_entry_is_answered_in_its_place(server, here):
    await update.update(server, update.Ask("Patient", "old", patient("old")), here)
    answers = await done(
        server,
        here,
        entry("GET", "Patient/old"),
        entry("POST", "Patient", patient()),
        entry("PUT", "Patient/put", patient("put")),
        entry("DELETE", "Patient/old"),
        entry("GET", "Patient/never"),
        entry("POST", "Patient", patient(gender="M")),
        entry("GET", "Patient?family=nguyen"),
        entry("GET", "metadata"),
    )
    # R4 http#trules: DELETE, POST, PUT, then GET, so the first entry finds what the fourth deleted
    assert statuses(answers) == [410, 201, 201, 204, 404, 400, 200, 200]
    assert answers[1]["response"]["location"].startswith("Patient/n1/_history/1-")
    outcome = answers[5]["response"]["outcome"]["issue"]
    assert outcome[0]["expression"] == ["Bundle.entry[5].resource.gender"]
    assert answers[6]["resource"]["total"] == 2
    assert answers[7]["resource"]["resourceType"] == "CapabilityStatement"


async def test_what_fails_changes_no_other(server, here):
    answers = await done(
        server, here, *(entry("PUT", f"Patient/p{n}", patient(f"p{n % 7}")) for n in range(10))
    )
    assert statuses(answers) == [201] * 7 + [400] * 3


BAD = [
    {"request": {"method": "FETCH", "url": "Patient"}},
    {"request": {"method": [], "url": "Patient/1"}},
    {"request": {"method": "GET"}},
    {"request": {"method": "DELETE", "url": "Patient/1", "ifMatch": 1}},
    {**entry("POST", "Patient", patient()), "fullUrl": {}},
    {"resource": patient(), "request": {"method": "POST", "url": "Patient", "ifNoneExist": []}},
    {"resource": patient()},
    "text",
    None,
    entry("POST", "Patient/1", patient()),
    entry("PUT", "Patient", patient()),
    entry("PUT", "Shoe/1", {"resourceType": "Shoe", "id": "1"}),
    entry("PUT", "../Patient/1", patient("1")),
    entry("PUT", "http://elsewhere.example/Patient/1", patient("1")),
    entry("DELETE", ""),
    entry("GET", "Patient?shoe=43"),
    entry("GET", "Patient/1/2/3/4/5/6"),
    entry("PATCH", "Patient/1", {"resourceType": "Binary", "contentType": "text/plain"}),
]


@pytest.mark.parametrize("bad", BAD)
async def test_a_malformed_entry_is_refused_alone(server, here, bad):
    answers = await done(server, here, bad, entry("PUT", "Patient/good", patient("good")))
    first, second = statuses(answers)
    assert 400 <= first < 500
    assert second == 201
    assert answers[0]["response"]["outcome"]["resourceType"] == "OperationOutcome"
    assert (await read.read(server, read.Ask(Key("Patient", "good")), here)).status == 200


async def test_absolute_urls_at_this_server_are_understood(server, here):
    answers = await done(server, here, entry("PUT", f"{here.base}/Patient/a", patient("a")))
    assert statuses(answers) == [201]


async def test_what_is_no_batch_is_refused(server, here):
    with pytest.raises(Invalid):
        await bundle.bundle(server, bundle.Ask(patient()), here)
    with pytest.raises(NotSupported):
        await bundle.bundle(server, bundle.Ask({**batch(), "type": "collection"}), here)
    with pytest.raises(NotSupported):
        await bundle.bundle(server, bundle.Ask({**batch(), "type": {}}), here)
    with pytest.raises(Invalid):
        await bundle.bundle(server, bundle.Ask({**batch(), "entry": {"a": 1}}), here)
    empty = await bundle.bundle(
        server, bundle.Ask({"resourceType": "Bundle", "type": "batch"}), here
    )
    assert told(empty) == {"resourceType": "Bundle", "type": "batch-response"}


async def test_an_entry_that_refers_to_what_another_creates_is_refused(server, here):
    """R4 http#brules: such references are non-conformant."""
    made = {"fullUrl": "urn:uuid:1", **entry("POST", "Patient", patient())}
    linked = patient(link=[{"other": {"reference": "urn:uuid:1"}, "type": "seealso"}])
    answers = await done(server, here, made, entry("POST", "Patient", linked))
    assert statuses(answers) == [201, 400]


async def test_operations_in_a_batch_are_refused_as_such(server, here):
    answers = await done(server, here, entry("GET", "Patient/$everything"))
    assert statuses(answers) == [404]
    assert "operation" in answers[0]["response"]["outcome"]["issue"][0]["diagnostics"]


@pytest.mark.parametrize("type", [{"text": "a"}, ["List"], None, 1, "Shoe"])
async def test_a_type_that_is_none_is_refused_in_its_entry_alone(server, here, type):
    bad = entry("POST", "List", {"resourceType": type, "id": "a"})
    inside = entry("POST", "Patient", {**patient(), "contained": [{"resourceType": type}]})
    good = entry("POST", "Patient", patient())
    for one in (bad, inside, good):
        one["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-000000000000"
    assert statuses(await done(server, here, bad, good)) == [400, 201]
    assert statuses(await done(server, here, inside, good)) == [400, 201]
