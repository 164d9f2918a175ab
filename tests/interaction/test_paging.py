"""https://hl7.org/fhir/R4/http.html#paging"""

from __future__ import annotations

import itertools
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction import delete, search, sorting, update
from fhir_server.search.page import seal, unseal
from tests.interaction.conftest import BASE, BY_ANYBODY, asked, link, patient, put, told

SECRET = b"s" * 32
ANYBODY = BY_ANYBODY.caller.identity


def ids(bundle):
    return [entry["resource"]["id"] for entry in bundle.get("entry", [])]


async def follow(server, here, url):
    parts = urlsplit(url)
    assert url.startswith(f"{BASE}/Patient?")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    return told(await search.search(server, search.Ask(("Patient",), pairs), here))


# --- a walk while others write -------------------------------------------------------------------

FAMILIES = ("An", "Ân", "Bùi", "Đặng", "Văn Vũ")
DATES = ("1940-01-01", "1969-12-31", "1970-01-01", "1990", "1990-05")
people = st.fixed_dictionaries(
    {
        "family": st.sampled_from([None, *FAMILIES]),
        "birth": st.sampled_from([None, *DATES]),
        "death": st.sampled_from([None, "2020", "2021-02-03"]),
        "gender": st.sampled_from([None, "male", "female"]),
        "given": st.lists(st.sampled_from(FAMILIES), max_size=2),
    }
)
changes = st.one_of(
    st.tuples(st.just("put"), st.integers(0, 7), people),
    st.tuples(st.just("put"), st.integers(0, 7), people),
    st.tuples(st.just("leave"), st.integers(0, 7), people),  # what is changed matches no more
    st.tuples(st.just("delete"), st.integers(0, 7), st.none()),
    st.tuples(st.just("new"), st.just(0), people),
)
walks = st.tuples(
    st.lists(people, min_size=1, max_size=8),
    st.lists(st.lists(changes, max_size=3), max_size=8),
    st.integers(1, 3),
)


def someone(id, tag, one):
    """A Patient with these attributes; `tag` is what the search asks for."""
    name = {"family": one["family"], "given": one["given"]}
    resource = {
        "resourceType": "Patient",
        "id": id,
        "meta": {"tag": [{"system": "http://walk.example", "code": tag}]},
        "name": [{part: value for part, value in name.items() if value}],
        "birthDate": one["birth"],
        "deceasedDateTime": one["death"],
        "gender": one["gender"],
        "language": "vi",
    }
    if not resource["name"][0]:
        del resource["name"]
    return {element: value for element, value in resource.items() if value is not None}


class World:
    """The resources of one walk, and what became of them."""

    def __init__(self, server, here, clock, walk, started):
        self.server, self.here, self.clock, self.walk = server, here, clock, walk
        self.tag, self.serial = f"t{walk}", itertools.count()
        self.started = [f"{self.tag}-{n}" for n in range(started)]
        self.through = set(self.started)  # what has matched throughout

    async def put(self, id, one, *, tag=None):
        self.clock.now += next(self.serial) % 2
        resource = someone(id, tag or self.tag, one)
        await update.update(self.server, update.Ask("Patient", id, resource), self.here)

    async def change(self, how, n, one):
        id = self.started[n % len(self.started)]
        if how == "new":
            await self.put(f"{self.tag}-new{next(self.serial)}", one)
        elif how == "put":
            await self.put(id, one)
        elif how == "leave":
            self.through.discard(id)
            await self.put(id, one, tag="elsewhere")
        else:
            self.through.discard(id)
            await delete.delete(self.server, delete.Ask("Patient", id), self.here)


ORDERS = [
    None, "birthdate", "-birthdate", "_lastUpdated", "-_lastUpdated", "family", "-family",
    "death-date", "-death-date", "gender", "-gender,family", "-name", "given,-_lastUpdated",
]  # fmt: skip
numbers = itertools.count()


@pytest.mark.parametrize("few", [1000, -1], ids=["read", "walked"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_walk_meets_what_matched_throughout_once_and_nothing_that_came_later(
    server, here, clock, run, monkeypatch, order, few
):
    if few < 0 and not isinstance_of_walk(order):
        pytest.skip("an order that is always read")
    monkeypatch.setattr(sorting, "FEW", few)
    monkeypatch.setattr(sorting, "FEW_TIMES", few)

    @settings(
        max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(walks)
    def holds(walk):
        run(one_walk(server, here, clock, order, *walk))

    holds()


def isinstance_of_walk(order):
    """Whether an index stands in this order."""
    return order is not None and order.lstrip("-") in ("_lastUpdated", "family", "death-date")


async def one_walk(server, here, clock, order, started, turns, count):
    world = World(server, here, clock, next(numbers), len(started))
    for id, one in zip(world.started, started, strict=True):
        await world.put(id, one)
    pairs = [("_tag", world.tag), *([("_sort", order)] if order else [])]
    whole = ids(await asked(server, here, ("Patient",), *pairs))
    assert sorted(whole) == sorted(world.started)
    page = await asked(server, here, ("Patient",), *pairs, ("_count", str(count)))
    pages = [ids(page)]
    turns = iter(turns)
    while link(page, "next"):
        for change in next(turns, ()):
            await world.change(*change)
        page = await follow(server, here, link(page, "next"))
        pages.append(ids(page))
    held(world, whole, pages)
    back = [ids(page)]
    while link(page, "previous"):
        for change in next(turns, ()):
            await world.change(*change)
        page = await follow(server, here, link(page, "previous"))
        back.append(ids(page))
    held(world, whole, back[::-1])


def held(world, whole, pages):
    """Each that matched throughout, once, where it stood at the first page; no late comer."""
    met = [id for page in pages for id in page]
    assert len(set(met)) == len(met)
    assert set(met) <= set(world.started)
    assert world.through <= set(met)
    places = [whole.index(id) for id in met]
    assert places == sorted(places)


async def test_the_page_before_holds_what_it_held_but_what_matches_no_more(server, here):
    """And again the page after it, and so on, back and forth."""
    await put(server, here, *(patient(f"p{n}", birthDate=f"19{n:02}") for n in range(10, 20)))
    first = await asked(server, here, ("Patient",), ("_count", "3"), ("_sort", "-birthdate"))
    second = await follow(server, here, link(first, "next"))
    third = await follow(server, here, link(second, "next"))
    assert [ids(page) for page in (first, second, third)] == [
        ["p19", "p18", "p17"], ["p16", "p15", "p14"], ["p13", "p12", "p11"],
    ]  # fmt: skip
    await delete.delete(server, delete.Ask("Patient", "p18"), here)
    again = await follow(server, here, link(third, "previous"))
    assert ids(again) == ids(second)
    assert ids(await follow(server, here, link(again, "next"))) == ids(third)
    start = await follow(server, here, link(again, "previous"))
    assert ids(start) == ["p19", "p17"]
    assert link(start, "previous") is None
    assert ids(await follow(server, here, link(start, "next"))) == ids(second)
    assert link(first, "previous") is None
    assert {entry["relation"] for entry in again["link"]} == {"self", "first", "previous", "next"}


async def test_a_page_whose_matches_are_all_gone_still_leads_back_and_on(server, here):
    await put(server, here, *(patient(f"p{n}", birthDate=f"19{n:02}") for n in range(10, 16)))
    first = await asked(server, here, ("Patient",), ("_count", "2"))
    second = await follow(server, here, link(first, "next"))
    for id in ("p13", "p12", "p11", "p10"):
        await delete.delete(server, delete.Ask("Patient", id), here)
    gone = await follow(server, here, link(first, "next"))
    assert ids(gone) == []
    assert ids(await follow(server, here, link(gone, "previous"))) == ids(first)
    beyond = await follow(server, here, link(second, "next"))
    assert ids(beyond) == []
    assert ids(await follow(server, here, link(beyond, "previous"))) == ids(first)


async def test_a_count_has_no_pages(server, here):
    """R4 search#count: "with no entries, and no prev/next/last links"."""
    await put(server, here, *(patient(f"p{n}") for n in range(3)))
    for pair in (("_count", "0"), ("_summary", "count")):
        bundle = await asked(server, here, ("Patient",), pair)
        assert (bundle["total"], "entry" in bundle) == (3, False)
        assert {entry["relation"] for entry in bundle["link"]} == {"self", "first"}


# --- cursors that are none -----------------------------------------------------------------------


async def good(server, here, *pairs):
    bundle = await asked(server, here, ("Patient",), *pairs)
    return dict(parse_qsl(urlsplit(link(bundle, "next")).query))["_cursor"]


def changed(cursor, at):
    letter = "A" if cursor[at] != "A" else "B"
    return cursor[:at] + letter + cursor[at + 1 :]


QUESTION = [("_sort", "family"), ("_count", "1")]

# what is wrong                             the cursor, made of one that is right
FORGED = [
    ("one letter", lambda right: changed(right, 3)),
    ("a letter of the signature's end", lambda right: changed(right, 20)),
    ("cut", lambda right: right[:-4]),
    ("longer", lambda right: right + "AAAA"),
    ("too long", lambda right: right + "A" * 20_000),
    ("empty but for spaces", lambda right: "  x"),
    ("no base64", lambda right: "*" + right),
    ("not ASCII", lambda right: right + "đ"),
    (
        "another server's",
        lambda right: seal(b"t" * 32, unseal(SECRET, right, to=ANYBODY), to=ANYBODY),
    ),
]

# what is wrong                             what it holds that it should not
SEALED = [
    ("no place", {"p": None}),
    ("a place of one", {"p": [1]}),
    ("a place of another order", {"p": [[1, 2], 5]}),
    ("a number where a text is", {"p": [5, 5], "o": "w"}),
    ("no number", {"p": ["an", "5"]}),
    ("of another kind than the values there", {"p": [[5], 5], "o": "c"}),
    ("a list in a list", {"p": [[["a"]], 5], "o": "c"}),
    ("a truth", {"p": [[True], 5], "o": "c"}),
    ("a number too great", {"p": [None, 2**63]}),
    ("a value too great", {"p": [[2**63], 5], "o": "c"}),
    ("no bound", {"b": None}),
    ("a bound that is none", {"b": "x"}),
    ("a bound too great", {"b": str(2**63)}),
    ("begun too long ago", {"t": 5}),
    ("begun at no time", {"t": None}),
    ("no direction", {"d": 7}),
    ("no way", {"o": "z"}),
    ("another question", {"q": "0" * 24}),
    ("nothing", {"q": None}),
]


@pytest.mark.parametrize(("wrong", "forge"), FORGED)
async def test_a_cursor_this_server_did_not_give_is_refused(server, here, wrong, forge):
    await put(server, here, patient("a", "An"), patient("b", "Bùi"))
    cursor = await good(server, here, *QUESTION)
    with pytest.raises(Invalid) as refusal:
        await asked(server, here, ("Patient",), *QUESTION, ("_cursor", forge(cursor)))
    assert refusal.value.status == 400, wrong
    assert refusal.value.issues[0].expression == "http._cursor"


@pytest.mark.parametrize(("wrong", "other"), SEALED)
async def test_a_cursor_that_holds_something_else_is_refused(server, here, wrong, other):
    await put(server, here, patient("a", "An"), patient("b", "Bùi"))
    held = unseal(SECRET, await good(server, here, *QUESTION), to=ANYBODY)
    with pytest.raises(Invalid) as refusal:
        sealed = seal(SECRET, {**held, **other}, to=ANYBODY)
        await asked(server, here, ("Patient",), *QUESTION, ("_cursor", sealed))
    assert refusal.value.status == 400, wrong


# another question                          of which type
OTHERS = [
    ([("_sort", "family"), ("_count", "2")], ("Patient",)),
    ([("_sort", "-family"), ("_count", "1")], ("Patient",)),
    ([("_count", "1")], ("Patient",)),
    ([("_sort", "family"), ("_count", "1"), ("family", "an")], ("Patient",)),
    ([("_sort", "family"), ("_count", "1")], ("Practitioner",)),
]


@pytest.mark.parametrize(("pairs", "types"), OTHERS)
async def test_a_cursor_answers_no_other_question(server, here, pairs, types):
    await put(server, here, patient("a", "An"), patient("b", "Bùi"))
    cursor = await good(server, here, *QUESTION)
    with pytest.raises(Invalid, match="another search"):
        await asked(server, here, types, *pairs, ("_cursor", cursor))
