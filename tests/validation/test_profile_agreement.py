"""The fast answer and the walk: yes is said exactly where nothing is found."""

from __future__ import annotations

import copy
import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.validation.validator import Validator
from tests.validation.test_profile_cases import FILES, read, validator

TODAY = dt.date(2026, 1, 1)
SERIOUS = ("fatal", "error", "warning")
VALUES: list[Any] = ["", "x", "male", "official", "Patient/1", "Group/1", "#p", "2025-07-01"]
VALUES += ["apple", "quince", "stone", 0, 7, 12, True, False]


@cache
def prepared(file: Path) -> tuple[Validator, list[dict[str, Any]]]:
    case = read(file)
    return validator(case), [each["resource"] for each in case["resources"]]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) within a resource."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        if key not in ("resourceType", "meta"):
            found.append((value, key))
        if isinstance(each, dict | list) and key != "meta":
            found += places(each)
    return found


def change(resource: dict[str, Any], draw: Any) -> None:
    """One change, such as a vendor's program makes it."""
    there = places(resource)
    if not there:
        return
    owner, key = draw(st.sampled_from(there))
    match draw(st.sampled_from(["remove", "put", "twice", "move", "copy"])):
        case "remove":
            del owner[key]
        case "put":
            owner[key] = draw(st.sampled_from(VALUES))
        case "twice" if isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        case "move" if isinstance(owner, list):
            owner.reverse()
        case "copy":
            other, name = draw(st.sampled_from(there))
            owner[key] = copy.deepcopy(other[name])
        case _:
            pass


@given(st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_fast_answer_is_yes_exactly_where_the_walk_finds_nothing(data: st.DataObject) -> None:
    checked, resources = prepared(data.draw(st.sampled_from(FILES)))
    resource = copy.deepcopy(data.draw(st.sampled_from(resources)))
    for _ in range(data.draw(st.integers(0, 3))):
        change(resource, data.draw)
    told = checked.structure.check(resource)
    if any(each.severity in SERIOUS for each in told):
        assert isinstance(checked.check(resource, today=TODAY), list)
        return
    fast = checked._surely(resource, (), checked._around(TODAY, thorough=False))
    around = checked._around(TODAY, thorough=False)
    issues = checked._profile_issues(resource, (), around, is_r4=True)
    walked = [each for each in issues if each.severity in SERIOUS]
    assert not [each for each in issues if each.rule == "profile-walk"]
    assert fast == (not walked), (resource, [(i.rule, i.expression) for i in walked])


def test_what_is_checked_thoroughly_is_told_no_less() -> None:
    for file in FILES:
        checked, resources = prepared(file)
        for resource in resources:
            usual = {(i.rule, i.expression) for i in checked.check(resource, today=TODAY)}
            more = checked.check(resource, today=TODAY, thorough=True)
            assert usual <= {(i.rule, i.expression) for i in more}, file.stem
