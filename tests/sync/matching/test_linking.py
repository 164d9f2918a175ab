"""One citizen who was registered twice: linked both ways with the write, or apart when told."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.outcome import Invalid, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction.writing import new_version, with_id
from fhir_server.store.codec import digest_of, resource_of
from fhir_server.store.contract import EVERYTHING, History, Stale, Unit, rid
from fhir_server.store.contract.side import APART, CONFLICT, ConflictRow, Put
from fhir_server.sync.matching.deciding import link, unlink
from fhir_server.sync.matching.linker import Linker
from fhir_server.sync.matching.linking import linked
from fhir_server.sync.matching.listing import Standing, pairs
from fhir_server.sync.matching.rules import built_in
from tests.interaction.conftest import BY_ANYBODY, asked, put, server_on
from tests.sync.matching.people import (
    AS_CARD,
    BHXH,
    CARD_15,
    CCCD,
    CMND,
    OTHER_CARD_15,
    identifier,
    patient,
)

RULES = built_in()
AN, BINH, CHI = Key("Patient", "an"), Key("Patient", "binh"), Key("Patient", "chi")


@pytest.fixture
def server(store):
    return server_on(store)


async def arrive(server, *patients):
    """As a hub stores what comes: with its links, in one transaction."""
    while True:
        made = await arriving(server, *patients)
        try:
            return await server.store.commit(made)
        except Stale:
            await asyncio.sleep(0)


async def arriving(server, *patients):
    news = []
    for one in patients:
        before = (await newest(server, one["id"]))[0]
        news.append(new_version(server, BY_ANYBODY, with_id(one, one["id"]), "PUT", before))
    told = await linked(server, RULES, BY_ANYBODY, news)
    return Unit(told.versions, told.assumptions, expects=told.expects)


async def newest(server, id):
    key = Key("Patient", id)
    stored = (await server.store.newest((key,), EVERYTHING)).get(key)
    return stored, resource_of(stored) if stored and not stored.deleted else None


async def links(server, id):
    _, told = await newest(server, id)
    return [(one["other"]["reference"], one["type"]) for one in told.get("link", ())]


async def versions(server, id):
    page = await server.store.history(History(Key("Patient", id), restriction=EVERYTHING))
    return page.rows


# what is there, what arrives
FORMS = [
    (CCCD, CCCD),
    (CCCD, AS_CARD),
    (identifier("cmnd", CCCD["value"], use="old"), CCCD),
    (CARD_15, OTHER_CARD_15),
    (CARD_15, BHXH),
    (BHXH, CARD_15),
    (CMND, CMND),
]


async def test_both_are_kept_and_name_each_other_whichever_form_the_number_has(server):
    for at, forms in enumerate(FORMS):
        before, now = (told | {"value": f"{told['value'][:-1]}{at}"} for told in forms)
        await arrive(server, patient(f"an{at}", before))
        await arrive(server, patient(f"binh{at}", now))
        assert await links(server, f"an{at}") == [(f"Patient/binh{at}", "seealso")]
        assert await links(server, f"binh{at}") == [(f"Patient/an{at}", "seealso")]


async def test_what_came_is_kept_as_it_came_and_the_link_is_the_next_version(server):
    await arrive(server, patient("an", CCCD))
    await arrive(server, patient("binh", CCCD))
    linking, came = await versions(server, "binh")
    assert "link" not in resource_of(came)
    assert (came.generation, linking.generation) == (1, 2)
    assert came.digest == digest_of(
        "Patient", "binh", (), deleted=False, resource=patient("binh", CCCD)
    )
    told, made_of = resource_of(linking), (came.version_id,)
    assert linking.digest == digest_of("Patient", "binh", made_of, deleted=False, resource=told)


async def test_two_that_come_together_are_linked(server):
    await arrive(server, patient("an", CCCD), patient("binh", CCCD), patient("chi"))
    assert await links(server, "an") == [("Patient/binh", "seealso")]
    assert await links(server, "binh") == [("Patient/an", "seealso")]
    assert await links(server, "chi") == []


async def test_three_of_one_name_each_other(server):
    for id in ("an", "binh", "chi"):
        await arrive(server, patient(id, CCCD))
    assert {one for one, _ in await links(server, "an")} == {"Patient/binh", "Patient/chi"}
    assert {one for one, _ in await links(server, "chi")} == {"Patient/an", "Patient/binh"}


async def test_what_is_linked_is_not_linked_again(server):
    await arrive(server, patient("an", CCCD))
    await arrive(server, patient("binh", CCCD))
    _, told = await newest(server, "binh")
    await arrive(server, {**told, "active": True})
    assert len(await versions(server, "an")) == 2
    assert len(await links(server, "binh")) == 1


async def test_a_search_by_either_number_leads_to_both(server):
    await arrive(server, patient("an", CCCD, CARD_15))
    await arrive(server, patient("binh", AS_CARD))
    for told in (CCCD, CARD_15, AS_CARD):
        text = f"{told['system']}|{told['value']}"
        found = await asked(
            server, BY_ANYBODY, ("Patient",), ("identifier", text), ("_include", "Patient:link")
        )
        assert {entry["resource"]["id"] for entry in found["entry"]} == {"an", "binh"}


APART_ALL_THE_SAME = [
    (patient("an", CCCD), patient("binh", CCCD, birth="2026-01-01")),
    (patient("an", commune="31120"), patient("binh", commune="31120")),
    (patient("an", CMND), patient("binh", identifier("cccd", "361234567890"))),
]


async def test_nobody_is_linked_by_a_name_or_against_what_is_known(server):
    for one, other in APART_ALL_THE_SAME:
        await put(server, BY_ANYBODY, one)
        await arrive(server, other)
        assert await links(server, "an") == await links(server, "binh") == []


async def test_a_number_that_too_many_have_is_nobodys(server):
    for at in range(RULES.people + 2):
        await put(server, BY_ANYBODY, patient(f"p{at}", CCCD))
    await arrive(server, patient("an", CCCD))
    assert await links(server, "an") == await links(server, "p0") == []


async def test_two_who_come_at_the_same_moment_are_not_missed(server):
    """Both look before either is stored: the second is asked to look again."""
    first = await arriving(server, patient("an", CCCD))
    second = await arriving(server, patient("binh", AS_CARD))
    await server.store.commit(first)
    with pytest.raises(Stale):
        await server.store.commit(second)
    await arrive(server, patient("binh", AS_CARD))
    assert await links(server, "an") == [("Patient/binh", "seealso")]


async def test_who_was_said_to_be_two_stays_two_until_a_person_says_otherwise(server):
    await arrive(server, patient("an", CCCD))
    await arrive(server, patient("binh", CCCD))
    await unlink(server, AN, BINH, BY_ANYBODY, "mẹ và con")
    assert await links(server, "an") == await links(server, "binh") == []
    _, told = await newest(server, "binh")
    await arrive(server, {**told, "active": True})
    assert await links(server, "an") == await links(server, "binh") == []
    rows = await server.store.side.range(APART, limit=10)
    assert len(rows) == 1 and "mẹ và con" in rows[0].facts
    await link(server, BINH, AN, BY_ANYBODY)
    assert await links(server, "an") == [("Patient/binh", "seealso")]
    assert await server.store.side.count(APART) == 0


async def test_saying_they_are_two_while_somebody_links_them_is_seen(server):
    await put(server, BY_ANYBODY, patient("an", CCCD), patient("binh", CCCD))
    made = await arriving(server, patient("binh", CCCD, active=True))
    await unlink(server, AN, BINH, BY_ANYBODY)  # which changes neither: they are not linked yet
    with pytest.raises(Stale):
        await server.store.commit(made)


async def test_what_others_say_of_a_person_is_left_as_it_is(server):
    other = {"other": {"reference": "Patient/chi"}, "type": "replaces"}
    await put(server, BY_ANYBODY, patient("chi"))
    await put(server, BY_ANYBODY, patient("an", CCCD, link=[other]), patient("binh"))
    await link(server, AN, BINH, BY_ANYBODY)
    await link(server, AN, BINH, BY_ANYBODY)
    assert await links(server, "an") == [("Patient/chi", "replaces"), ("Patient/binh", "seealso")]
    await unlink(server, AN, BINH, BY_ANYBODY)
    assert await links(server, "an") == [("Patient/chi", "replaces")]


REFUSED = [
    (AN, AN, Invalid),
    (AN, CHI, NotFound),
    (AN, Key("Organization", "an"), NotFound),
]


async def test_only_two_patients_that_are_here_can_be_one(server):
    await put(server, BY_ANYBODY, patient("an"))
    await put(server, BY_ANYBODY, {"resourceType": "Organization", "id": "an", "name": "x"})
    for one, other, error in REFUSED:
        for said in (link, unlink):
            with pytest.raises(error):
                await said(server, one, other, BY_ANYBODY)


async def test_pairs_are_listed_with_what_they_are_to_each_other(server):
    await put(
        server,
        BY_ANYBODY,
        patient("a1", CCCD, commune="31120"),
        patient("a2", AS_CARD, birth="1980"),
        patient("a3", CCCD, birth="2026-01-01", gender="male", name="CB Ánh"),
        patient("b1", commune="31120"),
        patient("z", name="Trần Văn Bé"),
    )
    await link(server, Key("Patient", "b1"), Key("Patient", "a1"), BY_ANYBODY)
    await unlink(server, Key("Patient", "a3"), Key("Patient", "a2"), BY_ANYBODY)
    await put(server, BY_ANYBODY, patient("b2", commune="31120"))
    found = {
        (pair.one.key.id, pair.other.key.id): (pair.standing, pair.against)
        async for pair in pairs(server, RULES)
    }
    assert found == {
        ("a1", "a2"): (Standing.ONE, ()),
        ("a1", "a3"): (Standing.NUMBER, ("birthDate", "gender")),
        ("a2", "a3"): (Standing.APART, ()),
        ("a1", "b1"): (Standing.LINKED, ()),
        ("a1", "b2"): (Standing.LIKELY, ()),
        ("b1", "b2"): (Standing.LIKELY, ()),
    }


async def test_what_clients_write_is_linked_where_the_settings_say_so(store):
    server = server_on(store, linker=Linker(RULES, every_write=True))
    await put(server, BY_ANYBODY, patient("an", CCCD), patient("binh", AS_CARD))
    assert await links(server, "an") == [("Patient/binh", "seealso")]
    assert await links(server, "binh") == [("Patient/an", "seealso")]
    told = server_on(store, linker=Linker(RULES))
    await put(told, BY_ANYBODY, patient("chi", CCCD))
    assert await links(told, "chi") == []


async def test_who_comes_into_a_conflict_is_linked_when_it_is_over(server):
    await put(server, BY_ANYBODY, patient("an", CCCD), patient("binh", CCCD))
    row = ConflictRow(rid(AN), 0, "conflict-x", "{}")
    await server.store.commit(Unit((), side=(Put(CONFLICT, (row,)),)))
    await arrive(server, patient("binh", CCCD, active=True))
    assert await links(server, "an") == []
    assert await links(server, "binh") == [("Patient/an", "seealso")]
    before, _ = await newest(server, "an")
    new = new_version(server, BY_ANYBODY, patient("an", CCCD, active=True), "PUT", before)
    unit = Unit((new,), side=(Put(CONFLICT, (row,)),))
    assert (await Linker(RULES).linked(server, BY_ANYBODY, unit)).versions == (new,)
