"""How a code stands to a value set, on a day."""

from __future__ import annotations

import datetime as dt

import pytest

from fhir_server.terminology.terms import Standing
from tests.terminology.known import (
    BASE,
    COLOR,
    COLORS,
    KIND,
    NEW_PLACES,
    PLACE,
    WORLD,
    code_system,
    of,
    system,
    terms,
    value_set,
    where,
)

MEMBER, NOT, THEN, UNKNOWN = (
    Standing.MEMBER,
    Standing.NOT_MEMBER,
    Standing.THEN,
    Standing.UNKNOWN,
)
LISTED = value_set(BASE + "listed", system(COLOR, "red", "blue"))
WARM = value_set(BASE + "warm", where(COLOR, "concept is-a warm"))
NOBODY = "http://nobody.example"
FRAGMENT = BASE + "fragment"

# what the value set is of                                     the code    how it stands
OF_COLORS = [
    ([system(COLOR)], "red", MEMBER),
    ([system(COLOR)], "crimson", MEMBER),
    ([system(COLOR)], "pink", NOT),
    ([system(COLOR)], "RED", NOT),
    ([system(COLOR, "red")], "red", MEMBER),
    ([system(COLOR, "red")], "blue", NOT),
    ([system(COLOR, "pink")], "pink", MEMBER),
    ([where(COLOR, "concept is-a warm")], "crimson", MEMBER),
    ([where(COLOR, "concept is-a warm")], "warm", MEMBER),
    ([where(COLOR, "concept is-a warm")], "orange", MEMBER),
    ([where(COLOR, "concept is-a warm")], "blue", NOT),
    ([where(COLOR, "concept descendent-of warm")], "warm", NOT),
    ([where(COLOR, "concept descendent-of warm")], "red", MEMBER),
    ([where(COLOR, "concept is-not-a warm")], "blue", MEMBER),
    ([where(COLOR, "concept is-not-a warm")], "red", NOT),
    ([where(COLOR, "concept generalizes crimson")], "warm", MEMBER),
    ([where(COLOR, "concept generalizes crimson")], "yellow", NOT),
    ([where(COLOR, "concept in red,blue")], "blue", MEMBER),
    ([where(COLOR, "concept not-in red,blue")], "blue", NOT),
    ([where(COLOR, "code regex [ry].*")], "yellow", MEMBER),
    ([where(COLOR, "code regex [ry]")], "yellow", NOT),
    ([where(COLOR, "display = Deep Red")], "crimson", MEMBER),
    ([where(COLOR, "depth = 7")], "blue", MEMBER),
    ([where(COLOR, "depth = 7")], "red", NOT),
    ([where(COLOR, "depth exists true")], "blue", MEMBER),
    ([where(COLOR, "depth exists false")], "blue", NOT),
    ([where(COLOR, "parent = yellow")], "orange", MEMBER),
    ([where(COLOR, "child = orange")], "yellow", MEMBER),
    ([where(COLOR, "notSelectable = true")], "warm", MEMBER),
    ([where(COLOR, "notSelectable = false")], "warm", NOT),
    ([where(COLOR, "concept is-a warm", "depth exists true")], "red", NOT),
    ([where(COLOR, "shade = 7")], "blue", UNKNOWN),
    ([where(COLOR, "depth near 7")], "blue", UNKNOWN),
    ([of(BASE + "listed", BASE + "warm")], "red", MEMBER),
    ([of(BASE + "listed", BASE + "warm")], "blue", NOT),
    ([of(BASE + "listed"), of(BASE + "warm")], "blue", MEMBER),
    ([of(BASE + "warm", **system(COLOR, "red", "blue"))], "blue", NOT),
    ([of(BASE + "nowhere")], "red", UNKNOWN),
    ([of(BASE + "nowhere"), system(COLOR)], "red", MEMBER),
    ([of(BASE + "nowhere", **system(COLOR, "red"))], "blue", NOT),
    ([system(NOBODY)], "red", NOT),
    ([], "red", UNKNOWN),
]


@pytest.mark.parametrize(("includes", "code", "standing"), OF_COLORS)
def test_a_code_stands_as_the_composition_says(includes, code, standing) -> None:
    known = terms(COLORS, LISTED, WARM)
    assert known.standing(value_set(None, *includes), code, COLOR).standing is standing


# what is excluded                       the code    how it stands
EXCLUDED = [
    (system(COLOR, "red"), "red", NOT),
    (system(COLOR, "red"), "blue", MEMBER),
    (where(COLOR, "concept is-a warm"), "crimson", NOT),
    (of(BASE + "listed"), "blue", NOT),
    (of(BASE + "nowhere"), "blue", UNKNOWN),
    (system(NOBODY), "blue", MEMBER),
    (where(COLOR, "shade = 7"), "blue", UNKNOWN),
]


@pytest.mark.parametrize(("exclude", "code", "standing"), EXCLUDED)
def test_what_is_excluded_is_no_member(exclude, code, standing) -> None:
    known = terms(COLORS, LISTED)
    its = value_set(None, system(COLOR), exclude=[exclude])
    assert known.standing(its, code, COLOR).standing is standing


@pytest.mark.parametrize(
    ("content", "code", "standing"),
    [
        ("complete", "a", MEMBER),
        ("complete", "b", NOT),
        ("fragment", "a", MEMBER),
        ("fragment", "b", UNKNOWN),
        ("example", "b", UNKNOWN),
        ("not-present", "a", UNKNOWN),
    ],
)
def test_what_is_not_whole_does_not_say_no(content, code, standing) -> None:
    known = terms(code_system(FRAGMENT, "a", content=content))
    assert known.standing(value_set(None, system(FRAGMENT)), code, FRAGMENT).standing is standing


def test_a_code_without_its_system_is_looked_for_in_those_of_the_value_set() -> None:
    known = terms(COLORS)
    verdict = known.standing(value_set(None, system(NOBODY, "x"), system(COLOR)), "red")
    assert (verdict.standing, verdict.concept.system) == (MEMBER, COLOR)


def test_case_counts_unless_the_system_says_otherwise() -> None:
    known = terms(code_system(FRAGMENT, "Ab", caseSensitive=False))
    assert known.standing(value_set(None, system(FRAGMENT)), "aB", FRAGMENT).concept.code == "Ab"
    assert (
        known.standing(value_set(None, system(FRAGMENT, "Ab")), "AB", FRAGMENT).standing is MEMBER
    )


# at the date    the code   how it stands
AT = [
    ("2025-06-30", "B", MEMBER),
    ("2025-07-01", "B", THEN),
    ("2025-06-30", "D", THEN),
    ("2025-07-01", "D", MEMBER),
    ("2025-06-30", "A", MEMBER),
    ("2026-01-01", "A", MEMBER),
    ("2026-01-01", "Z", NOT),
]


@pytest.mark.parametrize(("at", "code", "standing"), AT)
def test_a_code_is_judged_by_the_version_in_force(at, code, standing) -> None:
    known = terms(*WORLD)
    verdict = known.standing(BASE + "vs/place", code, PLACE, at=dt.date.fromisoformat(at))
    assert verdict.standing is standing


@pytest.mark.parametrize(
    ("at", "code", "standing"),
    [
        ("2026-07-31", "11", THEN),
        ("2026-08-01", "11", MEMBER),
        ("2025-06-30", "09", MEMBER),
        ("2025-07-01", "09", THEN),
        ("1990-01-01", "10", MEMBER),
    ],
)
def test_a_concept_has_its_days(at, code, standing) -> None:
    known = terms(*WORLD)
    day = dt.date.fromisoformat(at)
    assert known.standing(BASE + "vs/kind", code, KIND, at=day).standing is standing
    listed = value_set(None, system(KIND, "09", "10", "11"))
    assert known.standing(listed, code, KIND, at=day).standing is standing


def test_without_a_date_today_counts() -> None:
    assert terms(*WORLD).standing(BASE + "vs/kind", "11", KIND).standing is MEMBER


def test_the_version_a_coding_names_is_the_one_that_judges() -> None:
    known = terms(*WORLD)
    assert known.standing(BASE + "vs/place", "B", PLACE, "2025-06-30").standing is MEMBER
    assert known.standing(BASE + "vs/place", "D", PLACE, "2025-06-30").standing is NOT
    unknown = known.standing(BASE + "vs/place", "B", PLACE, "1999")
    assert (unknown.standing, unknown.missing) == (UNKNOWN, f"{PLACE}|1999")


def test_a_locked_date_is_the_date() -> None:
    known = terms(*WORLD)
    its = value_set(None, system(PLACE), lockedDate="2025-01-01")
    assert known.standing(its, "B", PLACE, at=dt.date(2026, 1, 1)).standing is MEMBER


def test_what_was_then_names_what_takes_its_place() -> None:
    verdict = terms(*WORLD).standing(BASE + "vs/place", "B", PLACE, at=dt.date(2026, 1, 1))
    assert [(each.code, each.display) for each in verdict.successors] == [
        ("A", "Phường Ninh Kiều"),
        ("D", "Phường Cái Răng"),
    ]
    nothing = terms(*WORLD).standing(BASE + "vs/place", "C", PLACE, at=dt.date(2026, 1, 1))
    assert (nothing.standing, nothing.successors) == (THEN, ())


# the display given     is it right
DISPLAYS = [
    ("Red", True),
    ("red", True),
    ("  RED ", True),
    ("Đỏ", True),
    ("đo\u0309", True),
    ("đò", False),
    ("Rot", False),
]


@pytest.mark.parametrize(("display", "right"), DISPLAYS)
def test_a_display_must_be_one_of_the_concepts(display, right) -> None:
    verdict = terms(COLORS).standing(value_set(None, system(COLOR)), "red", COLOR, display=display)
    assert verdict.standing is MEMBER
    assert verdict.wrong_display == (None if right else display)


def test_a_place_that_kept_its_code_but_not_its_name_is_told_by_its_display() -> None:
    known = terms(*WORLD)
    told = known.standing(BASE + "vs/place", "A", PLACE, None, "Phường An Hòa", dt.date(2026, 1, 1))
    assert (told.standing, told.wrong_display) == (MEMBER, "Phường An Hòa")
    before = ("Phường An Hòa", "Phường An Hoà", "phường an hòa")  # all ways to write it
    for display in before:
        day = dt.date(2025, 1, 1)
        told = known.standing(BASE + "vs/place", "A", PLACE, None, display, day)
        assert told.wrong_display is None


def test_the_value_sets_own_display_is_right_too() -> None:
    its = value_set(None, {"system": COLOR, "concept": [{"code": "red", "display": "The red one"}]})
    verdict = terms(COLORS).standing(its, "red", COLOR, display="the red one")
    assert verdict.wrong_display is None
    assert verdict.concept.display == "The red one"


@pytest.mark.parametrize(("inactive", "standing"), [(None, MEMBER), (True, MEMBER), (False, THEN)])
def test_retired_concepts_are_members_unless_the_value_set_says_not(inactive, standing) -> None:
    more = {} if inactive is None else {"inactive": inactive}
    verdict = terms(COLORS).standing(value_set(None, system(COLOR), **more), "mauve", COLOR)
    assert (verdict.standing, verdict.concept.inactive) == (standing, True)


def test_an_expansion_carried_tells_where_it_cannot_be_computed() -> None:
    its = value_set(BASE + "vs", system(NOBODY))
    its["expansion"] = {"contains": [{"system": NOBODY, "code": "x", "contains": [{"code": "y"}]}]}
    known = terms()
    assert known.standing(its, "x", NOBODY).standing is MEMBER
    assert known.standing(its, "z", NOBODY).standing is NOT
    its["expansion"]["total"] = 99
    assert known.standing(its, "z", NOBODY).standing is UNKNOWN


def test_all_codes_of_a_system_are_a_value_set() -> None:
    known = terms(code_system(FRAGMENT, "a", valueSet=BASE + "all"))
    assert known.standing(BASE + "all", "a", FRAGMENT).standing is MEMBER


def test_a_supplement_adds_names_and_properties() -> None:
    more = {
        "resourceType": "CodeSystem",
        "url": BASE + "more",
        "content": "supplement",
        "supplements": COLOR,
        "concept": [{"code": "blue", "designation": [{"language": "vi", "value": "Xanh"}]}],
    }
    known = terms(COLORS, more)
    assert known.lookup(COLOR, "blue").in_language("vi") == "Xanh"
    assert not known.is_known(BASE + "more")


def test_certain_members_are_told_at_once_and_none_that_depend_on_a_day() -> None:
    known = terms(*WORLD, LISTED, WARM, value_set(BASE + "x", system(NOBODY)))
    assert known.fast(BASE + "listed") == {(COLOR, "red"), (COLOR, "blue")}
    assert known.fast(BASE + "warm") == {
        (COLOR, code) for code in ("warm", "red", "crimson", "yellow", "orange")
    }
    assert known.fast(BASE + "vs/kind") == {(KIND, "01"), (KIND, "10")}
    assert known.fast(BASE + "vs/place") is None
    assert known.fast(BASE + "x") is None
    assert known.fast(BASE + "nowhere") is None


def test_what_is_compiled_is_taken_over_by_what_is_known_next() -> None:
    before = terms(NEW_PLACES)
    before.lookup(PLACE, "A")
    after = type(before)(before.canonicals.above([]), before=before, today=before.today)
    assert after.systems.versions(PLACE)[0] is before.systems.versions(PLACE)[0]


def test_a_supplement_that_comes_later_counts_all_the_same() -> None:
    before = terms(COLORS)
    before.lookup(COLOR, "blue")
    more = {
        "resourceType": "CodeSystem",
        "url": BASE + "more",
        "content": "supplement",
        "supplements": COLOR,
        "concept": [{"code": "blue", "designation": [{"language": "vi", "value": "Xanh"}]}],
    }
    after = terms(more, below=before.canonicals, before=before)
    assert after.lookup(COLOR, "blue").in_language("vi") == "Xanh"
