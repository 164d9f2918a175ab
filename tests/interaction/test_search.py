"""https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete
from tests.interaction.conftest import asked, ids, link, patient, put

CONTACT = [{"system": "other", "value": "0900"}]  # R4 cpt-2: a value has a system
PEOPLE = [
    patient("a", "Nguyễn", gender="male", birthDate="1990-05-17", active=True),
    patient("b", "Đặng", gender="female", birthDate="1991", telecom=CONTACT),
    patient("c", "Dang", birthDate="1990-05", identifier=[{"system": "u", "value": "X-1"}]),
]

# what is asked                                       who is found
QUESTIONS = [
    ([("family", "nguyen")], "a"),
    ([("family", "dang")], "bc"),
    ([("name", "Đặ")], "bc"),
    ([("gender", "male,female")], "ab"),
    ([("gender", "male"), ("family", "dang")], ""),
    ([("identifier", "u|X-1")], "c"),
    ([("identifier", "X-1")], "c"),
    ([("identifier", "u|")], "c"),
    ([("identifier", "|X-1")], ""),
    ([("identifier", "u|x-1")], ""),
    ([("birthdate", "1990")], "ac"),
    ([("birthdate", "1990-05-17")], "a"),
    ([("birthdate", "ge1991")], "b"),
    ([("birthdate", "lt1991")], "ac"),
    ([("active", "true")], "a"),
    ([("phone", "0900")], ""),
    ([("telecom", "0900")], "b"),
    ([("_id", "a,c")], "ac"),
    ([("_lastUpdated", "gt2000")], "abc"),
    ([("_lastUpdated", "lt2000")], ""),
]


@pytest.mark.parametrize(("pairs", "expected"), QUESTIONS)
async def test_who_is_found(server, here, pairs, expected):
    await put(server, here, *PEOPLE)
    bundle = await asked(server, here, ("Patient",), *pairs)
    assert "".join(ids(bundle)) == expected
    assert bundle["total"] == len(expected)


async def test_an_update_moves_what_is_found_and_a_delete_removes_it(server, here):
    await put(server, here, *PEOPLE)
    await put(server, here, patient("a", "Lý", birthDate="2001"))
    assert ids(await asked(server, here, ("Patient",), ("family", "nguyen"))) == []
    assert ids(await asked(server, here, ("Patient",), ("gender", "male"))) == []
    assert ids(await asked(server, here, ("Patient",), ("family", "ly"))) == ["a"]
    assert ids(await asked(server, here, ("Patient",), ("birthdate", "2001"))) == ["a"]
    await delete.delete(server, delete.Ask("Patient", "a"), here)
    assert ids(await asked(server, here, ("Patient",), ("family", "ly"))) == []


async def test_a_walk_meets_every_match_once_whatever_comes_meanwhile(server, here):
    await put(server, here, *(patient(f"p{n:02}") for n in range(23)))
    pairs, seen, pages = [("family", "nguyen"), ("_count", "5")], [], 0
    while pairs is not None:
        bundle = await asked(server, here, ("Patient",), *pairs)
        seen += [e["resource"]["id"] for e in bundle.get("entry", [])]
        pages += 1
        await put(server, here, patient(f"new{pages}"), patient("p03", "Nguyễn", birthDate="1990"))
        onward = link(bundle, "next")
        pairs = parse_qsl(urlsplit(onward).query) if onward else None
    assert sorted(seen) == [f"p{n:02}" for n in range(23)]
    assert pages == 5


async def test_a_cursor_answers_only_its_own_question(server, here):
    await put(server, here, *(patient(f"p{n}") for n in range(4)))
    bundle = await asked(server, here, ("Patient",), ("family", "nguyen"), ("_count", "2"))
    cursor = dict(parse_qsl(urlsplit(link(bundle, "next")).query))["_cursor"]
    for pairs in (
        [("family", "dang"), ("_count", "2"), ("_cursor", cursor)],
        [("family", "nguyen"), ("_count", "2"), ("_cursor", cursor[:-2])],
        [("family", "nguyen"), ("_count", "2"), ("_cursor", "x")],
    ):
        with pytest.raises(Invalid):
            await asked(server, here, ("Patient",), *pairs)


async def test_totals_and_counts(server, here):
    await put(server, here, *(patient(f"p{n}") for n in range(7)))
    page = await asked(server, here, ("Patient",), ("_count", "3"))
    assert "total" not in page
    accurate = await asked(server, here, ("Patient",), ("_count", "3"), ("_total", "accurate"))
    assert (accurate["total"], len(accurate["entry"])) == (7, 3)
    for pair in (("_summary", "count"), ("_count", "0")):
        only = await asked(server, here, ("Patient",), pair)
        assert only["total"] == 7
        assert "entry" not in only


async def test_system_and_compartment(server, here):
    visit = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "planned",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/a"},
    }
    await put(server, here, *PEOPLE, visit)
    assert ids(await asked(server, here, ())) == ["a", "b", "c", "e"]
    assert ids(await asked(server, here, (), ("_type", "Encounter"))) == ["e"]
    within = {"compartment": Key("Patient", "a")}
    assert ids(await asked(server, here, ("Encounter",), **within)) == ["e"]
    assert ids(await asked(server, here, ("Encounter",), ("status", "finished"), **within)) == []
    assert "e" in ids(await asked(server, here, (), **within))
    with pytest.raises(FhirError):
        await asked(server, here, ("Organization",), **within)


async def test_strict_refuses_and_lenient_tells(server, here):
    await put(server, here, *PEOPLE)
    with pytest.raises(FhirError, match="family"):
        await asked(server, here, ("Patient",), ("famly", "x"))
    lenient = replace(here, strict=False)
    bundle = await asked(server, lenient, ("Patient",), ("famly", "x"), ("gender", "male"))
    assert "famly" not in link(bundle, "self")
    outcome = [e for e in bundle["entry"] if e["search"]["mode"] == "outcome"]
    assert "famly" in outcome[0]["resource"]["issue"][0]["diagnostics"]
    assert ids({"entry": [e for e in bundle["entry"] if e["search"]["mode"] == "match"]}) == ["a"]


async def test_summary_and_elements_narrow_the_entries(server, here):
    await put(server, here, PEOPLE[0])
    bundle = await asked(server, here, ("Patient",), ("_elements", "birthDate"))
    resource = bundle["entry"][0]["resource"]
    assert set(resource) == {"resourceType", "id", "meta", "birthDate"}
    assert resource["meta"]["tag"][0]["code"] == "SUBSETTED"


async def test_elements_that_no_type_has_are_refused(server, here):
    with pytest.raises(Invalid, match="shoe"):
        await asked(server, here, ("Patient",), ("_elements", "name,shoe"))
    with pytest.raises(Invalid, match="Did you mean `birthDate`"):
        await asked(server, here, ("Patient",), ("_elements", "birthdate"))


async def test_under_lenient_handling_elements_that_no_type_has_are_left_out_and_told(server, here):
    lenient = replace(here, strict=False)
    await put(server, here, PEOPLE[0])
    bundle = await asked(server, lenient, ("Patient",), ("_elements", "shoe,birthDate,hat"))
    match, outcome = (entry["resource"] for entry in bundle["entry"])
    assert set(match) == {"resourceType", "id", "meta", "birthDate"}
    told = [issue["diagnostics"] for issue in outcome["issue"]]
    assert ["`shoe`" in told[0], "`hat`" in told[1], len(told)] == [True, True, 2]
    assert link(bundle, "self").endswith("?_elements=birthDate")
    bundle = await asked(server, lenient, ("Patient",), ("_elements", "shoe"))
    assert link(bundle, "self").endswith("/Patient")
    assert "gender" in bundle["entry"][0]["resource"]


async def test_a_url_of_this_server_finds_what_was_stored_under_another_of_its_names(server, here):
    """A server answers to more names than the one its index was told."""
    local = replace(here, base="http://localhost:8000/fhir")
    visit = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "planned",
        "class": {"code": "AMB"},
        "subject": {"reference": f"{local.base}/Patient/a"},
    }
    await put(server, local, visit)
    pair = ("subject", f"{local.base}/Patient/a")
    assert ids(await asked(server, local, ("Encounter",), pair)) == ["e"]
