"""Each rule of the local profiles is kept by examples that pass and broken by one that fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhir_server.foundation.outcome import Issue
from tests.profiles.known import PROFILES, TODAY, Json, canonicals, profiles, url, validator

EXAMPLES = PROFILES / "examples"
PASSING = sorted(EXAMPLES.glob("*/pass/*.json"))
FAILING = sorted(EXAMPLES.glob("*/fail/*.json"))
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
# What a profile of a datatype or of an extension is shown in: it is found there by itself.
SHOWN_IN = {"vn-address": "vn-patient"}
# rule of the catalogue by what the differential says: cardinality, binding, length
TOLD_BY = {
    "min": ("profile-min", "slice-min"),
    "max": ("profile-max", "slice-max"),
    "maxLength": ("max-length",),
    "type": ("narrowed-type",),
}


def shown(path: Path) -> str:
    return str(path.relative_to(EXAMPLES).with_suffix(""))


@cache
def read(path: Path) -> Json:
    found: Json = json.loads(path.read_text("utf-8"))
    return found


def judged(path: Path, resource: Json, *, thorough: bool = False) -> list[Issue]:
    """The issues of an example, judged by the profile in whose folder it is."""
    folder = path.parent.parent.name
    folder = SHOWN_IN.get(folder, folder)
    definition = read(PROFILES / f"StructureDefinition-{folder}.json")
    asked = [url(folder)] if definition["kind"] == "resource" else []
    return validator().check(resource, profiles=asked, thorough=thorough, today=TODAY)


@pytest.mark.parametrize("path", PASSING, ids=shown)
def test_nothing_is_said_of_an_example_that_passes(path: Path) -> None:
    assert judged(path, read(path)) == []


@pytest.mark.parametrize("path", FAILING, ids=shown)
def test_an_example_that_fails_breaks_the_rule_it_names_and_no_other(path: Path) -> None:
    told = read(path)
    found = judged(path, told["resource"], thorough=told.get("thorough", False))
    broken = [i for i in found if i.rule == told["rule"] and i.severity == told["severity"]]
    assert broken, [(i.severity, i.rule, i.expression) for i in found]
    assert all(issue.vietnamese and issue.expression for issue in broken)
    if "says" in told:
        assert any(told["says"] in issue.diagnostics for issue in broken)
    expected = {told["rule"], *told.get("also", ())}
    weighing = ("error",) if told.get("thorough") else ("error", "warning")
    assert {i.rule for i in found if i.severity in weighing} <= expected | {told["rule"]}
    assert set(told.get("also", ())) <= {i.rule for i in found}


# --- every rule has its examples -----------------------------------------------------------------


def rules(profile: Json) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a differential asks for: the element, and the rules any of which tells of it."""
    for element in profile["differential"]["element"]:
        id = element["id"]
        for constraint in element.get("constraint", ()):
            yield id, (constraint["key"],)
        if element.get("min") and not id.endswith(".system"):
            yield id, TOLD_BY["min"]
        if "max" in element and element["max"] != "*" and not _allows_anything(profile, element):
            yield id, TOLD_BY["max"]
        if "maxLength" in element:
            yield id, TOLD_BY["maxLength"]
        if binding := element.get("binding"):
            yield id, (f"binding-{binding['strength']}",)
        if id == "Extension.value[x]" and "type" in element:
            yield id, TOLD_BY["type"]


def _allows_anything(profile: Json, element: Json) -> bool:
    """Whether the maximum is only repeated: one is all that R4 or its slice can have."""
    return element["path"] == "Extension.url"


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile["id"])
def test_every_rule_has_an_example_that_breaks_it(profile: Json) -> None:
    broken = {
        (told["breaks"], told["rule"])
        for told in (read(path) for path in FAILING if path.parent.parent.name == profile["id"])
    }
    for element, keys in rules(profile):
        assert any((element, key) in broken for key in keys), f"{element}: {keys}"


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile["id"])
def test_every_profile_has_examples_that_pass(profile: Json) -> None:
    passing = [path for path in PASSING if path.parent.parent.name == profile["id"]]
    assert len(passing) >= (2 if profile["id"].startswith("vn-") and _is_resource(profile) else 1)


def _is_resource(profile: Json) -> bool:
    return bool(profile["kind"] == "resource")


def test_every_example_is_of_a_profile_and_of_a_rule_that_are_there() -> None:
    keys = {
        profile["id"]: [e["id"] for e in profile["differential"]["element"]]
        for profile in profiles()
    }
    for path in [*PASSING, *FAILING]:
        assert path.parent.parent.name in keys, path
    for path in FAILING:
        assert read(path)["breaks"] in keys[path.parent.parent.name], path


# --- how they are written ------------------------------------------------------------------------


def constraints() -> list[tuple[str, Json]]:
    return [
        (profile["id"], constraint)
        for profile in profiles()
        for element in profile["differential"]["element"]
        for constraint in element.get("constraint", ())
    ]


def test_every_rule_is_told_in_both_languages_and_fits_into_an_answer() -> None:
    for _, constraint in constraints():
        [extension] = constraint["_human"]["extension"]
        told = {
            each["url"]: next(v for k, v in each.items() if k != "url")
            for each in extension["extension"]
        }
        assert extension["url"] == TRANSLATION
        assert told["lang"] == "vi"
        assert told["content"] != constraint["human"]
        assert max(len(told["content"]), len(constraint["human"])) <= 300
        assert constraint["human"].endswith(".")


def test_a_rule_has_a_key_of_its_own() -> None:
    keys = [constraint["key"] for _, constraint in constraints()]
    assert len(keys) == len(set(keys))
    assert all(key.startswith("vn-") for key in keys)


def test_every_rule_can_be_asked() -> None:
    for profile in profiles():
        type = profile["type"]
        for element in profile["differential"]["element"]:
            for constraint in element.get("constraint", ()):
                made = validator().invariants.compiled(constraint, type)
                assert made.unusable is None, constraint["key"]


def test_profiles_are_open_so_that_the_data_of_others_is_taken() -> None:
    for profile in profiles():
        assert "snapshot" not in profile
        for element in profile["differential"]["element"]:
            assert element.get("slicing", {}).get("rules", "open") == "open"


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile["id"])
def test_a_profile_is_a_definition_with_nothing_wrong_in_it(profile: Json) -> None:
    assert [i for i in validator().check(profile) if i.severity in ("error", "fatal")] == []


@pytest.mark.parametrize("profile", profiles(), ids=lambda profile: profile["id"])
def test_a_profile_binds_to_what_is_known(profile: Json) -> None:
    for element in profile["differential"]["element"]:
        named: list[Any] = [element.get("binding", {}).get("valueSet")]
        named += [p for type in element.get("type", ()) for p in type.get("profile", ())]
        for canonical in filter(None, named):
            assert canonicals().entry(canonical) is not None, canonical


# --- what a newcomer meets -----------------------------------------------------------------------


def test_the_first_patient_a_newcomer_sends_is_refused_with_what_is_wanted() -> None:
    newcomer = {"resourceType": "Patient", "name": [{"text": "Nguyễn Văn A"}]}
    found = validator(enforcing=True).check(newcomer, today=TODAY)
    [refusal] = [issue for issue in found if issue.severity == "error"]
    assert refusal.rule == "vn-pat-identity"
    for words in (refusal.diagnostics, refusal.vietnamese or ""):
        assert "http://fhir.hl7.org.vn/core/sid/cccd" in words
        assert url("identity-reason") in words
        assert "`unknown`" in words


def test_an_organization_that_is_no_facility_needs_no_facility_code() -> None:
    kind = {"system": "http://terminology.hl7.org/CodeSystem/organization-type", "code": "pay"}
    insurer = {"resourceType": "Organization", "name": "BHXH", "type": [{"coding": [kind]}]}
    assert validator(enforcing=True).check(insurer, today=TODAY) == []


def test_a_commune_is_judged_at_the_end_of_its_address() -> None:
    patient = read(EXAMPLES / "vn-patient" / "pass" / "moved-in-2025-old-address-kept.json")
    assert validator(enforcing=True).check(patient, today=TODAY) == []
    old = next(a for a in patient["address"] if "district" in a)
    current = {**patient, "address": [{k: v for k, v in old.items() if k != "period"}]}
    rules = {issue.rule for issue in validator(enforcing=True).check(current, today=TODAY)}
    assert rules == {"vn-addr-district"}


def test_a_display_is_judged_by_the_names_of_its_day() -> None:
    path = EXAMPLES / "vn-patient" / "pass" / "moved-in-2025-old-address-kept.json"
    assert "code-display" not in {i.rule for i in judged(path, read(path), thorough=True)}


def test_an_old_commune_that_is_no_more_is_taken_and_the_new_one_named() -> None:
    told = read(EXAMPLES / "commune" / "fail" / "of-before-2025-today.json")
    [issue] = validator().check(told["resource"], today=TODAY)
    assert issue.severity == "warning"
    assert "31135 Phường Ninh Kiều" in issue.diagnostics
    assert "31135 Phường Ninh Kiều" in (issue.vietnamese or "")
