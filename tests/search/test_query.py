"""query: a search URL, understood or refused."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, NotSupported
from fhir_server.search.criteria import NOT_YET
from fhir_server.search.result import RESULT
from fhir_server.store.contract import AllOf, AnyOf, RidIn

from .ask import found, query


def test_result_parameters_are_understood_and_told_in_the_self_link() -> None:
    asked = query(
        "Patient",
        "_count=20&_total=accurate&_summary=data&_elements=name,birthDate&_format=json"
        "&_pretty=true"
        "&_cursor=abc&gender=male",
    )
    assert (asked.count, asked.total, asked.summary, asked.cursor) == (
        20,
        "accurate",
        "data",
        "abc",
    )
    assert asked.elements == ("name", "birthDate")
    assert asked.has_criteria
    assert [name for name, _ in asked.used] == [
        "_count", "_total", "_summary", "_elements", "_format", "_pretty", "_cursor", "gender",
    ]  # fmt: skip


def test_nothing_asked_is_everything() -> None:
    asked = query("Patient", "")
    assert (asked.where, asked.count, asked.has_criteria, asked.locks) == (AllOf(), 50, False, ())


def test_a_page_is_never_larger_than_allowed_and_the_self_link_says_so() -> None:
    assert query("Patient", "_count=9999").used == (("_count", "1000"),)
    assert query("Patient", "_count=0").count == 0
    assert query("Patient", "", page_size=5000).count == 1000


# of what   what is asked                         what the refusal says
REFUSED = [
    ("Patient", "shoe=43", "`shoe` is not a search parameter of Patient. There are `active`, "),
    ("Patient", "shoe=43", "`_tag`; `metadata` tells of each."),
    ("Patient", "brithdate=2000", "Did you mean `birthdate`?"),
    ("Patient", "_cuont=2", "Did you mean `_count`?"),
    ("Patient", "Name=x", "Did you mean `name`?"),
    ("Patient", "_count=-1", "a whole number"),
    ("Patient", "_count=x", "a whole number"),
    ("Patient", "_count=5&_count=6", "more than once"),
    ("Patient", "_total=some", "`none`, `estimate`, `accurate`"),
    ("Patient", "_summary=short", "`count`"),
    ("Patient", "_elements=name,,x", "names of elements"),
    ("Patient", "_type=Patient", "for searches of the whole server"),
    ("", "_type=Patient,Shoe", "no resource type of R4"),
    ("", "_type=Patiant", "Did you mean `Patient`?"),
    ("", "name=x", "not a search parameter of all types"),
    ("Patient,Encounter", "name=x", "not a search parameter of Patient and Encounter"),
    ("Patient", "name=", "has no value"),
    ("Patient", "name=%20", "has no value"),
    ("Patient", "_id=a/b", "An id is 1 to 64"),
    ("Patient", "name=" + "x" * 9000, "at most 8192"),
    ("Patient", "identifier=" + ",".join(map(str, range(501))), "at most 500"),
    ("Patient", "&".join(f"name=x{n}" for n in range(101)), "at most 100"),
    ("Patient", "age=5", "not a search parameter"),
    ("Patient", "' or 1=1 --=x", "not a search parameter"),
    ("Patient", "=x", "not a search parameter"),
]  # fmt: skip


@pytest.mark.parametrize(("type", "text", "says"), REFUSED)
def test_what_is_wrong_is_refused_naming_what_would_be_right(type, text, says) -> None:
    with pytest.raises(Invalid) as refusal:
        query(type, text)
    assert says in refusal.value.issues[0].diagnostics
    assert refusal.value.status == 400


@pytest.mark.parametrize("text", [f"{code}=x" for code in NOT_YET])
def test_what_is_to_come_is_refused_as_not_supported_yet(text) -> None:
    with pytest.raises(NotSupported, match="supported yet"):
        query("Patient", text)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        query("Patient", "shoe=1&birthdate=soon&name=ly&_sort=x")
    assert [issue.expression for issue in refusal.value.issues] == [
        "http.shoe", "http.birthdate", "http._sort",
    ]  # fmt: skip
    assert {issue.severity for issue in refusal.value.issues} == {"error"}


def test_under_lenient_handling_what_is_wrong_is_left_out_and_told() -> None:
    asked = query("Patient", "shoe=1&birthdate=soon&name=ly&_sort=x&_count=y", strict=False)
    assert asked.used == (("name", "ly"),)
    assert [issue.expression for issue in asked.ignored] == [
        "http.shoe", "http.birthdate", "http._sort", "http._count",
    ]  # fmt: skip
    assert {issue.severity for issue in asked.ignored} == {"warning"}
    assert all("left out" in issue.diagnostics for issue in asked.ignored)
    assert asked.count == 50


def test_the_whole_server_is_asked_by_what_all_types_have() -> None:
    asked = query("", "_tag=urn:a|x&_lastUpdated=ge2024")
    assert asked.types == ()
    asked = query("", "_id=1&_type=Patient,Observation&_count=3")
    assert asked.types == ("Patient", "Observation")
    assert isinstance(asked.where, RidIn)
    assert len(asked.where.rids) == 2


def test_repeats_narrow_and_commas_widen() -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"value": "a"}, {"value": "b"}],
    }
    assert found(patient, "identifier=a&identifier=b")
    assert not found(patient, "identifier=a&identifier=c")
    assert found(patient, "identifier=c,b")


@pytest.mark.parametrize(
    ("text", "is_found"),
    [("_id=1", True), ("_id=2", False), ("_id=2,1", True), ("_id:not=1", False),
     ("_id:missing=true", False), ("_id:missing=false", True),
     ("_lastUpdated:missing=true", False)],
)  # fmt: skip
def test_an_id_is_found_by_itself(text, is_found) -> None:
    assert found({"resourceType": "Patient", "id": "1"}, text) is is_found


def test_what_is_fixed_holds_besides() -> None:
    fixed = RidIn((7,))
    assert query("Patient", "", fixed=fixed).where == fixed
    assert fixed in query("Patient", "gender=male", fixed=fixed).where.conditions


def test_values_of_one_parameter_are_one_flat_list() -> None:
    where = query("Observation", "subject=1,2,3").where
    assert isinstance(where, AnyOf)
    assert len(where.conditions) == 3 * 4


def test_questions_about_one_identifier_have_a_lock_in_common() -> None:
    one = query("Patient", "identifier=urn:a|1").locks
    assert len(one) == 1
    assert one == query("Patient", "identifier=urn:a|1&active=true").locks
    assert set(one) < set(query("Patient", "identifier=urn:a|1,urn:a|2").locks)
    assert one != query("Person", "identifier=urn:a|1").locks
    assert all(0 <= lock < 2**63 for lock in one)


def test_other_questions_have_one_lock_whatever_their_order() -> None:
    one = query("Patient", "name=ly&birthdate=2000&_count=2").locks
    assert len(one) == 1
    assert one == query("Patient", "birthdate=2000&name=ly").locks
    assert one != query("Patient", "birthdate=2000").locks


def test_every_result_parameter_has_its_reader() -> None:
    assert not RESULT & NOT_YET.keys()
