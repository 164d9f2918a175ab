"""A Bundle's entries agree with one another, by R4's words on Bundles, documents and messages.

https://hl7.org/fhir/R4/bundle.html
https://hl7.org/fhir/R4/documents.html
"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.validation.content.within import Within
from tests.validation.content_world import told

BASE = "http://x.vn/fhir/"
UUID = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"


def entry(full_url: str | None, type: str, id: str | None = None, **more: Any) -> dict[str, Any]:
    resource = {"resourceType": type} | ({"id": id} if id else {}) | more.pop("content", {})
    found = {"resource": resource, **more}
    return {"fullUrl": full_url, **found} if full_url else found


def bundle(type: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def put(url: str, method: str = "PUT", **more: str) -> dict[str, Any]:
    return {"method": method, "url": url, **more}


# what the entry is                                                      the rule  where
FULL_URLS = [
    (entry(f"{BASE}Patient/1", "Patient", "1"), None, ""),
    (entry(UUID, "Patient", "1"), None, ""),
    (entry("http://x.vn/anything/1", "Patient", "1"), None, ""),
    (entry("http://x.vn/anything", "Patient"), None, ""),
    (entry(None, "Patient", "1"), None, ""),
    (entry(f"{BASE}Patient/1", "Patient"), "bundle-full-url", "resource"),
    (entry(f"{BASE}Patient/1", "Patient", "2"), "bundle-full-url", "fullUrl"),
    (entry(f"{BASE}Group/1", "Patient", "1"), "bundle-full-url", "fullUrl"),
    (entry("http://x.vn/anything/2", "Patient", "1"), "bundle-full-url", "fullUrl"),
    (entry("Patient/1", "Patient", "1"), "bundle-full-url", "fullUrl"),
]


@pytest.mark.parametrize(("one", "rule", "where"), FULL_URLS)
def test_a_full_url_is_absolute_and_agrees_with_the_id(one, rule, where):
    found = told(bundle("collection", one))
    assert found == ([("error", rule, f"Bundle.entry[0].{where}")] if rule else [])


@pytest.mark.parametrize("type", ["document", "message", "history"])
def test_what_has_an_identity_has_a_full_url(type):
    assert ("error", "bundle-full-url", "Bundle.entry[0]") in told(
        bundle(type, entry(None, "Patient", "1"))
    )


# the request                                              with a resource   where it is wrong
REQUESTS = [
    (put("Patient/1"), True, None),
    (put("/Patient/1"), True, None),
    (put("Patient?identifier=x|1"), True, None),
    (put("Patient", "POST"), True, None),
    (put("Patient", "POST", ifNoneExist="identifier=x|1"), True, None),
    (put("Patient/1", "DELETE"), False, None),
    (put("Patient/1/_history/2?_format=json", "GET"), False, None),
    (put("Patient/$match", "POST"), True, None),
    (put("Patient/1"), False, ""),
    (put("Patient/1", "DELETE"), True, ".resource"),
    (put("Patient/1", "GET"), True, ".resource"),
    (put("Patient"), True, ".request.url"),
    (put("Shoe/1"), True, ".request.url"),
    (put("http://x.vn/fhir/Patient/1"), True, ".request.url"),
    (put("Group/1"), True, ".request.url"),
    (put("Patient/2"), True, ".request.url"),
    (put("Patient/1", "POST"), True, ".request.url"),
    (put("Patient/1", ifNoneExist="x=1"), True, ".request.ifNoneExist"),
    (put("Patient", "POST", ifMatch='W/"1"'), True, ".request.ifMatch"),
]


@pytest.mark.parametrize(("request_", "with_resource", "where"), REQUESTS)
def test_an_entry_of_a_transaction_asks_what_can_be_asked(request_, with_resource, where):
    one = {"request": request_}
    if with_resource:
        one = entry(UUID, "Patient", "1", request=request_)
    found = told(bundle("transaction", one))
    wrong = [] if where is None else [("error", "bundle-request", f"Bundle.entry[0]{where}")]
    assert found == wrong


def composition(**content: Any) -> dict[str, Any]:
    return entry(f"{BASE}Composition/1", "Composition", "1", content=content)


PATIENT = entry(f"{BASE}Patient/1", "Patient", "1")
NESTED = {"section": [{"section": [{"entry": [{"reference": "Observation/7"}]}]}]}

DOCUMENTS = [
    ([composition(subject={"reference": "Patient/1"}), PATIENT], []),
    ([composition(subject={"display": "An"})], []),
    ([composition(subject={"reference": "#p"}, contained=[{"resourceType": "Patient"}])], []),
    (
        [composition(subject={"reference": "Patient/2"})],
        [("document-reference", "Bundle.entry[0].resource.subject.reference")],
    ),
    (
        [composition(**NESTED)],
        [
            (
                "document-reference",
                "Bundle.entry[0].resource.section[0].section[0].entry[0].reference",
            )
        ],
    ),
    ([composition(), PATIENT], [("document-stranger", "Bundle.entry[1]")]),
    ([composition(), entry(UUID, "Binary", "b")], []),
    (  # a Provenance leads to what it is about
        [composition(), entry(UUID, "Provenance", content={
            "target": [{"reference": "Composition/1"}, {"reference": f"{BASE}Composition/1"}]})],
        [],
    ),
    (  # what the Composition leads to may lead on
        [
            composition(author=[{"reference": UUID}]),
            entry(UUID, "Practitioner", content={"x": {"reference": f"{BASE}Patient/1"}}),
            PATIENT,
        ],
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "wrong"), DOCUMENTS)
def test_a_document_holds_what_its_composition_leads_to(entries, wrong):
    assert told(bundle("document", *entries)) == [("error", *one) for one in wrong]


def test_a_message_holds_what_it_is_about():
    about = [{"reference": f"{BASE}Patient/1"}, {"reference": f"{BASE}Patient/2"}]
    header = entry(UUID, "MessageHeader", content={"focus": about})
    where = "Bundle.entry[0].resource.focus[1].reference"
    assert told(bundle("message", header, PATIENT)) == [("error", "message-focus", where)]


def test_bundles_within_bundles_are_looked_at_too():
    inner = bundle("collection", entry("Patient/1", "Patient", "1"))
    outer = bundle("collection", {"fullUrl": UUID, "resource": inner})
    where = "Bundle.entry[0].resource.entry[0].fullUrl"
    assert told(outer) == [("error", "bundle-full-url", where)]


def versioned(full_url: str, id: str, version: str) -> dict[str, Any]:
    return entry(full_url, "Observation", id, content={"meta": {"versionId": version}})


# seen from                       the reference                        is entry
RESOLVED = [
    (f"{BASE}Patient/1", "Observation/1/_history/2", 1),
    (f"{BASE}Patient/1", "Observation/1/_history/1", 0),
    (f"{BASE}Patient/1", "Observation/1/_history/9", None),
    (f"{BASE}Patient/1", f"{BASE}Observation/1", 0),
    (f"{BASE}Patient/1", UUID, 2),
    (f"{BASE}Patient/1", f"{UUID}#part", 2),
    (f"{BASE}Patient/1", "Patient/9", 3),
    ("http://other.vn/Patient/1", "Observation/1", None),
    (UUID, "Observation/1", None),
    (None, "Observation/1", None),
    (None, "#x", None),
]


@pytest.mark.parametrize(("seen_from", "reference", "place"), RESOLVED)
def test_a_reference_within_a_bundle_means_what_r4_says(seen_from, reference, place):
    within = Within(
        bundle(
            "collection",
            versioned(f"{BASE}Observation/1", "1", "1"),
            versioned(f"{BASE}Observation/1", "1", "2"),
            entry(UUID, "Patient"),
            entry(None, "Patient", "9"),
        )
    )
    found = within.find(reference, seen_from)
    assert (found.place if found else None) == place
