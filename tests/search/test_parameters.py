"""parameters: which SearchParameters each type has, and where their values are."""

from __future__ import annotations

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import UnknownType
from fhir_server.search.kinds import KINDS as MODULES
from fhir_server.search.parameters import CUSTOM, EXAMPLES, KINDS, MAIN_DATE
from fhir_server.search.path import Get, Path, Unfollowable, paths
from fhir_server.store.contract import PARAM_SHIFT

from .ask import indexer, parameters

R4 = load()
TYPES = sorted(R4.resource_types)
FACTS = [
    fact
    for fact in R4.search_parameters
    if "expression" in fact and not fact["url"].startswith(EXAMPLES)
]
# R4 names these of a type whose resources have no such element.
NOWHERE: set[str] = set()


def bases(fact: dict) -> list[str]:
    return [base if base in R4.resource_types else "Patient" for base in fact["base"]]


def test_every_expression_of_r4_leads_somewhere_in_every_type_it_is_for() -> None:
    led_nowhere = {
        f"{base}.{fact['code']}"
        for fact in FACTS
        for base in bases(fact)
        if not paths(R4, fact["expression"], base)
    }
    assert led_nowhere == NOWHERE


def test_only_what_has_no_expression_or_is_an_example_is_left_out() -> None:
    left_out = {f["url"].rpartition("/")[2] for f in R4.search_parameters if f not in FACTS}
    assert left_out == {
        "DomainResource-text",
        "Resource-content",
        "Resource-query",
        "filter",
        "patient-extensions-Patient-age",
        "patient-extensions-Patient-birthOrderBoolean",
        "example",
        "example-extension",
        "example-reference",
    }


@pytest.mark.parametrize("type", TYPES)
def test_every_type_has_all_its_parameters_and_can_be_indexed(type: str) -> None:
    own = {fact["code"] for fact in FACTS if type in fact["base"]}
    found = parameters().of(type)
    assert found.keys() == own | {"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"}
    assert indexer().rows({"resourceType": type, "id": "1"}) is not None


@pytest.mark.parametrize("type", TYPES)
def test_every_value_can_be_indexed_or_is_said_to_be_there(type: str) -> None:
    """A kind knows each datatype its parameters lead to, but for those named here."""
    beside = {
        ("date", "string"),  # Procedure.performedString: no date
        ("date", "Age"),
        ("date", "Range"),
        ("reference", "Attachment"),  # Consent.source: a document
        ("reference", "Extension"),  # goes on to the extension's value
        ("string", "Extension"),
        ("token", "Extension"),
    }
    for parameter in parameters().of(type).values():
        for path in parameter.paths:
            known = path.type in MODULES[parameter.type].TYPES
            assert known or (parameter.type, path.type) in beside, (parameter.code, path)


def test_a_number_is_never_given_twice() -> None:
    seen: dict[int, tuple[str, str]] = {}
    for type in TYPES:
        for code, parameter in parameters().of(type).items():
            assert 0 < parameter.number < CUSTOM
            if parameter.type not in KINDS:
                continue
            wrote = parameter.expression.partition(".where(resolve()")[0]
            where = "Resource" if code[0] == "_" else type
            assert seen.setdefault(parameter.number, (where, parameter.type))[0] == where, wrote


def test_numbers_are_the_same_in_every_process() -> None:
    """They lie in databases: these may only change together with EDITION."""
    of = parameters().of
    assert (of("Patient")["name"].number, of("Encounter")["subject"].number) == (1219, 563)
    assert of("Patient")["_tag"].number == of("Encounter")["_tag"].number


@pytest.mark.parametrize(
    ("type", "narrow", "wide"),
    [
        ("Encounter", "patient", "subject"),
        ("Observation", "patient", "subject"),
        ("Appointment", "location", "actor"),
        ("Encounter", "practitioner", "participant"),
    ],
)
def test_a_narrowed_reference_shares_the_rows_of_the_wide_one(type, narrow, wide) -> None:
    of = parameters().of(type)
    assert of[narrow].narrowed
    assert not of[wide].narrowed
    assert of[narrow].number == of[wide].number
    assert len(of[narrow].targets) == 1


def test_choices_are_spelled_out_and_codes_have_their_system() -> None:
    of = parameters().of
    assert {path.steps[-1].key for path in of("Observation")["date"].paths} == {
        "effectiveDateTime",
        "effectivePeriod",
        "effectiveTiming",
        "effectiveInstant",
    }
    assert not of("Observation")["date"].many
    assert of("Encounter")["status"].paths == (
        Path(
            (Get("status", many=False),),
            "code",
            "code",
            "Encounter.status",
            "http://hl7.org/fhir/encounter-status",
        ),
    )


def test_every_main_date_is_a_date_parameter_of_its_type() -> None:
    for type, code in MAIN_DATE.items():
        parameter = parameters().of(type)[code]
        assert parameter.type == "date"
        assert parameter.main


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(UnknownType):
        parameters().of("Person2")


def test_an_expression_that_is_no_way_through_a_resource_is_refused() -> None:
    with pytest.raises(Unfollowable):
        paths(R4, "Patient.name.first().given", "Patient")


WARD = {
    "url": "http://here.example/SearchParameter/ward",
    "code": "ward",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension('http://here.example/ward')",
}


def test_a_parameter_of_ones_own_brings_its_number_and_leaves_r4s_own_as_they_are() -> None:
    own = parameters().extended({CUSTOM: WARD})
    assert own.of("Patient")["ward"].number == CUSTOM
    assert "ward" not in parameters().of("Patient")
    extension = {"url": "http://here.example/ward", "valueCode": "B7"}
    patient = {"resourceType": "Patient", "extension": [extension]}
    before = indexer().rows(patient).keys
    after = indexer().renewed(own)
    rows = after.rows(patient).keys
    assert {row.v >> PARAM_SHIFT for row in rows - before} == {CUSTOM}
    assert before < rows
    assert after.stamp == indexer().stamp
    with pytest.raises(ValueError, match="4096"):
        parameters().extended({5: WARD})
