"""Definitions as resources: what cannot be worked with is told when it is sent.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.content_world import told

CODES = "http://x.vn/CodeSystem/c"
STANDARD = "http://hl7.org/fhir/concept-properties#"


def system(**more: Any) -> dict[str, Any]:
    head = {"resourceType": "CodeSystem", "url": CODES, "status": "draft", "content": "complete"}
    return head | more


CONCEPTS = [{"code": "a", "concept": [{"code": "b"}]}, {"code": "c"}]
KIND = [{"code": "kind", "type": "code"}, {"code": "n", "type": "integer"}]


def having(**property: Any) -> list[dict[str, Any]]:
    return [{"code": "a", "property": [property]}]


# what the CodeSystem says                                           severity, where it is wrong
SYSTEMS = [
    (system(concept=CONCEPTS, count=3), None),
    (system(concept=CONCEPTS, count=9, content="fragment"), None),
    (system(concept=CONCEPTS, count=9, compositional=True), None),
    (system(property=KIND, concept=having(code="kind", valueCode="a")), None),
    (system(property=[{"code": "x", "uri": STANDARD + "inactive", "type": "boolean"}]), None),
    (system(content="supplement", supplements="http://x.vn/CodeSystem/none"), None),
    (system(concept=CONCEPTS, count=2), ("error", "count")),
    (system(concept=CONCEPTS, count=4), ("error", "count")),
    (system(concept=CONCEPTS, content="not-present"), ("error", "content")),
    (system(supplements="http://x.vn/CodeSystem/none"), ("error", "content")),
    (system(content="supplement"), ("error", "")),
    (system(url="CodeSystem/c"), ("error", "url")),
    (system(property=[*KIND, *KIND[:1]]), ("error", "property[2].code")),
    (system(property=[{"code": "x", "uri": STANDARD + "inactive", "type": "code"}]),
     ("error", "property[0].type")),
    (system(concept=having(code="kind", valueCode="a")), ("error", "concept[0].property[0].code")),
    (system(property=KIND, concept=having(code="n", valueString="1")),
     ("error", "concept[0].property[0]")),
    (system(property=KIND, concept=having(code="kind", valueCode="z")),
     ("warning", "concept[0].property[0]")),
    (system(content="supplement", supplements="http://hl7.org/fhir/administrative-gender",
            concept=[{"code": "male"}, {"code": "men"}]), ("error", "concept[1].code")),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "wrong"), SYSTEMS)
def test_a_code_system_agrees_with_itself(resource, wrong):
    found = told(resource)
    assert [(severity, place) for severity, _, place in found] == (
        [] if wrong is None else [(wrong[0], ".".join(filter(None, ["CodeSystem", wrong[1]])))]
    )


def values(*include: dict[str, Any], **more: Any) -> dict[str, Any]:
    head = {"resourceType": "ValueSet", "url": "http://x.vn/ValueSet/v", "status": "draft"}
    return {**head, "compose": {"include": list(include)}, **more}


def filtered(property: str, op: str, value: str) -> dict[str, Any]:
    return {"system": CODES, "filter": [{"property": property, "op": op, "value": value}]}


KNOWN = system(
    concept=CONCEPTS,
    property=[*KIND, {"code": "other", "type": "Coding"}],
    filter=[{"code": "own", "operator": ["="], "value": "x"}],
    hierarchyMeaning="is-a",
)
LACKING = "http://hl7.org/fhir/administrative-gender#men"

# what is included                                                   severity, where it is wrong
INCLUDES = [
    (values({"system": CODES}), None),
    (values({"system": "http://loinc.org", "concept": [{"code": "anything"}]}), None),
    (values({"system": CODES, "concept": [{"code": "a"}, {"code": "b"}]}), None),
    (values({"valueSet": ["http://x.vn/ValueSet/w"]}), None),
    (values({"valueSet": ["#w"]}, contained=[{"resourceType": "ValueSet", "id": "w"}]), None),
    (values(filtered("concept", "is-a", "a")), None),
    (values(filtered("own", "=", "whatever")), None),
    (values(filtered("kind", "exists", "true")), None),
    (values(filtered("other", "=", LACKING.replace("men", "male"))), None),
    (values({"system": "#c"}), ("error", "system")),
    (values({"system": "c"}), ("error", "system")),
    (values({"valueSet": ["ValueSet/w"]}), ("error", "valueSet[0]")),
    (values({"valueSet": ["#w"]}), ("error", "valueSet[0]")),
    (values({"system": CODES, "concept": [{"code": "z"}]}), ("error", "concept[0].code")),
    (values(filtered("colour", "=", "x")), ("error", "filter[0].property")),
    (values(filtered("concept", "is-a", "z")), ("error", "filter[0].value")),
    (values(filtered("kind", "exists", "yes")), ("error", "filter[0].value")),
    (values(filtered("code", "regex", "(a")), ("error", "filter[0].value")),
    (values(filtered("code", "regex", "(a+)+")), ("error", "filter[0].value")),
    (values(filtered("other", "=", LACKING)), ("error", "filter[0].value")),
    (values(filtered("other", "=", "male")), ("warning", "filter[0].value")),
]


@pytest.mark.parametrize(("resource", "wrong"), INCLUDES)
def test_a_value_set_names_what_there_is(resource, wrong):
    found = told(resource, KNOWN)
    assert [(severity, place) for severity, _, place in found] == (
        [] if wrong is None else [(wrong[0], f"ValueSet.compose.include[0].{wrong[1]}")]
    )


def parameter(**more: Any) -> dict[str, Any]:
    head = {"resourceType": "SearchParameter", "url": "http://x.vn/SearchParameter/p"}
    return {**head, "base": ["Patient"], "code": "p", **more}


PART = {"definition": "http://x.vn/SearchParameter/q", "expression": "code"}

# what the SearchParameter says                                                     the rules
PARAMETERS = [
    (parameter(type="token", expression="Patient.gender"), []),
    (parameter(type="composite", expression="Observation", component=[PART, PART]), []),
    (parameter(type="token", expression="Patient.("), ["unsound-expression"]),
    (parameter(type="composite", component=[PART]), ["search-parameter-components"]),
    (parameter(type="token", component=[PART]), ["search-parameter-components"]),
    (parameter(type="token", target=["Patient"]), ["search-parameter-target"]),
    (
        parameter(type="composite", component=[PART, {**PART, "expression": "a.("}]),
        ["search-parameter-expression"],
    ),
]


@pytest.mark.parametrize(("resource", "rules"), PARAMETERS)
def test_a_search_parameter_can_be_searched_by(resource, rules):
    assert [rule for _, rule, _ in told(resource)] == rules


def profile(*elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition", "url": "http://x.vn/StructureDefinition/p",
        "name": "P", "status": "draft", "kind": "resource", "abstract": False, "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint", "differential": {"element": list(elements)},
    } | more  # fmt: skip


def at(path: str, **more: Any) -> dict[str, Any]:
    return {"id": path, "path": path, **more}


REQUIRED = profile(
    at("Patient.name", min=1, max="2"),
    at("Patient.gender", fixedCode="other"),
    url="http://x.vn/StructureDefinition/base",
)
OF_REQUIRED = {"baseDefinition": REQUIRED["url"]}
EXTENSION = {
    "type": "Extension", "kind": "complex-type",
    "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
    "context": [{"type": "element", "expression": "Patient"}],
}  # fmt: skip

# what the profile says                                                              the rules
PROFILES = [
    (profile(at("Patient.name", min=1)), []),
    (profile(at("Patient.name", min=2, max="2"), **OF_REQUIRED), []),
    (profile(at("Extension.url", fixedUri="http://x.vn/StructureDefinition/p"), **EXTENSION), []),
    (profile(at("Patient.shoe", min=1)), ["unsound-differential"]),
    (profile(at("Patient.name", min=0), **OF_REQUIRED), ["definition-wider"]),
    (profile(at("Patient.name", max="3"), **OF_REQUIRED), ["definition-wider"]),
    (profile(at("Patient.name", max="*"), **OF_REQUIRED), ["definition-wider"]),
    (profile(at("Patient.gender", fixedCode="male"), **OF_REQUIRED), ["definition-wider"]),
    (profile(at("Patient.gender", binding={"strength": "example"})), ["definition-wider"]),
    (profile(at("Extension.url", fixedUri="http://x.vn/other"), **EXTENSION),
     ["definition-extension-url"]),
    (profile(at("Patient.name", constraint=[
        {"key": "x-1", "severity": "error", "human": "x", "expression": "a.("}])),
     ["unsound-invariant"]),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "rules"), PROFILES)
def test_a_profile_stands_on_its_base_and_only_narrows_it(resource, rules):
    assert [rule for _, rule, _ in told(resource, REQUIRED)] == rules


def test_types_are_those_of_r4():
    found = told(profile(at("Patient.name", type=[{"code": "HumanNames"}])))
    where = "StructureDefinition.differential.element[0].type[0].code"
    assert ("error", "definition-type", where) in found


MEASURE = {
    "resourceType": "Measure", "url": "http://x.vn/Measure/m", "status": "draft",
    "group": [
        {"code": {"text": "one"}, "population": [{"code": {"coding": [{"code": "all"}]}}],
         "stratifier": [{"code": {"text": "age"}}]},
        {"code": {"text": "two"}},
    ],
}  # fmt: skip
ALL = {"code": {"coding": [{"code": "all"}, {"code": "local"}]}, "count": 3}
SOME = {"code": {"coding": [{"code": "some"}]}, "count": 3}


def group(code: str, *populations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"code": {"text": code}, "population": list(populations), **more}


BY_AGE = {"code": [{"text": "age"}], "stratum": [{"population": [ALL]}]}

REPORTS = [
    ([group("one", ALL), group("two")], []),
    ([group("one", stratifier=[BY_AGE])], []),
    ([group("three")], ["measure-group"]),
    ([group("one"), group("one")], ["measure-group"]),
    ([group("one", SOME)], ["measure-population"]),
    ([group("one", stratifier=[{"code": [{"text": "sex"}]}])], ["measure-stratifier"]),
    ([group("one", stratifier=[{"stratum": [{"population": [SOME]}]}])], ["measure-population"]),
]  # fmt: skip


@pytest.mark.parametrize(("groups", "rules"), REPORTS)
def test_a_report_is_about_what_its_measure_measures(groups, rules):
    report = {"resourceType": "MeasureReport", "measure": MEASURE["url"], "group": groups}
    assert [rule for _, rule, _ in told(report, MEASURE)] == rules
    assert told(report) == []
