"""definitions — parameters by hand: the kind, where the values are, what a reference may name.

https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

from typing import NamedTuple

GENDER = "http://hl7.org/fhir/administrative-gender"


class Parameter(NamedTuple):
    kind: str
    paths: tuple[str, ...]  # element names parted by dots; choices spelled out
    targets: tuple[str, ...] = ()
    system: str = ""  # of a code


def _is(kind: str, *paths: str, targets: str = "", system: str = "") -> Parameter:
    return Parameter(kind, paths, tuple(targets.split()), system)


HUMAN = ("family", "given", "text", "prefix", "suffix")
ADDRESS = ("line", "district", "city", "state", "country", "postalCode", "text")


def _each(path: str, parts: tuple[str, ...]) -> Parameter:
    return _is("string", *(f"{path}.{part}" for part in parts))


EVENT = "http://hl7.org/fhir/"
PARAMETERS: dict[str, dict[str, Parameter]] = {
    "Organization": {
        "active": _is("token", "active"),
        "identifier": _is("token", "identifier"),
        "name": _is("string", "name", "alias"),
        "partof": _is("reference", "partOf", targets="Organization"),
    },
    "Location": {
        "status": _is("token", "status", system="http://hl7.org/fhir/location-status"),
        "name": _is("string", "name", "alias"),
        "partof": _is("reference", "partOf", targets="Location"),
        "organization": _is("reference", "managingOrganization", targets="Organization"),
    },
    "Practitioner": {
        "identifier": _is("token", "identifier"),
        "name": _each("name", HUMAN),
        "family": _is("string", "name.family"),
    },
    "Patient": {
        "identifier": _is("token", "identifier"),
        "active": _is("token", "active"),
        "name": _each("name", HUMAN),
        "family": _is("string", "name.family"),
        "given": _is("string", "name.given"),
        "telecom": _is("token", "telecom"),
        "gender": _is("token", "gender", system=GENDER),
        "birthdate": _is("date", "birthDate"),
        "address": _each("address", ADDRESS),
        "address-city": _is("string", "address.city"),
        "address-use": _is("token", "address.use", system="http://hl7.org/fhir/address-use"),
        "organization": _is("reference", "managingOrganization", targets="Organization"),
        "general-practitioner": _is("reference", "generalPractitioner",
                                    targets="Practitioner Organization PractitionerRole"),
    },
    "Encounter": {
        "status": _is("token", "status", system=EVENT + "encounter-status"),
        "class": _is("token", "class"),
        "identifier": _is("token", "identifier"),
        "type": _is("token", "type"),
        "date": _is("date", "period"),
        "reason-code": _is("token", "reasonCode"),
        "subject": _is("reference", "subject", targets="Group Patient"),
        "patient": _is("reference", "subject", targets="Patient"),
        "practitioner": _is("reference", "participant.individual", targets="Practitioner"),
        "location": _is("reference", "location.location", targets="Location"),
        "service-provider": _is("reference", "serviceProvider", targets="Organization"),
        "part-of": _is("reference", "partOf", targets="Encounter"),
    },
    "Condition": {
        "code": _is("token", "code"),
        "patient": _is("reference", "subject", targets="Patient"),
        "encounter": _is("reference", "encounter", targets="Encounter"),
        "recorded-date": _is("date", "recordedDate"),
    },
    "Observation": {
        "status": _is("token", "status", system=EVENT + "observation-status"),
        "code": _is("token", "code"),
        "combo-code": _is("token", "code", "component.code"),
        "component-code": _is("token", "component.code"),
        "date": _is("date", "effectiveDateTime", "effectivePeriod"),
        "value-date": _is("date", "valueDateTime"),
        "value-quantity": _is("quantity", "valueQuantity"),
        "value-concept": _is("token", "valueCodeableConcept"),
        "value-string": _is("string", "valueString", "valueCodeableConcept.text"),
        "combo-value-quantity": _is("quantity", "valueQuantity", "component.valueQuantity"),
        "component-value-quantity": _is("quantity", "component.valueQuantity"),
        "subject": _is("reference", "subject", targets="Group Device Patient Location"),
        "patient": _is("reference", "subject", targets="Patient"),
        "encounter": _is("reference", "encounter", targets="Encounter EpisodeOfCare"),
        "performer": _is("reference", "performer",
                         targets="Practitioner Organization CareTeam Patient PractitionerRole"
                         " RelatedPerson"),
    },
    "List": {
        "status": _is("token", "status", system=EVENT + "list-status"),
        "title": _is("string", "title"),
        "date": _is("date", "date"),
        "subject": _is("reference", "subject", targets="Patient Group Device Location"),
        "patient": _is("reference", "subject", targets="Patient"),
        "item": _is("reference", "entry.item",
                    targets="Patient Encounter Observation Organization Location"),
    },
    "MedicationRequest": {
        "status": _is("token", "status",
                      system=EVENT + "CodeSystem/medicationrequest-status"),
        "intent": _is("token", "intent",
                      system=EVENT + "CodeSystem/medicationrequest-intent"),
        "code": _is("token", "medicationCodeableConcept"),
        "subject": _is("reference", "subject", targets="Group Patient"),
        "patient": _is("reference", "subject", targets="Patient"),
        "encounter": _is("reference", "encounter", targets="Encounter"),
        "authoredon": _is("date", "authoredOn"),
        "requester": _is("reference", "requester",
                         targets="Practitioner Organization Device Patient PractitionerRole"
                         " RelatedPerson"),
    },
}  # fmt: skip

# What a resource is a part of, where that is a strict hierarchy.
HIERARCHIES = {"Organization": "partOf", "Location": "partOf", "Encounter": "partOf"}

# A composite: where its values stand together, and its parts from there.
COMPOSITES: dict[str, tuple[tuple[str, ...], tuple[Parameter, ...]]] = {
    "code-value-quantity": (("",), (_is("token", "code"), _is("quantity", "valueQuantity"))),
    "code-value-concept": (("",), (_is("token", "code"), _is("token", "valueCodeableConcept"))),
    "code-value-string": (("",), (_is("token", "code"), _is("string", "valueString"))),
    "code-value-date": (("",), (_is("token", "code"), _is("date", "valueDateTime"))),
    "component-code-value-quantity": (
        ("component",), (_is("token", "code"), _is("quantity", "valueQuantity")),
    ),
    "combo-code-value-quantity": (
        ("", "component"), (_is("token", "code"), _is("quantity", "valueQuantity")),
    ),
}  # fmt: skip
