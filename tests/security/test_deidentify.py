"""De-identification: nothing that tells who it is survives, wherever in a record it stands."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from fhir_server.conformance.definitions import Field
from fhir_server.conformance.r4_resources import definitions_of_r4
from fhir_server.foundation.resource import Resource
from fhir_server.security.deidentify import LEFT_OUT, MASKED, THINGS, counted, deidentified
from fhir_server.security.policy import TRANSFORMATIONS
from fhir_server.security.policy_file import built_in

R4 = definitions_of_r4()
HOW = tuple(TRANSFORMATIONS)
CANARY, DAY, YEAR = "Nguyen-Van-Canary", "1987-06-05", "1987"
VALUES: dict[str, Any] = {
    "date": DAY,
    "dateTime": f"{DAY}T10:00:00+07:00",
    "instant": f"{DAY}T10:00:00+07:00",
    "time": "10:11:12",
    "boolean": True,
    "decimal": 1.5,
    "integer": 1,
    "positiveInt": 1,
    "unsignedInt": 1,
    "code": "a-code",
    "id": "an-id",
    "uri": f"http://example.org?name={CANARY}",
    "url": f"http://example.org?name={CANARY}",
    "canonical": f"http://example.org?name={CANARY}",
    "oid": "urn:oid:1.2",
    "uuid": "urn:uuid:0",
}
DEPTH = 3
PEOPLE = sorted(
    type
    for type in R4.resource_types - THINGS
    if not ("url" in (of := R4.children(type)) and of["url"].type.code == "uri")
)
# What may say the canary: a reference, and the words of a code.
MAY = {"Reference.reference", "Coding.display", "Coding.version", "Address.state"}
MAY |= {"Address.country"} | {f"{type}.unit" for type in ("Quantity", "Age", "Count", "Duration")}
MAY |= {"Distance.unit"}


def filled(node: str, depth: int) -> Resource:
    """Every element R4 knows there, each saying the canary where it can."""
    told: Resource = {}
    for name, field in R4.children(node).items():
        if depth or field.type.code in R4.primitive_types:
            value = one(field, depth)
            told[name] = [value] if field.element.many else value
        if field.type.code in R4.primitive_types and name != "id":
            told[f"_{name}"] = {"extension": [{"url": "urn:x", "valueString": CANARY}]}
    return told


def one(field: Field, depth: int) -> Any:
    if field.element.path in MAY:
        return "kept"
    if field.type.code == "Extension":
        return {"url": "urn:x", "valueString": CANARY, "extension": [{"valueDate": DAY}]}
    if field.type.code in R4.any_resource:
        return filled("Patient", 0) | {"resourceType": "Patient", "id": "p"}
    if field.type.code in R4.primitive_types:
        return VALUES.get(field.type.code, CANARY)
    return filled(field.node, depth - 1)


def patient(**more: Any) -> Resource:
    return {"resourceType": "Patient", "id": "1", **more}


@pytest.mark.parametrize("type", PEOPLE)
def test_no_text_no_day_and_no_address_of_any_type_survives_v5_0_0_8_2_3(type: str) -> None:
    whole = filled(type, DEPTH) | {"resourceType": type, "id": "1"}
    told = orjson.dumps(deidentified(R4, whole, HOW)).decode()
    assert CANARY in orjson.dumps(whole).decode()
    assert CANARY not in told
    assert DAY not in told
    assert "10:11:12" not in told


def test_what_is_counted_and_compared_stays() -> None:
    told = deidentified(
        R4,
        {
            "resourceType": "Observation",
            "id": "1",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "1"}], "text": CANARY},
            "subject": {"reference": "Patient/1", "display": CANARY},
            "effectiveDateTime": f"{DAY}T10:00:00Z",
            "valueQuantity": {"value": 5, "unit": "mmol/L"},
            "note": [{"text": CANARY}],
        },
        HOW,
    )
    assert {name: told[name] for name in told if name != "meta"} == {
        "resourceType": "Observation",
        "id": "1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1"}]},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "1987-06",
        "valueQuantity": {"value": 5, "unit": "mmol/L"},
    }


@pytest.mark.parametrize(
    ("how", "whole", "left"),
    [
        ("names", {"name": [{"family": CANARY}]}, {}),
        ("identifiers", {"identifier": [{"value": "1"}]}, {}),
        ("contacts", {"telecom": [{"value": "1"}], "contact": [{}], "link": [{}]}, {}),
        (
            "addresses",
            {"address": [{"line": ["1"], "city": "x", "state": "92", "country": "VN"}]},
            {"address": [{"state": "92", "country": "VN"}]},
        ),
        ("addresses", {"address": [{"text": "1"}]}, {}),
        ("dates", {"birthDate": DAY}, {"birthDate": YEAR}),
        ("dates", {"deceasedDateTime": DAY}, {"deceasedDateTime": "1987-06"}),
        (
            "dates",
            {"name": [{"period": {"start": DAY}}]},
            {"name": [{"period": {"start": "1987-06"}}]},
        ),
        ("texts", {"text": {"status": "generated", "div": "x"}}, {}),
        ("texts", {"name": [{"text": "x"}]}, {"name": [{"text": "x"}]}),
        ("attachments", {"photo": [{"title": "x"}]}, {}),
        ("extensions", {"extension": [{"url": "urn:x"}], "_birthDate": {"id": "x"}}, {}),
        ("names", {"unknown": "x"}, {}),
        ("names", {"name": "no list"}, {}),
        ("dates", {"birthDate": 5}, {}),
        ("names", {"gender": {"not": "a code"}}, {}),
    ],
)
def test_a_transformation_leaves_out_its_own(how: str, whole: Resource, left: Resource) -> None:
    told = deidentified(R4, patient(**whole), (how,))
    assert {name: told[name] for name in told if name != "meta"} == patient(**left)


def test_what_is_required_says_that_it_is_masked() -> None:
    whole = {
        "resourceType": "Communication",
        "status": "completed",
        "payload": [{"contentString": "x"}],
    }
    link = {"resourceType": "Person", "link": [{"target": {"display": "x"}, "assurance": "level1"}]}
    assert deidentified(R4, whole, HOW)["payload"] == [{"_contentString": {"extension": [MASKED]}}]
    assert deidentified(R4, link, HOW)["link"][0]["target"] == {"extension": [MASKED]}


def test_what_was_left_out_is_told_by_its_labels() -> None:
    label = {"system": "urn:x", "code": "y"}
    meta = deidentified(R4, patient(meta={"security": [label]}), HOW)["meta"]
    assert [each["code"] for each in meta["security"]] == ["y", "REDACTED"]
    assert [each["code"] for each in meta["tag"]] == ["SUBSETTED"]


def test_definitions_and_places_stay_as_they_are() -> None:
    for whole in (
        {"resourceType": "ValueSet", "url": "http://x", "name": "x"},
        {"resourceType": "Organization", "name": "x"},
    ):
        assert deidentified(R4, whole, HOW) is whole


def test_without_transformations_a_record_is_itself() -> None:
    whole = patient(name=[{"family": "x"}])
    assert deidentified(R4, whole, ()) is whole


@pytest.mark.parametrize(("number", "told"), [(0, 0), (1, None), (4, None), (5, 5), (1000, 1000)])
def test_a_small_number_of_people_is_not_told(number: int, told: int | None) -> None:
    assert counted(number, HOW) == told
    assert counted(number, ()) == number


def test_every_transformation_of_a_policy_is_known_here() -> None:
    assert LEFT_OUT.keys() == TRANSFORMATIONS.keys()
    assert set(built_in().roles["analyst"].deidentify) == set(HOW)
