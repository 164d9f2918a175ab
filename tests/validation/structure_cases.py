"""cases — what is right and what is wrong with the shape of a resource.

https://hl7.org/fhir/R4/validation.html
"""
# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import copy
from typing import Any

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">%s</div>'
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"profile": ["http://x.vn/p|1"], "tag": [{"system": "urn:x", "code": "y"}]},
    "text": {"status": "generated", "div": DIV % "<p class='x'>Nguyễn Thị <b>Hoà</b></p>"},
    "identifier": [{"system": "http://x.vn/cccd", "value": "079085001234"}],
    "active": True,
    "name": [{"use": "official", "family": "Nguyễn", "given": ["Thị", "Hoà"]}],
    "gender": "female",
    "birthDate": "1985-03-12",
    "_birthDate": {"extension": [{"url": "http://x.vn/e", "valueString": "khai sinh"}]},
    "multipleBirthInteger": 2,
    "managingOrganization": {"reference": "Organization/o1", "display": "Trạm y tế"},
    "communication": [{"language": {"coding": [{"code": "vi"}]}, "preferred": True}],
    "extension": [{"url": "http://x.vn/dantoc", "valueCoding": {"code": "01"}}],
}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "Nhiệt độ"},
    "valueQuantity": {"value": 37, "unit": "C"},
}
ANY_EXTENSION = [{"url": "urn:x", "valueBoolean": True}]
GONE = object()


def patient(**changes: Any) -> dict[str, Any]:
    return changed(PATIENT, changes)


def observation(**changes: Any) -> dict[str, Any]:
    return changed(OBSERVATION, changes)


def changed(resource: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    whole = copy.deepcopy(resource) | changes
    return {name: value for name, value in whole.items() if value is not GONE}


def holding(*contained: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return observation(contained=list(contained), **changes)


def organization(**changes: Any) -> dict[str, Any]:
    return {"resourceType": "Organization", "id": "o", "name": "x"} | changes


def bundle(*resources: Any, type: str = "collection", **entry: Any) -> dict[str, Any]:
    entries = [
        {"fullUrl": f"urn:x:{place}", "resource": resource} | entry
        for place, resource in enumerate(resources, 1)
    ]
    return {"resourceType": "Bundle", "type": type, "entry": entries}


ABOUT_O = {"performer": [{"reference": "#o"}]}
CODED = {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}

# what is unusual                          and right
VALID: list[tuple[str, dict[str, Any]]] = [
    ("a whole patient", PATIENT),
    ("an observation", OBSERVATION),
    ("nothing but its type", {"resourceType": "Patient"}),
    ("null beside an extension", patient(name=[{"given": [None, "An"], "_given": [{"extension": ANY_EXTENSION}, None]}])),
    ("extensions and no values", patient(name=[{"_given": [{"extension": ANY_EXTENSION}]}])),
    ("an id beside a value", patient(_gender={"id": "g"})),
    ("a required value by extension", observation(status=GONE, _status={"extension": ANY_EXTENSION})),
    ("a choice by extension", patient(multipleBirthInteger=GONE, _multipleBirthInteger={"extension": ANY_EXTENSION})),
    ("a nested extension", patient(extension=[{"url": "u", "extension": ANY_EXTENSION}])),
    ("an extension with an id", patient(extension=[{"id": "e", "url": "u", "valueCode": "x"}])),
    ("an extension's value by extension", patient(extension=[{"url": "u", "_valueCode": {"extension": ANY_EXTENSION}}])),
    ("meta as a value", patient(extension=[{"url": "u", "valueMeta": {"versionId": "1"}}])),
    ("a versioned reference", patient(managingOrganization={"reference": "Organization/o/_history/3"})),
    ("an absolute reference", patient(managingOrganization={"reference": "https://x.vn/fhir/Organization/o"})),
    ("some other URL", patient(managingOrganization={"reference": "https://x.vn/o?id=7"})),
    ("a uuid reference", patient(managingOrganization={"reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"})),
    ("a logical reference", patient(managingOrganization={"type": "Organization", "identifier": {"value": "1"}})),
    ("a typed reference", patient(managingOrganization={"type": "Organization", "reference": "Organization/o"})),
    ("a contained resource", holding(organization(), **ABOUT_O)),
    ("a contained one that names its container", patient(contained=[{"resourceType": "Condition", "id": "c", "subject": {"reference": "#"}}])),
    ("contained resources that name each other", holding(organization(partOf={"reference": "#q"}), organization(id="q"), **ABOUT_O)),
    ("a contained value set", {"resourceType": "Questionnaire", "status": "draft", "contained": [{"resourceType": "ValueSet", "id": "v", "status": "draft"}], "item": [{"linkId": "1", "type": "choice", "answerValueSet": "#v"}]}),
    ("a contained image", holding({"resourceType": "Binary", "id": "i", "contentType": "image/png"}, text={"status": "generated", "div": DIV % '<img src="#i" alt="x"/>'})),
    ("a required concept", {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "clinicalStatus": {"coding": [{"code": "other"}, CODED]}}),
    ("entries of a Bundle", bundle(PATIENT, OBSERVATION)),
    ("a conditional reference in a transaction", bundle(observation(subject={"reference": "Patient?identifier=x|1"}), type="transaction", request={"method": "POST", "url": "Observation"})),
    ("resources in Parameters", {"resourceType": "Parameters", "parameter": [{"name": "r", "resource": PATIENT}, {"name": "p", "part": [{"name": "q", "valueUri": "u"}]}]}),
    ("a MIME type with a parameter", {"resourceType": "Binary", "contentType": "text/plain; charset=utf-8", "data": "AAAA"}),
    ("a currency", {"resourceType": "Invoice", "status": "draft", "totalNet": {"value": 1, "currency": "VND"}}),
    ("a language", patient(language="vi-VN")),
    ("an element's own id", patient(name=[{"id": "/odd==", "text": "x"}])),
    ("deep questions", {"resourceType": "Questionnaire", "status": "draft", "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "group", "item": [{"linkId": "3", "type": "string"}]}]}]}),
]  # fmt: skip

# rule, where, what, and a word of the sentence
INVALID: list[tuple[str, str, dict[str, Any], str]] = [
    # names
    ("unknown-element", "Patient.gendre", patient(gendre="male"), "Did you mean `gender`?"),
    ("unknown-element", "Patient.Name", patient(Name=[]), "Did you mean `name`?"),
    ("unknown-element", "Patient.name[0].first", patient(name=[{"first": "An"}]), "not an element of `HumanName`"),
    ("unknown-element", "Patient.contact[0].foo", patient(contact=[{"foo": 1, "gender": "male", "name": {"text": "Lan"}}]), "`Patient.contact`"),
    ("unknown-element", "Observation.value", observation(value={"value": 1}), "`valueQuantity`"),
    ("unknown-element", "Observation.valueMoney", observation(valueMoney={"value": 1}), "`valueMoney`"),
    ("unknown-element", "Patient.fhir_comments", patient(fhir_comments=["x"]), "comments"),
    ("unknown-element", "Patient._name", patient(_name=[{"id": "x"}]), "`_name`"),
    ("unknown-element", "Patient.text._div", patient(text=PATIENT["text"] | {"_div": {"id": "x"}}), "`_div`"),
    ("unknown-element", "Patient.name[0].resourceType", patient(name=[{"resourceType": "HumanName", "text": "x"}]), "`resourceType`"),
    ("unknown-element", "Patient.", patient(**{"": 1}), "``"),
    # what must be there
    ("min", "Observation.status", observation(status=GONE), "Add `status`"),
    ("min", "Observation.code", observation(code=GONE), "required in `Observation`"),
    ("min", "Patient.communication[0].language", patient(communication=[{"preferred": True}]), "Add `language`"),
    ("min", "MedicationRequest.medication", {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"reference": "Patient/1"}}, "`medicationCodeableConcept` or `medicationReference`"),
    ("min", "Patient.extension[0].url", patient(extension=[{"valueCode": "x"}]), "Add `url`"),
    ("choice", "Patient.multipleBirth", patient(multipleBirthBoolean=True), "`multipleBirthBoolean` and `multipleBirthInteger`"),
    ("choice", "Patient.multipleBirth", patient(_multipleBirthBoolean={"extension": ANY_EXTENSION}), "Keep one"),
    ("ext-1", "Patient.extension[0]", patient(extension=[{"url": "u"}]), "neither"),
    ("ext-1", "Patient.extension[0]", patient(extension=[{"url": "u", "valueCode": "x", "extension": ANY_EXTENSION}]), "both"),
    ("ele-1", "Patient.name[0]", patient(name=[{"id": "x"}]), "nothing else"),
    ("ele-1", "Patient.deceased", patient(_deceasedBoolean={"id": "x"}), "nothing else"),
    # lists, nulls, nothing
    ("array", "Patient.name", patient(name={"text": "An"}), "`[...]` around it"),
    ("array", "Patient.name[0].given", patient(name=[{"given": "An"}]), "must be an array"),
    ("array", "Patient.gender", patient(gender=["male"]), "must not be an array"),
    ("array", "Patient.maritalStatus", patient(maritalStatus=[{"text": "x"}]), "must not be an array"),
    ("null", "Patient.gender", patient(gender=None), "Leave out"),
    ("null", "Patient.name", patient(name=None), "must be an array"),
    ("null", "Patient.name[1]", patient(name=[{"text": "x"}, None]), "`null`"),
    ("null", "Patient.maritalStatus", patient(maritalStatus=None), "`null`"),
    ("null", "Patient.name[0].given[1]", patient(name=[{"given": ["An", None]}]), "nothing in `_given`"),
    ("null", "Patient.birthDate", patient(_birthDate=None), "`null`"),
    ("padding", "Patient.name[0].given", patient(name=[{"given": ["An", "Bình"], "_given": [{"id": "x"}]}]), "Pad the shorter"),
    ("empty", "Patient.gender", patient(gender=""), "empty text"),
    ("empty", "Patient.name", patient(name=[]), "empty array"),
    ("empty", "Patient.name[0]", patient(name=[{}]), "is empty"),
    ("empty", "Patient.maritalStatus", patient(maritalStatus={}), "is empty"),
    ("empty", "Patient.contained", patient(contained=[]), "empty array"),
    # JSON types
    ("json-type", "Patient.active", patient(active="true"), "without quotes"),
    ("json-type", "Patient.multipleBirth", patient(multipleBirthInteger="2"), "without quotes"),
    ("json-type", "Patient.birthDate", patient(birthDate=1985), "in quotes"),
    ("json-type", "Patient.birthDate", patient(birthDate={"year": 1985}), "`{…}`"),
    ("json-type", "Patient.name[0]", patient(name=["An"]), "`HumanName`"),
    ("json-type", "Patient.contact[0]", patient(contact=[7]), "`7`"),
    ("json-type", "Patient.id", patient(id=7), "`id` is `7`"),
    ("json-type", "Patient.contained[0]", patient(contained=["x"]), "must be a resource"),
    ("json-type", "Bundle.entry[0].resource", bundle("Patient/1"), "must be a resource"),
    # values
    ("value", "Patient.birthDate", patient(birthDate="1985-02-30"), "real date"),
    ("value", "Patient.birthDate", patient(birthDate="12/03/1985"), "`YYYY-MM-DD`"),
    ("value", "Patient.multipleBirth", patient(multipleBirthInteger=2**31), "whole number"),
    ("value", "Patient.active", patient(active=1), "`true` or `false`"),
    ("value", "Patient.name[0].text", patient(name=[{"text": " "}]), "not blank"),
    ("value", "Patient.name[0].text", patient(name=[{"text": "a\x07"}]), "control characters"),
    ("value", "Patient.identifier[0].system", patient(identifier=[{"system": "x y"}]), "without blanks"),
    ("value", "Binary.data", {"resourceType": "Binary", "contentType": "a/b", "data": "*"}, "base64"),
    ("value", "Patient.meta.lastUpdated", patient(meta={"lastUpdated": "2026-01-01"}), "with its zone"),
    ("id", "Patient.id", patient(id="a/b"), "`a/b`"),
    ("id", "Patient.id", patient(id="x" * 65), "1 to 64"),
    ("id", "Patient.id", patient(id=""), "1 to 64"),
    ("id", "Patient.name[0].id", patient(name=[{"id": "a b", "text": "x"}]), "without blanks"),
    # codes
    ("binding", "Patient.gender", patient(gender="M"), "`male`"),
    ("binding", "Patient.gender", patient(gender="Female"), "`female`"),
    ("binding", "Condition.clinicalStatus", {"resourceType": "Condition", "subject": {"display": "x"}, "clinicalStatus": {"coding": [{"code": "active"}]}}, "condition-clinical"),
    ("binding", "Condition.clinicalStatus", {"resourceType": "Condition", "subject": {"display": "x"}, "clinicalStatus": {"text": "active"}}, "Add one"),
    ("binding", "Binary.contentType", {"resourceType": "Binary", "contentType": "pdf"}, "`application/pdf`"),
    ("binding", "Invoice.totalNet.currency", {"resourceType": "Invoice", "status": "draft", "totalNet": {"currency": "đồng"}}, "`VND`"),
    ("binding", "Patient.language", patient(language="tiếng-việt"), "`vi-VN`"),
    # references
    ("reference-type", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "Patient/1"}), "may refer to a `Organization`"),
    ("reference-type", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "https://x.vn/Patient/1"}), "refers to a `Patient`"),
    ("reference-type", "Patient.managingOrganization.reference", patient(managingOrganization={"type": "Patient"}), "refers to a `Patient`"),
    ("reference-type", "Patient.managingOrganization.type", patient(managingOrganization={"type": "Location", "reference": "Organization/1"}), "Make them agree"),
    ("reference-type", "Observation.subject.reference", holding(organization(), subject={"reference": "#o"}), "`Organization`"),
    ("reference", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "Clinic/1"}), "not a type of R4"),
    ("reference", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "Organization"}), "`Type/id`"),
    ("reference", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "Organization/a b"}), "`Type/id`"),
    ("reference", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "Organization/" + "x" * 65}), "`Type/id`"),
    ("reference", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "../Organization/1"}), "`Type/id`"),
    ("reference", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "Organization?name=x"}), "transaction"),
    ("reference", "Bundle.entry[0].resource.subject.reference", bundle(observation(subject={"reference": "Patient?_id=1"})), "transaction"),
    ("empty", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": ""}), "empty text"),
    ("ref-1", "Patient.managingOrganization.reference", patient(managingOrganization={"reference": "#o"}), "Contain it"),
    # contained
    ("dom-3", "Observation.contained[0]", holding(organization()), "Refer to it by `#o`"),
    ("dom-3", "Observation.contained[1]", holding(organization(), organization(id="q"), **ABOUT_O), "`q`"),
    ("dom-2", "Observation.contained[0].contained", holding(organization(contained=[organization(id="q")]), **ABOUT_O), "outer"),
    ("dom-4", "Observation.contained[0].meta.versionId", holding(organization(meta={"versionId": "1"}), **ABOUT_O), "versionId"),
    ("dom-4", "Observation.contained[0].meta.lastUpdated", holding(organization(meta={"lastUpdated": "2026-01-01T00:00:00Z"}), **ABOUT_O), "Remove it"),
    ("dom-5", "Observation.contained[0].meta.security", holding(organization(meta={"security": [{"code": "R"}]}), **ABOUT_O), "security"),
    ("contained-id", "Observation.contained[0]", holding({"resourceType": "Organization", "name": "x"}), "Give it one"),
    ("contained-id", "Observation.contained[1].id", holding(organization(), organization(), **ABOUT_O), "its own"),
    ("unknown-element", "Observation.contained[0].foo", holding(organization(foo=1), **ABOUT_O), "`foo`"),
    ("resource-type", "Observation.contained[0]", holding({"id": "o"}, **ABOUT_O), "is missing"),
    # resources within
    ("resource-type", "Bundle.entry[0].resource", bundle({"resourceType": "Pateint"}), "Did you mean `Patient`?"),
    ("min", "Bundle.entry[1].resource.status", bundle(PATIENT, observation(status=GONE)), "status"),
    ("binding", "Parameters.parameter[0].resource.gender", {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": patient(gender="M")}]}, "`male`"),
    ("ref-1", "Bundle.entry[1].resource.subject.reference", bundle(holding(organization(), **ABOUT_O), observation(subject={"reference": "#o"})), "Contain it"),
]  # fmt: skip
