"""test_structure — every departure from R4's shape is told, with its place, rule and remedy.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structure_cases import DIV, INVALID, PATIENT, VALID, patient

from fhir_server.conformance.definitions import load
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import operation_outcome
from fhir_server.validation.messages import catalogue
from fhir_server.validation.structure import Validator
from fhir_server.validation.structure.report import MAX_ISSUES

RULES = {message.rule: message.code for message in catalogue().values()}

R4 = load()
VALIDATOR = Validator(R4)


@pytest.mark.parametrize("resource", [c[1] for c in VALID], ids=[c[0] for c in VALID])
def test_what_r4_allows_is_allowed(resource):
    assert VALIDATOR.check(resource) == []


@pytest.mark.parametrize(
    ("rule", "where", "resource", "word"), INVALID, ids=[f"{c[0]} {c[3]}" for c in INVALID]
)
def test_one_departure_is_told_once_with_its_place(rule, where, resource, word):
    [issue] = VALIDATOR.check(resource)
    assert (issue.rule, issue.expression, issue.severity) == (rule, where, "error")
    assert issue.code == RULES[rule]
    assert word in issue.diagnostics
    assert issue.diagnostics.endswith((".", "?", "`"))


def test_all_that_is_wrong_is_told_at_once():
    wrong = patient(gender="M", birthDate="x", foo=1, name={"text": ""}, active="no")
    assert {(issue.rule, issue.expression) for issue in VALIDATOR.check(wrong)} == {
        ("array", "Patient.name"),
        ("json-type", "Patient.active"),
        ("binding", "Patient.gender"),
        ("value", "Patient.birthDate"),
        ("unknown-element", "Patient.foo"),
    }


def test_a_thousand_errors_are_counted_not_listed():
    issues = VALIDATOR.check(patient(name=[{"foo": 1}] * 1000))
    assert len(issues) == MAX_ISSUES + 1
    assert "900 more" in issues[-1].diagnostics
    assert issues[-1].severity == "information"


def test_a_long_value_is_told_short():
    [issue] = VALIDATOR.check(patient(gender="x" * 100_000))
    assert len(issue.diagnostics) < 300


def test_ten_thousand_unknown_names_are_told_quickly():
    assert len(VALIDATOR.check(patient(**{f"name{i}": 1 for i in range(10_000)}))) == 101


def test_another_type_than_expected_is_told():
    [issue] = VALIDATOR.check(PATIENT, expected_type="Observation")
    assert "`Observation` is expected" in issue.diagnostics
    assert VALIDATOR.check(PATIENT, expected_type="Patient") == []


@pytest.mark.parametrize(
    ("mode", "told"), [("error", ["error"]), ("warning", ["warning"]), ("off", [])]
)
def test_how_reference_targets_are_told_can_be_chosen(mode, told):
    wrong = patient(managingOrganization={"reference": "Patient/1"})
    issues = Validator(R4, reference_targets=mode).check(wrong)
    assert [issue.severity for issue in issues] == told


def test_an_unknown_way_to_tell_of_targets_is_refused():
    with pytest.raises(ValueError, match="error, warning, off"):
        Validator(R4, reference_targets="loud")


def test_a_badly_made_urn_is_a_warning():
    wrong = patient(managingOrganization={"reference": "urn:uuid:patient-1"})
    [issue] = VALIDATOR.check(wrong)
    assert (issue.rule, issue.severity) == ("reference", "warning")


@pytest.mark.parametrize("depth", [50, 98, 3000])
def test_depth_is_bounded(depth):
    extension: dict[str, Any] = {"url": "u", "valueCode": "x"}
    for _ in range(depth):
        extension = {"url": "u", "extension": [extension]}
    issues = VALIDATOR.check(patient(extension=[extension]))
    assert [issue.rule for issue in issues] == ([] if depth < 100 else ["depth"])


def test_bundles_within_bundles_are_bounded():
    inner: dict[str, Any] = {"resourceType": "Patient", "gender": "M"}
    for _ in range(1000):
        inner = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inner}]}
    [issue] = VALIDATOR.check(inner)
    assert issue.rule == "depth"


@pytest.mark.parametrize("type", sorted(R4.resource_types))
def test_every_type_of_r4_is_known(type):
    issues = VALIDATOR.check({"resourceType": type})
    asked = {invariant.key for invariant in VALIDATOR.invariants.of(type)}
    assert {issue.rule for issue in issues} <= {"min"} | asked
    assert {issue.rule for issue in VALIDATOR.check({"resourceType": type, "x": 1})} >= {
        "unknown-element"
    }


@pytest.mark.parametrize("type", ["Resource", "DomainResource", "HumanName", "string", "Citation"])
def test_what_is_no_resource_of_r4_is_refused(type):
    [issue] = VALIDATOR.check({"resourceType": type, "id": "x"})
    assert issue.rule == "resource-type"


NAMES = st.text(max_size=4) | st.sampled_from(
    [
        "resourceType",
        "id",
        "extension",
        "url",
        "valueString",
        "_valueString",
        "name",
        "given",
        "_given",
        "text",
        "div",
        "status",
        "contained",
        "entry",
        "resource",
        "type",
        "reference",
        "subject",
        "code",
        "coding",
        "system",
        "identifier",
        "meta",
        "versionId",
        "security",
        "language",
        "gender",
        "birthDate",
        "_birthDate",
        "item",
        "linkId",
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["#", "#o", "Patient/1", "Patient", "2026-01-01", DIV % "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)
TYPES = st.sampled_from(["Patient", "Observation", "Bundle", "Parameters", "Questionnaire"]) | JSON


@settings(deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=6), TYPES)
def test_arbitrary_json_has_issues_and_nothing_is_raised(value, type):
    issues = VALIDATOR.check(value | {"resourceType": type})
    assert all(issue.rule for issue in issues)
    wire.render(operation_outcome(issues))


@settings(deadline=None)
@given(JSON)
def test_what_is_not_even_an_object_has_issues(value):
    assert VALIDATOR.check(value)
    assert VALIDATOR.check(value, expected_type="Patient")
