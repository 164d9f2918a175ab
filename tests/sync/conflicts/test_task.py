"""The Task of a conflict: made once, valid, and read by a nurse."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key
from fhir_server.store.codec import digest_of
from fhir_server.store.contract import version_id
from fhir_server.sync.conflicts.conflict import Conflict, Side, differing, nearest
from fhir_server.sync.conflicts.saying import place_said, value_said
from fhir_server.sync.conflicts.task import described, ended, id_of, task_of
from fhir_server.sync.lineage import Known, Lineage
from fhir_server.sync.merging import ABSENT, UNKNOWN
from fhir_server.validation.knowledge import base_knowledge
from tests.interaction.conftest import parts

DEFINITIONS = parts()["definitions"]
HEAD = '<div xmlns="http://www.w3.org/1999/xhtml" lang="vi">'


def rev(count: int, text: str) -> str:
    digest = digest_of("Patient", text, (), deleted=True, resource=None)
    return version_id(count, digest)


BASE, ONE, OTHER = rev(1, "base"), rev(2, "one"), rev(2, "other")


def patient(**told):
    return {"resourceType": "Patient", "id": "an", **told}


def conflict(base, *heads, issues=()) -> Conflict:
    revs = [ONE, OTHER, rev(2, "third")]
    sides = tuple(Side(rev, head) for rev, head in zip(revs, heads, strict=False))
    bases = (Side(BASE, base),) if base is not None else ()
    return Conflict(Key("Patient", "an"), sides, bases, tuple(issues))


BORN = conflict(
    patient(birthDate="1980", gender="female"),
    patient(birthDate="1981", gender="female", telecom=[{"system": "phone", "value": "0901"}]),
    patient(birthDate="1982", gender="female", active=True),
)
DELETED = conflict(patient(gender="male"), patient(gender="female"), None)
# An id taken twice: there is no common version.
TWICE = conflict(None, patient(gender="male"), patient(gender="female"))
THREE = conflict(
    patient(gender="male"),
    patient(gender="female"),
    patient(gender="other"),
    patient(gender="unknown"),
)
INVALID = conflict(
    patient(gender="male"),
    patient(gender="female"),
    patient(gender="male", active=True),
    issues=[Issue("error", "invariant", "It needs a name.", vietnamese="Thiếu họ tên.")],
)
LABELLED = conflict(
    patient(meta={"security": [{"system": "urn:s", "code": "R"}], "versionId": "1"}),
    patient(gender="male", meta={"security": [{"system": "urn:s", "code": "V"}]}),
    patient(gender="female", name=[{"text": '<b> & "An" \u0001'}]),
)
ALL = {
    "born": BORN,
    "deleted": DELETED,
    "twice": TWICE,
    "three": THREE,
    "invalid": INVALID,
    "labelled": LABELLED,
}


@pytest.mark.parametrize("name", ALL)
def test_a_task_is_valid_when_it_begins_and_when_it_ends(name):
    validator = base_knowledge(DEFINITIONS).current.validator
    begun = task_of(DEFINITIONS, ALL[name], "Patient/an")
    for told in (
        begun,
        task_of(DEFINITIONS, ALL[name], None),
        ended(begun, ALL[name].key, rev(3, "chosen")),
        ended(begun, ALL[name].key, None),
    ):
        issues = validator.check(told)
        assert [one for one in issues if one.severity in ("error", "fatal")] == []


def test_it_names_all_heads_and_what_they_come_from_by_version():
    told = task_of(DEFINITIONS, BORN, "Patient/an")
    found = [
        (one["type"]["coding"][0]["code"], one["valueReference"]["reference"])
        for one in told["input"]
    ]
    assert found == [
        ("head", f"Patient/an/_history/{ONE}"),
        ("head", f"Patient/an/_history/{OTHER}"),
        ("base", f"Patient/an/_history/{BASE}"),
    ]
    assert (told["status"], told["focus"], told["for"]) == (
        "requested",
        {"reference": "Patient/an"},
        {"reference": "Patient/an"},
    )


def test_the_same_conflict_has_the_same_id_wherever_it_is_seen():
    key = Key("Patient", "an")
    assert id_of(key, [ONE, OTHER]) == id_of(key, [OTHER, ONE])
    assert id_of(key, [ONE, OTHER]) != id_of(key, [ONE, OTHER, BASE])
    assert id_of(key, [ONE, OTHER]) != id_of(Key("Patient", "binh"), [ONE, OTHER])
    assert re.fullmatch(r"[A-Za-z0-9.-]{1,64}", id_of(key, [ONE, OTHER]))


def test_it_is_told_the_same_each_time():
    assert task_of(DEFINITIONS, BORN, None) == task_of(DEFINITIONS, BORN, None)


def test_a_nurse_sees_what_is_apart_first_and_side_by_side():
    told = task_of(DEFINITIONS, BORN, None)
    div = told["text"]["div"]
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall("<tr>.*?</tr>", div)]
    assert div.startswith(HEAD)
    assert rows == [
        ["Mục", "Trước đó", "Bản 1", "Bản 2"],
        ["* ngày sinh", "1980", "1981", "1982"],
        ["điện thoại, thư (phone|0901)", "(không có)", "0901", "(không có)"],
        ["còn sử dụng", "(không có)", "(không có)", "có"],
    ]
    assert "ngày sinh" in told["description"] and "điện thoại" not in told["description"]


def test_what_was_deleted_at_one_place_and_changed_at_another_is_said():
    told = task_of(DEFINITIONS, DELETED, None)
    assert "một nơi đã xóa" in told["description"]
    assert "<td>giới tính</td><td>male</td><td>female</td><td>(đã xóa)</td>" in told["text"]["div"]


def test_why_a_merge_is_not_valid_is_said():
    vietnamese, english = described(INVALID, differing(DEFINITIONS, INVALID))
    assert "Thiếu họ tên." in vietnamese and "It needs a name." in english


def test_it_is_as_sensitive_as_what_it_shows():
    told = task_of(DEFINITIONS, LABELLED, None)
    assert told["meta"] == {
        "security": [{"system": "urn:s", "code": "V"}, {"system": "urn:s", "code": "R"}]
    }


def test_what_stands_in_a_resource_is_no_markup():
    div = task_of(DEFINITIONS, LABELLED, None)["text"]["div"]
    assert "<b>" not in div and "&lt;b&gt; &amp;" in div


def test_what_is_shown_is_bounded():
    many = [{"system": "urn:s", "value": f"{at}"} for at in range(100)]
    long = conflict(None, patient(identifier=many), patient(gender="male" * 1000))
    div = task_of(DEFINITIONS, long, None)["text"]["div"]
    assert div.count("<tr>") == 41 and "Còn 61 mục nữa" in div and len(div) < 20_000


VALUES = [
    (ABSENT, "(không có)"),
    (UNKNOWN, "(không rõ)"),
    (True, "có"),
    (Decimal("1.50"), "1.50"),
    ([{"family": "Nguyễn", "given": ["Văn", "An"]}], "Nguyễn Văn An"),
    ({"text": "Nguyễn An", "family": "Nguyễn"}, "Nguyễn An"),
    ({"value": Decimal("5.0"), "unit": "mmol/L"}, "5.0 mmol/L"),
    ({"comparator": "<", "value": 3}, "< 3"),
    ({"coding": [{"code": "I10", "display": "Tăng huyết áp"}]}, "Tăng huyết áp I10"),
    ({"coding": [{"code": "I10"}]}, "I10"),
    ({"line": ["12 Mậu Thân"], "city": "Phường Cái Khế"}, "12 Mậu Thân, Phường Cái Khế"),
    ({"start": "2026-01-01"}, "2026-01-01 – …"),
    ({"reference": "Patient/1"}, "Patient/1"),
    ({"url": "urn:x", "valueCode": "a"}, '{"url":"urn:x","valueCode":"a"}'),
    ("a" * 500, "a" * 199 + "…"),
    ({"text": ["of another type"]}, "of another type"),
    ({"value": {"deep": [None]}}, "{'deep': [None]}"),
]


@pytest.mark.parametrize(("value", "said"), VALUES, ids=range(len(VALUES)))
def test_a_value_is_said_as_people_read_it(value, said):
    assert value_said(value) == said


def test_a_place_is_said_in_vietnamese_where_there_is_a_word():
    assert place_said("Encounter.hospitalization.dischargeDisposition") == (
        "nhập, ra viện › dischargeDisposition"
    )
    assert (
        place_said("Patient.identifier.where(http://x.vn/sid/cccd|092)") == "số giấy tờ (cccd|092)"
    )


def test_the_base_of_three_is_what_all_of_them_follow():
    lineage = Lineage(
        {
            "1-a": Known(()),
            "2-b": Known(("1-a",)),
            "3-c": Known(("2-b",)),
            "3-d": Known(("2-b",)),
            "2-e": Known(("1-a",)),
        }
    )
    assert nearest(lineage, ["3-c", "3-d"]) == ["2-b"]
    assert nearest(lineage, ["3-c", "3-d", "2-e"]) == ["1-a"]
