"""Translation by concept maps."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import NotFound
from tests.terminology.known import BASE, COLOR, COLORS, PLACE, WORLD, terms

OTHER, THIRD = BASE + "other", BASE + "third"


def concept_map(url=BASE + "m", unmapped=None, **more):
    group = {
        "source": COLOR,
        "target": OTHER,
        "element": [
            {
                "code": "red",
                "display": "Red",
                "target": [
                    {"code": "R", "equivalence": "equivalent"},
                    {
                        "code": "RR",
                        "equivalence": "narrower",
                        "dependsOn": [{"property": "shade", "value": "deep"}],
                    },
                ],
            },
            {"code": "blue", "target": [{"equivalence": "unmatched"}]},
        ],
    }
    if unmapped:
        group["unmapped"] = unmapped
    return {"resourceType": "ConceptMap", "url": url, "group": [group], **more}


def found(matches):
    return [(each.equivalence, each.concept and each.concept.code) for each in matches]


# the code   asked                             what it becomes
TABLE = [
    ("red", {}, [("equivalent", "R"), ("narrower", "RR")]),
    ("red", {"dependencies": ()}, [("equivalent", "R")]),
    (
        "red",
        {"dependencies": [("shade", None, "deep")]},
        [("equivalent", "R"), ("narrower", "RR")],
    ),
    ("red", {"dependencies": [("shade", None, "pale")]}, [("equivalent", "R")]),
    ("blue", {}, [("unmatched", None)]),
    ("pink", {}, []),
    ("red", {"target_system": THIRD}, []),
    ("red", {"target": BASE + "vs/other"}, [("equivalent", "R"), ("narrower", "RR")]),
    ("red", {"target": BASE + "vs/else"}, []),
    ("red", {"source": BASE + "vs/color|1"}, [("equivalent", "R"), ("narrower", "RR")]),
]


@pytest.mark.parametrize(("code", "asked", "expected"), TABLE)
def test_a_code_becomes_what_the_maps_say(code, asked, expected) -> None:
    its = concept_map(sourceUri=BASE + "vs/color", targetUri=BASE + "vs/other")
    assert found(terms(COLORS, its).translate(None, COLOR, code, **asked)) == expected


def test_the_other_way_round_the_relation_turns() -> None:
    known = terms(COLORS, concept_map())
    [match] = known.translate(BASE + "m", OTHER, "RR", reverse=True)
    assert (match.equivalence, match.concept.code, match.concept.display) == ("wider", "red", "Red")


# what is said of unmapped codes                       what becomes of `pink`
UNMAPPED = [
    ({"mode": "provided"}, [("equal", "pink")]),
    ({"mode": "fixed", "code": "other"}, [("relatedto", "other")]),
    ({"mode": "other-map", "url": BASE + "last"}, [("equal", "pink")]),
    ({"mode": "other-map", "url": BASE + "m"}, []),
    ({"mode": "other-map", "url": BASE + "nowhere"}, []),
    ({"mode": "other-map"}, []),
    ({"mode": "fixed"}, []),
]


@pytest.mark.parametrize(("unmapped", "expected"), UNMAPPED)
def test_a_map_says_what_becomes_of_the_rest(unmapped, expected) -> None:
    last = concept_map(BASE + "last", {"mode": "provided"})
    known = terms(COLORS, concept_map(unmapped=unmapped), last)
    assert found(known.translate(BASE + "m", COLOR, "pink")) == expected


def test_maps_that_lead_to_one_another_end() -> None:
    one = concept_map(BASE + "one", {"mode": "other-map", "url": BASE + "two"})
    two = concept_map(BASE + "two", {"mode": "other-map", "url": BASE + "one"})
    assert terms(one, two).translate(BASE + "one", COLOR, "pink") == []


def test_an_unknown_map_is_refused_and_displays_are_filled_in() -> None:
    known = terms(*WORLD)
    with pytest.raises(NotFound):
        known.translate(BASE + "nowhere", PLACE, "A")
    names = [each.concept.display for each in known.translate(None, PLACE, "B")]
    assert names == ["Phường Ninh Kiều", "Phường Cái Răng"]


@pytest.mark.parametrize(
    "group",
    [
        7,
        [7, {}],
        [{"source": 7, "target": [], "element": [{"code": "red", "target": [{}, 7]}, 7]}],
        [{"element": [{"code": "red", "target": [{"code": 7, "dependsOn": 7, "product": [{}]}]}]}],
        [{"unmapped": 7}],
    ],
)
def test_whatever_a_client_writes_in_a_map_is_answered(group) -> None:
    its = {"resourceType": "ConceptMap", "group": group}
    terms(COLORS).translate(its, COLOR, "red")
    terms(COLORS).translate(its, COLOR, "red", reverse=True)
