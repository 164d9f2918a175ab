"""What lies beneath a resource, or above it, is found however deep it is, and by no one who may
not see the way; what lies beneath a URL is found by how it begins."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.store import upkeep
from fhir_server.store.condition import check
from fhir_server.store.condition.keys import PROBED
from fhir_server.store.condition.taking import MAX_KEYS
from fhir_server.store.contract import (
    EVERYTHING,
    HASH_MASK,
    PARAM_SHIFT,
    AllOf,
    AnyOf,
    Beneath,
    IndexRows,
    KeyIs,
    KeyRow,
    Not,
    Select,
    UriRow,
    UriStarts,
    hash128,
    rid,
)
from fhir_server.store.contract.reach import only
from fhir_server.store.stamp import Stamp
from tests.store.world import newest, unit, version

PART, AT, PROFILE = 7, 8, 9  # parameters: a place's whole, a visit's place, a profile
HIDDEN = 5  # an owner
# The parts and their wholes; `a` to `c` stand in a circle
WHOLES = {
    "ward": "floor",
    "room": "ward",
    "bed": "room",
    "floor": "house",
    "annex": "house",
    "shed": "elsewhere",
    "a": "b",
    "b": "c",
    "c": "a",
    "self": "self",
}
PLACES = ("house", "shed", "floor", "annex", "ward", "room", "bed", "a", "b", "c", "self")


def place(id: str) -> int:
    return rid(Key("Location", id))


def refers(param: int, target: int) -> KeyRow:
    return KeyRow(param << PARAM_SHIFT | target & HASH_MASK, target)


def visit(id: str) -> int:
    return rid(Key("Encounter", id))


async def build(store, owners=()) -> None:
    """A visit `v-x` at each place x, and one at a place that is none here."""
    owners = dict(owners)
    written = []
    for id in PLACES:
        keys = {refers(PART, place(WHOLES[id]))} if id in WHOLES else {KeyRow(PART << 50, 0)}
        owner = owners.get(id, 0)
        rows = IndexRows(keys=frozenset(keys), owner=owner)
        written.append(version(f"Location/{id}", rows=rows))
    for id in (*PLACES, "elsewhere"):
        # An identifier's row, whose w is negative, and a marker lead nowhere.
        keys = frozenset({refers(AT, place(id)), KeyRow(AT << 50 | 3, -3), KeyRow(AT << 50, 0)})
        written.append(version(f"Encounter/v-{id}", rows=IndexRows(keys=keys)))
    await store.commit(unit(*written))


async def found(store, where, restriction=EVERYTHING) -> set[str]:
    select = Select(("Encounter",), where, restriction=restriction)
    rids = set(await store.find(select, at_most=100))
    page = await store.search(select, limit=50)
    assert {rid(row.key) for row in page.rows} == rids
    assert await store.count(select) == len(rids)
    return {id for id in (*PLACES, "elsewhere") if visit(f"v-{id}") in rids}


async def by_keys(store, asked, restriction=EVERYTHING) -> AnyOf:
    """The same, asked of each key that stands for it."""
    keys = await store.keys_behind(asked, restriction, at_most=20)
    assert await store.keys_behind(asked, restriction, at_most=len(keys)) == keys
    if keys:
        assert await store.keys_behind(asked, restriction, at_most=len(keys) - 1) is None
    return AnyOf(tuple(keys))


# roots                   above   whose visits are found
WAYS = [
    (("house",), False, "house floor annex ward room bed"),
    (("ward",), False, "ward room bed"),
    (("bed",), False, "bed"),
    (("ward", "annex"), False, "ward room bed annex"),
    (("elsewhere",), False, "elsewhere shed"),
    (("a",), False, "a b c"),
    (("self",), False, "self"),
    ((), False, ""),
    (("bed",), True, "bed room ward floor house"),
    (("house",), True, "house"),
    (("shed",), True, "shed elsewhere"),
    (("elsewhere",), True, "elsewhere"),
    (("b",), True, "a b c"),
    (("self", "annex"), True, "self annex house"),
    ((), True, ""),
]


async def test_parts_and_wholes_are_followed_to_the_end_and_circles_end(store):
    await build(store)
    for roots, above, expected in WAYS:
        asked = Beneath(AT, tuple(map(place, roots)), (PART,), above)
        assert await found(store, asked) == set(expected.split()), (roots, above)
        keys = await by_keys(store, asked)
        assert await found(store, keys) == set(expected.split()), (roots, above)
        rest = {*PLACES, "elsewhere"} - set(expected.split())
        assert await found(store, Not(asked)) == rest
        assert await found(store, AllOf((asked, asked))) == set(expected.split())


async def test_without_parameters_of_parts_only_the_roots_are_found(store):
    await build(store)
    for above in (False, True):
        assert await found(store, Beneath(AT, (place("ward"),), (), above)) == {"ward"}


async def test_a_hierarchy_is_asked_for_beside_other_conditions(store):
    await build(store)
    asked = Beneath(AT, (place("ward"),), (PART,))
    key = refers(AT, place("room"))
    room = KeyIs(key.v, key.w, -1)
    assert await found(store, AllOf((asked, room))) == {"room"}
    assert await found(store, AllOf((asked, Not(room)))) == {"ward", "bed"}
    annex = Beneath(AT, (place("annex"),), (PART,))
    assert await found(store, AnyOf((asked, annex, room))) == {"ward", "room", "bed", "annex"}


async def test_what_a_caller_may_not_reach_leads_no_further(store):
    """The place that is hidden still is where its visit says it is: that is the visit's own."""
    await build(store, {"ward": HIDDEN})
    some = only(owners=frozenset({0}))
    down = Beneath(AT, (place("house"),), (PART,))
    assert await found(store, down) == {"house", "floor", "annex", "ward", "room", "bed"}
    assert await found(store, down, some) == {"house", "floor", "annex"}
    assert await found(store, await by_keys(store, down, some)) == {"house", "floor", "annex"}
    up = Beneath(AT, (place("bed"),), (PART,), above=True)
    assert await found(store, up) == {"bed", "room", "ward", "floor", "house"}
    assert await found(store, up, some) == {"bed", "room", "ward"}
    assert await found(store, await by_keys(store, up, some)) == {"bed", "room", "ward"}
    no_places = only(types=frozenset({"Encounter"}))
    assert await found(store, down, no_places) == {"house"}
    assert await found(store, up, no_places) == {"bed"}


async def test_a_deleted_place_leads_no_further(store):
    await build(store)
    was = await newest(store, "Location/ward")
    rows = IndexRows(keys=frozenset({refers(PART, place("floor"))}))
    await store.commit(unit(version("Location/ward", "deleted", before=rows, follows=was)))
    assert await found(store, Beneath(AT, (place("floor"),), (PART,))) == {"floor"}
    assert await found(store, Beneath(AT, (place("room"),), (PART,), above=True)) == {
        "room",
        "ward",
    }


# --- uris ----------------------------------------------------------------------------------------

URIS = [
    "http://a/",
    "http://a/1",
    "http://a/1|2.0",
    "http://a/10",
    "http://b",
    "http://a/\U0010ffff",
]


def uri(text: str, param: int = PROFILE) -> UriRow:
    digest = hash128(text)
    return UriRow(param, text, param << PARAM_SHIFT | digest & HASH_MASK, digest >> 65)


def with_uris(*texts: str, param: int = PROFILE) -> IndexRows:
    rows = frozenset(uri(text, param) for text in texts)
    return IndexRows(keys=frozenset(KeyRow(row.v, row.w) for row in rows), uris=rows)


async def tagged(store, where, restriction=EVERYTHING) -> set[int]:
    rids = await store.find(Select(("Basic",), where, restriction=restriction), at_most=100)
    return {n for n in range(20) if rid(Key("Basic", str(n))) in rids}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("http://a", {0, 1, 2, 3, 5}),
        ("http://a/1", {1, 2, 3}),
        ("http://a/1|", {2}),
        ("http://a/10", {3}),
        ("http://a/\U0010ffff", {5}),
        ("http://c", set()),
        ("HTTP://a", set()),
        ("http://a/%", set()),
        ("\0", set()),
        ("\ud800", set()),
    ],
)
async def test_a_uri_is_found_by_how_it_begins(store, prefix, expected):
    writes = [version(f"Basic/{n}", rows=with_uris(text)) for n, text in enumerate(URIS)]
    await store.commit(unit(*writes))
    await store.commit(unit(version("Basic/9", rows=with_uris("http://a/1", param=PROFILE + 1))))
    asked = UriStarts(PROFILE, prefix)
    assert await tagged(store, asked) == expected
    assert await tagged(store, await by_keys(store, asked)) == expected
    assert await tagged(store, Not(asked)) == {*range(6), 9} - expected
    assert await tagged(store, AllOf((asked, UriStarts(PROFILE, "http://")))) == expected


async def test_texts_are_kept_once_and_each_version_is_found_by_its_own(store):
    first = with_uris("http://a/1")
    await store.commit(unit(version("Basic/1", rows=first), version("Basic/2", rows=first)))
    await store.commit(unit(version("Basic/3", rows=first)))
    was = await newest(store, "Basic/1")
    second = with_uris("http://b/1", "bad \0", "\ud800")
    await store.commit(unit(version("Basic/1", "b", rows=second, before=first, follows=was)))
    assert await tagged(store, UriStarts(PROFILE, "http://a")) == {2, 3}
    assert await tagged(store, UriStarts(PROFILE, "http://b")) == {1}
    was = await newest(store, "Basic/1")
    await store.commit(unit(version("Basic/1", "deleted", before=second, follows=was)))
    assert await tagged(store, UriStarts(PROFILE, "http://b")) == set()


async def test_a_text_that_another_process_wrote_first_is_no_conflict(database, clock):
    one, other = database.store(clock=clock), None
    await one.open()
    try:
        await one.commit(unit(version("Basic/1", rows=with_uris("http://a/1"))))
    finally:
        await one.close()
    other = database.store(clock=clock)
    await other.open()
    try:
        await other.commit(unit(version("Basic/2", rows=with_uris("http://a/1", "http://a/2"))))
        assert await tagged(other, UriStarts(PROFILE, "http://a/")) == {1, 2}
    finally:
        await other.close()


async def test_a_new_index_has_the_texts_of_its_own_rules(database, clock):
    """A backup has them too: both copy whole tables."""
    stamp = Stamp("new", "+07:00")
    store = database.store(clock=clock)
    await store.open()
    await store.commit(unit(version("Basic/1", rows=with_uris("http://a/1"))))
    await store.close()
    upkeep.reindex(database.url, lambda _: with_uris("http://b/1"), stamp, lambda _done, _all: None)
    store = database.store(clock=clock)
    await store.open()
    try:
        assert await tagged(store, UriStarts(PROFILE, "http://a/")) == set()
        assert await tagged(store, UriStarts(PROFILE, "http://b/")) == {1}
    finally:
        await store.close()


async def test_a_long_list_of_keys_is_a_set_and_a_short_one_is_probed(store):
    writes = [version(f"Basic/{n}", rows=with_uris(f"u{n}")) for n in range(10)]
    await store.commit(unit(*writes))
    every = [KeyIs(row.v, row.w, -1) for row in map(uri, (f"u{n}" for n in range(5, 5 + PROBED)))]
    for keys in (every[:PROBED], [*every, KeyIs(1, 1, -1)]):
        asked = AnyOf(tuple(keys))
        assert await tagged(store, asked) == {5, 6, 7, 8, 9}
        assert await tagged(store, Not(asked)) == {0, 1, 2, 3, 4}
        assert await tagged(store, AllOf((AnyOf((every[0], every[1])), asked))) == {5, 6}


def test_what_asks_for_too_many_keys_is_refused_with_the_bound():
    check(AnyOf(tuple(KeyIs(n) for n in range(MAX_KEYS))))
    lists = tuple(AnyOf(tuple(KeyIs(n) for n in range(MAX_KEYS // 4))) for _ in range(5))
    with pytest.raises(Invalid, match=f"at most {MAX_KEYS}"):
        check(AllOf(lists))
