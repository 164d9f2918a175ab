"""What was found good once is not looked at again, and only that."""

from __future__ import annotations

import copy
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.validation.profile.kept import MAX_KEPT, Kept, text_of
from fhir_server.validation.profile.scope import Scope, Surroundings
from tests.validation.test_profile_agreement import TODAY, prepared
from tests.validation.test_profile_cases import FILES

Resource = dict[str, Any]
THEN, LATER = "2020-03-01", "2025-03-01"


def scope(recorded: str = THEN, today: dt.date = TODAY, generation: object = 1) -> Scope:
    around = Surroundings(today, 420, thorough=False, most=1_000)
    around.generation = generation
    resource = {"resourceType": "Condition", "recordedDate": recorded, "id": recorded}
    return Scope(resource, around)


class Asked:
    """A check that counts how often it looks, at as much as it is told to."""

    def __init__(self, *, day: bool = False, around: bool = False, answer: bool = True) -> None:
        self.times = 0
        self.day, self.around, self.answer = day, around, answer

    def __call__(self, value: Any, where: Scope) -> bool:
        self.times += 1
        if self.around:
            where.find("#it")
        return self.answer and not (self.day and where.date > dt.date(2024, 1, 1))


def test_what_is_good_on_any_day_is_looked_at_once() -> None:
    check = Asked()
    kept = Kept(check)
    assert all(kept.holds(b"a", "a", scope(day)) for day in (THEN, LATER, THEN))
    assert check.times == 1
    assert kept.holds(b"b", "b", scope())
    assert check.times == 2


def test_what_depends_on_the_day_is_looked_at_on_each() -> None:
    check = Asked(day=True)
    kept = Kept(check)
    assert kept.holds(b"a", "a", scope(THEN))
    assert kept.holds(b"a", "a", scope(THEN))
    assert check.times == 1
    assert not kept.holds(b"a", "a", scope(LATER))
    assert kept.holds(b"a", "a", scope(THEN, today=dt.date(2026, 1, 2)))
    assert check.times == 3


@pytest.mark.parametrize("check", [Asked(around=True), Asked(answer=False)])
def test_what_depends_on_more_and_what_is_refused_is_looked_at_always(check: Asked) -> None:
    kept = Kept(check)
    assert [kept.holds(b"a", "a", scope()) for _ in range(3)] == [check.answer] * 3
    assert check.times == 3


def test_other_terminology_gives_other_answers() -> None:
    check = Asked()
    kept = Kept(check)
    for generation in (1, 1, 2, 2):
        assert kept.holds(b"a", "a", scope(generation=generation))
    assert check.times == 2


def test_what_a_value_depended_on_is_what_the_values_around_it_depend_on() -> None:
    inner = Kept(Asked(day=True))
    check = Asked()
    outer = Kept(lambda value, where: check(value, where) and inner.holds(b"i", "i", where))
    assert inner.holds(b"i", "i", scope(THEN))
    assert outer.holds(b"o", "o", scope(THEN))
    assert not outer.holds(b"o", "o", scope(LATER))


def test_clients_cannot_fill_it() -> None:
    kept = Kept(Asked())
    for number in range(2 * MAX_KEPT + 1):
        assert kept.holds(number, number, scope())
    assert len(kept._good[1]) <= MAX_KEPT


@pytest.mark.parametrize(
    "value", [Decimal("1.0"), {"a": [Decimal("1")]}, 1 << 70, "x" * 2_000, "\ud800"]
)
def test_what_has_no_short_json_of_its_own_is_looked_at_always(value: Any) -> None:
    assert text_of(value) is None


WRONG = {"url": "http://example.org/fhir/StructureDefinition/not", "valueBoolean": True}
FINE = {"url": "http://example.org/fhir/StructureDefinition/plain", "valueBoolean": True}
PATIENT: Resource = {
    "resourceType": "Patient",
    "extension": [FINE],
    "birthDate": "1990-01-01",
    "_birthDate": {"extension": [FINE]},
    "multipleBirthInteger": 1 << 30,
    "name": [
        {
            "given": ["A", "B"],
            "_given": [None, {"extension": [FINE]}],
            "period": {"extension": [FINE]},
        }
    ],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "o", "extension": [FINE]}],
    "managingOrganization": {"reference": "#o", "extension": [FINE]},
}
WHOLES: dict[str, Resource] = {
    "alone": PATIENT,
    "in a Bundle": {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"extension": [FINE], "resource": PATIENT}],
    },
    "in Parameters": {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "a", "resource": PATIENT},
            {"name": "b", "valueAddress": {"city": "C", "extension": [FINE]}},
        ],
    },
}


def lists(value: Any) -> list[list[Any]]:
    """Every list of extensions within, in the same order each time."""
    found: list[list[Any]] = []
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        if name == "extension":
            found.append(each)
        elif isinstance(each, dict | list):
            found += lists(each)
    return found


@pytest.mark.parametrize("where", WHOLES)
def test_an_extension_that_is_wrong_is_found_wherever_it_stands(where: str) -> None:
    [file] = [each for each in FILES if each.stem == "modifier-extension"]
    validator, _ = prepared(file)
    fine = WHOLES[where]
    assert lists(fine)
    assert not [each for each in validator.check(fine, today=TODAY) if each.severity == "error"]
    for place in range(len(lists(fine))):
        for added in ([WRONG], [FINE, WRONG]):
            resource = copy.deepcopy(fine)
            lists(resource)[place][:] = added
            for _ in range(2):
                told = {each.rule for each in validator.check(resource, today=TODAY)}
                assert "extension-modifier" in told, (place, told)
