"""test_fhirpath_patch — each operation does what R4 says, or is refused by its number.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import FhirError, Invalid, Unprocessable
from fhir_server.interaction.fhirpath_patch import apply
from fhir_server.interaction.json_patch import MAX_OPERATIONS

R4 = load()
TEXTS = {"type": "valueCode", "path": "valueString", "name": "valueString"}


def op(type: str, path: str, value: Any = None, **parts: Any) -> dict[str, Any]:
    """An operation; `value` is `{"valueDate": ...}` or a list of parts."""
    told = {"type": type, "path": path, **parts}
    part = [{"name": n, TEXTS.get(n, "valueInteger"): told[n]} for n in told]
    if value is not None:
        part.append({"name": "value", **({"part": value} if isinstance(value, list) else value)})
    return {"name": "operation", "part": part}


def patch(*operations: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def identifiers(*values: str) -> dict[str, Any]:
    return {"identifier": [{"system": "urn:s", "value": value} for value in values]}


CONTACT = {"contact": [{"name": {"text": "a"}, "gender": "male"}]}
EXTENDED = {"birthDate": "1990", "_birthDate": {"extension": [{"url": "u", "valueCode": "c"}]}}
IDENTIFIER = {"valueIdentifier": {"system": "urn:s", "value": "3"}}
GIVEN = {"name": [{"given": ["a", "b", "c"], "_given": [None, {"id": "b"}, None]}]}
EXTENSION = [{"name": "url", "valueUri": "u"}, {"name": "value", "valueCode": "c"}]
PARTS_OF_CONTACT = [
    {"name": "name", "valueHumanName": {"text": "Mẹ"}},
    {"name": "telecom", "valueContactPoint": {"value": "1"}},
    {"name": "telecom", "valueContactPoint": {"value": "2"}},
]

# the Patient, the operations, the result
WORKS: list[tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = [
    ({"birthDate": "1920"}, [], {"birthDate": "1920"}),
    (
        {"birthDate": "1920"},
        [op("replace", "Patient.birthDate", {"valueDate": "1930"})],
        {"birthDate": "1930"},
    ),
    ({"birthDate": "1920"}, [op("delete", "Patient.birthDate")], {}),
    ({}, [op("delete", "Patient.birthDate")], {}),
    ({}, [op("add", "Patient", {"valueDate": "1930"}, name="birthDate")], {"birthDate": "1930"}),
    (
        CONTACT,
        [op("replace", "Patient.contact[0].gender", {"valueCode": "female"})],
        {"contact": [{"name": {"text": "a"}, "gender": "female"}]},
    ),
    # what a deletion leaves empty goes with it
    (CONTACT, [op("delete", "Patient.contact.name.text")], {"contact": [{"gender": "male"}]}),
    (CONTACT, [op("delete", "Patient.contact[0]")], {}),
    (
        {"contact": [{"name": {"text": "a"}}]},
        [op("delete", "Patient.contact[0].name.text")],
        {},
    ),
    (
        {"contact": [{"name": {"text": "a"}}]},
        [op("add", "Patient.contact[0]", {"valueCode": "male"}, name="gender")],
        CONTACT,
    ),
    (
        {},
        [op("add", "Patient", {"valueCodeableConcept": {"text": "m"}}, name="maritalStatus")],
        {"maritalStatus": {"text": "m"}},
    ),
    (
        {},
        [op("add", "Patient", PARTS_OF_CONTACT, name="contact")],
        {"contact": [{"name": {"text": "Mẹ"}, "telecom": [{"value": "1"}, {"value": "2"}]}]},
    ),
    (
        identifiers("1", "2"),
        [op("add", "Patient", IDENTIFIER, name="identifier")],
        identifiers(*"123"),
    ),
    (
        identifiers("1", "2"),
        [op("insert", "Patient.identifier", IDENTIFIER, index=2)],
        identifiers(*"123"),
    ),
    (
        identifiers("1", "2"),
        [op("insert", "Patient.identifier", IDENTIFIER, index=0)],
        identifiers(*"312"),
    ),
    ({}, [op("insert", "Patient.identifier", IDENTIFIER, index=0)], identifiers("3")),
    (identifiers(*"123"), [op("delete", "Patient.identifier[1]")], identifiers(*"13")),
    (
        identifiers(*"123"),
        [op("delete", "Patient.identifier.where(value = '2')")],
        identifiers(*"13"),
    ),
    (
        identifiers(*"1234"),
        [op("move", "Patient.identifier", source=3, destination=1)],
        identifiers(*"1423"),
    ),
    (
        identifiers(*"1234"),
        [op("move", "Patient.identifier", source=0, destination=3)],
        identifiers(*"2341"),
    ),
    (
        identifiers(*"1234"),
        [
            op("move", "Patient.identifier", source=1, destination=0),
            op("move", "Patient.identifier", source=3, destination=2),
        ],
        identifiers(*"2143"),
    ),
    # choices are named without their type, and may change it
    (
        {"deceasedBoolean": True},
        [op("replace", "Patient.deceased", {"valueDateTime": "2024"})],
        {"deceasedDateTime": "2024"},
    ),
    (
        {},
        [op("add", "Patient", {"valueBoolean": True}, name="deceased")],
        {"deceasedBoolean": True},
    ),
    # the repetitions of a primitive keep what stands beside them
    (
        GIVEN,
        [op("move", "Patient.name[0].given", source=1, destination=0)],
        {"name": [{"given": ["b", "a", "c"], "_given": [{"id": "b"}, None, None]}]},
    ),
    (
        GIVEN,
        [op("delete", "Patient.name[0].given[1]")],
        {"name": [{"given": ["a", "c"]}]},
    ),
    (
        EXTENDED,
        [op("delete", "Patient.birthDate.extension('u')")],
        {"birthDate": "1990"},
    ),
    (
        {"birthDate": "1990"},
        [op("add", "Patient.birthDate", EXTENSION, name="extension")],
        EXTENDED,
    ),
    (EXTENDED, [op("replace", "Patient.birthDate", {"valueDate": "1"})], {"birthDate": "1"}),
    (
        {},
        [op("add", "Patient", {"_valueDate": {"id": "x"}}, name="birthDate")],
        {"_birthDate": {"id": "x"}},
    ),
    (
        {},
        [op("add", "Patient", {"resource": {"resourceType": "Basic"}}, name="contained")],
        {"contained": [{"resourceType": "Basic"}]},
    ),
    (
        {
            "contained": [{"resourceType": "Basic", "id": "b"}],
            "managingOrganization": {"reference": "#b"},
        },
        [op("add", "Patient.managingOrganization.resolve()", {"valueCode": "vi"}, name="language")],
        {
            "contained": [{"resourceType": "Basic", "id": "b", "language": "vi"}],
            "managingOrganization": {"reference": "#b"},
        },
    ),
]

DATE = {"valueDate": "1990"}
REFUSED: list[tuple[dict[str, Any], Any, type[FhirError], str]] = [
    ({}, op("spam", "Patient"), Invalid, "`type` must be one of"),
    ({}, {"name": "operation"}, Invalid, "with parts"),
    ({}, {"name": "op", "part": []}, Invalid, "named `operation`"),
    ({}, op("add", "Patient", DATE), Invalid, "`add` needs the part `name`"),
    ({}, op("add", "Patient", name="birthDate"), Invalid, "needs the part `value`"),
    ({}, op("insert", "Patient.name", DATE), Invalid, "needs the part `index`"),
    ({}, op("move", "Patient.name", source=1), Invalid, "needs the part `destination`"),
    ({}, op("delete", "Patient.", shoe=1), Invalid, "`shoe` is no part"),
    ({}, op("delete", "Patient."), Invalid, "a name is missing"),
    ({}, op("delete", "%none"), Invalid, "no variable"),
    ({}, op("delete", "Patient.name.foo()"), Invalid, "no function"),
    (
        {},
        op("add", "Patient.name[0]", {"valueString": "x"}, name="family"),
        Unprocessable,
        "nothing",
    ),
    ({}, op("replace", "Patient.birthDate", DATE), Unprocessable, "nothing that is there"),
    ({"birthDate": "1"}, op("add", "Patient", DATE, name="birthDate"), Unprocessable, "already"),
    (
        {"deceasedBoolean": True},
        op("add", "Patient", {"valueDateTime": "1990"}, name="deceased"),
        Unprocessable,
        "`Patient.deceasedBoolean` is there already",
    ),
    (
        {},
        op("add", "Patient", DATE, name="shoe"),
        Unprocessable,
        "`shoe` is no element of `Patient`",
    ),
    (
        {},
        op("add", "Patient", {"valueString": "1"}, name="birthDate"),
        Unprocessable,
        "`valueDate`",
    ),
    ({}, op("add", "Patient", {"valueString": "1"}, name="contact"), Unprocessable, "`part`s"),
    ({}, op("add", "Patient", [{"name": "a"}], name="birthDate"), Unprocessable, "`valueDate`"),
    ({}, op("add", "Patient", [{"name": "shoe"}], name="contact"), Unprocessable, "no element"),
    ({}, op("add", "Patient", [], name="contact"), Invalid, "not empty"),
    ({}, op("add", "Patient", {**DATE, "valueCode": "x"}, name="gender"), Invalid, "one of"),
    ({}, op("add", "Patient", {"valueShoe": 1}, name="gender"), Unprocessable, "`valueCode`"),
    ({}, op("add", "'x'", DATE, name="value"), Unprocessable, "of the resource itself"),
    ({}, op("delete", "today()"), Unprocessable, "of the resource itself"),
    ({}, op("delete", "Patient"), Unprocessable, "the whole resource"),
    ({}, op("replace", "Patient", DATE), Unprocessable, "the whole resource"),
    (
        {"birthDate": "1"},
        op("add", "Patient.birthDate", DATE, name="value"),
        Unprocessable,
        "no element",
    ),
    (identifiers(*"12"), op("delete", "Patient.identifier"), Unprocessable, "2 elements"),
    (
        identifiers(*"12"),
        op("replace", "Patient.identifier", IDENTIFIER),
        Unprocessable,
        "2 elements",
    ),
    (
        identifiers(*"12"),
        op("insert", "Patient.identifier", IDENTIFIER, index=3),
        Unprocessable,
        "3",
    ),
    (
        identifiers(*"12"),
        op("insert", "Patient.identifier", IDENTIFIER, index=-1),
        Unprocessable,
        "-1",
    ),
    (
        identifiers(*"12"),
        op("insert", "Patient.identifier[0]", IDENTIFIER, index=0),
        Unprocessable,
        "whole list",
    ),
    (
        identifiers(*"12"),
        op("move", "Patient.identifier", source=2, destination=0),
        Unprocessable,
        "2",
    ),
    (
        identifiers(*"12"),
        op("move", "Patient.identifier", source=0, destination=2),
        Unprocessable,
        "2",
    ),
    ({}, op("move", "Patient.identifier", source=0, destination=0), Unprocessable, "0 elements"),
    (
        {"gender": "x"},
        op("insert", "Patient.gender", {"valueCode": "y"}, index=0),
        Unprocessable,
        "repeat",
    ),
    ({}, op("insert", "Patient.shoe", {"valueCode": "y"}, index=0), Unprocessable, "no list"),
    ({}, op("delete", "Patient.repeat($this)" + ".descendants()" * 200), Invalid, "steps deep"),
]


def patient(content: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Patient", **content}


@pytest.mark.parametrize(("content", "operations", "result"), WORKS)
def test_the_operations_are_done_in_order(
    content: dict[str, Any], operations: list[dict[str, Any]], result: dict[str, Any]
) -> None:
    before = copy.deepcopy((content, operations))
    assert apply(R4, patient(content), patch(*operations)) == patient(result)
    assert (content, operations) == before


@pytest.mark.parametrize(("content", "operation", "kind", "told"), REFUSED)
def test_what_cannot_be_done_is_refused_by_the_operations_number(
    content: dict[str, Any], operation: Any, kind: type[FhirError], told: str
) -> None:
    before = copy.deepcopy(content)
    with pytest.raises(FhirError) as refusal:
        apply(R4, patient(content), patch(op("delete", "Patient.photo"), operation))
    assert refusal.type is kind
    assert told in str(refusal.value)
    assert "Operation 1 of the FHIRPath Patch" in str(refusal.value)
    assert refusal.value.issues[0].expression == "Parameters.parameter[1]"
    assert content == before


@pytest.mark.parametrize(
    "parameters", [{}, [], {"resourceType": "Basic"}, patch(*[op("delete", "x")] * 1001)]
)
def test_what_is_no_patch_is_refused(parameters: Any) -> None:
    assert MAX_OPERATIONS == 1000
    with pytest.raises(Invalid):
        apply(R4, patient({}), parameters)


def test_a_patch_cannot_dig_deeper_than_is_read() -> None:
    extension: list[Any] = [
        {"name": "url", "valueUri": "u"},
        {"name": "extension", "part": EXTENSION},
    ]
    path = "Patient" + ".extension" * 48
    deep: dict[str, Any] = {"url": "u", "valueCode": "x"}
    for _ in range(47):
        deep = {"url": "u", "extension": [deep]}
    with pytest.raises(Unprocessable) as refusal:
        apply(
            R4, patient({"extension": [deep]}), patch(op("add", path, extension, name="extension"))
        )
    assert "levels deep" in str(refusal.value)


names = st.sampled_from(["birthDate", "name", "contact", "deceased", "extension", "id", "shoe", ""])
paths = st.sampled_from(
    [
        "Patient",
        "Patient.name",
        "Patient.name[0]",
        "Patient.birthDate",
        "name.given",
        "$this",
        "1",
        "(",
        "Patient.birthDate.extension",
        "Patient.deceased",
        "descendants()",
        "Patient.name.given[0]",
    ]
)
values = st.sampled_from(
    [
        DATE,
        {"valueString": "x"},
        {"valueHumanName": {"family": "x"}},
        {"valueBoolean": None},
        {},
        PARTS_OF_CONTACT,
        {"valueHumanName": "x"},
        {"_valueDate": 1},
        [{"name": "name"}],
        {"part": 1},
    ]
)
operations = st.builds(
    op,
    st.sampled_from(["add", "insert", "delete", "replace", "move", "x"]),
    paths,
    values,
    name=names,
    index=st.integers(-1, 3),
    source=st.integers(-1, 3),
    destination=st.integers(-1, 3) | st.none() | st.text(),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(operations, max_size=5))
def test_no_patch_raises_anything_but_a_refusal_or_changes_its_argument(asked: list[Any]) -> None:
    whole = patient({**GIVEN, **EXTENDED, **CONTACT})
    before = copy.deepcopy((whole, asked))
    try:
        assert apply(R4, whole, patch(*asked))["resourceType"] == "Patient"
    except FhirError as refusal:
        assert refusal.status in (400, 422)
    assert (whole, asked) == before
