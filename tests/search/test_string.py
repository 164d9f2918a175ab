"""string: text, found by the beginnings of its words."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported

from .ask import found, indexer, parameters, query

DUC = {"resourceType": "Patient", "name": [{"family": "Nguyễn", "given": ["Văn", "Đức"]}]}
HOA = {"resourceType": "Patient", "name": [{"text": "Trần Thị Hoà"}]}
CAN_THO = {
    "resourceType": "Patient",
    "address": [{"line": ["12 Trần Phú"], "district": "Ninh Kiều", "city": "Cần Thơ"}],
}
TWICE = {
    "resourceType": "Patient",
    "name": [{"text": "CB Nguyễn Bình", "family": "Nguyễn", "given": ["Bình"]}],
}
CLINIC = {"resourceType": "Organization", "name": "Trạm Y tế xã Tân Bình", "alias": ["Phòng khám"]}
PERCENT = {"resourceType": "Patient", "name": [{"family": "100%", "given": ["a_b"]}]}

# what is stored   what is asked           found?
TABLE = [
    (DUC, "name=nguyen", True),
    (DUC, "name=Nguyễn", True),
    (DUC, "name=NGUY", True),
    (DUC, "name=guyen", False),
    (DUC, "name=duc nguyen", True),
    (DUC, "name=duc tran", False),
    (DUC, "name=tran,duc", True),
    (DUC, "family=van", False),
    (DUC, "given=van", True),
    (DUC, "given=van&family=nguyen", True),
    (DUC, "given=van&family=tran", False),
    (DUC, "phonetic=nguyen", True),
    (HOA, "name=hòa", True),
    (HOA, "name=hoa", True),
    (HOA, "family=tran", False),
    (CAN_THO, "address=can tho", True),
    (CAN_THO, "address=12 tran phu", True),
    (CAN_THO, "address-city=can", True),
    (CAN_THO, "address-city=ninh", False),
    (PERCENT, "family=%2500", False),
    (PERCENT, "family=100", True),
    (PERCENT, "given=a_", True),
    (PERCENT, "given=a_c", False),
    # what family and given say is not said again under name, and is found all the same
    (DUC, "name=van", True),
    (DUC, "phonetic=van duc", True),
    (DUC, "family=duc", False),
    (DUC, "given=nguyen", False),
    (TWICE, "name=binh", True),
    (TWICE, "name=nguyen binh", True),
    (TWICE, "family=binh", False),
    (TWICE, "given=cb", False),
    (TWICE, "name=cb", True),
    (CAN_THO, "address=ninh can tho", True),
    (CAN_THO, "address-city=phu", False),
    (CAN_THO, "address-state=can", False),
    (CAN_THO, "address-state:missing=true", True),
    (CAN_THO, "address:missing=false", True),
    (CLINIC, "name=xa tan", True),
    (CLINIC, "name=kham", True),
    (CLINIC, "phonetic=xa", True),
    (CLINIC, "phonetic=kham", False),
    (DUC, "name:missing=true", False),
    (DUC, "name:missing=false", True),
    (DUC, "phonetic:missing=false", True),
    ({"resourceType": "Patient", "name": [{"family": "—"}]}, "name:missing=true", False),
    ({"resourceType": "Patient", "name": [{"use": "usual"}]}, "name:missing=true", False),
    ({"resourceType": "Patient", "name": [{"given": [None]}]}, "name:missing=true", False),
    ({"resourceType": "Patient", "name": [{"given": [None]}]}, "given:missing=true", True),
    (DUC, "address:missing=true", True),
    ({"resourceType": "Patient", "name": [{"family": "—"}]}, "family:missing=true", False),
    ({"resourceType": "Patient", "name": [{"given": [None, "An"]}]}, "given=an", True),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_value_is_found_by_the_beginnings_of_its_words(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


def test_a_word_stands_once_in_the_index_and_under_its_narrowest_parameter() -> None:
    rows = indexer().rows(TWICE | {"address": [{"city": "Cần Thơ", "text": "Ấp 3, Cần Thơ"}]})
    told = {parameter.number: parameter.code for parameter in parameters().of("Patient").values()}
    assert sorted((row.word, told[row.param]) for row in rows.strings) == [
        ("3", "address"),
        ("ap", "address"),
        ("binh", "given"),
        ("can", "address-city"),
        ("cb", "phonetic"),
        ("nguyen", "family"),
        ("tho", "address-city"),
    ]
    assert all(row.dominant for row in rows.keys)


def test_no_parameter_leaves_words_to_itself_or_to_one_that_finds_more() -> None:
    for type in parameters().definitions.resource_types:
        of = parameters().of(type)
        numbers = {parameter.number: parameter for parameter in of.values()}
        for parameter in of.values():
            assert parameter.number not in parameter.also
            for number in parameter.also:
                assert numbers[number].elsewhere < parameter.elsewhere
                assert {path.steps for path in numbers[number].paths} <= parameter.elsewhere


def test_a_value_without_letters_is_refused() -> None:
    with pytest.raises(Invalid, match="a letter or a digit"):
        query("Patient", "name=%25%25")


def test_too_many_words_are_refused_with_the_bound() -> None:
    with pytest.raises(Invalid, match="at most 50"):
        query("Patient", "name=" + " ".join(f"w{n}" for n in range(60)))


@pytest.mark.parametrize("modifier", ["exact", "contains", "text"])
def test_modifiers_to_come_are_refused_by_name(modifier) -> None:
    with pytest.raises(NotSupported, match=rf"`name:{modifier}` is not supported yet"):
        query("Patient", f"name:{modifier}=x")
