"""test_invariant — every invariant is asked, quickly and as FHIRPath has it, and never for ever.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation import wire
from fhir_server.foundation.fhirpath.items import Model
from fhir_server.foundation.fhirpath.quick import NotQuick, quick
from fhir_server.foundation.outcome import TRANSLATION, Invalid
from fhir_server.validation.invariant import NOWHERE, Env, Invariant, Invariants, Unusable, r4
from fhir_server.validation.invariant.known import BEST_PRACTICE
from fhir_server.validation.structure import Validator
from tests.validation.invariant_cases import BROKEN, KEPT, QUOTED, UNUSABLE
from tests.validation.invariants import PROFILED, changed, places

R4 = load()
MODEL = Model(R4)
INVARIANTS = Invariants(R4)
VALIDATOR = Validator(R4)
FOLDER = Path(__file__).parents[3] / "shared/testdata/r4-examples"
EXAMPLES = [path for path in sorted(FOLDER.glob("*.json")) if path.stat().st_size < 60_000]
SEEDS = range(12)  # how often each example is changed
ELEMENTS = [element for type in R4.all_types for element in R4.type(type).elements]

needs_examples = pytest.mark.skipif(not EXAMPLES, reason="HL7's examples are not beside this")


@cache
def profiled(node: str) -> tuple[Invariant, ...]:
    return tuple(
        INVARIANTS.compiled({"key": "x-1", "severity": "error", "expression": text}, node)
        for text in PROFILED.get(node, ())
    )


def told(holds: Callable[..., bool], *given: Any) -> bool | str:
    try:
        return holds(*given)
    except (Invalid, Unusable):
        return "unusable"


def disagreements(resource: dict[str, Any]) -> list[str]:
    """Where the short way and the engine do not say the same."""
    found = []
    for path, item in places(MODEL, MODEL.root(resource)):
        around = item
        while around.parent is not None and around.type not in R4.resource_types:
            around = around.parent
        env = Env(around.value, resource)
        asked = [*INVARIANTS.of(item.node), *profiled(item.node)]
        if path and path != item.node:
            asked += INVARIANTS.of_element(path, item.node)
        for each in asked:
            if each.fast is None or (item.value is None and item.beside is None):
                continue
            fast = each.fast
            try:
                short = told(fast, item.value, item.beside, env)
            except (AttributeError, TypeError, KeyError, ValueError):
                continue  # not the structure: the engine is asked
            long = told(each.by_engine, item, env)
            if short != long:
                found.append(f"{item.path}: {each.expression}: {short}, not {long}")
    return found


@needs_examples
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_the_short_way_says_what_the_engine_says(example: Path) -> None:
    resource = wire.parse(example.read_bytes())
    assert disagreements(resource) == []
    if example.stat().st_size < 20_000:
        for seed in SEEDS:
            assert disagreements(changed(resource, seed)) == [], seed


def test_every_invariant_of_r4_can_be_asked_and_says_what_it_wants() -> None:
    asked = 0
    for element in ELEMENTS:
        for node in {t.code for t in element.types} - {"BackboneElement", "Element"} or {""}:
            for each in INVARIANTS.of_element(element.path, node or element.path):
                asked += 1
                assert each.unusable is None, each.key
                assert each.human, each.key
                assert each.key != each.human
    assert asked > 230
    assert {key.rpartition("#")[2] for key in r4.said()} | r4.STRUCTURAL == set(R4.constraints)


def test_what_r4_says_wrongly_is_mended_with_the_reason() -> None:
    mended = {key: said for key, said in r4.said().items() if said.expression}
    assert all(said.why for said in mended.values())
    for key, said in mended.items():
        original = R4.constraints[key.rpartition("#")[2]][1]
        assert said.expression != original or "#" in key, f"{key} says what R4 says"


def test_the_usual_invariants_are_told_in_vietnamese() -> None:
    told = [key for key, said in r4.said().items() if said.vi]
    assert len(told) > 90
    found = INVARIANTS.of("Period")[0].issue({"start": "2025", "end": "2024"}, "Encounter.period")
    assert found is not None
    assert (found.rule, found.expression, found.severity) == ("per-1", "Encounter.period", "error")
    assert "start SHALL have a lower value" in found.diagnostics
    assert found.vietnamese is not None
    assert "không muộn hơn" in found.vietnamese


@pytest.mark.parametrize(
    ("resource", "rule", "where"), BROKEN, ids=[f"{c[1]} {c[2]}" for c in BROKEN]
)
def test_a_broken_invariant_is_told_at_its_place(
    resource: dict[str, Any], rule: str, where: str
) -> None:
    found = [(issue.rule, issue.expression, issue.severity) for issue in VALIDATOR.check(resource)]
    assert (rule, where, "error") in found


@pytest.mark.parametrize("resource", KEPT)
def test_what_cannot_be_told_is_no_error(resource: dict[str, Any]) -> None:
    assert VALIDATOR.check(resource) == []


def test_an_element_that_is_missing_is_told_and_nothing_more_is_asked_about_it() -> None:
    found = VALIDATOR.check({"resourceType": "Bundle", "entry": [{"fullUrl": "urn:x:1"}]})
    assert [issue.rule for issue in found] == ["bdl-5", "min"]


def test_best_practice_is_told_only_where_all_is_to_be_told() -> None:
    patient = {"resourceType": "Patient", "active": True}
    assert VALIDATOR.check(patient) == []
    [issue] = VALIDATOR.check(patient, thorough=True)
    assert (issue.rule, issue.severity, issue.expression) == ("dom-6", "warning", "Patient")


# --- expressions that are wrong, or never end ----------------------------------------------------


def deep(levels: int) -> dict[str, Any]:
    extension: dict[str, Any] = {"url": "urn:x", "valueString": "x"}
    for _ in range(levels):
        extension = {"url": "urn:x", "extension": [extension, {"url": "urn:y", "valueCode": "y"}]}
    return extension


HOSTILE: dict[str, Any] = {
    "resourceType": "Patient",
    "extension": [deep(80) for _ in range(20)],
    "identifier": [
        {"system": "urn:x", "value": "a" * 90, "type": {"coding": [{"code": f"c{place}"}]}}
        for place in range(2_000)
    ],
    "name": [{"given": ["a", "b"]}, {"given": ["c"]}],
    "gender": "male",
}


@pytest.mark.parametrize("expression", UNUSABLE, ids=lambda text: text[:40])
def test_what_is_wrong_or_never_ends_is_a_warning_and_no_error(expression: str) -> None:
    made = INVARIANTS.compiled(
        {"key": "x-1", "severity": "error", "human": "x", "expression": expression}, "Patient"
    )
    found = made.issue(HOSTILE, "Patient", Env(HOSTILE, HOSTILE))
    assert found is not None
    assert (found.rule, found.severity) == ("invariant-unusable", "warning")
    assert "`x-1`" in found.diagnostics


def test_the_invariants_of_one_resource_share_what_they_may_take() -> None:
    endless = INVARIANTS.compiled(
        {"key": "x-1", "expression": "(1).repeat($this + 1).empty()"}, "Patient"
    )
    modest = INVARIANTS.compiled({"key": "x-2", "expression": "descendants().exists()"}, "Patient")
    env = Env(HOSTILE, HOSTILE)
    assert env.meter is not None
    for _ in range(12):
        with pytest.raises(Unusable):
            endless.holds(HOSTILE, env)
    with pytest.raises(Unusable):
        modest.holds(HOSTILE, env)
    assert modest.holds(PATIENT, Env(PATIENT))


PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Ngô"}]}


@pytest.mark.parametrize("expression", QUOTED)
def test_what_an_expression_quotes_stays_a_text(expression: str) -> None:
    made = quick(expression, MODEL, "Patient")
    assert made.holds(PATIENT, None, NOWHERE) is False


@pytest.mark.parametrize("nested", ["where", "all", "exists", "select"])
def test_nesting_makes_no_function_without_end(nested: str) -> None:
    text = f"name.{nested}(" * 38 + "true" + ")" * 38
    made = INVARIANTS.compiled({"key": "x-1", "expression": text}, "Patient")
    assert made.unusable is None
    assert told(made.holds, PATIENT) in (True, False, "unusable")


def test_what_is_not_the_structure_of_its_type_is_asked_of_the_engine() -> None:
    [invariant] = INVARIANTS.of("Patient.contact")
    for value in ("x", 5, None, [], {"name": "x"}, {"name": None}, {"telecom": {}}):
        assert told(invariant.holds, value) in (True, False, "unusable")
    identified = INVARIANTS.compiled(
        {"key": "x-1", "expression": "identifier.all(value.matches('^[0-9]+$'))"}, "Patient"
    )
    for value in ({"identifier": "x"}, {"identifier": ["x"]}, {"identifier": {"value": 5}}):
        assert told(identified.holds, value) in (True, False, "unusable")


def test_the_structure_of_a_resource_is_asked_with_its_invariants_in_any_thread() -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: Validator(R4).check(BROKEN[0][0]), range(8)))
    assert all([issue.rule for issue in each] == ["pat-1"] for each in found)


def test_a_profile_tells_its_rules_in_both_languages() -> None:
    said = {"url": "lang", "valueCode": "vi"}, {"url": "content", "valueString": "Thiếu tên."}
    translated = {"extension": [{"url": TRANSLATION, "extension": list(said)}]}
    made = INVARIANTS.compiled(
        {
            "key": "x-1",
            "severity": "warning",
            "human": "A name.",
            "_human": translated,
            "expression": "name.exists()",
            "extension": [{"url": BEST_PRACTICE, "valueBoolean": True}],
        },
        "Patient",
        source="http://x.y/profile",
    )
    assert (made.source, made.best_practice) == ("http://x.y/profile", True)
    found = made.issue({"resourceType": "Patient"}, "Patient", profile="http://x.y/profile")
    assert found is not None
    assert (found.severity, found.profile) == ("warning", "http://x.y/profile")
    assert found.diagnostics.endswith("A name.")
    assert (found.vietnamese or "").endswith("Thiếu tên.")


def test_an_invariant_knows_what_is_around_its_element() -> None:
    text = "%resource.id = 'p' and %rootResource.id = 'b' and %context.exists()"
    made = INVARIANTS.compiled({"key": "x-1", "expression": text}, "HumanName")
    around = {"resourceType": "Bundle", "id": "b"}
    assert made.holds(PATIENT["name"][0], Env(PATIENT, around))
    assert not made.holds(PATIENT["name"][0], Env(PATIENT, PATIENT))
    today = INVARIANTS.compiled({"key": "x-2", "expression": "$this <= today()"}, "date")
    noon = dt.datetime(2025, 7, 1, 12, tzinfo=dt.UTC)
    assert today.holds("2025-07-01", Env(now=noon))
    assert not today.holds("2025-07-02", Env(now=noon))


def test_no_quick_way_is_guessed() -> None:
    for text in (
        "children().exists()",
        "name.given < name.family",
        "name ~ name",
        "name.single().exists()",
    ):
        with pytest.raises(NotQuick):
            quick(text, MODEL, "Patient")
