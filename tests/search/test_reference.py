"""reference: another resource, by id, by type and id, or by URL."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported

from .ask import BASE, found, query


def visit(reference: str) -> dict:
    return {"resourceType": "Encounter", "subject": {"reference": reference}}


GROUP = visit("Group/7")
UUID = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"
LEAN = {"resourceType": "Encounter", "subject": {"identifier": {"value": "1"}}}
FORM = {
    "resourceType": "QuestionnaireResponse",
    "questionnaire": "http://forms.example/Questionnaire/flu|2.0",
}
OWN_FORM = {"resourceType": "QuestionnaireResponse", "questionnaire": "Questionnaire/flu|2.0"}
DOCUMENT = {
    "resourceType": "Bundle",
    "type": "document",
    "entry": [{"resource": {"resourceType": "Composition", "id": "c"}}],
}

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
]


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


def test_the_identifier_modifier_is_refused_as_not_there_yet() -> None:
    with pytest.raises(NotSupported, match="`subject:identifier` is not supported yet"):
        query("Encounter", "subject:identifier=urn:a|1")


def test_missing_of_a_narrowed_reference_points_to_the_wider_one() -> None:
    with pytest.raises(NotSupported, match="subject:missing"):
        query("Encounter", "patient:missing=true")
