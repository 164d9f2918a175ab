"""A SearchParameter of one's own becomes a parameter here, or the refusal says why not and what
would do.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import NotSupported, Unavailable
from fhir_server.search import custom
from fhir_server.search.live import Live
from fhir_server.search.query import parse
from fhir_server.store.contract import PARAM_SHIFT
from fhir_server.store.contract.parameter import (
    BUILDING,
    FIRST_CUSTOM,
    GONE,
    LAST_CUSTOM,
    READY,
    Declared,
    Parameterised,
)

from .ask import indexer, parameters

URL = "http://here.example/SearchParameter/"


def definition(code="ward", **changes):
    told = {
        "resourceType": "SearchParameter",
        "id": code,
        "url": f"{URL}{code}",
        "name": "Ward",
        "status": "active",
        "description": "The ward",
        "code": code,
        "base": ["Patient"],
        "type": "token",
        "expression": "Patient.extension('http://here.example/ward')",
        **changes,
    }
    return {name: value for name, value in told.items() if value is not None}


def declared(resource, number=FIRST_CUSTOM, state=READY, **more):
    [one] = custom.declarations(parameters(), resource)
    source = f"SearchParameter/{resource['id']}"
    return Declared(number, source, one.base, one.code, one.facts, state, 1, 0, **more)


def live(*rows):
    found = Live(indexer())
    found.take(Parameterised(max((row.change for row in rows), default=0), rows))
    return found


# --- what is refused -----------------------------------------------------------------------------

PAIR = {"definition": "http://hl7.org/fhir/SearchParameter/clinical-code", "expression": "code"}
OTHER = {"definition": "http://here.example/SearchParameter/x", "expression": "code"}
SIX = ".extension.value" * 5
REFUSED = [
    ({"expression": None}, "expression", "no `expression`"),
    ({"expression": None, "xpath": "f:Patient/f:x"}, "expression", "XPath alone"),
    ({"expression": "Patient.name.first()"}, "expression", "`first()` is no way"),
    ({"expression": "Patient.name.where(use = 'x' and text = 'y')"}, "expression", "`and`"),
    ({"expression": "Patient.name.given + 'x'"}, "expression", "`+` is no way"),
    ({"expression": "Patient[0]"}, "expression", "`[ ]` is used on what is no property"),
    ({"expression": "Patient.name."}, "expression", "character 14"),
    ({"expression": "Patient.gender.where(x = 'y')"}, "expression", "has no parts"),
    ({"expression": "Patient.name.where(resolve() is Patient)"}, "expression", "not of a Ref"),
    ({"expression": "Encounter.class"}, "expression", "leads nowhere in `Patient`"),
    ({"expression": "Patient.nickname"}, "expression", "leads nowhere in `Patient`"),
    ({"expression": "Patient.name"}, "expression", "leads to `HumanName`"),
    ({"expression": "Patient.name.given", "type": "date"}, "expression", "leads to `string`"),
    ({"expression": f"Patient{SIX}"}, "expression", "ways"),
    ({"expression": "Patient.name | " * 400 + "Patient.name"}, "expression", "4000 characters"),
    ({"base": ["Encounter", "Patient"]}, "expression", "leads nowhere in `Encounter`"),
    ({"base": ["Patient"] * 41}, "base", "41 base types"),
    ({"type": "special"}, "type", "special"),
    ({"type": "composite", "expression": "Patient"}, "component", "needs its components"),
    ({"type": "composite", "expression": "Patient", "component": [OTHER]}, "component", "R4's own"),
    ({"type": "composite", "expression": "Patient", "component": [PAIR]}, "component", "is no par"),
    ({"xpathUsage": "phonetic"}, "xpathUsage", "`normal`"),
    ({"code": "gender"}, "code", "is R4's own"),
    ({"code": "_id"}, "code", "letter first"),
    ({"code": "a.b"}, "code", "letter first"),
    ({"code": "date", "base": ["DomainResource"], "expression": "DomainResource.language"}, "code",
     "R4's own"),
    ({"code": "x" * 65}, "code", "at most 64"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "element", "told"), REFUSED)
def test_what_cannot_be_indexed_by_is_refused_with_its_reason(changes, element, told):
    resource = definition(**changes)
    [issue] = custom.issues(parameters(), resource, ())
    assert told in issue.diagnostics
    assert (issue.code, issue.rule) == ("business-rule", custom.RULE)
    assert issue.expression == f"SearchParameter.{element}"
    assert custom.declarations(parameters(), resource) == () or element == "code"


def test_a_code_that_another_definition_has_is_refused_and_names_it():
    rows = (declared(definition()),)
    told = "declared already, by `SearchParameter/ward`"
    [issue] = custom.issues(parameters(), definition(id="b", url="http://b"), rows)
    assert told in issue.diagnostics
    anywhere = definition(id="b", url="http://b", base=["Resource"], expression="Resource.language")
    assert told in custom.issues(parameters(), anywhere, rows)[0].diagnostics
    assert custom.issues(parameters(), definition(), rows) == []  # itself, once more
    assert custom.issues(parameters(), definition(id=None), rows) == []  # found by its URL
    gone = (replace(rows[0], state=GONE),)
    assert custom.issues(parameters(), definition(id="b", url="http://b"), gone) == []


def test_where_all_numbers_are_given_it_says_what_frees_some():
    row = declared(definition("other"), state=GONE)
    rows = [replace(row, number=number) for number in range(FIRST_CUSTOM, LAST_CUSTOM + 1)]
    [issue] = custom.issues(parameters(), definition(), rows)
    assert "fhir-server reindex" in issue.diagnostics


@pytest.mark.parametrize("status", ["draft", "retired", "unknown"])
def test_what_is_not_active_is_stored_and_not_followed(status):
    resource = definition(status=status, expression="Patient.name.first()")
    assert custom.issues(parameters(), resource, ()) == []
    assert custom.declarations(parameters(), resource) == ()


def test_r4s_own_definitions_may_be_stored_and_stay_what_they_are():
    own = definition(code="gender", url="http://hl7.org/fhir/SearchParameter/individual-gender")
    assert custom.issues(parameters(), own, ()) == []
    assert custom.declarations(parameters(), own) == ()


# --- what is followed ----------------------------------------------------------------------------

FOLLOWED = [
    ("Patient.extension('http://here.example/ward')", "token"),
    ("Patient.extension.where(url = 'http://here.example/ward').value as Coding", "token"),
    ("(Patient.extension('http://here.example/ward').value).ofType(CodeableConcept)", "token"),
    ("Patient.contact.name.family | Patient.name.where(use = 'old').family", "string"),
    ("Patient.generalPractitioner.where(resolve() is Organization)", "reference"),
    ("Patient.deceased.exists() and Patient.deceased != false", "token"),
    ("Patient.multipleBirth as integer", "number"),
    ("Patient.communication[0].language", "token"),
    ("Resource.implicitRules", "uri"),
    ("Patient.identifier.period", "date"),
]


@pytest.mark.parametrize(("expression", "type"), FOLLOWED)
def test_what_leads_to_values_is_followed(expression, type):
    resource = definition(expression=expression, type=type)
    assert custom.issues(parameters(), resource, ()) == []
    [found] = live(declared(resource)).current.parameters.indexed("Patient")
    assert found.paths


def test_each_base_type_is_a_parameter_by_itself():
    resource = definition(
        base=["Patient", "Practitioner"],
        type="string",
        expression="Patient.photo.title | Practitioner.photo.title",
    )
    found = custom.declarations(parameters(), resource)
    assert [(one.base, one.types) for one in found] == [
        ("Patient", ("Patient",)),
        ("Practitioner", ("Practitioner",)),
    ]
    assert json.loads(found[0].facts)["base"] == ["Patient"]


def test_what_is_for_all_resources_is_one_parameter():
    resource = definition(base=["Resource"], type="uri", expression="Resource.implicitRules")
    [found] = custom.declarations(parameters(), resource)
    assert len(found.types) == 146


def test_a_composite_is_put_together_from_r4s_own_parameters():
    codes = "http://hl7.org/fhir/SearchParameter/"
    resource = definition(
        code="code-status",
        base=["Observation"],
        type="composite",
        expression="Observation",
        component=[
            {"definition": f"{codes}clinical-code", "expression": "code"},
            {"definition": f"{codes}Observation-status", "expression": "status"},
        ],
    )
    assert custom.issues(parameters(), resource, ()) == []
    rules = live(declared(resource)).current
    assert rules.parameters.of("Observation")["code-status"].type == "composite"
    observation = {"resourceType": "Observation", "id": "1", "status": "final", "code": {}}
    rules.indexer.rows(observation)


def test_an_expression_that_multiplies_is_given_up_early():
    for one in ("(extension.value as Coding)", "extension.value.extension as Money"):
        resource = definition(base=["Resource"], expression="|".join([one] * 100))
        assert "too many ways" in custom.issues(parameters(), resource, ())[0].diagnostics


HOSTILE = "');__import__('os').abort();('"


def test_what_an_expression_says_is_never_run():
    text = HOSTILE.replace("'", "\\'")
    for expression in (
        f"Patient.extension('{text}')",
        f"Patient.identifier.where(system = '{text}').value",
        "Patient.identifier.where(system = '{v}').value",
        "Patient.identifier.where(`a\\'b` = 'x').value",
    ):
        resource = definition(expression=expression)
        assert custom.issues(parameters(), resource, ()) == []
        patient = {
            "resourceType": "Patient",
            "id": "1",
            "identifier": [{"system": HOSTILE, "value": "v"}, {"system": "{v}", "value": "v"}],
        }
        live(declared(resource)).current.indexer.rows(patient)


# --- what holds ----------------------------------------------------------------------------------

PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "gender": "male",
    "name": [{"family": "Nguyễn"}],
    "extension": [{"url": "http://here.example/ward", "valueCode": "B7"}],
}


def numbers(rows):
    return {row.v >> PARAM_SHIFT for row in rows.keys}


def test_r4s_own_rows_are_the_same_whatever_is_declared():
    """Else an update would look for old rows that are not there."""
    given = definition("given2", type="string", expression="Patient.name.given")
    family = definition("wide", type="string", expression="Patient.name")
    rules = live(declared(given), declared(family, FIRST_CUSTOM + 1)).current
    plain, with_customs = indexer().rows(PATIENT), rules.indexer.rows(PATIENT)
    assert plain.keys <= with_customs.keys
    assert plain.strings <= with_customs.strings
    assert {row.param & 8191 for row in with_customs.strings - plain.strings} == {FIRST_CUSTOM + 1}
    assert rules.indexer.stamp == indexer().stamp


def test_a_parameter_whose_index_is_not_whole_is_written_and_refused_to_who_asks():
    waiting = live(declared(definition(), state=BUILDING))
    assert FIRST_CUSTOM in numbers(waiting.current.indexer.rows(PATIENT))
    assert "ward" not in waiting.current.parameters.of("Patient")
    for pairs in ([("ward", "B7")], [("ward:missing", "true")], [("_sort", "ward")]):
        with pytest.raises(NotSupported, match=r"SearchParameter/ward/\$reindex"):
            parse(waiting.current.parameters, ("Patient",), pairs)
    with pytest.raises(NotSupported, match="not indexed yet"):
        parse(waiting.current.parameters, ("Observation",), [("subject:Patient.ward", "B7")])
    with pytest.raises(NotSupported, match="not indexed yet"):
        parse(waiting.current.parameters, ("Observation",), [("subject.ward", "B7")])


def test_while_it_is_indexed_the_refusal_tells_nothing_of_how_much_there_is():
    row = declared(definition(), state=BUILDING, began=1, done=1200, total=64_000, rate=800.0)
    with pytest.raises(Unavailable, match="is being indexed") as refused:
        parse(live(row).current.parameters, ("Patient",), [("ward", "B7")])
    assert refused.value.headers["Retry-After"]
    assert not any(sign.isdigit() for sign in str(refused.value))


def test_what_is_ready_is_searched_by_and_what_is_gone_is_unknown():
    ready = live(declared(definition()))
    assert parse(ready.current.parameters, ("Patient",), [("ward", "B7")]).has_criteria
    ready.take(Parameterised(2, (declared(definition(), state=GONE),)))
    assert "ward" not in ready.current.parameters.of("Patient")
    assert FIRST_CUSTOM not in numbers(ready.current.indexer.rows(PATIENT))


def test_what_is_compiled_for_other_types_is_kept():
    one = live(declared(definition()))
    one.current.indexer.rows(PATIENT)
    written = dict(one.current.indexer._write)
    assert written
    both = (declared(definition()), declared(definition("bed"), FIRST_CUSTOM + 1))
    one.take(Parameterised(2, both))
    assert one.current.indexer._write is not None
    assert one.current.indexer._write.items() >= written.items()


def test_progress_alone_renews_nothing():
    row = declared(definition(), state=BUILDING, began=1, total=10)
    one = live(row)
    before = one.current
    one.take(Parameterised(1, (replace(row, done=5),)))
    assert one.current is before
    assert one.table.rows[0].done == 5


def test_what_this_program_cannot_follow_is_left_alone(caplog):
    row = declared(definition())
    strange = replace(row, facts=row.facts.replace("extension(", "later("))
    assert live(strange).current.parameters.indexed("Patient") == ()
    assert "cannot be indexed by" in caplog.text
