"""https://hl7.org/fhir/R4/search_filter.html"""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.foundation.outcome import FhirError
from fhir_server.search.filter.parse import MAX_DEPTH, MAX_TESTS, OPERATORS, parse
from fhir_server.search.filter.tree import Comparison, Joined, Negated
from tests.search.ask import found, query

PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "gender": "male",
    "birthDate": "1990-05",
    "name": [{"family": "Nguyễn", "given": ["Văn Đức", "Peter"]}],
    "identifier": [{"system": "http://s.org", "value": "a,b"}],
    "maritalStatus": {"coding": [{"system": "http://m.org", "code": "M"}]},
}
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": "http://loinc.org", "code": "1234-5"}]},
    "subject": {"reference": "Patient/1"},
    "effectivePeriod": {"start": "2024-03-01", "end": "2024-03-10"},
    "valueQuantity": {
        "value": 5.4,
        "unit": "mg",
        "system": "http://unitsofmeasure.org",
        "code": "mg",
    },
}
LOCATION = {"resourceType": "Location", "address": {"city": "Cần Thơ"}}
RISK = {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": 0.8}]}

# of what      a filter                                          is it met?
TABLE = [
    # string: without case and marks
    (PATIENT, 'family eq "nguyen"', True),
    (PATIENT, "family eq nguye", False),
    (LOCATION, 'address-city ne "can tho"', False),
    (LOCATION, "address-city ne Hue", True),
    (LOCATION, "address-state ne Hue", False),
    (PATIENT, "given eq peter", True),
    (PATIENT, 'given eq "văn đức"', True),
    (PATIENT, "given eq duc", False),
    (PATIENT, "given co duc", True),
    (PATIENT, 'given co "an d"', True),
    (PATIENT, "given sw van", True),
    (PATIENT, "given sw duc", False),
    (PATIENT, "given ew duc", True),
    (PATIENT, "given ew van", False),
    (PATIENT, "given ew eter", True),
    (PATIENT, "name eq nguyen", True),
    (PATIENT, "name sw ngu", True),
    (PATIENT, "family pr true", True),
    (PATIENT, "family pr false", False),
    (PATIENT, "phone pr false", True),
    # token
    (PATIENT, "gender eq male", True),
    (PATIENT, "gender ne male", False),
    (PATIENT, "gender ne female", True),
    (PATIENT, "active eq true", True),
    (PATIENT, "death-date pr true", False),
    (PATIENT, "deceased ne true", True),
    (PATIENT, "identifier eq a,b", True),
    (PATIENT, "identifier eq http://s.org|a,b", True),
    (PATIENT, "identifier eq a", False),
    (OBSERVATION, "code eq http://loinc.org|1234-5", True),
    (OBSERVATION, "code eq loinc|1234-5", True),
    (OBSERVATION, "code eq snomed|1234-5", False),
    (OBSERVATION, "code eq 1234-5", True),
    (PATIENT, "_id eq 1", True),
    (PATIENT, "_id ne 1", False),
    # date
    (PATIENT, "birthdate eq 1990", True),
    (PATIENT, "birthdate ge 1990-05", True),
    (PATIENT, "birthdate gt 1990-05", False),
    (PATIENT, "birthdate lt 1991", True),
    (PATIENT, "birthdate co 1990-05-17", True),
    (PATIENT, "birthdate co 1990", False),
    (PATIENT, "birthdate po 1990", True),
    (OBSERVATION, "date co 2024-03-05", True),
    (OBSERVATION, "date co 2024-03", False),
    (OBSERVATION, "date po 2024-03-10", True),
    (OBSERVATION, "date po 2024-03-11", False),
    (OBSERVATION, "date sa 2024-02", True),
    (OBSERVATION, "date eb 2024-04", True),
    (PATIENT, "_lastUpdated gt 2020", True),
    # number and quantity
    (RISK, "probability gt 0.7", True),
    (RISK, "probability eq 0.80", True),
    (RISK, "probability ne 0.8", False),
    (OBSERVATION, "value-quantity eq 5.4|ucum|mg", True),
    (OBSERVATION, "value-quantity gt 5.3|http://unitsofmeasure.org|mg", True),
    (OBSERVATION, "value-quantity le 5||mg", False),
    (OBSERVATION, "value-quantity ap 5.1", True),
    # reference
    (OBSERVATION, "subject re Patient/1", True),
    (OBSERVATION, "subject re Patient/2", False),
    (OBSERVATION, "subject pr true", True),
    # and, or, not, parentheses
    (PATIENT, "gender eq male and family eq nguyen", True),
    (PATIENT, "gender eq male and family eq tran", False),
    (PATIENT, "gender eq female or family eq nguyen", True),
    (PATIENT, "not (gender eq male)", False),
    (PATIENT, "not(gender eq female)", True),
    (PATIENT, "not (gender eq female) and active eq true", True),
    # "evaluated left to right, with no precedence between and and or"
    (PATIENT, "gender eq male or active eq true and family eq tran", False),
    (PATIENT, "gender eq male or (active eq true and family eq tran)", True),
    (PATIENT, "( gender eq male )and( active eq true )", True),
]


@pytest.mark.parametrize(("resource", "filter", "expected"), TABLE)
def test_a_filter_is_met_or_not(resource, filter, expected):
    assert found(resource, f"_filter={quote(filter)}") is expected


# type           a filter                                   what the refusal says
REFUSED = [
    ("Patient", "name", "character 5|at its end"),
    ("Patient", "name eq", "at its end: a value"),
    ("Patient", "name xx 1", "character 6, before `xx 1`: an operator"),
    ("Patient", "(name eq a", "a `\\)` was expected"),
    ("Patient", "name eq a)", "character 10"),
    ("Patient", "name eq a name eq b", "character 11.* an `and`"),
    ("Patient", "not name eq a", "parentheses"),
    ("Patient", 'name eq "a', "JSON"),
    ("Patient", 'name eq "a"b', "a space was expected"),
    ("Patient", 'name eq ""', "the value is empty"),
    ("Patient", "1 eq a", "name of a search parameter"),
    ("Patient", "nam eq a", "character 1.*Did you mean `name`"),
    ("Patient", "gender eq male and nam eq a", "character 20"),
    ("Patient", "gender co x", "token parameter. What can be: `eq`"),
    ("Patient", "name gt x", "string parameter"),
    ("Patient", "identifier ne x", "several values"),
    ("Patient", "name pr yes", "`true` or `false`"),
    ("Patient", "birthdate gt foo", "begins with no letter"),
    ("Patient", "birthdate eq 1990-13", "A date is real"),
    ("Patient", "general-practitioner eq Practitioner/1", "found by `re`"),
    ("Patient", 'name eq "' + "ab " * 43 + '"', "128 letters; at most 127"),
    ("Patient", "family ne x", "several values"),
    ("Patient", "name eq ---", "a letter or a digit"),
    ("Patient", "_has eq x", "does not stand within a filter"),
    ("Patient", "_filter eq x", "does not stand within a filter"),
    ("Patient", "_lastUpdated co 2020", "is a moment"),
    ("Encounter", "subject:Patient.name eq x", "character 8.*operators in place of"),
    ("Encounter", "subject.nam eq x", "Did you mean `name`"),
    ("Encounter", "subject[name eq x] pr true", "followed by `.`"),
    ("Encounter", "subject[nam eq x].name eq y", "Did you mean `name`"),
    ("Observation", "related[type eq x].target pr true", "within an element"),
    ("Observation", "code[x eq y].z eq 1", "composite parameter: `code-value-concept`"),
    ("Observation", "code-value-quantity eq 5", "composite"),
    ("", "name eq 5", "`_type`"),
    ("Patient", "(" * (MAX_DEPTH + 1) + "name eq a" + ")" * (MAX_DEPTH + 1), "deep"),
    ("Patient", " and ".join(["name eq a"] * (MAX_TESTS + 1)), "100 comparisons"),
    ("Patient", " and ".join(["name eq a or name eq b"] * 8), "changes between"),
]


@pytest.mark.parametrize(("type", "filter", "says"), REFUSED)
def test_what_cannot_be_understood_is_refused_with_its_place(type, filter, says):
    with pytest.raises(FhirError, match=says) as refused:
        query(type, f"_filter={quote(filter)}")
    assert "`_filter`" in str(refused.value)


def test_a_path_of_a_filter_is_a_chain():
    for filter, chain in (
        ('subject.name co "x"', "subject.name:contains=x"),
        ("patient.organization.name co x", "patient.organization.name:contains=x"),
        ("patient.gender eq male", "patient.gender=male"),
    ):
        asked = query("Encounter", f"_filter={quote(filter)}")
        assert asked.where == query("Encounter", chain).where


def test_a_filter_has_no_modifier():
    with pytest.raises(FhirError, match="no modifier"):
        query("Patient", "_filter:exact=name eq x")


# --- laws ----------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_\-]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("not", "and", "or")
)
tests = st.builds(
    lambda path, operator, value: f"{'.'.join(path)} {operator} {value}",
    st.lists(names, min_size=1, max_size=3),
    st.sampled_from(sorted(OPERATORS)),
    st.sampled_from(["x", "5", '"a b)"', '"\\u00e9"', "2020-01-01", "http://x.org|y"]),
)
filters = st.recursive(
    tests,
    lambda inner: st.one_of(
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(
            lambda parts: f"({parts[0]}){parts[1]}({parts[2]})"
        ),
    ),
    max_leaves=5,
)


@given(filters)
def test_every_filter_of_the_grammar_is_read(text):
    try:
        read = parse(text)
    except FhirError as refusal:
        assert "deep" in str(refusal)
        return
    assert isinstance(read, Comparison | Joined | Negated)


@given(st.text(alphabet='ab. ()[]"\\eqnotandr1é\x00', max_size=40))
def test_anything_else_is_refused_and_never_a_crash(text):
    for type in ("Patient", "Observation", ""):
        try:
            query(type, f"_filter={quote(text)}") if text.strip() else None
        except FhirError:
            continue
