"""What a node is told: its catchment, in order, nothing twice that matters, and nothing else.

https://hl7.org/fhir/R4/bundle.html#history
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Forbidden, Gone, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete, feeding
from fhir_server.interaction.stirring import Stirring
from fhir_server.interaction.waiting import Waiting
from fhir_server.interaction.writing import new_version
from fhir_server.operation.call import Call, Given
from fhir_server.search.page import seal
from fhir_server.security.caller import Caller
from fhir_server.store.contract import EVERYTHING, Unit, parse_version_id, rid
from fhir_server.store.contract.log import OUTSIDE, Mark
from fhir_server.store.contract.side import HERE, LIFE, RECEIPT, LifeRow, Put, ReceiptRow
from fhir_server.sync.hub import homes, pulling
from fhir_server.sync.hub import page as paging
from fhir_server.sync.hub.outside import number_of
from fhir_server.sync.words import Kind
from tests.interaction.conftest import BY_ANYBODY, put
from tests.rest.client import on_one_database
from tests.sync.hub.posts import (
    POLICY,
    Post,
    denial,
    kept,
    measured,
    organization,
    person,
    visit,
    written,
)

HUE, HANOI = organization("hue"), organization("hanoi")


async def world(server):
    """Two posts with a patient each."""
    await written(
        server,
        HUE, HANOI,
        person("a", "hue"), visit("ae", "a", "hue"), measured("ao", "a"),
        person("b", "hanoi"), visit("be", "b", "hanoi"), measured("bo", "b"),
    )  # fmt: skip


# --- everything, once -----------------------------------------------------------------------------


async def test_a_node_begins_with_its_patients_and_what_everybody_has(server):
    await world(server)
    post = await Post(server, "hue").pull()
    assert post.shows == ["Encounter/ae", "Observation/ao", "Patient/a"]
    assert {"Organization/hue", "Organization/hanoi"} <= set(post.seen)
    assert {post.whose[name] for name in post.shows} == {"a"}
    assert post.whose["Organization/hue"] == ""


async def test_the_first_walk_is_resumed_where_it_was_and_says_that_it_goes_on(server, monkeypatch):
    monkeypatch.setattr(paging, "LIMIT", 2)
    await world(server)
    for number in range(7):
        await written(server, measured(f"o{number}", "a"))
    post, pages = Post(server, "hue"), 0
    while True:
        found = await post.ask()
        again = await post.ask()  # the answer was lost: the same is asked, and told, again
        assert [row.key for row in again.rows] == [row.key for row in found.rows]
        post.take(found)
        pages += 1
        if not found.entering:
            break
        assert found.more
    await post.pull()
    assert pages > 4
    assert len(post.shows) == 3 + 7
    assert len(post.told) == len({row.key for row in post.told}), "nothing came twice"


async def test_what_is_written_during_the_first_walk_comes_too(server, monkeypatch):
    monkeypatch.setattr(paging, "LIMIT", 2)
    await world(server)
    post, number = Post(server, "hue"), 0
    while True:
        found = await post.ask()
        post.take(found)
        await written(
            server,
            measured(f"new{number}", "a"),
            person(f"came{number}", "hue"),
            measured("ao", "a", number),
        )
        number += 1
        if not found.entering or number > 20:
            break
    await post.pull()
    assert {f"Observation/new{n}" for n in range(number)} <= set(post.shows)
    assert {f"Patient/came{n}" for n in range(number)} <= set(post.shows)
    newest = (await server.store.newest((Key("Observation", "ao"),), EVERYTHING)).popitem()[1]
    assert post.seen["Observation/ao"].rev == newest.version_id


# --- following ------------------------------------------------------------------------------------


async def test_what_changes_comes_in_order_with_its_parents_and_its_place(server):
    await world(server)
    post = await Post(server, "hue").pull()
    post.told.clear()
    await written(server, measured("ao", "a", 6), measured("ao", "a", 7), measured("bo", "b", 6))
    await delete.delete(server, delete.Ask("Observation", "ao"), BY_ANYBODY)
    await post.pull()
    assert [str(row.key) for row in post.told] == ["Observation/ao"] * 3
    first, second, third = post.told
    assert (second.parents, third.parents) == ((first.rev,), (second.rev,))
    assert first.place < second.place < third.place
    assert (third.method, third.body, third.patient) == ("DELETE", None, "a")
    assert json.loads(second.body)["meta"]["versionId"] == second.rev
    assert "Observation/ao" not in post.shows


async def test_a_patient_who_comes_home_is_sent_whole(server, monkeypatch):
    monkeypatch.setattr(paging, "LIMIT", 2)
    await world(server)
    await written(server, measured("bo", "b", 6), measured("bp", "b"), measured("bq", "b"))
    await delete.delete(server, delete.Ask("Observation", "bq"), BY_ANYBODY)
    post = await Post(server, "hue").pull()
    await written(server, visit("be2", "b", "hue"))
    await post.pull()
    everything = ["Encounter/be", "Encounter/be2", "Observation/bo", "Observation/bp", "Patient/b"]
    assert [name for name in post.shows if post.whose[name] == "b"] == everything
    stubs = [one.rev for one in post.seen["Observation/bo"].stubs]
    assert len(stubs) == 1, "what was before is told by name"
    assert stubs[0] in post.seen["Observation/bo"].parents
    assert post.whose["Observation/bq"] == "b", "a deletion is told, too"


async def test_a_patient_who_leaves_takes_the_record_along(server):
    await world(server)
    post, other = await Post(server, "hue").pull(), await Post(server, "hanoi").pull()
    await written(server, person("a", "hanoi"), visit("ae", "a", "hanoi"))
    await post.pull()
    await other.pull()
    assert post.shows == []
    assert {"Patient/a", "Encounter/ae", "Observation/ao"} <= set(other.shows)
    before = len(post.told)
    await written(server, measured("later", "a"))
    await post.pull()
    await other.pull()
    assert len(post.told) == before, "nothing of who left"
    assert "Observation/later" in other.shows


async def test_a_deleted_resource_leaves_with_its_patient(server):
    """A deleted Encounter names no patient: the hub has said whose it was."""
    await world(server)
    await delete.delete(server, delete.Ask("Encounter", "ae"), BY_ANYBODY)
    await kept(server)
    post = await Post(server, "hanoi").pull()
    await written(server, visit("x", "a", "hanoi"))
    await post.pull()
    assert post.whose["Encounter/ae"] == "a"
    await written(server, visit("x", "a", "hanoi", "cancelled"))
    await post.pull()
    assert [name for name in post.shows if post.whose[name] == "a"] == []


async def test_who_comes_and_goes_and_comes_is_there(server):
    await world(server)
    post = await Post(server, "hue").pull()
    for status in ("finished", "cancelled", "finished"):
        await written(server, visit("x", "b", "hue", status))
    await post.pull()
    assert {"Patient/b", "Observation/bo", "Encounter/x"} <= set(post.shows)


async def test_a_resource_that_changes_its_patient_goes_to_the_ones_and_leaves_the_others(server):
    await world(server)
    post, other = await Post(server, "hue").pull(), await Post(server, "hanoi").pull()
    await written(server, measured("ao", "b", 8))
    await post.pull()
    await other.pull()
    assert post.shows == ["Encounter/ae", "Patient/a"]
    assert post.told[-1].kind is Kind.LEFT_RESOURCE
    assert "Observation/ao" in other.shows
    told = [row for row in other.told if str(row.key) == "Observation/ao"]
    assert {row.patient for row in told} == {"b"}
    assert all(b'"Patient/a"' not in row.body for row in told), "only what is theirs"
    known = {rev for row in told for rev in (row.rev, *(stub.rev for stub in row.stubs))}
    assert {parent for row in told for parent in row.parents} <= known


async def test_an_old_version_stays_with_whose_it_was(server):
    """Written as b's, then a's: the post of a is not told what it said of b."""
    await world(server)
    post, other = await Post(server, "hue").pull(), await Post(server, "hanoi").pull()
    await written(server, measured("m", "b", 1), measured("m", "b", 2), measured("m", "a", 3))
    await post.pull()
    await other.pull()
    for row in post.told:
        assert row.body is None or b'"Patient/b"' not in row.body
    assert "Observation/m" in post.shows
    assert "Observation/m" not in other.shows


async def sent(server, resource, number):
    """The post at Huế has sent it, as its life `mine`: stored together with its receipt."""
    one = new_version(server, BY_ANYBODY, resource, "PUT", None)
    receipt = ReceiptRow(
        "post-hue", "mine", number, rid(one.key), one.generation, one.digest,
        "stored", HERE, 0, 0, "",
    )  # fmt: skip
    await server.store.commit(Unit((one,), side=(Put(RECEIPT, (receipt,)),)))
    return (await server.store.newest((one.key,), EVERYTHING))[one.key]


async def test_own_versions_come_back_without_their_bodies_to_who_sent_them(server):
    await world(server)
    post = await Post(server, "hue", "mine").pull()
    again = await Post(server, "hue", "another").pull()
    stored = await sent(server, measured("sent", "a"), 1)
    await post.pull()
    await again.pull()
    echo, whole = post.told[-1], again.told[-1]
    assert (echo.kind, echo.body, echo.rev) == (Kind.ECHO, None, stored.version_id)
    assert (whole.kind, whole.place) == (Kind.VERSION, echo.place)


async def test_whom_a_node_has_registered_itself_comes_back_to_it_without_a_body(server):
    await world(server)
    post = await Post(server, "hue").pull()
    other = replace(post, incarnation="ffff", told=[], seen={}, whose={})
    await put(server, BY_ANYBODY, person("moi", "hue"))
    stored = (await server.store.newest((Key("Patient", "moi"),), EVERYTHING)).popitem()[1]
    name = parse_version_id(stored.version_id)
    row = ReceiptRow(
        "post-hue", "7f3c", 1, rid(stored.key), *name, "stored", *stored.position, 0, ""
    )
    await server.store.commit(Unit((), side=(Put(RECEIPT, (row,)),)))
    await kept(server)
    post.told.clear()
    await post.pull()
    await other.pull()
    found = [row for row in post.told if row.key == stored.key]
    assert found and {row.kind for row in found} == {Kind.ECHO}
    assert {row.rev for row in found} == {stored.version_id}
    assert Kind.VERSION in {row.kind for row in other.told if row.key == stored.key}


async def test_what_a_node_sent_and_does_not_see_it_lets_go_of(server):
    await world(server)
    post = await Post(server, "hue").pull()
    number = number_of("post-hue")
    outside = Mark(OUTSIDE, rid(Key("Observation", "bo")), number)
    seen = Mark(OUTSIDE, rid(Key("Observation", "ao")), number)
    others = Mark(OUTSIDE, rid(Key("Observation", "ao")), number_of("post-hanoi"))
    await server.store.commit(Unit((), marks=(outside, seen, others)))
    post.told.clear()
    await post.pull()
    assert [(row.kind, str(row.key)) for row in post.told] == [
        (Kind.LEFT_RESOURCE, "Observation/bo")
    ]
    anew = await Post(server, "hue").pull()
    assert (Kind.LEFT_RESOURCE, "Observation/bo") in [(row.kind, str(row.key)) for row in anew.told]


async def test_those_of_the_parked_that_are_stored_now_are_told(server):
    await world(server)
    post = await Post(server, "hue").pull()
    stored = (await server.store.newest((Key("Observation", "ao"),), EVERYTHING)).popitem()[1]
    rows = [
        ReceiptRow("post-hue", "7f3c", number, 1, *parse_version_id(rev), outcome, 0, 0, 0, "")
        for number, (rev, outcome) in enumerate(
            [(stored.version_id, "stored"), (f"9{stored.version_id[1:]}", "refused")], start=1
        )
    ]
    await server.store.commit(Unit((), side=(Put(RECEIPT, tuple(rows)),)))
    parked = f"{stored.version_id},9{stored.version_id[1:]},8{stored.version_id[1:]}"
    assert (await post.ask(parked=parked)).stored == (stored.version_id,)


@on_one_database
async def test_what_was_parked_lately_is_found_however_much_was_sent_before(server, monkeypatch):
    monkeypatch.setattr(pulling, "READ", 3)
    monkeypatch.setattr(pulling, "READS", 2)
    revs = [f"{number}-{26 * 'a'}" for number in range(1, 41)]
    rows = [
        ReceiptRow("post-hue", "7f3c", number, 1, *parse_version_id(rev), "stored", 0, 0, 0, "")
        for number, rev in enumerate(revs, start=1)
    ]
    life = LifeRow("post-hue", "7f3c", 40, 0, "{}")
    await server.store.commit(Unit((), side=(Put(RECEIPT, tuple(rows)), Put(LIFE, (life,)))))
    post = Post(server, "hue")
    assert (await post.ask(parked=f"{revs[-1]},{revs[-6]}")).stored == (revs[-6], revs[-1])


async def catchment(server, facility, people):
    """What a post of the facility is to show."""
    place, found = rid(Key("Organization", facility)), {}
    for number in (rid(Key("Patient", of)) for of in people):
        if (await server.store.homes([number], place)).get((number, place)):
            for row in await server.store.compartments([number], None, limit=100):
                found |= {} if row.deleted else {str(row.key): row.version_id}
    return found


async def told_of(server):
    """Wait until followers are told of all that is committed: on PostgreSQL they stop before the
    oldest transaction that is open, and the store itself notes its horizon in one."""
    last = (await server.store.commit(Unit((), marks=(Mark(OUTSIDE, 1, 1),)))).place(0)
    for _ in range(1000):
        log = await server.store.log(None, facility=0, everywhere=(), limit=0)
        if log.horizon > last:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a transaction does not end")


async def test_posts_end_with_their_catchment_whatever_is_written_while_they_pull(
    server, monkeypatch
):
    """Patients come, go, change and are deleted, resources change their patient, all at once."""
    monkeypatch.setattr(paging, "LIMIT", 7)
    monkeypatch.setattr(paging, "LOOKED", 20)
    await written(server, HUE, HANOI)
    people, writing = [f"p{number}" for number in range(5)], True
    keeper = homes.Keeper(server)

    async def writer(number):
        dice = random.Random(number)
        for _ in range(8):
            of, at = dice.choice(people), dice.choice(["hue", "hanoi"])
            done = dice.choice(["finished", "cancelled"])
            one = dice.choice(
                [
                    person(of, at),
                    visit(f"e{dice.randrange(6)}", of, at, done),
                    measured(f"o{dice.randrange(6)}", of, dice.randrange(99)),
                ]
            )
            await put(server, BY_ANYBODY, one)
            if not dice.randrange(6):
                gone = delete.Ask("Observation", f"o{dice.randrange(6)}")
                await delete.delete(server, gone, BY_ANYBODY)

    async def follower(post):
        while writing:
            await keeper.look()
            post.take(await post.ask())
            await asyncio.sleep(0.002)  # SQLite answers at once, and would let nobody write

    async def writers():
        nonlocal writing
        await asyncio.gather(*map(writer, range(4)))
        writing = False

    hue, hanoi = Post(server, "hue"), Post(server, "hanoi")
    await asyncio.gather(writers(), follower(hue), hanoi.pull())
    await told_of(server)  # the keeper follows the log, too
    await kept(server)
    await told_of(server)
    for post in (hue, hanoi, Post(server, "hue")):
        await post.pull()
        expected = await catchment(server, post.facility, people)
        assert {name: post.seen[name].rev for name in post.shows} == expected


# --- who may have what ----------------------------------------------------------------------------


async def test_types_that_a_consent_denies_do_not_come(server):
    await world(server)
    consent = denial("c", "a", "hue", "Observation")
    await written(server, consent, policy=POLICY)
    post = await Post(server, "hue", consents=(consent,)).pull()
    assert post.shows == ["Consent/c", "Encounter/ae", "Patient/a"]


async def test_who_is_denied_everything_is_told_to_let_go(server):
    await world(server)
    post = await Post(server, "hue").pull()
    consent = denial("c", "a", "hue")
    await written(server, consent, policy=POLICY)
    post.consents = (consent,)
    await post.pull()
    assert post.shows == []


async def test_nothing_of_another_catchment_ever(server, monkeypatch):
    """Whatever the other does: not a byte of it, and the same rows as if it did nothing."""
    monkeypatch.setattr(paging, "LIMIT", 3)
    await world(server)
    post, alone = Post(server, "hue"), []
    secret = "zanzibar"

    async def stirs(turn):
        note = {"note": [{"text": secret}]}
        await written(
            server,
            person(f"x{turn % 3}", "hanoi", name=[{"family": secret}]),
            {**measured(f"x{turn}", "b", turn), **note},
            {**measured("moving", f"x{turn % 3}"), **note},
        )

    for turn in range(6):
        await stirs(turn)
        await written(server, measured(f"mine{turn}", "a"))
        raw = await pulling.pull(
            server,
            Call("sync-pull", "system", "GET", given=_given(post)),
            post.circumstances,
        )
        assert secret.encode() not in raw.body
        assert b"hanoi." not in raw.body
        found = await post.ask()
        post.take(found)
        alone += [str(row.key) for row in found.rows]
    await post.pull()
    assert [name for name in post.seen if "x" in name or "moving" in name] == []
    assert {post.whose[name] for name in post.shows} == {"a"}


def _given(post):
    told = {"cursor": post.cursor, "incarnation": post.incarnation}
    return tuple(Given(name, value) for name, value in told.items() if value)


OTHERS = [
    Caller("his", facility="hue", roles=frozenset({"system"})),
    Caller("post", roles=frozenset({"node"})),
    Caller("anyone", everything=True),
]


@on_one_database
@pytest.mark.parametrize("caller", OTHERS, ids=lambda caller: caller.client)
async def test_who_is_no_node_pulls_nothing(server, caller):
    post = Post(server, "hue")
    call = Call("sync-pull", "system", "GET")
    with pytest.raises(Forbidden, match="`node`"):
        await pulling.pull(server, call, replace(post.circumstances, caller=caller))


async def test_a_cursor_is_of_the_node_it_was_given_to(server):
    await world(server)
    post = await Post(server, "hue").pull()
    with pytest.raises(Invalid):
        await Post(server, "hanoi", cursor=post.cursor).ask()
    moved = Post(server, "hanoi", cursor=post.cursor)
    elsewhere = replace(moved.caller, client=post.caller.client)
    assert elsewhere.client == "post-hue", "the same client, registered for another facility"
    with pytest.raises(Invalid):
        await pulling.pull(
            server,
            Call("sync-pull", "system", "GET", given=_given(moved)),
            replace(moved.circumstances, caller=elsewhere),
        )


BAD = [
    ("cursor", "AAAA", "cursor"),
    ("parked", "x", "version id"),
    ("parked", ",".join(["1-" + "a" * 26] * 1001), "1000"),
    ("wait", "soon", "seconds"),
    ("incarnation", "x" * 65, "64"),
]


@on_one_database
@pytest.mark.parametrize(("name", "value", "word"), BAD, ids=[f"{n} {w}" for n, _, w in BAD])
async def test_what_is_malformed_is_refused(server, name, value, word):
    with pytest.raises(Invalid, match=word):
        await Post(server, "hue").ask(**{name: value})


async def test_a_cursor_of_an_epoch_that_ended_is_gone(server):
    await world(server)
    post = await Post(server, "hue").pull()
    log = await server.store.log(None, facility=0, everywhere=(), limit=0)
    epoch, mark, *place = log.end.split(".")
    held = {"log": ".".join([epoch, str(int(mark) + 1), *place]), "stage": "following"}
    secret, to = feeding.lasting(server), post.caller.identity
    post.cursor = seal(secret, {"v": 1, "s": held}, to=to)
    with pytest.raises(Gone, match="without it"):
        await post.ask()
    post.cursor = seal(secret, {"v": 2, "s": held}, to=to)
    with pytest.raises(Invalid, match="another version"):
        await post.ask()


# --- waiting, and what it costs -------------------------------------------------------------------


async def test_a_node_that_waits_is_told_as_soon_as_there_is_something(server):
    server = replace(server, waiting=Waiting(pause=0.01), stirring=Stirring(pause=0.0))
    await world(server)
    post = await Post(server, "hue").pull()
    waits = asyncio.create_task(post.ask(wait="30"))
    while not server.waiting.here:
        await asyncio.sleep(0.01)
    await put(server, BY_ANYBODY, measured("bo", "b", 9), measured("ao", "a", 9))
    found = await waits
    assert [str(row.key) for row in found.rows] == ["Observation/ao"]
    assert found.cursor == post.cursor


async def test_who_waits_is_answered_when_somebody_comes_home(server):
    server = replace(server, waiting=Waiting(pause=0.01), stirring=Stirring(pause=0.0))
    await world(server)
    post = await Post(server, "hue").pull()
    waits = asyncio.create_task(post.ask(wait="30"))
    while not server.waiting.here:
        await asyncio.sleep(0.01)
    await written(server, person("b", "hue"))
    assert {str(row.key) for row in (await waits).rows} >= {"Patient/b", "Observation/bo"}


async def test_that_its_own_is_stored_waits_until_there_is_more_to_say(server):
    """A receipt has told it: each visit is not one more answer over the line."""
    server = replace(server, waiting=Waiting(pause=0.01), stirring=Stirring(pause=0.0))
    await world(server)
    post = await Post(server, "hue", "mine").pull()
    waits = asyncio.create_task(post.ask(wait="30"))
    for number in range(3):
        await sent(server, measured(f"own{number}", "a"), number + 1)
        await asyncio.sleep(0.1)
    assert not waits.done()
    await put(server, BY_ANYBODY, measured("others", "a"))
    found = await waits
    assert [(str(row.key), row.kind) for row in found.rows] == [
        *((f"Observation/own{number}", Kind.ECHO) for number in range(3)),
        ("Observation/others", Kind.VERSION),
    ]
    post.take(found)
    await sent(server, measured("own3", "a"), 4)
    alone = await post.ask(wait="1")  # and is told at the end of the waiting
    assert [row.kind for row in alone.rows] == [Kind.ECHO]


async def test_a_page_of_nothing_moves_the_cursor_and_is_bounded(server, monkeypatch):
    """Whatever others have written: so many rows are looked at, and the next page goes on there."""
    monkeypatch.setattr(paging, "LOOKED", 10)
    monkeypatch.setattr(paging, "LOOKS", 2)
    await world(server)
    post = await Post(server, "hue").pull()
    for number in range(45):
        await put(server, BY_ANYBODY, measured(f"x{number}", "b"))
    await written(server, measured("mine", "a"))
    pages = []
    while True:
        found = await post.ask()
        post.take(found)
        pages.append(len(found.rows))
        if not found.more:
            break
    assert pages[:2] == [0, 0]
    assert sum(pages) == 1
    assert 3 <= len(pages) <= 4


async def test_a_full_page_goes_on_at_the_row_behind(server, monkeypatch):
    monkeypatch.setattr(paging, "LIMIT", 3)
    await world(server)
    post = await Post(server, "hue").pull()
    names = [f"o{number:02}" for number in range(20)]
    for name in names:
        await put(server, BY_ANYBODY, measured(name, "a"))
    await kept(server)
    post.told.clear()
    await post.pull()
    assert [row.key.id for row in post.told] == names


async def test_a_hub_tells_up_to_where_it_has_read_and_in_which_epoch(server):
    await world(server)
    post = Post(server, "hue")
    found = await post.ask()
    assert all(row.place <= found.read for row in found.rows)
    assert len(found.epochs) >= 1
    assert found.epochs[-1].end is None
