"""The index of words follows the change log, whatever happens to it, on both databases."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.store import upkeep
from fhir_server.store.codec import resource_of
from fhir_server.store.condition.texts import query
from fhir_server.store.contract import (
    EVERYTHING,
    AllOf,
    AnyOf,
    Not,
    RidIn,
    Select,
    TextHas,
    rid,
)
from fhir_server.store.select import POSTGRESQL, SQLITE

from .world import newest, unit, version

EDITION = "of the test"


def terms(stored):
    return resource_of(stored)["language"].split()


async def put(store, key, text):
    follows = await newest(store, key)
    await store.commit(unit(version(key, text, follows=follows)))


async def feed(store, edition=EDITION, limit=3):
    while await store.texts.follow(edition, terms, limit=limit):
        pass


async def found(store, *lists):
    """Whichever way it is asked."""
    answers = set()
    for many in (False, True):
        page = await store.search(
            Select(("Patient",), TextHas(lists, many), restriction=EVERYTHING), limit=100
        )
        answers.add(tuple(sorted(stored.key.id for stored in page.rows)))
    if lists and all(lists):
        rids = frozenset(await store.texts.rids(TextHas(lists), at_most=100))
        page = await store.search(
            Select(("Patient",), RidIn(tuple(sorted(rids))), restriction=EVERYTHING), limit=100
        )
        answers.add(tuple(sorted(stored.key.id for stored in page.rows)))
    (answer,) = answers
    return list(answer)


async def test_nothing_is_there_until_it_is_fed_and_then_everything_is(store):
    for number in range(8):
        await put(store, f"Patient/{number}", f"cung cthu cnumber{number}")
    standing = await store.texts.standing(EDITION)
    assert not standing.made
    assert standing.behind == 8
    assert await store.texts.follow(EDITION, terms, limit=3) == 3
    standing = await store.texts.standing(EDITION)
    assert standing.made
    assert standing.behind == 5
    assert standing.reached < standing.newest
    await feed(store)
    standing = await store.texts.standing(EDITION)
    assert standing.reached == standing.newest
    assert standing.behind == 0
    assert len(await found(store, ("cung",))) == 8
    assert await found(store, ("cnumber5",)) == ["5"]


async def test_a_store_that_is_empty_is_reached_at_once(store):
    await feed(store)
    standing = await store.texts.standing(EDITION)
    assert standing.made
    assert standing.reached >= standing.newest
    assert await found(store, ("cung",)) == []


QUESTIONS = [
    # lists of alternatives                            which of: 1 "ca cb", 2 "cb cc", 3 "cabc"
    ((("ca",),), "1"),
    ((("ca*",),), "13"),
    ((("cb",),), "12"),
    ((("ca", "cc"),), "12"),
    ((("ca", "cc"), ("cb",)), "12"),
    ((("ca",), ("cc",)), ""),
    ((("ca", "cabc"), ("c*",)), "13"),
    ((), "123"),
    (((),), ""),
    ((("cđ",),), ""),
]


@pytest.mark.parametrize(("lists", "ids"), QUESTIONS)
async def test_every_list_must_have_a_term_that_is_there(store, lists, ids):
    for id, text in {"1": "ca cb", "2": "cb cc", "3": "cabc"}.items():
        await put(store, f"Patient/{id}", text)
    await feed(store)
    assert await found(store, *lists) == list(ids)


@pytest.mark.parametrize("word", ["肝臓", "ดี", "ελληνικά", "𐐨𐐩", "और", "ngã", "x" * 64])
async def test_a_word_of_any_script_is_one_term(store, word):
    await put(store, "Patient/1", f"c{word} cother")
    await put(store, "Patient/2", "cother")
    await feed(store)
    assert await found(store, (f"c{word}",)) == ["1"]
    assert await found(store, (f"c{word[:1]}*",)) == ["1"]


async def test_what_was_replaced_is_found_no_more(store):
    for number in range(4):
        await put(store, f"Patient/{number}", "cold cboth")
    await feed(store)
    await put(store, "Patient/1", "cnew cboth")
    await put(store, "Patient/2", "deleted")
    await put(store, "Patient/3", "")
    assert await found(store, ("cold",)) == ["0", "1", "3"]  # it has not read that yet
    await feed(store)
    assert await found(store, ("cold",)) == ["0"]
    assert await found(store, ("cnew",)) == ["1"]
    assert await found(store, ("cboth",)) == ["0", "1"]
    await put(store, "Patient/2", "cold")
    await feed(store)
    assert await found(store, ("cold",)) == ["0", "2"]


async def test_several_versions_of_one_resource_on_a_page_leave_the_last(store):
    for text in ("ca", "cb", "ca cb", "cc"):
        await put(store, "Patient/1", text)
    await feed(store, limit=50)
    assert [await found(store, (term,)) for term in ("ca", "cb", "cc")] == [[], [], ["1"]]


async def test_another_edition_is_made_anew(store):
    await put(store, "Patient/1", "ca")
    await feed(store, "one")
    assert not (await store.texts.standing("two")).made

    def other(stored):
        return ["c" + term for term in terms(stored)]

    while await store.texts.follow("two", other, limit=3):
        pass
    assert (await store.texts.standing("two")).behind == 0
    assert await found(store, ("ca",)) == []
    assert await found(store, ("cca",)) == ["1"]


async def test_who_feeds_at_one_time_feeds_it_once(store):
    for number in range(30):
        await put(store, f"Patient/{number}", "ca")
    await asyncio.gather(*(feed(store) for _ in range(4)))
    await feed(store)
    await put(store, "Patient/3", "cb")
    await asyncio.gather(*(feed(store) for _ in range(4)))
    await feed(store)
    assert len(await found(store, ("ca",))) == 29


async def test_it_goes_on_where_it_was_after_a_restart(database, run, clock):
    async def session(work):
        opened = database.store(clock=clock)
        await opened.open()
        try:
            return await work(opened)
        finally:
            await opened.close()

    async def first(store):
        for number in range(5):
            await put(store, f"Patient/{number}", "ca")
        await store.texts.follow(EDITION, terms, limit=2)

    async def second(store):
        assert (await store.texts.standing(EDITION)).behind == 3
        read = []
        while read_now := await store.texts.follow(EDITION, terms, limit=2):
            read.append(read_now)
        assert read == [2, 1]
        assert len(await found(store, ("ca",))) == 5

    await session(first)
    await session(second)


def test_a_restored_database_follows_on_where_its_backup_was(database, run, clock, tmp_path):
    """What the index read after the backup was made is no longer there."""

    async def fill(store):
        for number in range(3):
            await put(store, f"Patient/{number}", f"cold c{number}")
        await feed(store)

    async def more(store):
        await put(store, "Patient/1", "cnew")
        await put(store, "Patient/9", "cnew")
        await feed(store)
        assert await found(store, ("cnew",)) == ["1", "9"]

    async def after(store):
        await feed(store)
        assert await found(store, ("cold",)) == ["0", "1", "2"]
        assert await found(store, ("cnew",)) == []
        await put(store, "Patient/2", "cnew")
        await feed(store)
        standing = await store.texts.standing(EDITION)
        assert standing.reached == standing.newest
        assert await found(store, ("cold",)) == ["0", "1"]
        assert await found(store, ("cnew",)) == ["2"]

    async def session(work):
        opened = database.store(clock=clock)
        await opened.open()
        try:
            await work(opened)
        finally:
            await opened.close()

    run(session(fill))
    upkeep.backup(database.url, tmp_path / "copy")
    run(session(more))
    upkeep.restore(database.url, tmp_path / "copy", replace=True)
    run(session(after))


async def test_a_term_that_fails_leaves_it_where_it_was(store):
    await put(store, "Patient/1", "ca")

    def failing(stored):
        raise RuntimeError("no terms today")

    with pytest.raises(RuntimeError):
        await store.texts.follow(EDITION, failing, limit=3)
    assert not (await store.texts.standing(EDITION)).made
    await feed(store)
    assert await found(store, ("ca",)) == ["1"]


async def test_it_is_part_of_other_conditions(store):
    for id, text in {"1": "ca", "2": "cb", "3": "cc"}.items():
        await put(store, f"Patient/{id}", text)
    await feed(store)
    a, b = TextHas((("ca",),)), TextHas((("cb",),))

    async def ids(where):
        page = await store.search(Select(("Patient",), where, restriction=EVERYTHING), limit=9)
        return sorted(stored.key.id for stored in page.rows)

    assert await ids(AnyOf((a, b))) == ["1", "2"]
    assert await ids(Not(a)) == ["2", "3"]
    assert await ids(AllOf((a, b))) == []
    assert await store.count(Select(("Patient",), Not(a), restriction=EVERYTHING)) == 2
    assert list(await store.find(Select((), b, restriction=EVERYTHING), at_most=2)) == [
        rid(("Patient", "2"))
    ]


@pytest.mark.parametrize("term", ['c"', "c'", "c a", "c-a", "c:a", "c*a", "", "*", "c\\"])
@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL])
def test_what_is_no_term_never_reaches_a_database(term, dialect):
    with pytest.raises(ValueError, match="no term"):
        query(TextHas(((term,),)), dialect)
