"""test_subset — a narrowed resource keeps what was asked, what it must, and says it is narrowed.

https://hl7.org/fhir/R4/search.html#summary
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.conformance.subset import SUBSETTED, WHOLE, Shape, shaped, unknown_elements

R4 = load()
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "1",
    "meta": {"versionId": "1-a", "tag": [{"system": "urn:x", "code": "y"}]},
    "implicitRules": "urn:rules",
    "text": {"status": "generated", "div": "<div>Ngô</div>"},
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Trạm"}],
    "modifierExtension": [{"url": "urn:m", "valueBoolean": True}],
    "identifier": [{"system": "urn:cccd", "value": "1", "assigner": {"display": "Bộ"}}],
    "name": [{"family": "Ngô", "given": ["An"], "extension": [{"url": "u", "valueCode": "c"}]}],
    "birthDate": "1990",
    "_birthDate": {"extension": [{"url": "u", "valueDateTime": "1990"}]},
    "multipleBirthInteger": 2,
    "contact": [{"name": {"text": "Mẹ"}, "gender": "female"}],
    "communication": [{"language": {"text": "vi"}, "preferred": True}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "text": {"status": "generated", "div": "<div>x</div>"},
    "status": "final",
    "code": {"text": "Nhiệt độ"},
    "valueQuantity": {"value": 37, "unit": "C"},
    "note": [{"text": "n"}],
    "component": [{"code": {"text": "c"}, "valueString": "s", "interpretation": [{"text": "i"}]}],
}
ALWAYS = {"resourceType", "id", "meta", "implicitRules", "modifierExtension"}

# the resource, the shape, and the elements that are left beside resourceType, id and meta
KEPT: list[tuple[dict[str, Any], Shape, str]] = [
    (PATIENT, Shape("text"), "text"),
    (PATIENT, Shape("true"), "identifier name birthDate _birthDate"),
    (PATIENT, Shape("data"), " ".join(sorted(PATIENT.keys() - ALWAYS - {"text"}))),
    (PATIENT, Shape(None, ("name",)), "name"),
    (PATIENT, Shape(None, ("birthDate", "nothing")), "birthDate _birthDate"),
    (PATIENT, Shape(None, ("Patient.name", "Observation.code")), "name"),
    (PATIENT, Shape(None, ("multipleBirth",)), "multipleBirthInteger"),
    (PATIENT, Shape(None, ("multipleBirth[x]",)), "multipleBirthInteger"),
    (PATIENT, Shape("true", ("name", "contact")), "name"),
    (OBSERVATION, Shape("text"), "text status code"),
    (OBSERVATION, Shape("true"), "status code valueQuantity component"),
    (OBSERVATION, Shape(None, ("valueQuantity",)), "status code valueQuantity"),
    (OBSERVATION, Shape(None, ("Observation.note",)), "status code note"),
]


@pytest.mark.parametrize(("resource", "shape", "kept"), KEPT)
def test_a_shape_keeps_exactly_these_elements(
    resource: dict[str, Any], shape: Shape, kept: str
) -> None:
    before = copy.deepcopy(resource)
    found = shaped(R4, resource, shape)
    assert found.keys() - ALWAYS == set(kept.split())
    assert found.keys() >= ALWAYS & resource.keys()
    assert found["meta"]["tag"][-1] == SUBSETTED
    assert resource == before


@pytest.mark.parametrize(
    "shape", [WHOLE, Shape("false"), Shape(None, ("Observation.code", "Encounter.status"))]
)
def test_a_resource_nobody_narrowed_is_whole_and_has_no_tag(shape: Shape) -> None:
    assert shaped(R4, PATIENT, shape) is PATIENT


def test_a_nested_name_narrows_the_element_and_keeps_what_is_mandatory_in_it() -> None:
    asked = Shape(None, ("name.family", "communication.preferred", "contact.gender"))
    found = shaped(R4, PATIENT, asked)
    assert found["name"] == [{"family": "Ngô"}]
    assert found["communication"] == PATIENT["communication"]
    assert found["contact"] == [{"gender": "female"}]


def test_asking_for_an_element_and_for_a_part_of_it_gives_all_of_it() -> None:
    for elements in (("name", "name.family"), ("name.family", "name")):
        assert shaped(R4, PATIENT, Shape(None, elements))["name"] == PATIENT["name"]


def test_a_summary_narrows_backbone_elements_and_datatypes_too() -> None:
    assert shaped(R4, OBSERVATION, Shape("true"))["component"] == [
        {"code": {"text": "c"}, "valueString": "s"}
    ]
    assert shaped(R4, PATIENT, Shape("true"))["name"] == [{"family": "Ngô", "given": ["An"]}]


def test_a_summary_of_a_bundle_summarizes_what_is_in_it() -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": PATIENT}]}
    (entry,) = shaped(R4, bundle, Shape("true"))["entry"]
    assert "contact" not in entry["resource"]
    assert "name" in entry["resource"]


def test_the_tag_is_not_put_on_twice() -> None:
    once = shaped(R4, PATIENT, Shape("true"))
    twice = shaped(R4, once, Shape("true"))
    assert [tag["code"] for tag in twice["meta"]["tag"]] == ["y", "SUBSETTED"]


def test_elements_that_r4_does_not_know_are_named() -> None:
    asked = ("name", "name.family", "value", "Patient.shoe", "shoe", "contact.name.given", "name.x")
    assert unknown_elements(R4, ["Patient"], asked) == ["value", "Patient.shoe", "shoe", "name.x"]
    assert unknown_elements(R4, [], ("value", "shoe")) == ["shoe"]
