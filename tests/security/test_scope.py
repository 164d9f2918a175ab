"""Scopes of SMART App Launch 2.2: what is understood, what is met, and that nothing is widened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.security.scope import (
    LETTERS,
    MAX_GRANULAR,
    MAX_SCOPES,
    MAX_TEXT,
    BadScope,
    Scope,
    grant,
    granted,
    parse,
)

UNDERSTOOD = [
    ("patient/Patient.r", "patient/Patient.r"),
    ("user/*.cruds", "user/*.cruds"),
    ("system/Observation.rs", "system/Observation.rs"),
    ("patient/*.read", "patient/*.rs"),
    ("patient/*.write", "patient/*.cud"),
    ("patient/*.*", "patient/*.cruds"),
    ("patient/Encounter.rs?class=AMB", "patient/Encounter.rs?class=AMB"),
    (
        "user/Observation.rs?category=http://terminology.hl7.org/CodeSystem/x|lab",
        "user/Observation.rs?category=http://terminology.hl7.org/CodeSystem/x|lab",
    ),
    ("user/Observation.s?category=a&status=final", "user/Observation.s?category=a&status=final"),
    ("user/Condition.r?code=a%20b", "user/Condition.r?code=a%20b"),
    ("user/Condition.r?code=a%2Bb", "user/Condition.r?code=a%2Bb"),
    ("user/Condition.r?code=50%25", "user/Condition.r?code=50%25"),
    ("user/Condition.r?code=a%26status=b", "user/Condition.r?code=a%26status%3Db"),
    ("user/Patient.r?_id=1", "user/Patient.r?_id=1"),
    ("openid fhirUser launch/patient launch offline_access", ""),
    ("launch/imagingstudy?role=http://example.org/role", ""),
    ("patient/Patient.r  patient/Patient.r", "patient/Patient.r"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "told"), UNDERSTOOD)
def test_a_scope_is_understood_as_smart_has_it(text: str, told: str) -> None:
    assert " ".join(map(str, parse(text))) == told


@pytest.mark.parametrize(
    "text",
    [
        "Patient.read",
        "patient/Patient",
        "patient/Patient.",
        "patient/Patient.sr",
        "patient/Patient.dus",
        "patient/Patient.rr",
        "patient/Patient.x",
        "patient/Patient.reads",
        "patient/Patient.Read",
        "Patient/Patient.r",
        "PATIENT/Patient.r",
        "patient/patient.r",
        "patient/Patient/1.r",
        "patient/Pati*.r",
        "admin/Patient.r",
        "patient//Patient.r",
        "patient/Patient.r?",
        "patient/Patient.r?name",
        "patient/Patient.r?name=",
        "patient/Patient.r?name=%20",
        "patient/Patient.r?=a",
        "patient/Observation.r?code:in=http://example.org",
        "patient/Observation.r?patient.birthdate=2000",
        "patient/Observation.r?_has:Patient:x=1",
        "patient/Observation.r?_filter=a",
        "patient/Observation.r?_include=*",
        "patient/Observation.r?_count=1",
        "patient/Observation.r?_sort=date",
        "patient/Observation.r?code=a+b",
        "patient/Observation.r?code=%zz",
        "patient/Observation.r?code=%",
        "patient/Observation.r?code=%ff",
        "patient/Observation.r?code=%00",
        "patient/Observation.r?code=a?&status",
        "patient/*.r?_security=x",
        'patient/Patient.r?name="a"',
        "patient/Patient.r\tuser/Patient.r",
        "patient/Patient.r\nuser/*.cruds",
        "patient/Patiént.r",
        "launch/Patient",
        "launch/patient?role=",
        "everything",
        "__unknown",
        "patient/Observation.r?" + "&".join(f"p{number}=1" for number in range(9)),
        " ".join(f"user/Patient.r?_id={number}" for number in range(MAX_GRANULAR + 1)),
        " ".join(f"user/T{'a' * number}.r" for number in range(MAX_SCOPES + 1)),
        "user/Patient.r " + "a" * MAX_TEXT,
    ],
    ids=lambda text: text[:40],
)
def test_what_is_not_understood_is_refused_and_grants_nothing_v5_0_0_2_2_1(text: str) -> None:
    with pytest.raises(BadScope):
        parse(text)


def test_a_refusal_repeats_no_more_than_it_must() -> None:
    with pytest.raises(BadScope) as refused:
        parse("x" * 5000)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("asked", "allowed", "told"),
    [
        ("user/Patient.rs", "user/Patient.cruds", "user/Patient.rs"),
        ("user/Patient.cruds", "user/Patient.rs", "user/Patient.rs"),
        ("user/*.cruds", "user/Patient.rs user/Encounter.c", "user/Patient.rs user/Encounter.c"),
        ("user/Patient.r", "user/*.rs", "user/Patient.r"),
        ("user/Patient.rs", "user/Patient.r user/Patient.s", "user/Patient.rs"),
        ("user/Patient.rs", "system/Patient.rs patient/Patient.rs", ""),
        ("user/Patient.r", "user/Patient.s", ""),
        ("user/Patient.r", "user/Encounter.r", ""),
        ("user/Encounter.rs", "user/Encounter.rs?class=AMB", "user/Encounter.rs?class=AMB"),
        ("user/Encounter.r?class=AMB", "user/*.rs", "user/Encounter.r?class=AMB"),
        (
            "user/Encounter.r?class=AMB",
            "user/Encounter.r?status=finished",
            "user/Encounter.r?class=AMB&status=finished",
        ),
        ("patient/*.read", "patient/*.cruds", "patient/*.read"),
        ("patient/*.read", "patient/*.r", "patient/*.r"),
        ("patient/*.*", "patient/Patient.rs", "patient/Patient.rs"),
        ("openid fhirUser user/Patient.r", "openid user/Patient.r", "openid user/Patient.r"),
        ("offline_access", "user/Patient.r", ""),
        ("", "user/*.cruds", ""),
        ("user/*.cruds", "", ""),
    ],
)
def test_granted_is_what_is_asked_and_allowed_v5_0_0_10_4_11(
    asked: str, allowed: str, told: str
) -> None:
    assert grant(asked, allowed) == told


VALUES = st.text(min_size=1, max_size=20).filter(lambda text: text.strip() and text.isprintable())
SCOPES = st.builds(
    Scope,
    st.sampled_from(["patient", "user", "system"]),
    st.sampled_from(["Patient", "Encounter"]),
    st.frozensets(st.sampled_from(LETTERS), min_size=1),
    st.lists(st.tuples(st.sampled_from(["a", "_id"]), VALUES), max_size=2).map(tuple),
)


@given(SCOPES)
def test_what_a_scope_writes_it_reads(scope: Scope) -> None:
    assert parse(str(scope)) == (scope,)


@given(st.lists(SCOPES, max_size=4), st.lists(SCOPES, max_size=4))
def test_nothing_is_granted_that_is_not_both_asked_and_allowed(
    asked: list[Scope], allowed: list[Scope]
) -> None:
    for scope in granted(asked, allowed):
        for letter in scope.letters:
            for side in (asked, allowed):
                assert any(
                    (each.context, each.type) == (scope.context, scope.type)
                    and letter in each.letters
                    and set(each.parameters) <= set(scope.parameters)
                    for each in side
                )
