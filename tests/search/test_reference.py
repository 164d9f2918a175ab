"""reference: another resource, by id, by type and id, or by URL."""

from __future__ import annotations

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.foundation.resource import Key
from fhir_server.search.dominant import MOST, dominant
from fhir_server.search.parameters import PART_OF
from fhir_server.store.contract import Beneath, rid

from .ask import BASE, found, indexer, parameters, query


def visit(reference: str) -> dict:
    return {"resourceType": "Encounter", "subject": {"reference": reference}}


GROUP = visit("Group/7")
UUID = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
NAMED = {
    "resourceType": "Observation",
    "subject": {"identifier": {"system": "urn:cccd", "value": "079|1"}, "type": "Patient"},
}
HERD = {"resourceType": "Observation", "subject": {"identifier": {"value": "079|1"}}}
BOTH_WAYS = {
    "resourceType": "Observation",
    "subject": {"reference": "Patient/23", "identifier": {"system": "urn:cccd", "value": "5"}},
}
LEAN = {"resourceType": "Encounter", "subject": {"identifier": {"value": "1"}}}
FORM = {
    "resourceType": "QuestionnaireResponse",
    "questionnaire": "http://forms.example/Questionnaire/flu|2.0",
}
LATER_FORM = {
    "resourceType": "QuestionnaireResponse",
    "questionnaire": "http://forms.example/Questionnaire/flu|20.1",
}
OWN_FORM = {"resourceType": "QuestionnaireResponse", "questionnaire": "Questionnaire/flu|2.0"}
DOCUMENT = {
    "resourceType": "Bundle",
    "type": "document",
    "entry": [{"resource": {"resourceType": "Composition", "id": "c"}}],
}


def seen_by(people, encounter):
    return encounter | {"participant": [{"individual": {"reference": one}} for one in people]}


def missing(resource, code):
    """What is found by `true` is not found by `false`."""
    found_by = [found(resource, f"{code}:missing={answer}") for answer in ("true", "false")]
    assert found_by[0] != found_by[1]
    return found_by[0]


# what is stored                    what is asked                              found?
TABLE = [
    (visit("Patient/23"), "subject=Patient/23", True),
    (visit("Patient/23"), "subject=23", True),
    (visit("Patient/23"), "subject:Patient=23", True),
    (visit("Patient/23"), "subject:Patient=Patient/23", True),
    (visit("Patient/23"), "subject:Group=23", False),
    (visit("Patient/23"), "subject=Group/23", False),
    (visit("Patient/23"), "subject=2", False),
    (visit("Patient/23"), f"subject={BASE}/Patient/23", True),
    (visit("Patient/23"), "subject=https://there.example/fhir/Patient/23", False),
    (visit("Patient/23"), "patient=23", True),
    (visit("Patient/23"), "patient=Patient/23", True),
    (visit("Patient/23"), "patient=24,23", True),
    (visit("Patient/23"), "subject:missing=true", False),
    (GROUP, "subject=7", True),
    (GROUP, "patient=7", False),
    (visit(f"{BASE}/Patient/23"), "subject=Patient/23", True),
    (visit("https://there.example/fhir/Patient/23"), "subject=Patient/23", False),
    (visit("https://there.example/fhir/Patient/23"), "subject=23", False),
    (
        visit("https://there.example/fhir/Patient/23"),
        "subject=https://there.example/fhir/Patient/23",
        True,
    ),
    (
        visit("https://there.example/fhir/Patient/23"),
        "patient=https://there.example/fhir/Patient/23",
        True,
    ),
    (
        visit("https://there.example/fhir/Group/7"),
        "patient=https://there.example/fhir/Group/7",
        False,
    ),
    (visit("Patient/23/_history/2"), "subject=Patient/23", True),
    (visit("Patient/23/_history/2"), "subject=Patient/23/_history/2", True),
    (visit("Patient/23/_history/2"), "subject=Patient/23/_history/3", False),
    (visit("Patient/23"), "subject=Patient/23/_history/2", False),
    (visit(UUID), f"subject={UUID}", True),
    (visit(UUID), f"patient={UUID}", False),
    (visit("#p"), "subject:missing=true", False),
    (LEAN, "subject:missing=true", False),
    ({"resourceType": "Encounter"}, "subject:missing=true", True),
    (FORM, "questionnaire=http://forms.example/Questionnaire/flu", True),
    (FORM, "questionnaire=http://forms.example/Questionnaire/flu|2.0", True),
    (FORM, "questionnaire=http://forms.example/Questionnaire/flu|3.0", False),
    (OWN_FORM, "questionnaire=Questionnaire/flu", True),
    (DOCUMENT, "composition=Composition/c", True),
    (DOCUMENT, "composition=c", True),
    (FORM, "questionnaire:below=http://forms.example/Questionnaire/flu", True),
    (FORM, "questionnaire:below=http://forms.example/Questionnaire/flu|2", True),
    (FORM, "questionnaire:below=http://forms.example/Questionnaire/flu|2.0", True),
    (FORM, "questionnaire:below=http://forms.example/Questionnaire/flu|2.0.1", False),
    (FORM, "questionnaire:below=http://forms.example/Questionnaire/flu|1", False),
    (FORM, "questionnaire:below=http://forms.example/Questionnaire/fl", False),
    (LATER_FORM, "questionnaire:below=http://forms.example/Questionnaire/flu|2", False),
    (OWN_FORM, "questionnaire:below=Questionnaire/flu|2", True),
    (OWN_FORM, "questionnaire=Questionnaire/flu|2.0", True),
    (OWN_FORM, "questionnaire=Questionnaire/flu|2.1", False),
    (NAMED, r"subject:identifier=urn:cccd|079\|1", True),
    (NAMED, r"subject:identifier=079\|1", True),
    (NAMED, "subject:identifier=urn:cccd|", True),
    (NAMED, "subject:identifier=urn:other|", False),
    (NAMED, r"subject:identifier=|079\|1", False),
    (NAMED, r"subject:identifier=urn:other|079\|1,urn:cccd|079\|1", True),
    (NAMED, "subject:identifier=079", False),
    (NAMED, "subject:missing=true", False),
    (NAMED, r"patient:identifier=urn:cccd|079\|1", True),
    (NAMED, r"patient:identifier=079\|1", True),
    (NAMED, "patient:identifier=urn:cccd|", True),
    (NAMED, "focus:identifier=urn:cccd|", False),
    (HERD, r"subject:identifier=|079\|1", True),
    (HERD, r"subject:identifier=079\|1", True),
    (HERD, r"subject:identifier=urn:cccd|079\|1", False),
    (HERD, r"patient:identifier=079\|1", False),
    (BOTH_WAYS, "subject:identifier=urn:cccd|5", True),
    (BOTH_WAYS, "patient:identifier=5", True),
    (BOTH_WAYS, "subject=Patient/23", True),
    (BOTH_WAYS, "subject=5", False),
    (visit("Patient/23"), "subject:identifier=23", False),
]

# what is stored                                     which of a wider parameter   missing?
NARROWED = [
    (visit("Patient/23"), "patient", False),
    (visit("Patient/23/_history/2"), "patient", False),
    (visit("https://there.example/fhir/Patient/23"), "patient", False),
    (GROUP, "patient", True),
    (visit("https://there.example/fhir/Group/7"), "patient", True),
    (visit(UUID), "patient", True),
    (LEAN, "patient", True),
    ({"resourceType": "Encounter"}, "patient", True),
    (NAMED, "patient", False),
    (HERD, "patient", True),
    ({"resourceType": "Observation", "subject": {"reference": "Device/1"},
      "performer": [{"reference": "Patient/23"}]}, "patient", True),
    (seen_by(["RelatedPerson/1", "Practitioner/2"], GROUP), "practitioner", False),
    (seen_by(["RelatedPerson/1"], visit("Patient/23")), "practitioner", True),
    (seen_by(["Practitioner/2"], GROUP), "patient", True),
    ({"resourceType": "Person", "link": [{"target": {"reference": "RelatedPerson/1"}}]},
     "relatedperson", False),
    ({"resourceType": "Person", "link": [{"target": {"reference": "RelatedPerson/1"}}]},
     "practitioner", True),
    ({"resourceType": "Task", "for": {"reference": "Patient/23"}}, "patient", False),
    ({"resourceType": "Task", "for": {"reference": "Group/7"}}, "patient", True),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "code", "is_missing"), NARROWED)
def test_of_a_narrowed_reference_only_what_it_may_name_is_there(resource, code, is_missing) -> None:
    assert missing(resource, code) == is_missing


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_reference_is_found_whichever_way_it_is_written(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("subject=Practitioner/1", "cannot refer to `Practitioner`"),
        ("subject:Practitioner=1", "cannot refer to `Practitioner`"),
        ("patient=Group/7", "it refers to `Patient`"),
        ("subject:Patient=a/b", "takes the id of a Patient"),
        ("subject=a b", "an absolute URL"),
        ("subject=%23p", "an absolute URL"),
        ("subject:nonsense=1", "no modifier"),
    ],
)
def test_what_is_no_reference_is_refused_with_what_would_be(text, reason) -> None:
    with pytest.raises(Invalid) as refusal:
        query("Encounter", text)
    assert reason in refusal.value.issues[0].diagnostics


@pytest.mark.parametrize("text", ["|", "a|b|c", "||", "|||", "||x"])
def test_what_is_no_identifier_is_refused_with_what_would_be(text) -> None:
    with pytest.raises(Invalid, match=r"`value`, `system\|value`"):
        query("Encounter", f"subject:identifier={text}")


@pytest.mark.parametrize(
    ("type", "text"),
    [
        ("QuestionnaireResponse", "questionnaire:identifier=urn:a|1"),
        ("QuestionnaireResponse", "questionnaire:above=http://a|1"),
        ("Bundle", "composition:identifier=1"),
        ("Observation", "encounter:in=x"),
        ("Condition", "asserter:below=1"),
    ],
)
def test_a_modifier_that_does_not_fit_is_refused_and_those_that_do_are_named(type, text) -> None:
    with pytest.raises(NotSupported, match=r"cannot be asked of .*What works"):
        query(type, text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://a/b|", "whose version is empty"),
        ("http://a/b|" + "1" * 600, "at most 600"),
        ("a b", "an absolute URL"),
    ],
)
def test_a_part_of_a_version_that_is_none_is_refused(text, reason) -> None:
    with pytest.raises(Invalid) as refusal:
        query("QuestionnaireResponse", f"questionnaire:below={text}")
    assert reason in refusal.value.issues[0].diagnostics


# --- hierarchies ---------------------------------------------------------------------------------


def partof(type: str, code: str = "partof") -> int:
    return parameters().of(type)[code].number


def test_a_hierarchy_is_asked_for_from_each_way_a_reference_is_written() -> None:
    room = rid(Key("Location", "42"))
    for text in ("42", "Location/42"):
        where = query("Procedure", f"location:below={text}").where
        number = parameters().of("Procedure")["location"].number
        assert where == Beneath(number, (room,), (partof("Location"),))
    above = query("MedicationAdministration", "context:above=Encounter/21").where
    assert isinstance(above, Beneath)
    assert above.above
    assert above.roots == (rid(Key("Encounter", "21")),)
    assert partof("Encounter", "part-of") in above.parts
    own = query("Procedure", f"location:below={BASE}/Location/42").where
    assert isinstance(own, Beneath)
    assert room in own.roots


def test_what_cannot_be_referred_to_is_no_root() -> None:
    with pytest.raises(Invalid, match="cannot refer to `Patient`"):
        query("Procedure", "location:below=Patient/1")
    with pytest.raises(Invalid, match="an absolute URL"):
        query("Procedure", "location:above=a b")


def test_every_part_of_of_a_type_in_itself_makes_a_hierarchy() -> None:
    told = {
        type: code
        for type in sorted(load().resource_types)
        for code, parameter in parameters().of(type).items()
        if parameter.type == "reference"
        and type in parameter.targets
        and parameter.expression.endswith((".partOf", ".parent", ".parentDevice"))
    }
    assert told == PART_OF
    for type, code in PART_OF.items():
        parameter = parameters().of(type)[code]
        assert parameter.number in parameter.parts


def test_that_a_narrowed_reference_has_a_value_takes_no_row_of_the_index() -> None:
    rows = indexer().rows(seen_by(["Practitioner/1", "RelatedPerson/2"], visit("Patient/23")))
    assert len([row for row in rows.keys if not row.dominant]) == 3
    for type in load().resource_types:
        known = parameters().of(type)
        bits = [bit for code in known for bit in dominant(type, code).values()]
        bits += [one.bit for one in known.values() if one.narrowed]
        assert len(set(bits)) == len(bits)
        assert all(1 <= bit <= MOST for bit in bits)
