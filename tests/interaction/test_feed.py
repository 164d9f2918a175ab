"""The feed: every version from a cursor on, for whoever follows it.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server.foundation.outcome import (
    FhirError,
    Gone,
    Invalid,
    MethodNotAllowed,
    NotSupported,
)
from fhir_server.foundation.resource import Key
from fhir_server.interaction import bundle, delete, feeding, history, read, update
from fhir_server.interaction.waiting import Waiting
from fhir_server.search.page import seal
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, NewVersion, Unit, rid
from fhir_server.store.contract.reach import only
from fhir_server.store.contract.version import LEFT
from tests.interaction.conftest import link, patient, put, told, within
from tests.interaction.test_deidentified import ANALYST
from tests.interaction.test_history import urls, world
from tests.interaction.test_restriction import encounter
from tests.rest.client import on_one_database

START = [("_cursor", "")]


async def page(server, here, pairs, *level):
    asked = history.Ask(*(level or (None, None)), pairs)
    return told(await history.history(server, asked, here))


def onward(found):
    return parse_qsl(urlsplit(link(found, "next")).query, keep_blank_values=True)


async def followed(server, here, pairs, *level):
    """What is told up to the end, and the pairs to go on with."""
    met = []
    while True:
        found = await page(server, here, pairs, *level)
        pairs = onward(found)
        if "entry" not in found:
            return met, pairs
        met += found["entry"]


def names(entries):
    return [entry["response"]["etag"] for entry in entries]


LEVELS = [
    ((None, None), [], ["Patient/a", "Patient/a", "Patient/b", "Organization/o", "Patient/a"]),
    (("Patient", None), [], ["Patient/a", "Patient/a", "Patient/b", "Patient/a"]),
    ((None, None), [("_type", "Patient,Location")], ["Patient/a"] * 2 + ["Patient/b", "Patient/a"]),
    ((None, None), [("_type", "Organization")], ["Organization/o"]),
]


@pytest.mark.parametrize(("level", "pairs", "expected"), LEVELS)
async def test_every_version_comes_once_oldest_first_and_there_is_always_a_next(
    server, here, level, pairs, expected
):
    await world(server, here)
    for count in ("1", "2", "50"):
        asked = [*START, *pairs, ("_count", count)]
        met, onwards = await followed(server, here, asked, *level)
        assert urls({"entry": met}) == expected
    await put(server, here, patient("c"), {"resourceType": "Organization", "id": "p", "name": "P"})
    met, _ = await followed(server, here, onwards, *level)
    types = {name.partition("/")[0] for name in expected}
    assert {name.partition("/")[0] for name in urls({"entry": met})} == types


async def test_a_deletion_is_told_as_one_and_a_page_may_change_its_size_on_the_way(server, here):
    await world(server, here)
    first = await page(server, here, [*START, ("_count", "4")], "Patient", None)
    rest = dict(onward(first)) | {"_count": "1"}
    last = first["entry"][-1]
    assert (last["request"]["method"], "resource" in last) == ("DELETE", False)
    assert last["response"]["status"] == "204 No Content"
    await put(server, here, patient("d"), patient("e"))
    assert urls(await page(server, here, list(rest.items()), "Patient", None)) == ["Patient/d"]


async def test_what_was_passed_over_is_not_looked_at_again(server, here):
    """A follower of what is seldom written goes on behind all that was written since."""
    await put(server, here, {"resourceType": "Organization", "id": "o", "name": "O"})
    store, of = server.store, ("Organization",)
    before = (await store.feed(None, types=of, restriction=EVERYTHING, limit=9)).next
    for number in range(5):
        await put(server, here, patient(f"p{number}"))
    after = (await store.feed(before, types=of, restriction=EVERYTHING, limit=9)).next
    assert not (await store.feed(after, restriction=EVERYTHING, limit=9)).rows
    await put(server, here, {"resourceType": "Organization", "id": "q", "name": "Q"})
    (row,) = (await store.feed(after, types=of, restriction=EVERYTHING, limit=9)).rows
    assert row.key.id == "q"


async def test_at_a_node_what_left_is_told_as_gone(server, here):
    """It has the name of the version it hides, and no body."""
    await put(server, here, patient("a"))
    key = Key("Patient", "a")
    stored = (await server.store.newest((key,), EVERYTHING))[key]
    left = NewVersion(key, stored.generation, stored.digest, LEFT, None, follows=stored)
    before = replace(left, before=server.indexer.rows(resource_of(stored)))
    await server.store.commit(Unit((before,)))
    told = (await page(server, here, START))["entry"][-1]
    assert told["request"] == {"method": "DELETE", "url": "Patient/a"}
    assert told["response"]["status"] == "410 Gone"
    assert "resource" not in told
    assert stored.version_id in told["response"]["etag"]
    assert len((await page(server, here, []))["entry"]) == 1, "a history is of versions alone"
    with pytest.raises(Gone):
        await read.read(server, read.Ask(key), here)


async def test_sixteen_writers_are_met_by_all_followers_in_one_order(server, here):
    """Each follower reads while they write, in pages of its own size."""
    writing, versions = True, 3

    async def writer(number):
        for turn in range(versions):
            await put(server, here, patient(f"w{number}", family=f"Họ {turn}"))
            if turn % 3 == 2:
                await put(server, here, patient("shared", family=f"{number} {turn}"))

    async def follower(count):
        met, pairs = [], [*START, ("_count", str(count))]
        while True:
            done = not writing
            some, pairs = await followed(server, here, pairs)
            met += some
            if done:
                return met
            await asyncio.sleep(0)

    async def writers():
        nonlocal writing
        await asyncio.gather(*map(writer, range(16)))
        writing = False

    _, *met = await asyncio.gather(writers(), *map(follower, (1, 3, 100)))
    assert len({tuple(names(one)) for one in met}) == 1
    assert len(met[0]) == len(set(names(met[0]))) == 16 * versions + 16
    for id in ("w0", "w7", "w15", "shared"):
        own = await versions_of(server, here, id)
        assert [one for one in names(met[0]) if one in own] == own


async def versions_of(server, here, id):
    asked = history.Ask("Patient", id, [("_sort", "_lastUpdated"), ("_count", "100")])
    return names(told(await history.history(server, asked, here))["entry"])


# --- waiting --------------------------------------------------------------------------------------


async def test_who_waits_is_told_as_soon_as_there_is_something(server, here):
    server = replace(server, waiting=Waiting(pause=0.01))
    _, pairs = await followed(server, here, START, "Patient", None)
    waits = asyncio.create_task(page(server, replace(here, wait=30), pairs, "Patient", None))
    while not server.waiting.here:
        await asyncio.sleep(0.01)
    await put(server, here, {"resourceType": "Organization", "id": "o", "name": "O"}, patient("a"))
    assert urls(await waits) == ["Patient/a"]
    assert not server.waiting.here


async def test_who_waits_in_vain_goes_on_where_it_was(server, here):
    server = replace(server, waiting=Waiting(pause=0.01))
    await put(server, here, patient("a"))
    _, pairs = await followed(server, here, START)
    empty = await page(server, replace(here, wait=0.03), pairs)
    assert "entry" not in empty
    await put(server, here, patient("b"))
    assert urls(await page(server, here, onward(empty))) == ["Patient/b"]


@on_one_database
@pytest.mark.parametrize("how", ["too many wait", "the server stops"])
async def test_nobody_waits_where(server, here, how):
    server = replace(server, waiting=Waiting(0 if how == "too many wait" else 9, pause=0.01))
    waits = asyncio.create_task(page(server, replace(here, wait=30), START))
    await asyncio.sleep(0.02)
    server.waiting.stop()
    assert "entry" not in await waits


async def test_an_entry_of_a_batch_does_not_wait(server, here):
    entries = [{"request": {"method": "GET", "url": "_history?_cursor="}}]
    asked = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    (entry,) = told(await bundle.bundle(server, bundle.Ask(asked), here))["entry"]
    assert entry["resource"]["type"] == "history"
    assert link(entry["resource"], "next")


# --- who may see what -----------------------------------------------------------------------------


async def test_who_reaches_little_is_told_no_more_and_as_full_a_page(server, here):
    mine, other = Key("Patient", "mine"), Key("Patient", "other")
    reach = within(here, only(owners=frozenset({rid(mine)})))
    await put(server, here, patient("mine"))
    for turn in range(4):
        await put(server, here, patient("other", family=str(turn)), encounter(f"o{turn}", other))
        await put(server, here, encounter(f"m{turn}", mine))
    first = await page(server, reach, [*START, ("_count", "3")])
    assert urls(first) == ["Patient/mine", "Encounter/m0", "Encounter/m1"]
    rest, _ = await followed(server, reach, onward(first))
    assert urls({"entry": rest}) == ["Encounter/m2", "Encounter/m3"]


async def test_what_was_anothers_once_is_not_told(server, here):
    mine, other = Key("Patient", "mine"), Key("Patient", "other")
    reach = within(here, only(owners=frozenset({rid(mine)})))
    await put(server, here, patient("mine"), patient("other"))
    await put(server, here, encounter("e", other), encounter("e", mine), encounter("f", mine))
    met, _ = await followed(server, reach, [*START, ("_count", "1")])
    assert urls({"entry": met}) == ["Patient/mine", "Encounter/e", "Encounter/f"]


async def test_who_sees_records_without_names_follows_none(server, here):
    await world(server, here)
    analyst = replace(here, caller=ANALYST, access=decide(built_in(), ANALYST, SILENCE))
    assert "entry" not in await page(server, analyst, START)


async def test_a_cursor_is_good_for_whom_it_was_given_to(server, here):
    await world(server, here)
    pairs = onward(await page(server, here, START))
    with pytest.raises(Invalid):
        await page(server, within(here, EVERYTHING, "another"), pairs)


# --- refusals -------------------------------------------------------------------------------------

BAD = [
    ([("_cursor", "AAAA")], (None, None), Invalid, "damaged"),
    ([*START, ("_count", "0")], (None, None), Invalid, "from 1"),
    ([*START, ("_count", "many")], (None, None), Invalid, "from 1"),
    ([*START, ("_count", "1"), ("_count", "2")], (None, None), Invalid, "once"),
    ([*START, *START], (None, None), Invalid, "once"),
    ([*START, ("_since", "2026-01-01")], (None, None), NotSupported, "_since"),
    ([*START, ("_sort", "_lastUpdated")], ("Patient", None), NotSupported, "_sort"),
    ([*START, ("_type", "Shoe")], (None, None), Invalid, "Shoe"),
    ([*START, ("_type", "")], (None, None), Invalid, "resource type"),
    ([*START, ("_type", "AuditEvent")], (None, None), MethodNotAllowed, "AuditEvent"),
    (START, ("AuditEvent", None), MethodNotAllowed, "AuditEvent"),
    ([*START, ("_type", "Patient")], ("Patient", None), NotSupported, "of a type"),
    (START, ("Patient", "a"), NotSupported, "without `_cursor`"),
]


@on_one_database
@pytest.mark.parametrize(("pairs", "level", "refusal", "word"), BAD)
async def test_what_cannot_be_followed_is_refused(server, here, pairs, level, refusal, word):
    await world(server, here)
    with pytest.raises(refusal, match=word) as raised:
        await page(server, here, pairs, *level)
    assert isinstance(raised.value, FhirError)


@on_one_database
@pytest.mark.parametrize(
    ("given", "used"),
    [
        (("Patient", None), (None, None)),
        ((None, None), ("Patient", None)),
        (("Patient", None), ("Encounter", None)),
    ],
)
async def test_a_cursor_belongs_to_its_feed(server, here, given, used):
    await world(server, here)
    pairs = onward(await page(server, here, START, *given))
    with pytest.raises(Invalid, match="another feed"):
        await page(server, here, pairs, *used)


async def test_a_cursor_of_before_a_restore_is_answered_with_the_way_to_begin_again(server, here):
    await world(server, here)
    cursor = (await server.store.feed(None, limit=9, restriction=EVERYTHING)).next
    epoch, mark, *place = cursor.split(".")
    other = ".".join([epoch, str(int(mark) + 1), *place])
    held = {"q": feeding.question_of("Patient/_history", [("_type", "Patient")]), "f": other}
    sealed = seal(feeding.lasting(server), held, to=here.caller.identity)
    with pytest.raises(Gone) as raised:
        await page(server, here, [("_cursor", sealed)], "Patient", None)
    (issue,) = raised.value.issues
    assert "http://hospital.example/fhir/Patient/_history?_cursor=`" in issue.diagnostics
    assert issue.vietnamese


async def test_a_cursor_outlives_a_new_index(server, here):
    server = replace(server, lasting_secret=b"l" * 32)
    await world(server, here)
    _, pairs = await followed(server, here, START)
    later = replace(server, secret=b"t" * 32)
    await put(later, here, patient("c"))
    assert urls(await page(later, here, pairs)) == ["Patient/c"]


async def test_a_history_without_a_cursor_is_what_it_was(server, here):
    await world(server, here)
    await update.update(server, update.Ask("Patient", "b", patient("b", "Trần")), here)
    await delete.delete(server, delete.Ask("Patient", "b"), here)
    whole = await page(server, here, [("_count", "3")])
    assert urls(whole)[:2] == ["Patient/b", "Patient/b"]
    rest = await page(server, here, onward(whole))
    assert len(urls(rest)) == 3
    assert (await read.read(server, read.Ask(Key("Organization", "o")), here)).status == 200
