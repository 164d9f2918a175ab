"""Cases of profiles: each file has definitions, resources, and the issues each must have."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.definitions import load
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.terminology.terms import Terms
from fhir_server.validation.validator import Validator

DEFINITIONS = load()
FOLDER = Path(__file__).parent / "cases"
FILES = sorted(FOLDER.glob("*.json"))


def validator(case: dict[str, Any]) -> Validator:
    found = [of_resource(each, "case") for each in case["definitions"]]
    canonicals = canonicals_of_r4().above(each for each in found if each is not None)
    return Validator(DEFINITIONS, canonicals=canonicals, terms=Terms(canonicals))


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_resource_has_the_issues_its_case_tells(file: Path) -> None:
    case = read(file)
    checked = validator(case)
    today = dt.date.fromisoformat(case["today"]) if "today" in case else None
    for number, each in enumerate(case["resources"]):
        found = checked.check(
            each["resource"],
            profiles=case.get("profiles", ()),
            thorough=case.get("thorough", False),
            today=today,
        )
        told = sorted([i.severity, i.rule, i.expression] for i in found)
        assert told == sorted(each["issues"]), (number, [i.diagnostics for i in found])


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_issue_of_a_profile_names_it_and_speaks_both_languages(file: Path) -> None:
    case = read(file)
    checked = validator(case)
    for each in case["resources"]:
        for told in checked.check(each["resource"], profiles=case.get("profiles", ())):
            assert told.vietnamese
            assert told.diagnostics.endswith((".", "?")), told.diagnostics
            assert told.profile or told.rule in {"modifier-unknown", "coding-code"}
