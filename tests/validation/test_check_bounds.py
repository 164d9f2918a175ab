"""What a check may take is bounded as a whole, and who is in a hurry is told to come back."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.validation.validator import Validator
from tests.acceptance import hostile
from tests.validation.test_validator import DEFINITIONS

RULES = [f"%resource.identifier.where(value = '{number}').empty()" for number in range(500)]
PROFILES = [
    hostile.sliced("patterns", "pattern", 1000, hostile.by_pattern),
    hostile.asking("rules", *RULES),
    hostile.asking("all", "%resource.identifier.all(value.exists())", path="Person.identifier"),
    hostile.asking(
        "texts", *(f"name.family.contains('{number}').not()" for number in range(900))
    ),
    hostile.asking(
        "again", f"conformsTo('{hostile.url('again')}') or conformsTo('{hostile.url('again')}')"
    ),
    hostile.chained("repeat($this | $this)"),
    hostile.profile("modest", {"id": "Person.name", "path": "Person.name", "min": 1}),
]  # fmt: skip
SMALL = hostile.person("modest")
MANY = {"identifier": hostile.identifiers(10_000)}
EXTENDED = {"extension": [{"url": hostile.url("context"), "valueString": "x"}] * 3000}
COSTLY: dict[str, dict[str, Any]] = {
    "values of no slice": hostile.person("patterns", **MANY),
    "rules that look through a list": hostile.person("rules", **MANY),
    "each of a list looking at all of it": hostile.person("all", **MANY),
    "texts looked through again and again": hostile.person(
        "texts", name=[{"family": "x" * 1_000_000}]
    ),
    "extensions whose context is looked for everywhere": hostile.person(**EXTENDED),
    **dict(hostile.FILLED),
}  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Validator:
    found = [of_resource(each, "test") for each in PROFILES]
    return Validator(
        DEFINITIONS, canonicals=canonicals_of_r4().above(each for each in found if each)
    )


@pytest.mark.parametrize("resource", COSTLY.values(), ids=COSTLY.keys())
def test_what_takes_too_much_is_refused_by_the_bound_it_met(
    validator: Validator, resource: dict[str, Any]
) -> None:
    found = validator.check(resource)
    assert "too-many-steps" in [each.rule for each in found]
    assert all(each.severity == "warning" for each in found if each.rule != "too-many-steps")
    [bound] = [each for each in found if each.rule == "too-many-steps"]
    assert (bound.severity, bound.code) == ("error", "too-costly")
    assert bound.profile is not None  # it is no rule of R4's: 422
    assert validator.check_soon(resource) is None


def test_a_profile_that_asks_for_itself_ends(validator: Validator) -> None:
    assert validator.check(hostile.person("again")) == []


def test_who_is_in_a_hurry_is_told_at_once_once_the_profile_is_made() -> None:
    found = [of_resource(each, "test") for each in PROFILES]
    fresh = Validator(
        DEFINITIONS, canonicals=canonicals_of_r4().above(each for each in found if each)
    )
    assert fresh.check_soon(SMALL) is None  # to make the profile takes a while
    assert fresh.check(SMALL) == []
    assert fresh.check_soon(SMALL) == []


def test_a_bundle_of_many_may_take_what_its_entries_may(validator: Validator) -> None:
    assert validator.check(hostile.bundle(3000, "modest")) == []


@pytest.mark.parametrize(
    "expressions",
    [[f"name.exists() or '{n}' = '1'" for n in range(1500)], ["true or " * 1900 + "true"] * 20],
    ids=["too many", "too long"],
)
def test_a_profile_of_too_many_rules_is_unusable_and_refused_where_it_is_stored(
    expressions: list[str],
) -> None:
    structure = hostile.asking("rules", *expressions)
    found = of_resource(structure, "test")
    assert found is not None
    validator = Validator(DEFINITIONS, canonicals=canonicals_of_r4().above([found]))
    [told] = validator.check(hostile.person("rules"))
    assert (told.rule, told.severity) == ("profile-unusable", "warning")
    assert "unsound-invariants" in [each.rule for each in validator.check(structure)]
