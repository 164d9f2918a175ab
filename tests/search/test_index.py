"""index: the rows a resource leaves behind."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import TooLarge, UnknownType, Unprocessable
from fhir_server.foundation.resource import Key
from fhir_server.search import index
from fhir_server.search.index import Indexer
from fhir_server.store.contract import PARAM_SHIFT, WHOLE_TEXT, rid

from .ask import BASE, indexer, parameters

EXAMPLES = Path(__file__).parents[3] / "shared" / "testdata" / "r4-examples"


def number(type: str, code: str) -> int:
    return parameters().of(type)[code].number


# what is stored                                                                    whose it is
OWNERS = [
    ({"resourceType": "Patient", "id": "23"}, "23"),
    ({"resourceType": "Patient"}, None),
    ({"resourceType": "Encounter", "subject": {"reference": "Patient/23"}}, "23"),
    ({"resourceType": "Encounter", "subject": {"reference": f"{BASE}/Patient/23"}}, "23"),
    ({"resourceType": "Encounter", "subject": {"reference": "Patient/23/_history/1"}}, "23"),
    ({"resourceType": "Encounter", "subject": {"reference": "Group/23"}}, None),
    ({"resourceType": "Encounter", "subject": {"reference": "http://x/Patient/23"}}, None),
    ({"resourceType": "Encounter"}, None),
    ({"resourceType": "Observation",
      "performer": [{"reference": "Practitioner/1"}, {"reference": "Patient/24"}],
      "subject": {"reference": "Patient/23"}}, "23"),
    ({"resourceType": "Observation", "performer": [{"reference": "Patient/24"}]}, "24"),
    ({"resourceType": "Organization", "id": "23"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "patient"), OWNERS)
def test_a_resource_belongs_to_the_first_patient_its_compartment_names(resource, patient) -> None:
    expected = rid(Key("Patient", patient)) if patient else 0
    assert indexer().rows(resource).owner == expected


def test_rows_follow_from_the_body_alone() -> None:
    body = {"resourceType": "Patient", "id": "1", "name": [{"family": "Lý"}]}
    stamped = {**body, "meta": {"versionId": "1-x", "lastUpdated": "2024-01-01T00:00:00Z"}}
    assert indexer().rows(body) == indexer().rows(stamped)


def test_many_words_are_cut_at_the_first_two_hundred_of_a_parameter() -> None:
    words = [f"w{n}" for n in range(500)]
    patient = {"resourceType": "Patient", "name": [{"given": words, "family": "Lý"}]}
    rows = [
        row for row in indexer().rows(patient).strings if row.param == number("Patient", "given")
    ]
    assert {row.word for row in rows} == set(words[: index.MAX_WORDS])


def test_too_many_entries_are_refused_with_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MAX_ROWS", 10)
    members = [{"entity": {"reference": f"Patient/{n}"}} for n in range(20)]
    with pytest.raises(TooLarge, match="more than 10"):
        indexer().rows({"resourceType": "Group", "member": members})


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Patient", "name": "Lý"},
        {"resourceType": "Patient", "name": {"family": "Lý"}},
        {"resourceType": "Patient", "name": [["Lý"]]},
        {"resourceType": "Patient", "name": [{"family": 5}]},
        {"resourceType": "Patient", "birthDate": "soon"},
        {"resourceType": "Patient", "birthDate": {}},
        {"resourceType": "Encounter", "subject": "Patient/1"},
        {"resourceType": "Encounter", "subject": {"reference": 5}},
        {"resourceType": "Observation", "valueQuantity": {"value": "five"}},
        {"resourceType": "Observation", "code": {"coding": [5]}},
        {"resourceType": "Bundle", "entry": [{"resource": {"id": "x"}}]},
    ],
)
def test_what_is_not_r4_is_refused_and_never_an_accident(resource) -> None:
    with pytest.raises(Unprocessable):
        indexer().rows(resource)


@pytest.mark.parametrize("type", [None, 5, "Nope", [], "Resource"])
def test_an_unknown_type_is_refused(type) -> None:
    with pytest.raises(UnknownType):
        indexer().rows({"resourceType": type})


def test_the_stamp_changes_with_whatever_changes_rows() -> None:
    plain = Indexer(parameters())
    assert plain.stamp == Indexer(parameters()).stamp
    assert plain.stamp != Indexer(parameters(), zone_minutes=0).stamp
    assert plain.stamp != Indexer(parameters(), base_urls=(BASE,)).stamp


def test_a_value_that_leaves_no_row_is_still_said_to_be_there() -> None:
    rows = indexer().rows({"resourceType": "Condition", "code": {"text": "ho"}})
    assert index.marker(number("Condition", "code")) in rows.keys


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="HL7's examples are not beside this checkout")
def test_all_of_hl7s_examples_are_indexed() -> None:
    files = sorted(EXAMPLES.rglob("*.json"))
    assert len(files) > 200
    known = {
        parameter.number
        for type in load().resource_types
        for parameter in parameters().of(type).values()
    }
    place = parameters().of("Location")["near"].number
    for file in files:
        resource = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
        rows = indexer().rows(resource)
        numbers = {row.v >> PARAM_SHIFT for row in rows.keys}
        numbers |= {row.param & ~WHOLE_TEXT for row in rows.strings}
        numbers |= {row.param for row in (*rows.dates, *rows.quantities)}
        assert numbers <= known
        assert all(-(2**63) <= row.w < 2**63 and 0 < row.v < 2**63 for row in rows.keys)
        assert all(row.lo < row.hi for row in rows.dates)
        # a position's are its latitude and its longitude
        assert all(row.lo <= row.hi for row in rows.quantities if row.param != place)
