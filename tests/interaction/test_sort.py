"""https://hl7.org/fhir/R4/search.html#sort"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import FhirError, TooCostly
from fhir_server.foundation.resource import Key
from fhir_server.interaction import sorting
from fhir_server.store import paging
from fhir_server.store.contract import rid
from fhir_server.store.contract.reach import only
from tests.interaction.conftest import asked, link, patient, put, within


def met(bundle):
    return "".join(e["resource"]["id"] for e in bundle.get("entry", []))


PEOPLE = [
    patient("a", "Nguyễn", gender="male", birthDate="1990-05-17", deceasedDateTime="2020"),
    patient("b", "Đặng", gender="female", birthDate="1955", deceasedDateTime="2019-05-02"),
    patient("c", "Dang", gender="male", identifier=[{"system": "u", "value": "7"}]),
    patient("d", "an", birthDate="1990-05-18", identifier=[{"system": "a", "value": "7"}]),
    {
        "resourceType": "Patient",
        "id": "e",
        "name": [{"family": "Ân"}, {"family": "Vũ", "given": ["Bé"]}],
        "birthDate": "2001",
        "managingOrganization": {"reference": "Organization/2"},
    },
    {
        "resourceType": "Patient",
        "id": "f",
        "active": True,
        "gender": "female",
        "managingOrganization": {"reference": "Organization/1"},
    },
]

# _sort                     the order; in brackets, those whose values are the same
ORDERS = [
    ("birthdate", "badecf", "[cf]"),
    ("-birthdate", "edabcf", "[cf]"),
    ("-_lastUpdated", "fedcba", ""),
    ("_lastUpdated", "abcdef", ""),
    ("family", "decbaf", "[de][bc]"),  # of e's names Ân comes first
    ("-family", "eacbdf", "[bc]"),  # of e's names Vũ comes first
    ("death-date", "bacdef", "[cdef]"),
    ("-death-date", "abcdef", "[cdef]"),
    ("gender", "bfacde", "[bf][ac][de]"),
    ("-gender", "acbfde", "[bf][ac][de]"),
    ("-gender,birthdate", "acbfde", ""),
    ("gender,-family", "bfaced", ""),
    ("identifier", "dcabef", "[abef]"),  # by code, then system
    ("name", "decbaf", "[bc][de]"),
    ("-name", "eacbdf", "[bc]"),
    ("organization", "feabcd", "[abcd]"),
    ("-organization", "efabcd", "[abcd]"),
    ("_id", "abcdef", ""),
    ("-_id", "fedcba", ""),
    ("active,_id", "fabcde", ""),
    ("given,_id", "eabcdf", ""),
    ("-birthdate,-_id", "edabfc", ""),
]


def alike(order, groups):
    """The order with those that may stand either way put in alphabetical order."""
    for group in groups.strip("[]").split("][") if groups else []:
        places = sorted(order.index(letter) for letter in group)
        assert places == list(range(places[0], places[0] + len(group))), (order, group)
        order = order[: places[0]] + "".join(sorted(group)) + order[places[-1] + 1 :]
    return order


@pytest.fixture(params=["read", "walked"])
def way(request, monkeypatch):
    """Both ways to make an order: few matches are read, many are walked for."""
    if request.param == "walked":
        monkeypatch.setattr(sorting, "FEW", -1)
        monkeypatch.setattr(sorting, "FEW_TIMES", -1)


async def people(server, here, clock):
    for one in PEOPLE:
        clock.now += 1
        await put(server, here, one)


@pytest.mark.usefixtures("way")
async def test_matches_come_in_the_order_asked_for(server, here, clock):
    await people(server, here, clock)
    for criteria in ([], [("_id", "a,b,c,d,e,f")]):
        for order, expected, groups in ORDERS:
            bundle = await asked(server, here, ("Patient",), *criteria, ("_sort", order))
            assert alike(met(bundle), groups) == alike(expected, groups), order
            assert f"_sort={order}" in link(bundle, "self")


@pytest.mark.usefixtures("way")
async def test_every_order_is_the_same_page_by_page(server, here, clock):
    await people(server, here, clock)
    for order, _, _ in ORDERS:
        pairs = [("_id", "a,b,c,d,e,f"), ("_sort", order)]
        whole = met(await asked(server, here, ("Patient",), *pairs))
        for count in (1, 2, 5):
            page = await asked(server, here, ("Patient",), *pairs, ("_count", str(count)))
            pages = [met(page)]
            while link(page, "next"):
                page = await follow(server, here, link(page, "next"))
                pages.append(met(page))
            assert "".join(pages) == whole, order
            back = [met(page)]
            while link(page, "previous"):
                page = await follow(server, here, link(page, "previous"))
                back.append(met(page))
            assert back == pages[::-1], order


async def follow(server, here, url):
    pairs = parse_qsl(urlsplit(url).query)
    return await asked(server, here, ("Patient",), *pairs)


async def test_types_are_sorted_together(server, here, clock):
    await people(server, here, clock)
    doctor = {"resourceType": "Practitioner", "id": "x", "name": [{"family": "Bùi"}]}
    clock.now += 1
    await put(server, here, doctor)
    types = ("_type", "Patient,Practitioner")
    for order, expected in (
        ("-_lastUpdated", "xfedcba"),
        ("_lastUpdated", "abcdefx"),
        ("family,_id", "dexbcaf"),
        ("_id", "abcdefx"),
    ):
        assert met(await asked(server, here, (), types, ("_sort", order))) == expected
    for order, expected in (("-_lastUpdated", "xfedcba"), ("_lastUpdated", "abcdefx")):
        assert met(await asked(server, here, (), ("_sort", order))) == expected


# _sort                          what the refusal says
REFUSED = [
    ("shoe", "is no parameter of Patient"),
    ("birthdat", "birthdate"),
    ("-", "parted by commas"),
    ("family,", "parted by commas"),
    ("_score", "no order of this server"),
    ("family,-_score", "no order of this server"),
    ("family,-family", "twice"),
    ("_text", "is no parameter"),
    ("family,given,gender,birthdate,active,_id", "at most 5"),
    ("family:exact", "is no parameter"),
    ("--family", "is no parameter"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
async def test_what_is_no_order_is_refused(server, here, text, message):
    with pytest.raises(FhirError, match=message) as refusal:
        await asked(server, here, ("Patient",), ("_sort", text))
    assert refusal.value.status == 400 or refusal.value.issues[0].code == "not-supported"
    assert refusal.value.issues[0].expression == "http._sort"


async def test_sort_is_given_once_and_has_no_modifier(server, here):
    for pairs in ([("_sort", "family"), ("_sort", "gender")], [("_sort:desc", "family")]):
        with pytest.raises(FhirError):
            await asked(server, here, ("Patient",), *pairs)


async def test_too_many_to_be_sorted_are_refused_and_told_what_can_be(server, here, monkeypatch):
    for n in range(6):
        await put(server, here, patient(f"p{n}", gender="male"))
    monkeypatch.setattr(sorting, "COLLECTED", 5)
    with pytest.raises(TooCostly, match=r"More than 5 .*by `-gender`.*`-birthdate`") as refusal:
        await asked(server, here, ("Patient",), ("_sort", "-gender"))
    assert refusal.value.issues[0].code == "too-costly"
    monkeypatch.setattr(sorting, "COLLECTED", 6)
    monkeypatch.setattr(paging, "COLLECTED", 6)
    assert met(await asked(server, here, ("Patient",), ("_sort", "-gender")))


async def test_what_one_may_not_reach_is_not_sorted_nor_counted(server, here, monkeypatch):
    await put(server, here, *PEOPLE)
    mine = only(owners=frozenset({rid(Key("Patient", "a")), rid(Key("Patient", "e"))}))
    inside = within(here, mine)
    for few in (1000, -1):
        monkeypatch.setattr(sorting, "FEW", few)
        monkeypatch.setattr(sorting, "FEW_TIMES", few)
        for order in ("family", "gender,_id", "-_lastUpdated", "birthdate", "death-date"):
            found = await asked(server, inside, ("Patient",), ("_sort", order))
            assert sorted(met(found)) == ["a", "e"], order
