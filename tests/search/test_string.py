"""string: text, found by the beginnings of its words."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported

from .ask import found, query

DUC = {"resourceType": "Patient", "name": [{"family": "Nguyễn", "given": ["Văn", "Đức"]}]}
HOA = {"resourceType": "Patient", "name": [{"text": "Trần Thị Hoà"}]}
CAN_THO = {
    "resourceType": "Patient",
    "address": [{"line": ["12 Trần Phú"], "district": "Ninh Kiều", "city": "Cần Thơ"}],
}
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
    (DUC, "name:missing=true", False),
    (DUC, "address:missing=true", True),
    ({"resourceType": "Patient", "name": [{"family": "—"}]}, "family:missing=true", False),
    ({"resourceType": "Patient", "name": [{"given": [None, "An"]}]}, "given=an", True),
]


@pytest.mark.parametrize(("resource", "text", "is_found"), TABLE)
def test_a_value_is_found_by_the_beginnings_of_its_words(resource, text, is_found) -> None:
    assert found(resource, text) is is_found


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
