"""https://hl7.org/fhir/R4/search.html#chaining"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import literal
from fhir_server.search.owner import owned
from fhir_server.search.scope import MAX_LINKS
from fhir_server.store.contract import AnyOf, Not, Refers, rid
from tests.search.ask import indexer, parameters, query

EXAMPLES = Path(__file__).parents[3] / "shared" / "testdata" / "r4-examples"


def where(type, text):
    return query(type, text).where


def number(type, code):
    return parameters().of(type)[code].number


# type          a chain                               what is asked of which type
THE_SAME = [
    ("Encounter", "subject:Patient.name=duc", "Patient", "name=duc"),
    ("Encounter", "patient.name=duc", "Patient", "name=duc"),
    ("Encounter", "subject.name=duc", "Patient", "name=duc"),
    ("Encounter", "subject:Patient.name:exact=Đức", "Patient", "name:exact=Đức"),
    ("Encounter", "patient.gender:not=male", "Patient", "gender:not=male"),
    ("Encounter", "patient.gender:missing=true", "Patient", "gender:missing=true"),
    ("Encounter", "patient.identifier=s|1,s|2", "Patient", "identifier=s|1,s|2"),
    ("Encounter", "patient.birthdate=ge2000", "Patient", "birthdate=ge2000"),
    ("Encounter", "patient._id=7", "Patient", "_id=7"),
    ("Encounter", "patient.organization=Organization/1", "Patient", "organization=Organization/1"),
    ("Encounter", "service-provider:Organization.name=x", "Organization", "name=x"),
]


@pytest.mark.parametrize(("type", "chain", "target", "criterion"), THE_SAME)
def test_a_chain_asks_of_the_target_what_the_criterion_asks(type, chain, target, criterion):
    asked = where(type, chain)
    assert isinstance(asked, Refers)
    assert asked.types == (target,)
    assert asked.where == where(target, criterion)


def test_a_chain_goes_on_from_link_to_link():
    asked = where("Observation", "encounter.subject:Patient.organization.name=x")
    numbers = []
    while isinstance(asked, Refers):
        numbers += asked.numbers
        asked = asked.where
    assert numbers == [
        number("Observation", "encounter"),
        number("Encounter", "subject"),
        number("Patient", "organization"),
    ]
    assert asked == where("Organization", "name=x")


def test_a_reference_to_several_types_asks_all_that_know_the_rest():
    asked = where("Observation", "subject.identifier=s|1")
    assert isinstance(asked, AnyOf)
    types = {type for one in asked.conditions for type in one.types}
    assert types == {"Patient", "Group", "Device", "Location"}
    one = where("Observation", "subject.family=x")
    assert one.types == ("Patient",)


def test_not_asks_for_a_target_that_is_otherwise_and_not_for_none():
    assert isinstance(where("Encounter", "patient.gender:not=male").where, Not)


def test_chains_are_met_each_by_a_target_of_its_own():
    asked = where("Patient", "general-practitioner.name=joe&general-practitioner.address-state=MN")
    assert len(asked.conditions) == 2


# type          a chain                                 what the refusal says
REFUSED = [
    ("Encounter", "subject.nam=x", "Did you mean `name`"),
    ("Encounter", "subjct.name=x", "Did you mean `subject`"),
    ("Encounter", "subject:Patien.name=x", "Did you mean `Patient`"),
    ("Encounter", "subject:Practitioner.name=x", "cannot refer to `Practitioner`"),
    ("Encounter", "subject:exact.name=x", "no resource type"),
    ("Encounter", "status.name=x", "leads to no other resource"),
    ("Encounter", "patient.gender.x=1", "leads to no other resource"),
    ("Encounter", "subject.=x", "is no chain"),
    ("Encounter", "subject:.name=x", "is no chain"),
    ("Encounter", ".name=x", "is no chain"),
    ("Encounter", "patient.birthdate=x", "A date is real"),
    ("Encounter", "patient.family:above=x", "above"),
    ("QuestionnaireResponse", "questionnaire.name=x", "canonical URL"),
    ("Bundle", "composition.title=x", "within the Bundle"),
    ("", "subject.name=x", "`_type`"),
]


@pytest.mark.parametrize(("type", "chain", "says"), REFUSED)
def test_what_is_no_chain_is_refused_with_what_would_be_one(type, chain, says):
    with pytest.raises(FhirError, match=says):
        where(type, chain)


def test_a_chain_is_bounded():
    within = ".".join(["part-of"] * MAX_LINKS)
    where("Encounter", f"{within}.status=finished")
    with pytest.raises(FhirError, match=f"more than {MAX_LINKS} times"):
        where("Encounter", f"{within}.part-of.status=finished")


def test_a_chain_through_every_type_does_not_multiply():
    where("List", "item.subject._id=1")  # the types are learnt
    started = time.process_time()
    where("List", "item." + ".".join(["subject"] * 7) + "._id=1")
    assert time.process_time() - started < 1  # it was 10^7 conditions if each type were apart


# --- whose it is ---------------------------------------------------------------------------------

# type               parameter          is the patient it names the resource's owner?
OWNED = [
    ("Encounter", "patient", True),
    ("Encounter", "subject", True),
    ("Encounter", "service-provider", True),  # never refers to a Patient at all
    ("Observation", "subject", True),
    ("Observation", "patient", True),
    ("Observation", "performer", False),
    ("MedicationRequest", "subject", True),
    ("Coverage", "beneficiary", False),  # the policy holder comes first
    ("Appointment", "patient", False),  # there may be two
    ("Account", "subject", False),
    ("Group", "member", False),
    ("Patient", "link", False),
]


@pytest.mark.parametrize(("type", "code", "expected"), OWNED)
def test_which_references_tell_whose_a_resource_is(type, code, expected):
    parameter = parameters().of(type)[code]
    if "Patient" in parameter.targets:
        assert owned(parameters(), parameter) == expected


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="HL7's examples are not beside this checkout")
def test_wherever_it_is_said_so_the_patient_is_the_owner():
    met = 0
    for file in sorted(EXAMPLES.rglob("*.json")):
        resource = json.loads(file.read_bytes())
        type = resource.get("resourceType")
        if type not in parameters().definitions.resource_types:
            continue
        rows = indexer().rows(resource)
        for parameter in parameters().of(type).values():
            if parameter.type != "reference" or not owned(parameters(), parameter):
                continue
            for patient in patients(resource):
                row = Refers((parameter.number,), ("Patient",), AnyOf())
                if any(k.v >> 50 in row.numbers and k.w == patient for k in rows.keys):
                    assert rows.owner == patient, (file.name, parameter.code)
                    met += 1
    assert met > 100


def patients(value):
    """The rids of all patients named anywhere in it."""
    if isinstance(value, list):
        return {one for item in value for one in patients(item)}
    if not isinstance(value, dict):
        return set()
    text = value.get("reference")
    found = literal(text) if isinstance(text, str) else None
    mine = {rid(found.key)} if found and not found.base and found.key.type == "Patient" else set()
    return mine | {one for item in value.values() for one in patients(item)}
