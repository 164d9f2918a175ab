"""Consent: what a patient permits and denies, with every doubt on the patient's side."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.foundation.primitive import interval
from fhir_server.foundation.resource import Key, Resource
from fhir_server.security.agreeing import agreed
from fhir_server.security.caller import Caller
from fhir_server.security.consent import (
    ACT_CODE,
    ACTIONS,
    CONFIDENTIALITY,
    MAX_DEPTH,
    PURPOSES,
    RESOURCE_TYPES,
    SCOPES,
    Labels,
    judged,
)
from fhir_server.security.policy_file import built_in
from fhir_server.store.contract import rid

NOW = interval("2026-11-22T10:00:00+07:00")[0]
CALLER = Caller("his", user="Practitioner/an", facility="a", roles=frozenset({"doctor"}))
UNLABELLED: Labels = frozenset()
RESTRICTED: Labels = frozenset({(CONFIDENTIALITY, "R")})
HIV: Labels = frozenset({(ACT_CODE, "HIV")})


def coding(system: str, code: str) -> Resource:
    return {"system": system, "code": code}


def concept(system: str, code: str) -> Resource:
    return {"coding": [coding(system, code)]}


def actor(reference: str, role: str = "PRCP") -> Resource:
    system = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
    return {"role": concept(system, role), "reference": {"reference": reference}}


def consent(provision: Resource | None = None, rule: str | None = "OPTIN", **more: Any) -> Resource:
    told: Resource = {
        "resourceType": "Consent",
        "status": "active",
        "scope": concept(SCOPES, "patient-privacy"),
        "patient": {"reference": "Patient/p"},
    }
    if rule:
        told["policyRule"] = concept(ACT_CODE, rule)
    if provision is not None:
        told["provision"] = provision
    return told | more


def data(reference: str, meaning: str = "instance") -> Resource:
    return {"meaning": meaning, "reference": {"reference": reference}}


def permit(**more: Any) -> Resource:
    return {"type": "permit", **more}


def deny(**more: Any) -> Resource:
    return {"type": "deny", **more}


A, B = actor("Organization/a"), actor("Organization/b")
TREAT, RESEARCH = coding(PURPOSES, "TREAT"), coding(PURPOSES, "HRESCH")
CONDITION = coding(RESOURCE_TYPES, "Condition")
ACCESS, CORRECT = concept(ACTIONS, "access"), concept(ACTIONS, "correct")
PAST = {"end": "2026-11-21"}
CODE = {"code": [concept("http://snomed.info/sct", "1")]}
R_LABEL, L_LABEL = coding(CONFIDENTIALITY, "R"), coding(CONFIDENTIALITY, "L")
HIV_LABEL = coding(ACT_CODE, "HIV")

CASES: dict[str, tuple[list[Resource], str]] = {
    "no consent": ([], "silent"),
    "opted in": ([consent()], "permit"),
    "opted out": ([consent(rule="OPTOUT")], "deny"),
    "neither, no provision": ([consent(rule=None)], "silent"),
    "not active": ([consent(status="inactive")], "silent"),
    "entered in error": ([consent(rule="OPTOUT", status="entered-in-error")], "silent"),
    "a treatment instruction": ([consent(scope=concept(SCOPES, "adr"))], "silent"),
    "research, asked for care": ([consent(scope=concept(SCOPES, "research"))], "silent"),
    "an unknown scope permits not": ([consent(scope=concept("urn:x", "y"))], "silent"),
    "an unknown scope denies": ([consent(rule="OPTOUT", scope={"text": "x"})], "deny"),
    "a modifier permits not": ([consent(modifierExtension=[{"url": "urn:x"}])], "silent"),
    "a modifier denies": ([consent(rule="OPTOUT", modifierExtension=[{}])], "deny"),
    "no patient": ([consent(patient={"identifier": {"value": "1"}})], "silent"),
    "one permits, one denies": ([consent(), consent(rule="OPTOUT")], "deny"),
    "this facility": ([consent(permit(actor=[A]), None)], "permit"),
    "another facility": ([consent(permit(actor=[B]), None)], "silent"),
    "one of two facilities": ([consent(permit(actor=[B, A]), None)], "permit"),
    "this person": ([consent(permit(actor=[actor("Practitioner/an")]), None)], "permit"),
    "a version of the facility": (
        [consent(permit(actor=[actor("Organization/a/_history/1")]), None)],
        "permit",
    ),
    "a facility of another server": (
        [consent(permit(actor=[actor("https://x.example/Organization/a")]), None)],
        "silent",
    ),
    "denied to somebody not understood": (
        [consent(deny(actor=[{"reference": {"display": "Dr. X"}}]), None)],
        "deny",
    ),
    "denied to another": ([consent(deny(actor=[B]), None)], "silent"),
    "denied to another, else permitted": ([consent(deny(actor=[B]))], "permit"),
    "denied to this one, else permitted": ([consent(deny(actor=[A]))], "deny"),
    "permitted to this one, else denied": ([consent(permit(actor=[A]), "OPTOUT")], "permit"),
    "permitted to another, else denied": ([consent(permit(actor=[B]), "OPTOUT")], "deny"),
    "as the author, which is no receiver": (
        [consent(permit(actor=[actor("Organization/a", "AUT")]), None)],
        "silent",
    ),
    "no actor that is one": ([consent(permit(actor=[]), None)], "silent"),
    "for this purpose": ([consent(permit(purpose=[TREAT]))], "permit"),
    "for another purpose": ([consent(permit(purpose=[RESEARCH]))], "silent"),
    "for a purpose of another system": (
        [consent(permit(purpose=[coding("urn:x", "TREAT")]))],
        "silent",
    ),
    "not for a purpose not understood": (
        [consent(deny(purpose=[coding("urn:x", "TREAT")]))],
        "deny",
    ),
    "of this type": ([consent(permit(**{"class": [CONDITION]}))], "permit"),
    "of another type": (
        [consent(permit(**{"class": [coding(RESOURCE_TYPES, "Patient")]}))],
        "silent",
    ),
    "of a document": ([consent(permit(**{"class": [coding("http://loinc.org", "1")]}))], "silent"),
    "not of a document": ([consent(deny(**{"class": [coding("http://loinc.org", "1")]}))], "deny"),
    "to look at": ([consent(permit(action=[ACCESS]))], "permit"),
    "to correct only": ([consent(permit(action=[CORRECT]))], "silent"),
    "not to correct": ([consent(deny(action=[CORRECT]))], "permit"),
    "not to look at": ([consent(deny(action=[ACCESS]))], "deny"),
    "until yesterday": ([consent(permit(period=PAST))], "silent"),
    "not until yesterday": ([consent(deny(period=PAST))], "permit"),
    "until today, all day": ([consent(permit(period={"end": "2026-11-22"}))], "permit"),
    "from this year": ([consent(permit(period={"start": "2026"}))], "permit"),
    "from tomorrow": ([consent(permit(period={"start": "2026-11-23"}))], "silent"),
    "in a time that is none": ([consent(permit(period={"end": "soon"}))], "silent"),
    "not in a time that is none": ([consent(deny(period={"end": 5}))], "deny"),
    "of some codes: not understood": ([consent(permit(**CODE))], "silent"),
    "not of some codes: not understood": ([consent(deny(**CODE))], "deny"),
    "of data not understood": ([consent(permit(dataPeriod={"end": "2020"}))], "silent"),
    "all of a provision's elements hold": (
        [consent(permit(actor=[A], purpose=[RESEARCH]), None)],
        "silent",
    ),
    "an exception": ([consent(permit(provision=[deny(actor=[A])]), None)], "deny"),
    "an exception for another": ([consent(permit(provision=[deny(actor=[B])]), None)], "permit"),
    "an exception without a type": ([consent(permit(provision=[{"actor": [A]}]), None)], "deny"),
    "an exception of an exception": (
        [consent(permit(provision=[deny(provision=[permit(actor=[A])])]), None)],
        "permit",
    ),
    "siblings: who denies wins": (
        [consent(provision={"provision": [permit(actor=[A]), deny(purpose=[TREAT])]}, rule=None)],
        "deny",
    ),
    "a permit in doubt keeps its exceptions": (
        [consent(permit(**CODE, provision=[deny(actor=[A])]), None)],
        "deny",
    ),
    "what is nested too deep denies": ([consent(None)], "deny"),
    "not one record of another type": ([consent(deny(data=[data("Observation/1")]))], "permit"),
    "not one record of this type": ([consent(deny(data=[data("Condition/1")]))], "deny"),
    "one record of this type": ([consent(permit(data=[data("Condition/1")]))], "silent"),
    "one of two records": (
        [consent(deny(data=[data("Observation/1"), data("Condition/1")]))],
        "deny",
    ),
    "not what hangs on a record": (
        [consent(deny(data=[data("Observation/1", "dependents")]))],
        "deny",
    ),
    "what hangs on a record": (
        [consent(permit(data=[data("Observation/1", "related")]))],
        "silent",
    ),
    "all about the patient": ([consent(permit(data=[data("Patient/p", "related")]))], "permit"),
    "all about somebody else": ([consent(permit(data=[data("Patient/q", "related")]))], "silent"),
    "not all about somebody else": (
        [consent(deny(data=[data("Patient/q", "related")]))],
        "deny",
    ),
    "not by what an author wrote": (
        [consent(deny(data=[data("Patient/p", "authoredby")]))],
        "deny",
    ),
    "not a record nobody can name": ([consent(deny(data=[{"meaning": "instance"}]))], "deny"),
    "another relative": ([consent(deny(actor=[actor("RelatedPerson/x")]))], "permit"),
    "only the normal": ([consent(permit(securityLabel=[coding(CONFIDENTIALITY, "N")]))], "permit"),
    "only the low": ([consent(permit(securityLabel=[L_LABEL]))], "silent"),
    "the restricted and lower": ([consent(permit(securityLabel=[R_LABEL]))], "permit"),
    "not the restricted": ([consent(deny(securityLabel=[R_LABEL]))], "deny"),
    "not what is labelled so": ([consent(deny(securityLabel=[HIV_LABEL]))], "permit"),
}


def nested(depth: int) -> Resource:
    return permit(provision=[nested(depth - 1)]) if depth else permit()


CASES["what is nested too deep denies"] = ([consent(nested(MAX_DEPTH + 1))], "deny")


def test_one_record_that_is_denied_bars_its_type_and_no_other() -> None:
    told = agreed(
        [consent(deny(data=[data("Observation/1")]), None)], CALLER, "TREAT", built_in(), NOW
    )
    assert told.denied == ((frozenset({"Observation"}), frozenset({rid(Key("Patient", "p"))})),)
    assert told.permitted == ()


@pytest.mark.parametrize("name", CASES)
def test_what_consents_say_of_an_unlabelled_condition(name: str) -> None:
    consents, said = CASES[name]
    assert judged(consents, CALLER, "TREAT", "Condition", UNLABELLED, NOW) == said


@pytest.mark.parametrize(
    ("provision", "labels", "said"),
    [
        (permit(securityLabel=[coding(CONFIDENTIALITY, "N")]), RESTRICTED, "silent"),
        (permit(securityLabel=[R_LABEL]), RESTRICTED, "permit"),
        (permit(securityLabel=[HIV_LABEL]), HIV, "permit"),
        (permit(securityLabel=[HIV_LABEL, R_LABEL]), HIV, "permit"),
        (permit(securityLabel=[HIV_LABEL, R_LABEL]), RESTRICTED, "silent"),
        (deny(securityLabel=[HIV_LABEL]), HIV, "deny"),
        (deny(securityLabel=[HIV_LABEL]), None, "deny"),
        (permit(securityLabel=[R_LABEL]), None, "silent"),
        (permit(provision=[deny(securityLabel=[HIV_LABEL])]), None, "deny"),
        (permit(provision=[deny(securityLabel=[HIV_LABEL])]), UNLABELLED, "permit"),
    ],
)
def test_labels_that_are_not_known_are_doubted(
    provision: Resource, labels: Labels | None, said: str
) -> None:
    assert judged([consent(provision)], CALLER, "TREAT", "Condition", labels, NOW) == said


@pytest.mark.parametrize(
    ("provision", "said"),
    [
        (permit(purpose=[TREAT]), "silent"),
        (permit(purpose=[coding(PURPOSES, "BTG")]), "permit"),
        (deny(purpose=[TREAT]), "deny"),
    ],
)
def test_a_permit_to_treat_is_none_to_break_the_glass(provision: Resource, said: str) -> None:
    assert judged([consent(provision, None)], CALLER, "BTG", "Condition", UNLABELLED, NOW) == said


def test_a_consent_to_research_counts_for_research() -> None:
    told = consent(scope=concept(SCOPES, "research"))
    assert judged([told], CALLER, "CLINTRCH", "Condition", UNLABELLED, NOW) == "permit"


NONSENSE: list[Any] = [None, 1, "x", [], {}, [1], [[]], {"coding": 1}, [{"code": [1]}], True]
PLACES = ("type", "actor", "action", "purpose", "class", "period", "securityLabel", "provision")


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("place", PLACES)
def test_nonsense_never_permits_and_never_raises(place: str, value: Any) -> None:
    told = consent({"type": "permit", "actor": [B], place: value}, None)
    assert judged([told], CALLER, "TREAT", "Condition", None, NOW) != "permit"
    for element in ("status", "scope", "patient", "policyRule", "provision"):
        judged([consent() | {element: value}], CALLER, "TREAT", "Condition", None, NOW)
