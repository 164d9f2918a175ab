"""string: text, found by the beginnings of its words."""

from __future__ import annotations

from unicodedata import normalize
from urllib.parse import quote

import pytest

from fhir_server.foundation.folding import fold
from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.index import MAX_WORDS
from fhir_server.search.kinds import string
from fhir_server.store.contract import FIRST, LAST, WHOLE_TEXT

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
COMMA = {"resourceType": "Patient", "name": [{"family": "a,b"}]}
SIGNS = {"resourceType": "Patient", "name": [{"family": "—"}]}
LONG = {
    "resourceType": "ValueSet",
    "description": " ".join(f"w{n:02}" for n in range(180)) + " and the end of it " + "x" * 1200,
}

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


def told(resource, type="Patient"):
    """The rows: parameter, word, and of which value: nothing, `first`, `last`, both or `middle`."""
    codes = {p.number: p.code for p in parameters().of(type).values()}
    flags = {0: "middle", FIRST: "first", LAST: "last", FIRST | LAST: "only"}
    return sorted(
        (
            codes[row.param & ~WHOLE_TEXT] + "*" * (row.param > WHOLE_TEXT),
            row.word,
            flags[row.whole & 3] if row.whole else "",
        )
        for row in indexer().rows(resource).strings
    )


def test_a_word_stands_once_in_the_index_and_under_its_narrowest_parameter() -> None:
    it = TWICE | {"address": [{"city": "Cần Thơ", "text": "Ấp 3, Cần Thơ"}]}
    assert told(it) == [
        ("address", "3", ""),
        ("address", "ap", ""),
        ("address*", "ap 3 can tho", "only"),
        ("address-city", "can", ""),
        ("address-city", "tho", ""),
        ("address-city*", "can tho", "only"),
        ("family", "nguyen", "only"),
        ("given", "binh", "only"),
        ("phonetic", "cb", ""),
        ("phonetic*", "cb nguyen binh", "only"),
    ]
    assert all(row.dominant for row in indexer().rows(it).keys)


def test_a_whole_value_stands_under_the_wider_parameter_only_where_no_narrower_has_it() -> None:
    same = {"resourceType": "Patient", "name": [{"text": "Đức", "given": ["Đức"]}]}
    assert told(same) == [("given", "duc", "only")]
    other = {"resourceType": "Patient", "name": [{"text": "ĐỨC", "given": ["Đức"]}]}
    assert told(other) == [("given", "duc", "only"), ("phonetic", "duc", "only")]
    for text, is_found in (("ĐỨC", True), ("Đức", True), ("đức", False)):
        assert found(other, f"name:exact={text}") is is_found
        assert found(other, f"given:exact={text}") is (text == "Đức")


# values                                                     first          last
ORDERS = [
    (["Bình"], "binh", "binh"),
    (["Đức", "An", "Bình"], "an", "duc"),
    (["Văn Đức", "Vạn"], "van", "van duc"),
    (["An", "Án", "Ăn"], "an", "an"),
    (["An", "An"], "an", "an"),
    (["—", "An"], "", "an"),
]


@pytest.mark.parametrize(("values", "first", "last"), ORDERS)
def test_the_smallest_and_the_greatest_value_of_a_parameter_are_marked(values, first, last) -> None:
    rows = indexer().rows({"resourceType": "Patient", "name": [{"given": values}]}).strings
    wholes = [row for row in rows if row.whole]
    assert [row.word for row in wholes if row.whole & FIRST] == [first]
    assert [row.word for row in wholes if row.whole & LAST] == [last]
    assert len(wholes) == len({row.whole >> 2 for row in wholes}) == len(set(values))
    ordered = sorted(wholes, key=lambda row: (row.word, row.whole >> 2))
    assert ordered[0].whole & FIRST
    assert ordered[-1].whole & LAST


def test_each_parameter_has_its_own_first_and_last() -> None:
    two = [{"family": "Lê", "given": ["An"]}, {"family": "Đỗ", "given": ["Yến"]}]
    assert told({"resourceType": "Patient", "name": two}) == [
        ("family", "do", "first"),
        ("family", "le", "last"),
        ("given", "an", "first"),
        ("given", "yen", "last"),
    ]


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


# what is stored   what is asked           found?
EXACT = [
    (DUC, "family:exact=Nguyễn", True),
    (DUC, "family:exact=nguyễn", False),
    (DUC, "family:exact=Nguyen", False),
    (DUC, "family:exact=Nguy", False),
    (DUC, "given:exact=Văn", True),
    (DUC, "given:exact=Văn Đức", False),
    (DUC, "name:exact=Đức", True),
    (DUC, "name:exact=Nguyễn Văn Đức", False),
    (DUC, "name:exact=Lý,Đức", True),
    (DUC, "phonetic:exact=Đức", True),
    (HOA, "name:exact=Trần Thị Hoà", True),
    (HOA, "name:exact=Trần Thị Hòa", False),
    (HOA, "name:exact=Hoà", False),
    (HOA, "name:exact=Trần  Thị Hoà", False),
    (TWICE, "name:exact=CB Nguyễn Bình", True),
    (TWICE, "name:exact=Bình", True),
    (CAN_THO, "address:exact=Cần Thơ", True),
    (CAN_THO, "address:exact=12 Trần Phú", True),
    (CAN_THO, "address-city:exact=Cần Thơ", True),
    (CAN_THO, "address-city:exact=Ninh Kiều", False),
    (CLINIC, "name:exact=Phòng khám", True),
    (PERCENT, "family:exact=100%25", True),
    (PERCENT, "family:exact=100", False),
    (PERCENT, "given:exact=a_b", True),
    (PERCENT, "given:exact=a b", False),
    (COMMA, "family:exact=a\\,b", True),
    (COMMA, "family:exact=a,b", False),
    (SIGNS, "family:exact=—", True),
    (SIGNS, "family:exact=…", False),
    (LONG, f"description:exact={quote(LONG['description'])}", True),
    (LONG, f"description:exact={quote(LONG['description'] + '!')}", False),
    (LONG, f"description:exact={quote(LONG['description'][:-1])}", False),
]
CONTAINED = [
    (DUC, "family:contains=guyễ", True),
    (DUC, "family:contains=GUYE", True),
    (DUC, "family:contains=guyet", False),
    (DUC, "given:contains=guye", False),
    (DUC, "name:contains=uc", True),
    (DUC, "phonetic:contains=uc", True),
    (DUC, "name:contains=an,zz", True),
    (DUC, "name:contains=an d", False),
    (HOA, "name:contains=an thi", True),
    (HOA, "name:contains=thị hòa", True),
    (HOA, "name:contains=hoa thi", False),
    (HOA, "name:contains=ran th", True),
    (TWICE, "name:contains=cb ng", True),
    (TWICE, "name:contains=yen bi", True),
    (TWICE, "given:contains=yen bi", False),
    (CAN_THO, "address:contains=n th", True),
    (CAN_THO, "address:contains=phu ninh", False),
    (CAN_THO, "address-city:contains=an t", True),
    (PERCENT, "family:contains=%25", None),
    (PERCENT, "family:contains=0", True),
    (PERCENT, "given:contains=a_b", True),
    (PERCENT, "given:contains=a%25b", True),
    (PERCENT, "given:contains=a_c", False),
    (PERCENT, "given:contains=__", None),
    (LONG, "description:contains=end of", True),
    (LONG, "description:contains=w30 w31", True),
    (LONG, "description:contains=w99 w98", False),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), EXACT)
def test_exact_is_the_whole_value_with_its_case_and_accents(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


@pytest.mark.parametrize(("resource", "text", "is_found"), CONTAINED)
def test_contains_is_anywhere_in_one_value_without_case_and_accents(
    resource, text, is_found
) -> None:
    if is_found is None:
        with pytest.raises(Invalid, match="a letter or a digit"):
            found(resource, text)
    else:
        assert found(resource, text) is is_found


@pytest.mark.parametrize("at", range(0, 1900, 37))
def test_what_a_long_value_contains_is_found_wherever_it_stands(at) -> None:
    folded = fold(LONG["description"])
    asked = folded[at : at + string.CONTAINED].strip()
    assert found(LONG, f"description:contains={quote(asked)}")


def test_contains_is_given_no_more_than_it_is_sure_to_find() -> None:
    query("Patient", "name:contains=" + "a" * string.CONTAINED)
    with pytest.raises(Invalid, match=f"at most {string.CONTAINED}"):
        query("Patient", "name:contains=" + "a b" * string.CONTAINED)


def test_a_very_long_value_leaves_a_bounded_number_of_rows() -> None:
    rows = indexer().rows({"resourceType": "ValueSet", "description": "từ " * 100_000}).strings
    assert len(rows) <= 2 * MAX_WORDS
    assert all(len(row.word) <= 128 for row in rows)


@pytest.mark.parametrize("modifier", ["text", "in", "not", "of-type", "above"])
def test_modifiers_of_other_kinds_are_refused_by_name(modifier) -> None:
    with pytest.raises((NotSupported, Invalid), match=rf":{modifier}`"):
        query("Patient", f"name:{modifier}=x")


def test_texts_that_differ_only_in_marks_have_other_digests() -> None:
    texts = {"Đức", "đức", "Đực", "Duc", "Dức", "DUC"}
    assert len({string.digest(text) for text in texts}) == len(texts)
    assert all(0 < string.digest(text) < 1 << 28 for text in texts)
    assert string.digest(normalize("NFD", "Đức")) == string.digest(normalize("NFC", "Đức"))
