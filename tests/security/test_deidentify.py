"""De-identification: nothing that tells who it is survives, wherever in a record it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from fhir_server.conformance.definitions import Field, load
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security import vouched
from fhir_server.security.deidentify import (
    LEFT_OUT,
    MASKED,
    counted,
    deidentified,
    is_nobodys,
)
from fhir_server.security.policy import TRANSFORMATIONS
from fhir_server.security.policy_file import built_in
from fhir_server.security.pseudonym import Pseudonyms
from fhir_server.store.contract import rid
from tests.security.disguise import MEANS, means

R4 = load()
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
}
DEPTH = 3
PEOPLE = sorted(type for type in R4.resource_types if not is_nobodys(R4, type))
UCUM = "http://unitsofmeasure.org"
OTHER = {"reference": f"#{CANARY}"}
WORD = MEANS.pseudonyms.word(CANARY)
EXAMPLES = Path(__file__).parents[3] / "shared/testdata/r4-examples"


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
    if field.type.code == "Extension":
        return {"url": "urn:x", "valueString": CANARY, "extension": [{"valueDate": DAY}]}
    if field.type.code in R4.any_resource:
        return filled("Patient", 0) | {"resourceType": "Patient", "id": CANARY}
    if field.type.code in R4.primitive_types:
        return VALUES.get(field.type.code, CANARY)
    return filled(field.node, depth - 1)


def patient(**more: Any) -> Resource:
    return {"resourceType": "Patient", "id": "1", **more}


@pytest.mark.parametrize("type", PEOPLE)
def test_no_text_no_day_and_no_address_of_any_type_survives_v5_0_0_8_2_3(type: str) -> None:
    whole = filled(type, DEPTH) | {"resourceType": type, "id": "1"}
    whole["id"] = CANARY
    told = orjson.dumps(deidentified(MEANS, whole, HOW)).decode()
    assert CANARY in orjson.dumps(whole).decode()
    assert CANARY not in told
    assert DAY not in told
    assert "10:11:12" not in told


def test_what_is_counted_and_compared_stays() -> None:
    loinc = {"system": "http://loinc.org", "code": "8480-6"}
    told = deidentified(
        MEANS,
        {
            "resourceType": "Observation",
            "id": "1",
            "status": "final",
            "code": {"coding": [loinc | {"display": CANARY}], "text": CANARY},
            "subject": {"reference": "Patient/1", "type": "Patient", "display": CANARY},
            "effectiveDateTime": f"{DAY}T10:00:00Z",
            "valueQuantity": {"value": 5, "unit": "mmol/L", "code": "mmol/L", "system": UCUM},
            "note": [{"text": CANARY}],
        },
        HOW,
    )
    pseudonym = MEANS.pseudonyms.of(Key("Patient", "1"))
    assert {name: told[name] for name in told if name != "meta"} == {
        "resourceType": "Observation",
        "id": MEANS.pseudonyms.of(Key("Observation", "1")),
        "status": "final",
        "code": {"coding": [loinc]},
        "subject": {"reference": f"Patient/{pseudonym}", "type": "Patient"},
        "effectiveDateTime": "1987-06",
        "valueQuantity": {"value": 5, "unit": "mmol/L", "code": "mmol/L", "system": UCUM},
    }


@pytest.mark.parametrize(
    ("how", "whole", "left"),
    [
        ("names", {"name": [{"family": CANARY}]}, {}),
        ("identifiers", {"identifier": [{"value": "1"}]}, {}),
        ("contacts", {"telecom": [{"value": "1"}], "contact": [{}], "link": [{}]}, {}),
        (
            "addresses",
            {"address": [{"line": ["1"], "city": "x", "state": "TP. Cần Thơ", "country": "VN"}]},
            {"address": [{"state": "TP. Cần Thơ", "country": "VN"}]},
        ),
        ("addresses", {"address": [{"state": CANARY, "country": CANARY}]}, {}),
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
        (
            "texts",
            {"_gender": {"id": CANARY, "extension": [{"url": "http://x", "valueString": CANARY}]}},
            {"_gender": {"extension": [{"url": "http://x"}]}},
        ),
        ("dates", {"deceasedDateTime": CANARY}, {}),
        ("dates", {"birthDate": "1901-02-03"}, {"_birthDate": {"extension": [MASKED]}}),
        ("ids", {"meta": {"versionId": "1-abc", "source": "http://x"}}, {}),
        (
            "ids",
            {"contained": [{"resourceType": "Patient", "id": CANARY}], "link": [{"other": OTHER}]},
            {
                "contained": [{"resourceType": "Patient", "id": WORD}],
                "link": [{"other": {"reference": f"#{WORD}"}}],
            },
        ),
        ("names", {"unknown": "x"}, {}),
        ("names", {"name": "no list"}, {}),
        ("dates", {"birthDate": 5}, {"_birthDate": {"extension": [MASKED]}}),
        ("names", {"gender": {"not": "a code"}}, {}),
    ],
)
def test_a_transformation_leaves_out_its_own(how: str, whole: Resource, left: Resource) -> None:
    told = deidentified(MEANS, patient(**whole), (how,))
    left = patient(**left) | ({"id": told["id"]} if how == "ids" else {})
    assert {name: told[name] for name in told if name != "meta"} == left


def test_what_is_required_says_that_it_is_masked() -> None:
    whole = {
        "resourceType": "Communication",
        "status": "completed",
        "payload": [{"contentString": "x"}],
    }
    link = {"resourceType": "Person", "link": [{"target": {"display": "x"}, "assurance": "level1"}]}
    assert deidentified(MEANS, whole, HOW)["payload"] == [
        {"_contentString": {"extension": [MASKED]}}
    ]
    assert deidentified(MEANS, link, HOW)["link"][0]["target"] == {"extension": [MASKED]}


def test_what_was_left_out_is_told_by_its_labels() -> None:
    label = {"system": "http://x.example", "code": "y"}
    meta = deidentified(MEANS, patient(meta={"security": [label]}), HOW)["meta"]
    assert [each["code"] for each in meta["security"]] == ["y", "REDACTED"]
    assert [each["code"] for each in meta["tag"]] == ["SUBSETTED"]


def test_definitions_and_places_stay_as_they_are() -> None:
    for whole in (
        {"resourceType": "ValueSet", "url": "http://x", "name": "x"},
        {"resourceType": "Organization", "name": "x"},
    ):
        assert deidentified(MEANS, whole, HOW) is whole


def test_without_transformations_a_record_is_itself() -> None:
    whole = patient(name=[{"family": "x"}])
    assert deidentified(MEANS, whole, ()) is whole


@pytest.mark.parametrize(
    ("number", "told"), [(0, 0), (1, None), (4, None), (5, 5), (9, 5), (10, 10), (1003, 1000)]
)
def test_a_small_number_of_people_is_not_told(number: int, told: int | None) -> None:
    assert counted(number, HOW) == told
    assert counted(number, HOW, 20) == (0 if number == 0 else None if number < 20 else 1000)
    assert counted(number, ()) == number


def test_every_transformation_of_a_policy_is_known_here() -> None:
    assert LEFT_OUT.keys() == TRANSFORMATIONS.keys()
    assert set(built_in().roles["analyst"].deidentify) == set(HOW) - {"records"}


# --- HL7's examples -------------------------------------------------------------------------------


def marked(value: Any, name: str = "") -> Any:
    """The same with the canary in every string, whatever it is for."""
    if isinstance(value, dict):
        return {key: marked(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [marked(each, name) for each in value]
    return CANARY if isinstance(value, str) and name != "resourceType" else value


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="HL7's examples are not beside this checkout")
def test_nothing_that_is_written_into_an_example_of_hl7_comes_through() -> None:
    seen = set()
    for file in sorted(EXAMPLES.glob("*.json")):
        whole = json.loads(file.read_text("utf-8"))
        type = whole["resourceType"]
        if type not in PEOPLE:
            continue
        seen.add(type)
        told = deidentified(MEANS, marked(whole), HOW)
        assert CANARY not in json.dumps(told), file.name
    assert len(seen) > 100


# --- what is vouched for --------------------------------------------------------------------------

LOINC, GENDER = "http://loinc.org", "http://hl7.org/fhir/administrative-gender"
OWN = "http://his.example/services"
CODINGS = [  # system, code, told: a display, a code without one, or nothing
    (GENDER, "female", "Female"),
    (GENDER, CANARY, None),
    (LOINC, "8480-6", ""),
    (LOINC, CANARY, None),
    ("http://snomed.info/sct", "22298006", ""),
    ("http://snomed.info/sct", "22298006 |Nguyen|", None),
    (OWN, "KB-01.2", ""),
    (OWN, "AMB", ""),
    (OWN, CANARY, None),
    (OWN, "Nguyen Van An", None),
    (OWN, "079123456789", None),
    (OWN, "DN4791234567890", None),
    (f"{OWN}?name={CANARY}", "KB01", None),
    (UCUM, "mmol/L", "mmol/L"),
    (UCUM, "{Nguyen}", None),
    ("urn:ietf:bcp:47", "vi-x-nguyen", None),
    (None, "AMB", ""),
    (None, CANARY, None),
]


@pytest.mark.parametrize(("system", "code", "display"), CODINGS)
def test_a_code_is_told_in_its_system_s_own_words(
    system: str | None, code: str, display: str | None
) -> None:
    where = {} if system is None else {"system": system}
    said = {} if not display else {"display": display}
    told = vouched.coding(MEANS.terms, where | {"code": code, "display": CANARY})
    assert told == (None if display is None else where | {"code": code} | said)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"unit": "mmHg"}, {"unit": "mmHg"}),
        ({"unit": "mg"}, {"unit": "mg"}),
        ({"unit": CANARY}, {}),
        ({"unit": "mg{Nguyen}"}, {}),
        ({"unit": "mm[Hg]", "code": "mm[Hg]", "system": UCUM}, None),
        ({"code": CANARY, "system": UCUM}, {}),
        ({"code": "vien", "system": OWN}, None),
    ],
)
def test_a_unit_is_told_where_it_is_one(given: Resource, told: Resource | None) -> None:
    assert vouched.measured(MEANS.terms, given) == (given if told is None else told)


@pytest.mark.parametrize(
    ("age", "told"),
    [
        ({"value": 40, "code": "a"}, True),
        ({"value": 90, "code": "a"}, False),
        ({"value": 90}, False),
        ({"value": 90, "code": "mo"}, True),
        ({"value": 1100, "code": "mo"}, False),
    ],
)
def test_an_age_above_89_is_not_told(age: Resource, told: bool) -> None:
    whole = {"resourceType": "Condition", "id": "1", "onsetAge": age | {"system": UCUM}}
    assert ("onsetAge" in deidentified(MEANS, whole, HOW)) is told


# --- pseudonyms -----------------------------------------------------------------------------------

PERSON = Key("Patient", "079123456789")


def test_a_pseudonym_leads_back_for_the_client_it_was_told_to_alone() -> None:
    mine, other = means("study").pseudonyms, means("other").pseudonyms
    name = mine.of(PERSON)
    assert mine.of(PERSON) == name
    assert mine.number(name) == rid(PERSON)
    assert other.of(PERSON) != name
    assert other.number(name) is None
    assert Pseudonyms(b"t" * 32, "study").number(name) is None
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", name)


@pytest.mark.parametrize("id", ["1", "f" * 48, "F" * 48, PERSON.id, "", "\u0661" * 48])
def test_what_is_no_pseudonym_leads_nowhere(id: str) -> None:
    assert MEANS.pseudonyms.number(id) is None


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("Organization/bv-1", "Organization/bv-1"),
        (str(PERSON), f"Patient/{MEANS.pseudonyms.of(PERSON)}"),
        (f"{PERSON}/_history/3", f"Patient/{MEANS.pseudonyms.of(PERSON)}"),
        (f"http://other.example/fhir/{PERSON}", None),
        (f"urn:uuid:{CANARY}", None),
        (CANARY, None),
    ],
)
def test_a_reference_leads_to_a_pseudonym_or_is_not_told(reference: str, told: str | None) -> None:
    whole = {"resourceType": "Observation", "id": "1", "subject": {"reference": reference}}
    found = deidentified(MEANS, whole, HOW)
    assert found.get("subject") == (None if told is None else {"reference": told})
