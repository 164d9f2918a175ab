"""Profiles that are bad: each is a warning that says why, or bounded; never a crash."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.validation.profile.extension import MAX_KEPT
from fhir_server.validation.profile.path import Unreadable, steps
from fhir_server.validation.profile.tree import tree
from fhir_server.validation.validator import Validator
from tests.validation.test_validator import DEFINITIONS, OWN, profile

R4 = "http://hl7.org/fhir/StructureDefinition/"
SLICED: dict[str, Any] = {
    "path": "Patient.name",
    "slicing": {"discriminator": [{"type": "value", "path": "use"}], "rules": "open"},
}
SLICE = {"path": "Patient.name", "sliceName": "a", "id": "Patient.name:a", "min": 1}


def by(kind: str, path: str) -> dict[str, Any]:
    return {
        "path": "Patient.name",
        "slicing": {"discriminator": [{"type": kind, "path": path}], "rules": "open"},
    }


BAD: dict[str, list[Any]] = {
    "a slice that says nothing at its discriminator": [SLICED, SLICE],
    "a discriminator of no known type": [by("guess", "use"), SLICE],
    "a discriminator's path that is no path": [by("value", "use("), SLICE],
    "a discriminator's path with a function": [by("value", "where(use = 'x').text"), SLICE],
    "an element that R4 does not have": [{"path": "Patient.shoe", "min": 1}],
    "an element without a path": [{"min": 1}],
    "a path that is no text": [{"path": 7, "min": 1}],
    "a min that is no number": [{"path": "Patient.name", "min": "many"}],
    "a max that is no number": [{"path": "Patient.name", "max": "many"}],
    "types that are no list": [{"path": "Patient.name", "type": "HumanName"}],
    "an element that is no object": ["Patient.name"],
    "a limit that is no date": [{"path": "Patient.birthDate", "minValueDate": "soon"}],
}


def checked(*structures: dict[str, Any]) -> Validator:
    found = [of_resource(each, "test") for each in structures]
    return Validator(
        DEFINITIONS, canonicals=canonicals_of_r4().above(each for each in found if each)
    )


@pytest.mark.parametrize("elements", BAD.values(), ids=BAD.keys())
def test_a_bad_profile_is_one_warning(elements: list[Any]) -> None:
    structure = profile("bad", "Patient")
    structure["differential"]["element"] = elements
    patient = {"resourceType": "Patient", "meta": {"profile": [OWN + "bad"]}, "active": True}
    patient["name"] = [{"text": "A"}]
    patient["birthDate"] = "2000-01-01"
    [told] = checked(structure).check(patient)
    assert (told.severity, told.rule) == ("warning", "profile-unusable"), told
    assert told.profile == OWN + "bad"


def test_a_profile_that_is_bad_deep_within_is_told_where_it_is_needed() -> None:
    bad = profile("bad", "HumanName", {"path": "HumanName.shoe", "min": 1}, kind="complex-type")
    typed = {"path": "Patient.name", "type": [{"code": "HumanName", "profile": [OWN + "bad"]}]}
    patient = {
        "resourceType": "Patient",
        "meta": {"profile": [OWN + "typed"]},
        "name": [{"text": "A"}],
    }
    found = checked(bad, profile("typed", "Patient", typed)).check(patient)
    assert {each.rule for each in found} <= {"profile-unusable"}
    assert all(each.severity == "warning" for each in found)


def test_profiles_of_datatypes_within_themselves_come_to_an_end() -> None:
    reference = [{"code": "Reference", "targetProfile": [OWN + "again"]}]
    again = profile("again", "Patient", {"path": "Patient.link.other", "type": reference})
    ids = [f"p{number}" for number in range(60)]
    contained = [
        {
            "resourceType": "Patient",
            "id": id,
            "link": [{"type": "seealso", "other": {"reference": f"#{other}"}} for other in ids],
        }
        for id in ids
    ]
    patient = {
        "resourceType": "Patient",
        "meta": {"profile": [OWN + "again"]},
        "contained": contained,
        "link": [{"type": "seealso", "other": {"reference": "#p0"}}],
    }
    assert checked(again).check(patient) == []


def test_extensions_that_clients_invent_do_not_fill_the_memory() -> None:
    validator = checked()
    for start in range(0, MAX_KEPT + 2000, 1000):
        extensions = [
            {"url": f"http://example.org/{number}", "valueString": "x"}
            for number in range(start, start + 1000)
        ]
        assert validator.check({"resourceType": "Patient", "extension": extensions}) == []
    assert validator._extensions is not None
    assert len(validator._extensions._fine) <= MAX_KEPT


def test_profiles_that_clients_invent_do_not_fill_the_memory() -> None:
    validator = checked()
    for number in range(50):
        claims = {"profile": [f"{OWN}{number}"]}
        [told] = validator.check({"resourceType": "Patient", "meta": claims, "active": True})
        assert told.rule == "profile-unknown"
    assert validator.profiles is not None
    assert not validator.profiles._profiles


@pytest.mark.parametrize(
    "path", ["use(", "name.where(true)", "a" + ".b" * 40, "%resource", "1 + 1", "x" * 100_000]
)
def test_what_is_no_path_of_a_discriminator_is_refused(path: str) -> None:
    with pytest.raises(Unreadable):
        steps(path)


def test_the_steps_of_a_discriminator() -> None:
    assert steps("$this") == ()
    assert [step.kind for step in steps("$this.value.ofType(Coding).system")] == [
        "child",
        "type",
        "child",
    ]
    assert [tuple(step) for step in steps("extension('u').value.resolve().code")] == [
        ("extension", "u"),
        ("child", "value"),
        ("resolve", ""),
        ("child", "code"),
    ]


@pytest.mark.parametrize(
    "elements",
    [
        [],
        [{"path": "Patient"}, {"path": "Patient.name.family"}],
        [{"path": "Patient"}] * 20_001,
    ],
)
def test_what_is_no_tree_is_refused(elements: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"snapshot|below"):
        tree(elements)


def test_a_tree_has_slices_and_slices_of_slices() -> None:
    root = tree(
        [
            {"path": "Patient"},
            {"path": "Patient.name", "slicing": {"rules": "open"}},
            {"path": "Patient.name.use"},
            {"path": "Patient.name", "sliceName": "a"},
            {"path": "Patient.name.use", "fixedCode": "usual"},
            {"path": "Patient.name", "sliceName": "a/b"},
            {"path": "Patient.gender"},
        ]
    )
    name, gender = root.children
    assert [each.slice_name for each in name.slices] == ["a"]
    assert [each.slice_name for each in name.slices[0].slices] == ["a/b"]
    assert name.slices[0].children[0].fixed is not None
    assert name.children[0].fixed is None
    assert gender.children == ()
