"""The members of a value set, by the page."""

from __future__ import annotations

import contextlib
import datetime as dt

import pytest

from fhir_server.foundation.outcome import FhirError, NotFound, TooCostly, Unprocessable
from fhir_server.terminology import members
from fhir_server.terminology import terms as terms_module
from fhir_server.terminology.terms import Choice
from tests.terminology.known import (
    BASE,
    COLOR,
    COLORS,
    KIND,
    PLACE,
    WORLD,
    code_system,
    of,
    system,
    terms,
    value_set,
    where,
)

ALL = value_set(BASE + "all", system(COLOR))


def codes(expansion) -> list[str]:
    return [each.code for each in expansion.contains]


# what it is of                                                  its members, in their order
TABLE = [
    ([system(COLOR)], "warm red crimson yellow blue mauve orange"),
    ([system(COLOR, "yellow", "red")], "yellow red"),
    ([system(COLOR, "red"), system(COLOR)], "red warm crimson yellow blue mauve orange"),
    ([where(COLOR, "concept is-a red")], "red orange crimson"),
    ([where(COLOR, "concept descendent-of red")], "orange crimson"),
    ([where(COLOR, "concept is-a red", "display exists true")], "red orange crimson"),
    ([where(COLOR, "concept = red")], "red"),
    ([where(COLOR, "concept in blue,nothing,red")], "blue red"),
    ([where(COLOR, "parent = red")], "crimson orange"),
    ([of(BASE + "all", **system(COLOR, "blue"))], "blue"),
    ([of(BASE + "all", BASE + "warm")], "red crimson yellow orange"),
    ([system(KIND)], "01 11 10"),
    ([], None),
]


@pytest.mark.parametrize(("includes", "expected"), TABLE)
def test_the_members_are_those_of_the_includes_in_order_each_once(includes, expected) -> None:
    warm = value_set(BASE + "warm", where(COLOR, "concept descendent-of warm"))
    known = terms(*WORLD, ALL, warm)
    if expected is None:
        with pytest.raises(Unprocessable):
            known.expand(value_set(BASE + "x", *includes))
    else:
        found = known.expand(value_set(BASE + "x", *includes))
        assert sorted(codes(found)) == sorted(expected.split())
        assert found.total == len(expected.split())


def test_every_member_stands_as_one_and_nothing_else_does() -> None:
    known = terms(*WORLD, ALL)
    its = value_set(None, system(COLOR), exclude=[system(COLOR, "red"), where(COLOR, "depth = 7")])
    listed = set(codes(known.expand(its)))
    for code in codes(known.expand(BASE + "all")):
        assert (known.standing(its, code, COLOR).standing.value == "member") is (code in listed)


# the filter            what it finds
FILTERS = [
    ("", 7),
    ("red", 2),
    ("RED deep", 1),
    ("re", 2),
    ("do", 1),  # Đỏ, the Vietnamese name
    ("đỏ", 1),
    ("crims", 1),
    ("ed", 0),
]


@pytest.mark.parametrize(("filter", "count"), FILTERS)
def test_a_filter_finds_beginnings_of_words_in_any_order_without_marks(filter, count) -> None:
    assert terms(COLORS, ALL).expand(BASE + "all", filter=filter).total == count


def test_pages_put_together_are_the_whole() -> None:
    known = terms(COLORS, ALL)
    whole = codes(known.expand(BASE + "all"))
    pages = [known.expand(BASE + "all", offset=at, count=3) for at in range(0, 9, 3)]
    assert [code for page in pages for code in codes(page)] == whole
    assert {page.total for page in pages} == {7}
    assert codes(known.expand(BASE + "all", count=0)) == []


def test_the_date_chooses_the_version_and_the_concepts() -> None:
    known = terms(*WORLD)
    before, after = dt.date(2025, 1, 1), dt.date(2026, 1, 1)
    assert codes(known.expand(BASE + "vs/place", at=before)) == ["A", "B", "C"]
    assert known.expand(BASE + "vs/place", at=before).used == (f"{PLACE}|2025-06-30",)
    assert codes(known.expand(BASE + "vs/place", at=after)) == ["A", "D"]
    assert codes(known.expand(BASE + "vs/kind", at=before)) == ["01", "09", "10"]


def test_a_version_may_be_chosen_or_forced_and_a_system_left_out() -> None:
    known = terms(*WORLD)
    old = ((PLACE, "2025-06-30"),)
    pinned = value_set(BASE + "pinned", system(PLACE, version="2025-07-01"))
    for choice in (Choice(versions=old), Choice(forced=old)):
        assert codes(known.expand(BASE + "vs/place", choice=choice)) == ["A", "B", "C"]
    assert codes(known.expand(pinned, choice=Choice(versions=old))) == ["A", "D"]
    assert codes(known.expand(pinned, choice=Choice(forced=old))) == ["A", "B", "C"]
    assert known.expand(pinned, choice=Choice(without=frozenset([PLACE]))).total == 0


def test_only_active_only_selectable_and_in_a_language() -> None:
    known = terms(COLORS, ALL)
    assert "mauve" not in codes(known.expand(BASE + "all", active_only=True))
    assert "warm" not in codes(known.expand(BASE + "all", choice=Choice(selectable=True)))
    displays = {each.display for each in known.expand(BASE + "all", language="vi").contains}
    assert {"Đỏ", "Blue"} <= displays
    hidden = value_set(None, system(COLOR), inactive=False)
    assert "mauve" not in codes(known.expand(hidden))


def test_an_expansion_carried_is_given_where_nothing_is_composed() -> None:
    its = {"resourceType": "ValueSet", "expansion": {"contains": [{"system": COLOR, "code": "x"}]}}
    assert codes(terms().expand(its)) == ["x"]


# what cannot be expanded                                        how it is refused
REFUSED = [
    (BASE + "nowhere", NotFound),
    (value_set(None, system("http://nobody.example")), NotFound),
    (value_set(None, of(BASE + "nowhere")), NotFound),
    (value_set(None, system(COLOR, version="9")), NotFound),
    (value_set(None, where(COLOR, "shade = 7")), Unprocessable),
    (value_set(None, where(COLOR, "code regex (a+)+$")), Unprocessable),
    (value_set(None, where(COLOR, "code regex [")), Unprocessable),
    (value_set(None, system(COLOR), exclude=[of(BASE + "nowhere")]), Unprocessable),
    (value_set(None, of(BASE + "nowhere", **system(COLOR))), NotFound),
    (value_set(None, system("urn:ietf:bcp:47")), TooCostly),
    (value_set(None, system("http://unitsofmeasure.org")), TooCostly),
    (value_set(BASE + "self", of(BASE + "circle")), Unprocessable),
]


@pytest.mark.parametrize(("its", "refusal"), REFUSED)
def test_what_cannot_be_expanded_is_refused(its, refusal) -> None:
    circle = value_set(BASE + "circle", of(BASE + "round"))
    back = value_set(BASE + "round", of(BASE + "circle"))
    with pytest.raises(refusal):
        terms(COLORS, circle, back).expand(its)


def test_a_cycle_is_unknown_when_a_code_is_asked_about() -> None:
    circle = value_set(BASE + "circle", of(BASE + "round"))
    back = value_set(BASE + "round", of(BASE + "circle"))
    verdict = terms(COLORS, circle, back).standing(BASE + "circle", "red", COLOR)
    assert verdict.standing.value == "unknown"


def test_value_sets_that_multiply_by_inclusion_are_given_up() -> None:
    doubled = [
        value_set(f"{BASE}{depth}", of(f"{BASE}{depth + 1}"), of(f"{BASE}{depth + 1}"))
        for depth in range(40)
    ]
    known = terms(COLORS, *doubled, value_set(f"{BASE}40", system(COLOR, "red")))
    assert known.standing(f"{BASE}0", "blue", COLOR).standing.value in ("unknown", "not-member")
    with pytest.raises(FhirError):
        known.expand(f"{BASE}0")
    assert known.fast(f"{BASE}0") is None


def test_an_expansion_too_large_is_refused_and_its_filter_is_not(monkeypatch) -> None:
    monkeypatch.setattr(terms_module, "MAX_EXPANSION", 50)
    many = code_system(BASE, *({"code": f"c{n}", "display": f"Code {n}"} for n in range(60)))
    known = terms(many, value_set(BASE + "vs", system(BASE)))
    with pytest.raises(TooCostly):
        known.expand(BASE + "vs")
    assert known.expand(BASE + "vs", filter="code 59").total == 1


def test_looking_at_too_many_concepts_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(members, "LOOKED_AT", 10)
    many = code_system(BASE, *(f"c{n}" for n in range(60)))
    with pytest.raises(TooCostly):
        terms(many, value_set(BASE + "vs", system(BASE))).expand(BASE + "vs", filter="nothing")


@pytest.mark.parametrize(
    "compose",
    [
        None,
        7,
        {"include": 7},
        {"include": [7, None, {}]},
        {"include": [{"system": 7, "concept": 7, "filter": 7, "valueSet": 7}]},
        {"include": [{"system": COLOR, "filter": [{}]}]},
        {"include": [{"system": COLOR, "filter": [{"property": 7, "op": {}, "value": []}]}]},
        {"include": [{"system": COLOR, "concept": [7, {"code": 7}, {"code": "x", "display": 7}]}]},
        {"include": [{"valueSet": [None, 7, ""]}]},
        {"include": [{"system": COLOR}], "exclude": [{}], "inactive": "x", "lockedDate": 7},
    ],
)
def test_whatever_a_client_writes_in_a_value_set_is_answered_or_refused(compose) -> None:
    known = terms(COLORS)
    its = {"resourceType": "ValueSet", "compose": compose, "expansion": compose}
    known.standing(its, "red", COLOR)
    with contextlib.suppress(FhirError):
        known.expand(its)
