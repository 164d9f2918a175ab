"""The policy says which profiles are asked of a resource; what is wrong is told by its line."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from fhir_server.terminology.site import OWN, SID
from fhir_server.validation.policy import Applied, BadPolicy, Policy

SHIPPED = Path(__file__).parents[2] / "profiles" / "policy.toml"
TODAY = dt.date(2026, 11, 22)
KIND = "http://terminology.hl7.org/CodeSystem/organization-type"
BY_CODE = {"identifier": {"system": SID["ma-cskcb"], "value": "92015"}}
ASKED = {"reference": f"Organization?identifier={SID['ma-cskcb']}|92015"}
BY_ID = {"reference": "Organization/15"}

RULES = """
[claims]
mode = "warn"

[[rule]]
type = "Encounter"
profile = "http://a.example/visit"

[[rule]]
type = "Patient"
profile = "http://a.example/patient"
from = 2027-01-01
before = "warn"

[[rule]]
type = "Condition"
profile = "http://a.example/condition"
from = 2027-01-01

[[rule]]
type = "MedicationRequest"
profile = "http://a.example/line"

[[facility]]
code = "92015"
mode = "warn"
types = ["Encounter", "MedicationRequest"]
until = 2026-12-31
organizations = ["Organization/15"]

[[facility]]
code = "92016"
mode = "off"
"""


def policy(tmp_path: Path, text: str = RULES) -> Policy:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return Policy.of(path)


def modes(applied: list[Applied]) -> dict[str, str]:
    return {each.profile.rpartition("/")[2]: each.mode for each in applied}


# --- what comes with the program -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("resource", "profile"),
    [
        ({"resourceType": "Patient"}, "vn-patient"),
        ({"resourceType": "Encounter"}, "vn-encounter"),
        ({"resourceType": "MedicationRequest"}, "vn-medication-request"),
        ({"resourceType": "Organization"}, "vn-facility"),
        ({"resourceType": "Observation"}, None),
        ({"resourceType": ["Patient"]}, None),
        ({}, None),
    ],
)
def test_the_four_local_types_are_enforced_and_no_other(
    resource: dict[str, Any], profile: str | None
) -> None:
    applied = Policy.of(SHIPPED).applying(resource, TODAY)
    wanted = [Applied(f"{OWN}/StructureDefinition/{profile}", "enforce")] if profile else []
    assert applied == wanted


@pytest.mark.parametrize(
    ("code", "profiles"), [("dept", ["vn-department"]), ("prov", ["vn-facility"]), ("pay", [])]
)
def test_what_an_organization_must_be_follows_from_its_type(code: str, profiles: list[str]) -> None:
    type = [{"coding": [{"system": KIND, "code": code}]}]
    applied = Policy.of(SHIPPED).applying({"resourceType": "Organization", "type": type}, TODAY)
    assert list(modes(applied)) == profiles


def test_every_profile_it_names_is_there() -> None:
    there = {path.stem for path in SHIPPED.parent.glob("*.json")}
    shipped = Policy.of(SHIPPED)
    assert shipped.unknown(lambda url: url.replace(f"{OWN}/", "").replace("/", "-") in there) == []
    assert len(shipped.unknown(lambda url: False)) == 5


# --- modes ---------------------------------------------------------------------------------------


def test_a_rule_holds_from_its_day_and_before_as_it_says(tmp_path: Path) -> None:
    told = policy(tmp_path)
    last, first = dt.date(2026, 12, 31), dt.date(2027, 1, 1)
    for day, patient, condition in ((last, "warn", None), (first, "enforce", "enforce")):
        assert modes(told.applying({"resourceType": "Patient"}, day)) == {"patient": patient}
        found = modes(told.applying({"resourceType": "Condition"}, day))
        assert found.get("condition") == condition


@pytest.mark.parametrize("provider", [BY_CODE, ASKED, BY_ID])
def test_a_facility_is_known_by_its_code_or_its_organization(
    provider: dict[str, Any], tmp_path: Path
) -> None:
    told = policy(tmp_path)
    visit = {"resourceType": "Encounter", "serviceProvider": provider}
    assert told.facility(visit) == "92015"
    assert modes(told.applying(visit, TODAY)) == {"visit": "warn"}
    assert modes(told.applying(visit, dt.date(2027, 1, 1))) == {"visit": "enforce"}


@pytest.mark.parametrize(
    ("resource", "code"),
    [
        ({"resourceType": "Patient", "managingOrganization": BY_CODE}, "92015"),
        (
            {
                "resourceType": "MedicationRequest",
                "groupIdentifier": {"system": SID["prescription"], "value": "92015abc12de-C"},
            },
            "92015",
        ),
        (
            {
                "resourceType": "Organization",
                "identifier": [{"system": SID["ma-cskcb"], "value": "92016"}],
                "partOf": BY_CODE,
            },
            "92016",
        ),
        ({"resourceType": "Organization", "partOf": BY_ID}, "92015"),
        ({"resourceType": "PractitionerRole", "organization": BY_CODE}, "92015"),
        ({"resourceType": "Encounter", "serviceProvider": {"reference": "Organization/1"}}, None),
        ({"resourceType": "Encounter", "serviceProvider": "92015"}, None),
        ({"resourceType": "Encounter", "serviceProvider": {"reference": 7}}, None),
        ({"resourceType": "MedicationRequest", "groupIdentifier": []}, None),
        ({"resourceType": "Observation"}, None),
    ],
)
def test_the_facility_is_told_by_what_the_type_has(
    resource: dict[str, Any], code: str | None, tmp_path: Path
) -> None:
    assert policy(tmp_path).facility(resource) == code


def test_an_exemption_is_for_its_types_alone(tmp_path: Path) -> None:
    told = policy(tmp_path)
    patient = {"resourceType": "Patient", "managingOrganization": BY_CODE}
    assert modes(told.applying(patient, dt.date(2027, 1, 1))) == {"patient": "enforce"}


def test_off_asks_nothing(tmp_path: Path) -> None:
    provider = {"identifier": {"system": SID["ma-cskcb"], "value": "92016"}}
    visit = {"resourceType": "Encounter", "serviceProvider": provider}
    assert policy(tmp_path).applying(visit, TODAY) == []


def test_a_claim_is_judged_by_its_own_mode_unless_a_rule_tells_of_the_profile(
    tmp_path: Path,
) -> None:
    told = policy(tmp_path)
    claims = ["http://a.example/visit|1.0", "http://b.example/other", 7]
    visit = {"resourceType": "Encounter", "meta": {"profile": claims}}
    assert modes(told.judged(visit, TODAY)) == {"visit": "enforce", "other": "warn"}
    visit["serviceProvider"] = BY_CODE  # this facility is only warned, claim or no claim
    assert modes(told.judged(visit, TODAY)) == {"visit": "warn", "other": "warn"}


@pytest.mark.parametrize("meta", [None, [], {"profile": "http://a.example"}, {"profile": [None]}])
def test_what_is_no_claim_is_none(meta: Any, tmp_path: Path) -> None:
    assert policy(tmp_path).judged({"resourceType": "Observation", "meta": meta}, TODAY) == []


def test_without_a_file_nothing_is_asked_but_claims_are_judged(tmp_path: Path) -> None:
    told = Policy.of(tmp_path / "policy.toml")
    claiming = {"resourceType": "Patient", "meta": {"profile": ["http://a.example/x"]}}
    assert told.applying(claiming, TODAY) == []
    assert modes(told.judged(claiming, TODAY)) == {"x": "enforce"}


# --- what is wrong is told by its line -----------------------------------------------------------

GOOD = '[[rule]]\ntype = "Patient"\nprofile = "http://a.example/p"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\ntype = "Patient', "is not TOML.*line 2"),
        (
            f'{GOOD}mode = "enforced"',
            "line 4: `mode` is `enforced`; it is one of `enforce`, `warn`",
        ),
        (f"{GOOD}\n{GOOD}from = '2027-01-01'", "line 8: `from` is .*; it is a day without quot"),
        (f"{GOOD}from = 2027-01-01T00:00:00Z", "line 4: `from` is .*; it is a day"),
        (f'{GOOD}before = "warn"', "line 4: `before` says what holds until `from`; add `from`"),
        (f"{GOOD}[[rule]] # two\ntype = 'Encounter'", "line 4: `profile` is missing: the URL"),
        (
            '[[rule]]\ntype = "patient"\nprofile = "http://a"',
            "line 2: `type` is `patient`; it is a",
        ),
        (
            '[[rule]]\ntype = "Patient"\nprofile = "patient"',
            "line 3: `profile` is `patient`; it is",
        ),
        (f"{GOOD}modus = 'warn'", "line 4: `modus` is unknown here; there are `type`, `profile`"),
        (f"{GOOD}only = 'dept'", "line 4: `only` is `dept`; it is a table as `{ element"),
        ("[rule]\ntype = 'Patient'", r"line 1: write `\[\[rule\]\]`, with two brackets"),
        ("\n[rules]", r"line 2: `rules` is unknown; there are `\[claims\]`, `\[\[rule\]\]` and"),
        ("[claims]\nmode = 1", "line 2: `mode` is `1`; it is one of"),
        ("claims = 'warn'", "`claims` is a table"),
        ("[[facility]]\nmode = 'warn'", "line 1: `code` is missing: the 5-character code"),
        ("[[facility]]\ncode = '8931234567890'\nmode = 'warn'", "line 2: `code` is .*5-character"),
        ("[[facility]]\ncode = '92001'\nmode = 'warn'\ntypes = 'Patient'", "line 4: `types` is"),
        ("rule = 5", r"write `\[\[rule\]\]`"),
        ("rule = [5]", "`rule` is a table"),
    ],
)
def test_a_policy_that_is_wrong_says_which_line_and_what_is_wanted(
    text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BadPolicy, match=said):
        policy(tmp_path, text)


def test_a_policy_that_is_no_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadPolicy, match="cannot be read as UTF-8"):
        Policy.of(path)
