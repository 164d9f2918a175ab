"""`$explain`: a search told from within, and nothing told that the caller may not know."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import resolving, search, update
from fhir_server.interaction.context import Asked
from fhir_server.search.telling import TELLERS, told
from fhir_server.store.contract import AnyOf, Condition, WordStarts, rid
from fhir_server.store.contract.reach import only
from tests.interaction.conftest import BASE, patient, within
from tests.interaction.conftest import told as read


def visit(id, of):
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": of},
        "period": {"start": "2026-01-05T00:30:00+07:00", "end": "2026-01-05T01:00:00+07:00"},
    }


WORLD = [
    patient("p", "Nguyễn", gender="female", birthDate="1990-01-01"),
    patient("q", "Trần", gender="male", birthDate="1980-01-01"),
    visit("e1", "Patient/p"),
    visit("e2", "Patient/q"),
    visit("e3", "Patient/p"),
]


async def explained(server, here, type, *pairs, method="GET", resource=None):
    asked = Asked("explain", method, type, pairs=list(pairs), resource=resource)
    answer = read(await server.operations.perform(server, asked, here))
    assert server.validator.check(answer) == []
    return [_plain(parameter) for parameter in answer["parameter"]]


def _plain(parameter):
    """(name, value), where the value of parts is their list."""
    if "part" in parameter:
        return parameter["name"], [_plain(part) for part in parameter["part"]]
    return parameter["name"], next(v for k, v in parameter.items() if k.startswith("value"))


def all_of(parts, name):
    return [value for each, value in parts if each == name]


def steps(answer):
    return {dict(step)["name"]: step for step in all_of(answer, "step")}


# of what       what is asked                          what is said of it
MEANINGS = [
    ("Patient", ("name", "Nguyễn"), "a word of `name` begins with `nguyen`, without its marks"),
    ("Patient", ("gender", "male"), "`gender` has one value"),
    ("Patient", ("identifier", "a,b,c"), "`identifier` has one of 3 values"),
    ("Patient", ("identifier", "urn:x|"), "`identifier` has any code of one system"),
    ("Patient", ("gender:not", "male"), "not (`gender` has one value)"),
    ("Patient", ("_id", "p,q"), "it is one of 2 resources known by id"),
    ("Patient", ("_lastUpdated", "gt2026-01-05"),
     "it was last changed at or after 2026-01-05T17:00:00.000Z"),
    ("Encounter", ("subject:Patient.name", "x"),
     "`subject` refers to some Patient of which: a word of `name` begins with `x`"),
    ("Patient", ("_has:Encounter:subject:status", "finished"),
     "some Encounter refers to it by `subject`, of which: `status` has one value"),
]  # fmt: skip


async def test_each_criterion_is_told_in_words(world, here):
    for type, pair, says in MEANINGS:
        answer = await explained(world, here, type, pair)
        (criterion,) = map(dict, all_of(answer, "understood"))
        assert (criterion["parameter"], criterion["value"]) == pair
        assert says in criterion["meaning"], pair


async def test_a_date_is_told_as_the_interval_it_stands_for(world, here):
    answer = await explained(world, here, "Encounter", ("date", "2026-01-05"))
    (criterion,) = map(dict, all_of(answer, "understood"))
    assert "begins at or after 2026-01-04T17:00:00.000Z" in criterion["meaning"]
    assert "before 2026-01-05T17:00:00.000Z" in criterion["meaning"]


def test_every_condition_there_is_can_be_told():
    assert set(get_args(Condition)) == set(TELLERS)


async def test_what_was_done_is_told_step_by_step(world, here):
    answer = await explained(
        world, here, "Encounter", ("status", "finished"), ("subject", "Patient/p"),
        ("_include", "Encounter:subject"), ("_total", "accurate"), ("_count", "1"),
    )  # fmt: skip
    told = dict(answer)
    assert told["query"].startswith(f"{BASE}/Encounter?status=finished&subject=Patient/p")
    assert told["order"] == "the main date of each type, newest first"
    assert told["include"] == "whatever each Encounter of the matches refers to by `subject`"
    by_name = steps(answer)
    assert next(iter(by_name)) == "understanding"
    assert dict(by_name["matches"])["found"] == 1
    assert dict(by_name["total"])["found"] == 2
    assert dict(by_name["includes"])["found"] == 1
    assert told["milliseconds"] >= dict(by_name["matches"])["milliseconds"] >= 0
    for name in ("matches", "total", "includes"):
        statements = [dict(one) for one in all_of(by_name[name], "statement")]
        assert statements, name
        assert all(one["text"].lower().startswith("select") for one in statements)
        assert any("use" in one for one in statements)
        assert all(one.get("rows-read", one.get("work")) is not None for one in statements)
    page = dict(all_of(by_name["matches"], "statement")[-1])
    assert page["rows-returned"] == 2  # one more than the page, to know of the next
    assert any("index_key" in use or "PRIMARY KEY" in use for use in all_of(
        all_of(by_name["matches"], "statement")[-1], "use"
    ))  # fmt: skip


async def test_a_walk_in_stretches_is_a_step_of_its_own(world, here, monkeypatch):
    monkeypatch.setattr(resolving, "FEW", 0)
    await update.update(world, update.Ask("Encounter", "e4", {
        **visit("e4", "Patient/p"), "partOf": {"reference": "Encounter/e1"},
    }), here)  # fmt: skip
    answer = await explained(world, here, "Encounter", ("part-of.status", "finished"))
    by_name = steps(answer)
    assert dict(by_name["stretches"])["found"] == 4  # so many were asked what they are part of
    texts = [dict(one)["text"] for one in all_of(by_name["stretches"], "statement")]
    assert len(texts) >= 2  # a page of all, and which of those they refer to are meant
    assert dict(by_name["matches"])["found"] == 1


async def test_no_value_stands_in_a_statement(world, here):
    secret = "Nguyễn-bí-mật-1234567"
    answer = await explained(world, here, "Patient", ("name", secret), ("identifier", secret))
    for step in all_of(answer, "step"):
        for statement in all_of(step, "statement"):
            for _, value in statement:
                assert "1234567" not in str(value)


async def test_who_may_not_see_all_is_told_no_statements(world, here):
    reach = only(owners=frozenset({rid(Key("Patient", "p"))}))
    mine = within(here, reach)
    answer = await explained(world, mine, "Encounter", ("status", "finished"))
    by_name = steps(answer)
    assert dict(by_name["matches"])["found"] == 2  # e2 is another's
    assert not any(all_of(step, "statement") for step in by_name.values())


async def test_the_whole_server_and_a_count_can_be_explained(world, here):
    answer = await explained(world, here, None, ("_type", "Patient,Encounter"), ("_count", "2"))
    assert all_of(answer, "type") == ["Patient", "Encounter"]
    answer = await explained(world, here, "Patient", ("_summary", "count"))
    assert dict(steps(answer)["total"])["found"] == 2
    assert "matches" not in steps(answer)


async def test_what_is_wrong_is_refused_as_in_a_search(world, here):
    with pytest.raises(FhirError, match="famly"):
        await explained(world, here, "Patient", ("famly", "x"))
    lenient = replace(here, strict=False)
    answer = await explained(world, lenient, "Patient", ("famly", "x"), ("name", "ngu"))
    (ignored,) = all_of(answer, "ignored")
    assert "famly" in ignored
    assert "left out" in ignored


async def test_parameters_may_be_posted(world, here):
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "gender", "valueCode": "male"},
            {"name": "active:missing", "valueBoolean": True},
            {"name": "_count", "valueInteger": 1},
        ],
    }
    answer = await explained(world, here, "Patient", method="POST", resource=body)
    assert dict(answer)["query"].endswith("Patient?gender=male&active:missing=true&_count=1")
    body["parameter"] = [{"name": "name", "valuePeriod": {"start": "2026"}}]
    with pytest.raises(Invalid, match="must be a text"):
        await explained(world, here, "Patient", method="POST", resource=body)


async def test_a_search_itself_is_no_place_for_it(world, here):
    with pytest.raises(FhirError, match=r"\$explain"):
        await search.search(world, search.Ask(("Patient",), [("_explain", "true")]), here)


async def test_a_search_is_answered_the_same_whether_or_not_it_is_watched(world, here):
    """And watching one leaves nothing behind for the next."""
    pairs = [("subject", "Patient/p"), ("_include", "Encounter:subject"), ("_sort", "date")]
    before = read(await search.search(world, search.Ask(("Encounter",), pairs), here))
    await explained(world, here, "Encounter", *pairs)
    after = read(await search.search(world, search.Ask(("Encounter",), pairs), here))
    assert before["entry"] == after["entry"]


def test_many_of_a_kind_are_not_all_told(server):
    many = AnyOf(tuple(WordStarts(1, f"w{n}") for n in range(50)))
    assert "45 more like these" in told(server.parameters, ("Patient",), many)
