"""https://hl7.org/fhir/R4/http.html#summary"""

from __future__ import annotations

import pytest

from fhir_server.conformance import definitions
from fhir_server.foundation.outcome import FhirError, Invalid, MethodNotAllowed, NotFound
from fhir_server.rest import routes
from fhir_server.rest.routes import Grammar, Place

DEFINITIONS = definitions.load()
GRAMMAR = Grammar(DEFINITIONS.resource_types, DEFINITIONS.compartments)

# R4 http#summary, line by line.
SUMMARY = [
    ("GET", b"Patient/1", "read", Place("[type]/[id]", "Patient", "1")),
    (
        "GET",
        b"Patient/1/_history/2-b",
        "vread",
        Place("[type]/[id]/_history/[vid]", "Patient", "1", "2-b"),
    ),
    ("PUT", b"Patient/1", "update", Place("[type]/[id]", "Patient", "1")),
    ("PUT", b"Patient", "update", Place("[type]", "Patient")),
    ("PATCH", b"Patient/1", "patch", Place("[type]/[id]", "Patient", "1")),
    ("PATCH", b"Patient", "patch", Place("[type]", "Patient")),
    ("DELETE", b"Patient/1", "delete", Place("[type]/[id]", "Patient", "1")),
    ("DELETE", b"Patient", "delete", Place("[type]", "Patient")),
    ("POST", b"Patient", "create", Place("[type]", "Patient")),
    ("GET", b"Patient", "search-type", Place("[type]", "Patient")),
    ("GET", b"Patient/", "search-type", Place("[type]", "Patient")),
    ("POST", b"Patient/_search", "search-type", Place("[type]/_search", "Patient")),
    ("GET", b"", "search-system", Place("[base]")),
    ("POST", b"_search", "search-system", Place("_search")),
    ("GET", b"Patient/1/*", "search-compartment", Place("[type]/[id]/[type]", "Patient", "1", "*")),
    (
        "GET",
        b"Patient/1/Observation",
        "search-compartment",
        Place("[type]/[id]/[type]", "Patient", "1", "Observation"),
    ),
    (
        "POST",
        b"Patient/1/_search",
        "search-compartment",
        Place("[type]/[id]/_search", "Patient", "1", "*"),
    ),
    ("GET", b"metadata", "capabilities", Place("metadata")),
    ("POST", b"", "transaction", Place("[base]")),
    (
        "GET",
        b"Patient/1/_history",
        "history-instance",
        Place("[type]/[id]/_history", "Patient", "1"),
    ),
    ("GET", b"Patient/_history", "history-type", Place("[type]/_history", "Patient")),
    ("GET", b"_history", "history-system", Place("_history")),
    ("GET", b"$export", "operation", Place("$[operation]", last="export")),
    (
        "POST",
        b"Patient/$match",
        "operation",
        Place("[type]/$[operation]", "Patient", None, "match"),
    ),
    (
        "GET",
        b"Patient/1/$everything",
        "operation",
        Place("[type]/[id]/$[operation]", "Patient", "1", "everything"),
    ),
    ("HEAD", b"Patient/1", "read", Place("[type]/[id]", "Patient", "1")),
    ("HEAD", b"metadata", "capabilities", Place("metadata")),
]


@pytest.mark.parametrize(("method", "path", "interaction", "place"), SUMMARY)
def test_each_line_of_the_summary_of_r4_is_understood(method, path, interaction, place):
    found = GRAMMAR.place(path)
    assert found == place
    assert routes.row(found, method).interaction == interaction


def test_every_resource_type_of_r4_has_its_place():
    for type in DEFINITIONS.resource_types:
        assert GRAMMAR.place(f"{type}/1".encode()) == Place("[type]/[id]", type, "1")


ALLOW = [
    (b"Patient", "PUT, PATCH, DELETE, POST, GET, HEAD, OPTIONS"),
    (b"Patient/1", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
    (b"Patient/1/_history/1-a", "GET, HEAD, OPTIONS"),
    (b"Patient/_history", "GET, HEAD, OPTIONS"),
    (b"Patient/_search", "POST, OPTIONS"),
    (b"metadata", "GET, HEAD, OPTIONS"),
    (b"", "GET, HEAD, POST, OPTIONS"),
]


@pytest.mark.parametrize(("path", "allow"), ALLOW)
def test_a_method_that_cannot_be_used_is_refused_with_those_that_can(path, allow):
    with pytest.raises(MethodNotAllowed) as refusal:
        routes.row(GRAMMAR.place(path), "TRACE")
    assert refusal.value.headers == {"Allow": allow}


NOWHERE = [
    (b"Shoe", 404, "`Shoe` is not a resource type"),
    (b"patient/1", 404, "Did you mean `Patient`"),
    (b"Patients", 404, "Did you mean `Patient`"),
    (b"Resource/1", 404, "not a resource type"),
    (b"HumanName", 404, "not a resource type"),
    (b"Patient/1/_history/1/$meta", 404, r"`\$meta` is not supported at this place"),
    (b"Patient/1/Observation/$stats", 404, r"`\$stats` is not supported at this place"),
    (b"Patient//1", 404, "not a path"),
    (b"Patient/1//", 404, "not a path"),
    (b"/Patient/1", 404, "not a path"),
    (b"Patient/1/2/3", 404, "not a path"),
    (b"Patient/1/_history/2/3", 404, "not a path"),
    (b"Patient/1/_versions", 404, "not a path"),
    (b"Observation/1/Patient", 404, "no compartment"),
    (b"Patient/1/Medication", 404, "holds no `Medication`"),
    (b"Patient/%zz", 400, "hexadecimal"),
    (b"Patient/%", 400, "hexadecimal"),
    (b"Patient/%ff", 400, "UTF-8"),
    (b"Patient/%00", 400, "U.0000"),
]


@pytest.mark.parametrize(("path", "status", "told"), NOWHERE)
def test_what_is_no_place_is_refused_by_the_part_that_is_wrong(path, status, told):
    with pytest.raises(FhirError, match=told.replace("$", r"\$").replace(r"\\$", r"\$")) as refusal:
        GRAMMAR.place(path)
    assert refusal.value.status == status


BAD_IDS = [b"a" * 65, b"..%2F..%2Fetc%2Fpasswd", b"a_b", b"%C3%A9", b"a%20b", b"%27;drop", b"x%22"]


@pytest.mark.parametrize("id", BAD_IDS)
def test_what_cannot_be_an_id_is_not_found_and_not_made(id):
    place = GRAMMAR.place(b"Patient/" + id)
    with pytest.raises(NotFound):
        routes.refuse_id(place, "GET")
    with pytest.raises(Invalid):
        routes.refuse_id(place, "PUT")


PAIRS = [
    (b"", []),
    (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
    (b"a", [("a", "")]),
    (b"a==b", [("a", "=b")]),
    (b"&&a=1&", [("a", "1")]),
    (b"name=%C4%90%E1%BA%B7ng+V%C4%83n", [("name", "Đặng Văn")]),
    ("name=Đặng".encode(), [("name", "Đặng")]),
    (b"code=http%3A%2F%2Floinc.org%7C8480-6", [("code", "http://loinc.org|8480-6")]),
    (b"a%3Aexact=x%26y", [("a:exact", "x&y")]),
    (b"a=%2B", [("a", "+")]),
]


@pytest.mark.parametrize(("raw", "pairs"), PAIRS)
def test_parameters_are_decoded_in_their_order(raw, pairs):
    assert routes.pairs(raw, where="the query", bound=10) == pairs


@pytest.mark.parametrize("raw", [b"a=%", b"a=%1", b"a=%ED%A0%80", b"a=\xff", b"a=%00", b"%G0=1"])
def test_parameters_that_cannot_be_decoded_are_refused(raw):
    with pytest.raises(Invalid, match="the query"):
        routes.pairs(raw, where="the query", bound=10)


def test_parameters_have_an_end():
    with pytest.raises(Invalid, match="max_parameters"):
        routes.pairs(b"a=1&" * 11, where="the query", bound=10)
