"""The validator: what applies, in which order it is told, how much of it, and how strictly."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.definitions import load
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.foundation.fhirpath.evaluate import compile
from fhir_server.foundation.outcome import Issue
from fhir_server.terminology.terms import Terms
from fhir_server.validation.place import MAX_ISSUES, in_order
from fhir_server.validation.validator import Validator

DEFINITIONS = load()
OWN = "http://example.org/fhir/StructureDefinition/"
TODAY = dt.date(2026, 1, 1)


def profile(name: str, type: str, *elements: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "url": OWN + name,
        "name": name,
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": type,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "derivation": "constraint",
        "differential": {"element": [{"id": each["path"], **each} for each in elements]},
        **more,
    }


NAMED = profile("named", "Patient", {"path": "Patient.name", "min": 1})
SEXED = profile("sexed", "Patient", {"path": "Patient.gender", "min": 1})
TOLD = profile("told", "Observation", {"path": "Observation.subject", "min": 1})


@dataclass(frozen=True)
class Asked:
    profile: str
    mode: str


class ByType:
    """A policy: what each type is asked for."""

    def __init__(self, **modes: str) -> None:
        self.modes = modes

    def judged(self, resource: dict[str, Any], today: dt.date) -> Sequence[Asked]:
        claimed = resource.get("meta", {}).get("profile", [])
        found = dict.fromkeys(claimed, "enforce")
        type = resource["resourceType"]
        if type == "Patient":
            found |= {OWN + name: mode for name, mode in self.modes.items() if name != "told"}
        elif type == "Observation" and "told" in self.modes:
            found[OWN + "told"] = self.modes["told"]
        return [Asked(url, mode) for url, mode in found.items() if mode != "off"]

    def speaks_of(self, type: str) -> bool:
        return type == "Patient"


def made(*, policy: ByType | None = None, more: Sequence[dict[str, Any]] = ()) -> Validator:
    found = [of_resource(each, "test") for each in (NAMED, SEXED, TOLD, *more)]
    canonicals = canonicals_of_r4().above(each for each in found if each)
    return Validator(DEFINITIONS, canonicals=canonicals, terms=Terms(canonicals), policy=policy)


def told(issues: list[Issue]) -> list[tuple[str, str | None, str | None]]:
    return [(each.severity, each.rule, each.expression) for each in issues]


MISSING = ("error", "profile-min", "Patient.name")
WARNED = ("warning", "profile-min", "Patient.name")


@pytest.mark.parametrize(
    ("mode", "wanted"), [("enforce", [MISSING]), ("warn", [WARNED]), ("off", [])]
)
def test_a_policy_enforces_warns_or_asks_nothing(
    mode: str, wanted: list[tuple[str, str, str]]
) -> None:
    checked = made(policy=ByType(named=mode))
    found = checked.check({"resourceType": "Patient", "active": True})
    assert told(found) == wanted
    assert {each.profile for each in found} <= {OWN + "named"}


def test_each_entry_of_a_bundle_is_asked_by_its_own_policy() -> None:
    checked = made(policy=ByType(named="warn", told="enforce"))
    patient = {"resourceType": "Patient", "active": True}
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": patient}, {"resource": observation}],
    }
    assert told(checked.check(bundle)) == [
        ("warning", "profile-min", "Bundle.entry[0].resource.name"),
        ("error", "profile-min", "Bundle.entry[1].resource.subject"),
    ]


def test_a_policy_is_for_what_is_stored_not_for_what_is_contained() -> None:
    checked = made(policy=ByType(named="enforce", told="off"))
    contained = {"resourceType": "Patient", "id": "p", "active": True}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "#p"},
        "contained": [contained],
    }
    assert checked.check(observation) == []
    contained["meta"] = {"profile": [OWN + "named"]}
    assert told(checked.check(observation)) == [
        ("error", "profile-min", "Observation.contained[0].name")
    ]


def test_what_r4_asks_has_no_profile_and_what_a_profile_asks_names_it() -> None:
    resource = {"resourceType": "Patient", "gender": "nam", "meta": {"profile": [OWN + "named"]}}
    found = made().check(resource)
    assert [(each.expression, each.profile) for each in found] == [
        ("Patient.gender", None),
        ("Patient.name", OWN + "named"),
    ]


def test_all_problems_are_told_at_once_in_the_order_of_their_places() -> None:
    resource = {
        "resourceType": "Patient",
        "meta": {"profile": [OWN + "named", OWN + "sexed", OWN + "unknown"]},
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime"}],
        "telecom": [{"system": "pigeon"}, {"system": "phone", "value": 7}],
        "birthDate": "yesterday",
    }
    places = [each.expression for each in made().check(resource)]
    assert places == [
        "Patient",
        "Patient.extension[0]",
        "Patient.extension[0]",
        "Patient.extension[0].value",
        "Patient.telecom[0].system",
        "Patient.telecom[1].value",
        "Patient.birthDate",
        "Patient.name",
        "Patient.gender",
    ]


def test_of_many_problems_a_hundred_are_told_and_how_many_more_there_are() -> None:
    more = profile("coded", "Patient", {"path": "Patient.identifier.system", "min": 1})
    identifiers = [{"value": str(number)} for number in range(250)]
    resource = {
        "resourceType": "Patient",
        "meta": {"profile": [OWN + "coded"]},
        "identifier": identifiers,
    }
    found = made(more=[more]).check(resource)
    assert len(found) == MAX_ISSUES + 1
    assert "150" in found[-1].diagnostics
    assert found[-1].severity == "information"


def test_a_hundred_warnings_do_not_hide_that_a_resource_is_refused() -> None:
    warnings = [Issue("warning", "value", f"{n}.", f"Patient.name[{n}]") for n in range(150)]
    refused = Issue("error", "value", "No.", "Patient.photo")
    found = in_order([*warnings, refused], {"resourceType": "Patient", "name": [{}] * 150})
    assert refused in found


def test_an_issue_is_told_once() -> None:
    issue = Issue("error", "value", "No.", "Patient.name")
    assert in_order([issue, issue], {"resourceType": "Patient"}) == [issue]


def test_profiles_can_be_asked_for_beside_those_that_apply() -> None:
    patient = {"resourceType": "Patient", "active": True}
    assert told(made().check(patient, profiles=[OWN + "named"])) == [MISSING]
    assert made().check(patient) == []


def test_a_profile_by_its_version_is_that_version() -> None:
    one = profile("dated", "Patient", {"path": "Patient.name", "min": 1}, version="1.0.0")
    two = profile("dated", "Patient", {"path": "Patient.gender", "min": 1}, version="2.0.0")
    checked = made(more=[one, two])
    patient = {"resourceType": "Patient", "active": True}
    places = {
        version: [each.expression for each in checked.check(patient, profiles=[OWN + version])]
        for version in ("dated", "dated|1.0.0", "dated|2.0.0", "dated|1")
    }
    assert places == {
        "dated": ["Patient.gender"],
        "dated|1.0.0": ["Patient.name"],
        "dated|2.0.0": ["Patient.gender"],
        "dated|1": ["Patient.name"],
    }


def test_without_canonicals_only_r4_is_checked() -> None:
    checked = Validator(DEFINITIONS)
    assert checked.check({"resourceType": "Patient", "meta": {"profile": [OWN + "named"]}}) == []
    found = checked.check({"resourceType": "Patient"}, profiles=[OWN + "named"])
    assert [each.rule for each in found] == ["profile-unknown"]


def test_conforms_to_asks_the_profile() -> None:
    checked = made()
    expression = compile(f"conformsTo('{OWN}named')", DEFINITIONS)
    services = checked.invariants.services
    for patient, wanted in [
        ({"resourceType": "Patient", "name": [{"text": "A"}]}, True),
        ({"resourceType": "Patient", "active": True}, False),
        ({"resourceType": "Observation"}, False),
    ]:
        assert expression.is_true(patient, services=services) is wanted


@pytest.mark.parametrize(
    "resource",
    [
        None,
        [],
        "Patient",
        {},
        {"resourceType": None},
        {"resourceType": ["Patient"]},
        {"resourceType": "Patient", "meta": {"profile": [None, 7, {}, ["x"]]}},
        {"resourceType": "Patient", "meta": {"profile": OWN + "named"}, "name": "A"},
        {"resourceType": "Patient", "meta": 7, "extension": [None, 7, {"url": 7}]},
        {"resourceType": "Patient", "meta": {"profile": [OWN + "named"]}, "name": [[], None, 7]},
        {"resourceType": "Bundle", "type": "collection", "entry": [None, {"resource": 7}, {}]},
        {"resourceType": "Patient", "contained": [None, 7, {"resourceType": 7}]},
        {"resourceType": "Parameters", "parameter": [None, {"part": 7, "resource": []}]},
    ],
)
def test_whatever_is_sent_issues_are_answered(resource: Any) -> None:
    assert isinstance(made().check(resource, profiles=[OWN + "named"]), list)


@pytest.mark.parametrize("levels", [50, 90, 99, 400, 3000])
def test_a_deep_resource_is_answered(levels: int) -> None:
    extension: dict[str, Any] = {"url": "http://example.org/deep", "valueString": "x"}
    for _ in range(levels):
        extension = {"url": "http://example.org/deep", "extension": [extension]}
    resource = {"resourceType": "Patient", "extension": [extension]}
    assert isinstance(made().check(resource, profiles=[OWN + "named"]), list)


@pytest.mark.parametrize(
    ("type", "nested", "wanted"),
    [
        ("transaction", False, []),
        ("batch", False, ["reference"]),
        ("transaction", True, ["reference"]),
    ],
)
def test_only_the_entries_of_a_transaction_may_refer_conditionally(
    type: str, nested: bool, wanted: list[str]
) -> None:
    request = {"method": "POST", "url": "Observation"}
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient?identifier=1"},
    }
    inner = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observation}]}
    entry = {"request": request, "resource": inner if nested else observation}
    bundle = {"resourceType": "Bundle", "type": type, "entry": [entry]}
    assert [each.rule for each in made().check(bundle) if each.severity == "error"] == wanted


@pytest.mark.parametrize(
    ("policy", "severity"),
    [
        (None, "error"),
        (ByType(sexed="enforce"), "error"),
        (ByType(sexed="warn"), "warning"),
        (ByType(sexed="off"), "warning"),
        (ByType(sexed="warn", named="enforce"), "error"),
    ],
)
def test_a_code_its_system_lacks_is_as_grave_as_the_policy_is_strict(
    policy: ByType | None, severity: str
) -> None:
    wards = {
        "resourceType": "CodeSystem",
        "url": "http://example.org/wards",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "A"}],
    }
    status = {"coding": [{"system": wards["url"], "code": "B"}]}
    resource = {
        "resourceType": "Patient",
        "name": [{"text": "Lý"}],
        "gender": "female",
        "maritalStatus": status,
    }
    found = made(policy=policy, more=[wards]).check(resource)
    [told] = [each for each in found if each.rule == "coding-code"]
    assert (told.severity, told.profile) == (severity, wards["url"])
