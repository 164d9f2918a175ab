"""A hub that was set back without being told sees it by a receipt that a node shows.

https://hl7.org/fhir/R4/signatures.html
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from dataclasses import replace

import pytest
from joserfc import jwk

from fhir_server.store.contract.side import STATE
from fhir_server.sync import receipts
from fhir_server.sync.epochs import fork
from fhir_server.sync.hub import nodes, noticing
from fhir_server.sync.node.showing import AGAIN, SILENT, Showing
from tests.interaction.conftest import BY_ANYBODY, put, server_on
from tests.sync.hub.disk import Disk
from tests.sync.hub.posts import Post, measured, organization, person
from tests.sync.setback import copied

HUE = organization("hue")
ON_ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Hub:
    """A hub that can be set back."""

    def __init__(self, database):
        self.database = database
        self.server = None

    async def open(self):
        store = self.database.store()
        await store.open()
        self.server = server_on(store)
        return self.server

    def copied(self):
        """What brings it back as it is."""
        return copied(self.database.url)

    async def set_back(self, back):
        await self.server.store.close()
        back()
        return await self.open()

    async def epochs(self):
        return (await Post(self.server, "hue").ask()).epochs


@pytest.fixture
def hub(database, run):
    found = Hub(database)
    run(found.open())
    run(put(found.server, BY_ANYBODY, HUE, organization("hanoi")))
    yield found
    run(found.server.store.close())


def shown(answer):
    """The receipt of an answer as a node shows it."""
    head, _, signature = answer.signed.partition("..")
    return f"{head}.{encoded(answer.said)}.{signature}"


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


async def lost(hub):
    """A disk whose second chunk the hub has lost, after which others have written more there."""
    disk = Disk(hub.server, "hue")
    disk.write(person("an", "hue"))
    first = await disk.push()
    back = hub.copied()
    disk.write(measured("m", "an"))
    second = await disk.push(2)
    disk.server = await hub.set_back(back)
    await put(hub.server, BY_ANYBODY, *(person(f"new{n}", "hanoi") for n in range(5)))
    return disk, first, second


async def test_a_receipt_that_is_not_here_begins_an_epoch_at_a_place_before_which_all_is(hub):
    disk, first, second = await lost(hub)
    before = await hub.epochs()
    assert before == second.epochs
    page = await Post(hub.server, "hue").ask(shown=shown(second))
    assert [one.name for one in page.epochs][:-1] == [before[-1].name]
    parted = fork(before, page.epochs)
    assert parted <= second.receipts[0].place
    again = await disk.push(2)
    assert (again.refused, [one.outcome.value for one in again.receipts]) == (None, ["stored"])
    assert again.epochs == page.epochs
    assert again.receipts[0].place >= parted
    (place,) = (one.place for one in first.receipts)
    assert parted <= place  # it is read before the number is taken


@ON_ONE
async def test_a_push_shows_it_too_and_is_answered_in_the_new_epoch(hub):
    disk, _, second = await lost(hub)
    disk.write(measured("m2", "an"))
    told = await disk.send(replace(disk.chunk(3, 3), shown=shown(second)))
    assert (told.refused.value, told.reached, len(told.epochs)) == ("gap", 1, 2)
    told = await disk.send(replace(disk.chunk(2, 3), shown=shown(second)))
    assert [one.place.epoch for one in told.receipts] == [2, 2]
    assert len(told.epochs) == 2


@ON_ONE
async def test_of_a_life_that_is_lost_whole_the_epoch_is_sent_again_from_where_it_began(hub):
    other = Disk(hub.server, "hanoi")
    other.write(person("ba", "hanoi"))
    await other.push()  # the hub's key is made by the first
    back = hub.copied()
    disk = Disk(hub.server, "hue")
    disk.write(person("an", "hue"))
    told = await disk.push()
    await hub.set_back(back)
    page = await Post(hub.server, "hue").ask(shown=shown(told))
    assert fork(told.epochs, page.epochs)[:2] <= (1, 1)


@ON_ONE
async def test_a_number_that_was_taken_anew_is_seen_by_its_place(hub):
    disk, _, second = await lost(hub)
    await disk.push(2)
    page = await Post(hub.server, "hue").ask(shown=shown(second))
    assert len(page.epochs) == 2
    assert fork(second.epochs, page.epochs)[:2] <= (1, 1)


async def test_several_that_see_it_at_once_begin_one_epoch(hub, database):
    _, _, second = await lost(hub)
    servers = [hub.server]
    if database.product == "postgresql":
        for _ in range(2):
            store = database.store()
            await store.open()
            servers.append(server_on(store))
    looks = [noticing.look(each, shown(second), "post-hue") for each in servers * 3]
    await asyncio.gather(*looks)
    assert len(await hub.epochs()) == 2
    for other in servers[1:]:
        await other.store.close()


@ON_ONE
async def test_what_the_hub_still_has_and_what_was_seen_already_begin_nothing(hub):
    _, first, second = await lost(hub)
    for told, epochs in ((first, 1), (second, 2), (second, 2), (first, 2)):
        page = await Post(hub.server, "hue").ask(shown=shown(told))
        assert len(page.epochs) == epochs


async def test_a_receipt_of_an_epoch_that_is_lost_too_is_seen_and_each_one_once(hub):
    """Set back to before an epoch that had begun since."""
    disk = Disk(hub.server, "hue")
    disk.write(person("an", "hue"))
    await disk.push()
    back = hub.copied()
    (epoch,) = await hub.server.store.epochs()
    assert await hub.server.store.part(epoch.name, await hub.server.store.whole())
    disk.server = hub.server
    disk.write(measured("m", "an"))
    told = await disk.push(2)
    assert told.receipts[0].place.epoch == 2
    await hub.set_back(back)
    for _ in range(3):
        page = await Post(hub.server, "hue").ask(shown=shown(told))
        assert page.epochs[0].name == epoch.name
        assert len(page.epochs) == 2
        assert page.epochs[1].name != told.epochs[1].name


# --- what is no receipt of this hub, for this node -----------------------------------------------


def forged(told):
    return shown(replace(told, said=told.said.replace("stored", "merged")))


def by_a_foreign_key(told):
    head = json.loads(base64.urlsafe_b64decode(told.signed.partition(".")[0] + "=="))
    key = jwk.generate_key("EC", "P-256", {"kid": head["kid"]})
    return shown(replace(told, signed=receipts.signed(told.said, key)))


def by_another_hub(told):
    key = jwk.generate_key("EC", "P-256", {"kid": "another"})
    return shown(replace(told, signed=receipts.signed(told.said, key)))


def without_a_signature(told):
    return f"{encoded(json.dumps({'alg': 'none'}))}.{encoded(told.said)}."


LIES = [
    (forged, "hue", "no receipt of this hub"),
    (by_a_foreign_key, "hue", "no receipt of this hub"),
    (by_another_hub, "hue", "by the key `another`"),
    (without_a_signature, "hue", "no receipt of this hub"),
    (shown, "hanoi", "shows a receipt of `post-hue`"),
    (lambda told: "a.b.c", "hue", "no receipt of this hub"),
    (lambda told: "...", "hue", "no receipt of this hub"),
    (lambda told: f"{encoded('[]')}.{encoded('1')}.x", "hue", "no receipt of this hub"),
    (lambda told: "\u00e9" * 1000, "hue", "no receipt of this hub"),
]
NAMES = ["forged", "foreign key", "another hub", "no signature", "another node"]
NAMES += ["no base64", "dots", "no object", "no ASCII"]


@ON_ONE
async def test_what_is_no_receipt_of_this_hub_for_this_node_begins_nothing_and_is_logged(
    hub, caplog
):
    _, _, second = await lost(hub)
    for (lie, facility, said), name in zip(LIES, NAMES, strict=True):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            page = await Post(hub.server, facility).ask(shown=lie(second))
        assert len(page.epochs) == 1, name
        assert any(said in record.getMessage() for record in caplog.records), name


@ON_ONE
async def test_a_receipt_by_a_key_that_is_not_here_is_kept_for_the_operator(hub):
    _, _, second = await lost(hub)
    await Post(hub.server, "hue").ask(shown=by_another_hub(second))
    key = (f"{nodes.DOUBT}post-hue",)
    row = (await hub.server.store.side.rows(STATE, [key]))[key]
    assert json.loads(row.value)["kid"] == "another"
    (known,) = [one for one in await nodes.known(hub.server.store.side) if one.node == "post-hue"]
    assert known.doubt > 0


# --- when it is shown ----------------------------------------------------------------------------


def test_it_is_shown_until_a_question_that_showed_it_is_answered():
    showing = Showing()
    asked = showing.due
    assert asked
    showing.again()  # the line was away meanwhile
    showing.done(asked)
    assert showing.due
    showing.done(showing.due)
    assert not showing.due
    showing.done(0)
    showing.again()
    assert showing.due


def test_it_is_due_after_a_while_in_which_nobody_asked(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    showing = Showing()
    showing.done(showing.due)
    for pause, due in ((SILENT - 1, False), (SILENT - 1, False), (SILENT + 1, True)):
        now[0] += pause
        assert bool(showing.due) is due
        showing.done(showing.due)
    for _ in range(int(AGAIN / 20) + 1):  # one question after the other
        assert not showing.due
        now[0] += 20
        showing.done(0)
    assert showing.due
