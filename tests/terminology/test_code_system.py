"""Lookup and subsumption."""

from __future__ import annotations

import datetime as dt

import pytest

from fhir_server.terminology.moment import day_after, first_day
from tests.terminology.known import BASE, COLOR, COLORS, PLACE, WORLD, code_system, terms

# a           b           how they stand
SUBSUMES = [
    ("red", "red", "equivalent"),
    ("warm", "crimson", "subsumes"),
    ("crimson", "warm", "subsumed-by"),
    ("yellow", "orange", "subsumes"),
    ("red", "orange", "subsumes"),
    ("blue", "red", "not-subsumed"),
    ("red", "yellow", "not-subsumed"),
    ("red", "pink", None),
]


@pytest.mark.parametrize(("a", "b", "outcome"), SUBSUMES)
def test_codes_stand_as_their_hierarchy_says(a, b, outcome) -> None:
    assert terms(COLORS).subsumes(COLOR, a, b) == outcome


@pytest.mark.parametrize(
    ("meaning", "outcome"),
    [
        ("is-a", "subsumes"),
        ("classified-with", "subsumes"),
        ("part-of", "not-subsumed"),
        ("grouped-by", "not-subsumed"),
    ],
)
def test_only_a_hierarchy_of_meaning_subsumes(meaning, outcome) -> None:
    its = code_system(BASE, {"code": "a", "concept": [{"code": "b"}]}, hierarchyMeaning=meaning)
    assert terms(its).subsumes(BASE, "a", "b") == outcome


def test_a_hierarchy_that_bites_its_tail_ends() -> None:
    a = {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]}
    b = {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]}
    known = terms(code_system(BASE, a, b, "c"))
    assert known.subsumes(BASE, "a", "c") == "not-subsumed"
    assert known.subsumes(BASE, "a", "b") == "subsumes"


def test_a_property_may_go_by_another_name() -> None:
    concept = {"code": "a", "property": [{"code": "ends", "valueDateTime": "2025"}]}
    uri = "http://hl7.org/fhir/concept-properties#retirementDate"
    known = terms(code_system(BASE, concept, property=[{"code": "ends", "uri": uri}]))
    assert known.lookup(BASE, "a").until == dt.date(2025, 1, 1)


def test_a_code_of_another_version_is_found_all_the_same() -> None:
    known = terms(*WORLD)
    assert known.lookup(PLACE, "A").display == "Phường Ninh Kiều"
    assert known.lookup(PLACE, "A", at=dt.date(2025, 1, 1)).display == "Phường An Hòa"
    assert known.lookup(PLACE, "B").version == "2025-06-30"
    assert known.lookup(PLACE, "B", "2025-07-01") is None


def test_a_version_may_be_named_by_its_beginning() -> None:
    known = terms(code_system(BASE, "a", version="1.2.3"))
    assert known.lookup(BASE, "a", "1.2").version == "1.2.3"
    assert known.lookup(BASE, "a", "1.3") is None


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("2025", "2025-01-01", "2026-01-01"),
        ("2025-12", "2025-12-01", "2026-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2025-06-30", "2025-06-30", "2025-07-01"),
        ("2025-06-30T23:00:00+07:00", "2025-06-30", "2025-07-01"),
        ("2025-13", None, None),
        ("9999", "9999-01-01", None),
        ("soon", None, None),
        (7, None, None),
    ],
)
def test_a_partial_date_is_all_it_may_mean(text, begins, ends) -> None:
    assert first_day(text) == (begins and dt.date.fromisoformat(begins))
    assert day_after(text) == (ends and dt.date.fromisoformat(ends))


@pytest.mark.parametrize(
    "concept",
    [
        None,
        "red",
        [None, 7, "red", {}, {"code": 7}, {"code": ""}],
        [{"code": "a", "property": "x", "designation": {"value": "y"}, "concept": 7}],
        [{"code": "a", "property": [{"code": "parent", "valueCode": 7}, {"valueCode": "x"}]}],
    ],
)
def test_whatever_is_stored_as_a_code_system_can_be_asked(concept) -> None:
    known = terms({"resourceType": "CodeSystem", "url": BASE, "concept": concept})
    known.lookup(BASE, "a")
    known.subsumes(BASE, "a", "b")
