"""The terminology operations, asked as a client asks them, of definitions that are stored.

https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from tests.rest.client import on_one_database
from tests.terminology.known import (
    BASE,
    COLOR,
    COLORS,
    NEW_PLACES,
    OLD_PLACES,
    PLACE,
    PLACES_MAP,
    system,
    value_set,
    where,
)

pytestmark = on_one_database

STORED = {
    "CodeSystem/color": COLORS,
    "CodeSystem/new": NEW_PLACES,
    "CodeSystem/old": OLD_PLACES,
    "ValueSet/color": value_set(BASE + "vs/color", where(COLOR, "concept is-a warm")),
    "ValueSet/place": value_set(BASE + "vs/place", system(PLACE)),
    "ConceptMap/place": PLACES_MAP,
}


@pytest.fixture
def asked(client, run):
    """Ask with parameters in the URL, once everything is stored."""
    for path, resource in STORED.items():
        answered = run(client.put(f"/fhir/{path}", {**resource, "id": path.partition("/")[2]}))
        assert answered.status == 201, answered.body

    async def ask(path, given):
        return await client.get(f"/fhir/{path}?{urlencode(given)}")

    return ask


def said(answered) -> dict:
    """The parameters answered, by name; of parts, theirs."""
    assert answered.status == 200, answered.body
    assert answered.json["resourceType"] == "Parameters"
    return told(answered.json["parameter"])


def told(parameters) -> dict:
    return {
        each["name"]: told(each["part"])
        if "part" in each
        else next(value for name, value in each.items() if name.startswith("value"))
        for each in parameters
    }


# where                                  what is asked                              what is answered
ANSWERED = [
    ("CodeSystem/$lookup", {"system": COLOR, "code": "blue"}, {"display": "Blue"}),
    (
        "CodeSystem/$lookup",
        {"system": COLOR, "code": "blue", "property": "depth"},
        {"property": {"code": "depth", "value": 7}},
    ),
    (
        "CodeSystem/$lookup",
        {"system": COLOR, "code": "crimson", "property": "parent"},
        {"property": {"code": "parent", "value": "red", "description": "Red"}},
    ),
    (
        "CodeSystem/$lookup",
        {"system": COLOR, "code": "red", "displayLanguage": "vi"},
        {"display": "Đỏ"},
    ),
    (
        "CodeSystem/$lookup",
        {"system": PLACE, "code": "A", "date": "2025-01"},
        {"display": "Phường An Hòa", "version": "2025-06-30"},
    ),
    ("CodeSystem/$subsumes", {"system": COLOR, "codeA": "warm", "codeB": "red"}, "subsumes"),
    ("CodeSystem/color/$subsumes", {"codeA": "red", "codeB": "warm"}, "subsumed-by"),
    ("CodeSystem/$validate-code", {"url": COLOR, "code": "red"}, True),
    ("CodeSystem/$validate-code", {"url": COLOR, "code": "pink"}, False),
    ("CodeSystem/$validate-code", {"url": COLOR, "code": "red", "display": "Rot"}, False),
    ("CodeSystem/$validate-code", {"url": COLOR, "code": "warm"}, True),
    ("CodeSystem/$validate-code", {"url": COLOR, "code": "warm", "abstract": "false"}, False),
    ("CodeSystem/color/$validate-code", {"code": "red"}, True),
    ("CodeSystem/old/$validate-code", {"code": "B"}, True),
    ("CodeSystem/old/$validate-code", {"code": "D"}, False),
    ("CodeSystem/$validate-code", {"url": PLACE, "code": "B"}, False),
    ("CodeSystem/$validate-code", {"url": PLACE, "code": "B", "date": "2025-06-30"}, True),
    ("CodeSystem/$validate-code", {"url": PLACE, "code": "B", "version": "2025-06-30"}, True),
    ("ValueSet/$validate-code", {"url": BASE + "vs/color", "system": COLOR, "code": "red"}, True),
    ("ValueSet/$validate-code", {"url": BASE + "vs/color", "system": COLOR, "code": "blue"}, False),
    ("ValueSet/color/$validate-code", {"system": COLOR, "code": "red"}, True),
    (
        "ValueSet/place/$validate-code",
        {"system": PLACE, "code": "B", "date": "2024-01-01T08:00:00+07:00"},
        True,
    ),
    ("ConceptMap/$translate", {"system": PLACE, "code": "A"}, True),
    ("ConceptMap/place/$translate", {"system": PLACE, "code": "A"}, True),
    ("ConceptMap/$translate", {"url": BASE + "map", "system": PLACE, "code": "C"}, False),
    ("ConceptMap/$translate", {"system": COLOR, "code": "red"}, False),
    ("ConceptMap/$translate", {"system": PLACE, "code": "D", "reverse": "true"}, True),
]


@pytest.mark.parametrize(("path", "given", "expected"), ANSWERED)
async def test_an_operation_answers(asked, path, given, expected) -> None:
    found = said(await asked(path, given))
    match expected:
        case bool():
            assert found["result"] is expected
            assert expected or found["message"]
        case str():
            assert found["outcome"] == expected
        case _:
            assert expected.items() <= found.items()


async def test_a_code_of_another_time_is_told_with_what_takes_its_place(asked) -> None:
    given = {"system": PLACE, "code": "B", "date": "2026-01-01"}
    message = said(await asked("ValueSet/place/$validate-code", given))["message"]
    assert message == (
        "The code `B` is not in force on 2026-01-01; it was of version `2025-06-30`, until"
        " 2025-06-30. In its place there is `A` (Phường Ninh Kiều), `D` (Phường Cái Răng)."
    )


async def test_a_translation_tells_its_relation_and_its_map(asked) -> None:
    found = said(await asked("ConceptMap/$translate", {"system": PLACE, "code": "A"}))["match"]
    assert found == {
        "equivalence": "wider",
        "concept": {
            "system": PLACE,
            "version": "2025-07-01",
            "code": "A",
            "display": "Phường Ninh Kiều",
        },
        "source": BASE + "map",
    }


async def test_an_expansion_is_paged_and_says_what_it_was_made_of(asked) -> None:
    pages = [
        (await asked("ValueSet/$expand", {"url": BASE + "vs/color", "count": 2, "offset": at})).json
        for at in (0, 2, 4)
    ]
    expansions = [page["expansion"] for page in pages]
    assert {page["resourceType"] for page in pages} == {"ValueSet"}
    assert {each["identifier"] for each in expansions} == {expansions[0]["identifier"]}
    assert [(each["total"], each["offset"]) for each in expansions] == [(5, 0), (5, 2), (5, 4)]
    codes = [one["code"] for each in expansions for one in each["contains"]]
    assert sorted(codes) == ["crimson", "orange", "red", "warm", "yellow"]
    assert {"name": "count", "valueInteger": 2} in expansions[0]["parameter"]


async def test_an_expansion_is_of_its_date_and_its_filter(asked) -> None:
    given = {"date": "2025-01-01", "filter": "binh", "includeDefinition": "true"}
    told = (await asked("ValueSet/place/$expand", given)).json
    assert told["compose"] == {"include": [{"system": PLACE}]}
    assert told["expansion"]["contains"] == [
        {"system": PLACE, "version": "2025-06-30", "code": "B", "display": "Xã Bình Thủy"}
    ]
    version = {"name": "version", "valueUri": f"{PLACE}|2025-06-30"}
    assert version in told["expansion"]["parameter"]


async def test_designations_come_where_they_are_asked_for(asked) -> None:
    given = {"url": BASE + "vs/color", "filter": "red", "designation": "urn:ietf:bcp:47|vi"}
    [red] = [
        each
        for each in (await asked("ValueSet/$expand", given)).json["expansion"]["contains"]
        if each["code"] == "red"
    ]
    assert red["designation"] == [{"language": "vi", "value": "Đỏ"}]


async def test_a_definition_may_come_with_the_request(client, asked) -> None:
    its = value_set(None, system(COLOR, "red", "blue"))
    del its["url"]
    bare = await client.post("/fhir/ValueSet/$expand", its)
    assert [each["code"] for each in bare.json["expansion"]["contains"]] == ["red", "blue"]
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "valueSet", "resource": its},
            {
                "name": "codeableConcept",
                "valueCodeableConcept": {
                    "coding": [
                        {"system": COLOR, "code": "yellow"},
                        {"system": COLOR, "code": "red", "display": "Red"},
                    ]
                },
            },
        ],
    }
    found = said(await client.post("/fhir/ValueSet/$validate-code", parameters))
    assert found == {"result": True, "display": "Red"}
    other = {**COLORS, "url": BASE + "other", "concept": [{"code": "new"}]}
    sent = await client.post("/fhir/CodeSystem/$validate-code?code=new", other)
    assert said(sent) == {"result": True}
    gone = await asked("CodeSystem/$validate-code", {"url": BASE + "other", "code": "new"})
    assert gone.status == 404


async def test_what_is_stored_counts_at_once_and_what_is_deleted_no_more(client, asked) -> None:
    given = {"url": COLOR, "code": "pink"}
    assert said(await asked("CodeSystem/$validate-code", given))["result"] is False
    pink = {**COLORS, "id": "color", "concept": [*COLORS["concept"], {"code": "pink"}]}
    await client.put("/fhir/CodeSystem/color", pink)
    assert said(await asked("CodeSystem/$validate-code", given))["result"] is True
    await client.delete("/fhir/CodeSystem/color")
    assert (await asked("CodeSystem/$validate-code", given)).status == 404


# where                        what is asked                                    status  issue code
REFUSED = [
    ("CodeSystem/$lookup", {}, 400, "invalid"),
    ("CodeSystem/$lookup", {"code": "red"}, 400, "invalid"),
    ("CodeSystem/$lookup", {"code": "red", "system": "x"}, 404, "not-found"),
    ("CodeSystem/$lookup", {"code": "pink", "system": COLOR}, 404, "not-found"),
    ("CodeSystem/$lookup", {"code": "red", "system": COLOR, "date": "soon"}, 400, "invalid"),
    ("CodeSystem/$lookup", {"coding": "red"}, 400, "invalid"),
    ("CodeSystem/color/$lookup", {"code": "red"}, 404, "not-supported"),
    ("CodeSystem/$subsumes", {"codeA": "red", "codeB": "red"}, 400, "invalid"),
    ("CodeSystem/$subsumes", {"codeA": "red", "system": COLOR}, 400, "invalid"),
    ("CodeSystem/$subsumes", {"codeA": "red", "codeB": "x", "system": COLOR}, 404, "not-found"),
    ("CodeSystem/$validate-code", {"code": "red"}, 400, "invalid"),
    ("CodeSystem/$validate-code", {"url": "x", "code": "red"}, 404, "not-found"),
    ("CodeSystem/$validate-code", {"url": COLOR, "code": "a", "abstract": "no"}, 400, "invalid"),
    ("CodeSystem/color/$validate-code", {"url": COLOR, "code": "red"}, 400, "invalid"),
    ("CodeSystem/none/$validate-code", {"code": "red"}, 404, "not-found"),
    (
        "CodeSystem/$validate-code",
        {"url": PLACE, "code": "A", "version": "1999"},
        422,
        "processing",
    ),
    ("ValueSet/$validate-code", {"url": BASE + "vs/color", "code": "red"}, 400, "invalid"),
    ("ValueSet/$validate-code", {"url": "x", "code": "red", "system": COLOR}, 404, "not-found"),
    ("ValueSet/$validate-code", {"context": "x", "code": "red"}, 400, "not-supported"),
    ("ValueSet/$expand", {}, 400, "invalid"),
    ("ValueSet/$expand", {"url": BASE + "nowhere"}, 404, "not-found"),
    ("ValueSet/$expand", {"url": BASE + "vs/color", "count": "-1"}, 400, "invalid"),
    ("ValueSet/$expand", {"url": BASE + "vs/color", "offset": "x"}, 400, "invalid"),
    ("ValueSet/$expand", {"url": BASE + "vs/color", "system-version": "x"}, 400, "invalid"),
    (
        "ValueSet/$expand",
        {"url": BASE + "vs/place", "check-system-version": f"{PLACE}|1999"},
        422,
        "processing",
    ),
    ("ValueSet/$expand", {"url": BASE + "vs/color", "context": "x"}, 400, "not-supported"),
    ("ValueSet/none/$expand", {}, 404, "not-found"),
    ("ConceptMap/$translate", {"code": "red"}, 400, "invalid"),
    ("ConceptMap/$translate", {"url": "x", "code": "a", "system": PLACE}, 404, "not-found"),
]


@pytest.mark.parametrize(("path", "given", "status", "code"), REFUSED)
async def test_a_question_that_cannot_be_answered_is_refused(
    asked, path, given, status, code
) -> None:
    answered = await asked(path, given)
    assert (answered.status, answered.issue["code"]) == (status, code), answered.body


async def test_a_grammar_that_cannot_be_listed_is_too_costly(client) -> None:
    its = {"resourceType": "ValueSet", "status": "active"}
    its["compose"] = {"include": [{"system": "urn:ietf:bcp:47"}]}
    answered = await client.post("/fhir/ValueSet/$expand", its)
    assert (answered.status, answered.issue["code"]) == (422, "too-costly")


async def test_a_dependency_makes_a_translation_hold(client) -> None:
    target = {
        "code": "x",
        "equivalence": "equal",
        "dependsOn": [{"property": "http://a.example/sex", "value": "f"}],
    }
    group = {"source": COLOR, "target": BASE, "element": [{"code": "red", "target": [target]}]}
    its = {"resourceType": "ConceptMap", "status": "active", "group": [group]}
    dependency = {
        "name": "dependency",
        "part": [
            {"name": "element", "valueUri": "http://a.example/sex"},
            {"name": "concept", "valueCodeableConcept": {"coding": [{"code": "f"}]}},
        ],
    }
    given = [
        {"name": "conceptMap", "resource": its},
        {"name": "coding", "valueCoding": {"system": COLOR, "code": "red"}},
    ]
    without = {"resourceType": "Parameters", "parameter": given}
    assert said(await client.post("/fhir/ConceptMap/$translate", without))["result"] is False
    with_it = {"resourceType": "Parameters", "parameter": [*given, dependency]}
    assert said(await client.post("/fhir/ConceptMap/$translate", with_it))["result"] is True
