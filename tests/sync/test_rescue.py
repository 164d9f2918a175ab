"""A disk is lost while the line is down: what was written there is brought from the copy of it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from joserfc import jwk

from fhir_server.foundation.resource import Key
from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.ring import Ring
from fhir_server.store.contract.side import HELD, RECEIPT
from fhir_server.store.migrate import migrate
from fhir_server.store.schema import sqlite_path
from fhir_server.store.sqlite import SqliteStore
from fhir_server.sync.copy import folder as folders
from fhir_server.sync.copy import piece
from fhir_server.sync.copy.piece import Head
from fhir_server.sync.hub.bringing import brought
from fhir_server.sync.hub.facts import facts_of
from fhir_server.sync.node import key as node_key
from fhir_server.sync.node import rescuing, working
from fhir_server.sync.node.asking import Asking
from fhir_server.sync.node.copy_state import copy_state
from fhir_server.sync.node.copying import Copying, Settings
from fhir_server.sync.node.line import Line, Refusal, enrol
from fhir_server.sync.words import Outcome, Push, Pushed
from fhir_server.sync.words import push as words
from tests.interaction.conftest import BY_ANYBODY, server_on
from tests.sync import test_meeting
from tests.sync.hub.posts import measured, person, visit
from tests.sync.test_meeting import NODE, Meeting, on_a_file, put, put_unchecked

met = test_meeting.met  # a fixture


@asynccontextmanager
async def copying(met, stick, tmp_path):
    """The node keeps a copy on a stick."""
    stick.mkdir(exist_ok=True)
    file = tmp_path / "hub-key.json"
    node_key.write(file, met.asking.line.key)
    found = Copying(Settings(stick, working.Settings(met.asking.line.key.hub, file)))
    found.patience = 30.0  # a loaded machine is slow
    working_on = asyncio.create_task(found.work(met.node))
    try:
        await until(lambda: found._works)
        yield found
    finally:
        working_on.cancel()
        await asyncio.gather(working_on, return_exceptions=True)


async def until(is_so, seconds=10.0):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it has not come"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def another(met, tmp_path, id=NODE.id):
    """A new laptop, enrolled anew."""
    now = int(time.time() * 1000)
    if id != NODE.id:
        await met.hub.store.access.register(clients.row(replace(NODE, id=id, changed=now)))
    code = enrolment.new_code()
    await met.hub.store.access.issue(enrolment.kept(code, id, now, minutes=5))
    key = await enrol(f"http://127.0.0.1:{met.wire.port}/fhir", code)
    migrate(f"sqlite:///{tmp_path}/new.db")
    store = SqliteStore(sqlite_path(f"sqlite:///{tmp_path}/new.db"))
    await store.open()
    new = Meeting(met.hub, server_on(store), met.wire, met.keeper)
    new.asking = Asking(new.node, Line(key))
    try:
        yield new
    finally:
        await new.asking.line.close()
        await store.close()


async def rescued(met, stick):
    """What the hub says of all that lies on the stick."""
    found = folders.found(stick)
    assert not found.torn
    steps = []
    for copy in found.copies:
        assert not copy.missing
        steps += [told async for told in rescuing.brought(met.asking.line, copy)]
    return steps[-1]


async def test_what_was_never_sent_is_brought_from_the_copy_and_once(met, tmp_path):
    stick = tmp_path / "stick"
    await put(met.node, person("an", "hue", gender="unknown"), measured("old", "an"))
    await met.meet()
    async with copying(met, stick, tmp_path) as copy:
        met.wire.cut()
        await put(met.hub, person("an", "hue", gender="female"))
        await put(met.node, person("an", "hue", gender="male"))
        for at in range(6):
            await put(met.node, visit(f"v{at}", "an", "hue"), measured(f"m{at}", "an"))
        await put_unchecked(met.node, {**measured("bad", "an"), "status": "nonsense"})
        await copy.covered()
        text = b"".join(path.read_bytes() for path in stick.rglob("*.pieces"))
        state = await copy_state(met.node.store.side)
    assert b"Patient" not in text
    assert state.failing == 0
    met.wire.mend()
    async with another(met, tmp_path) as new:
        await new.meet()
        told = await rescued(new, stick)
        assert told.refused == {}
        counts = [told.count(each) for each in ("stored", "warned", "conflict", "parked")]
        assert counts == [12, 0, 1, 1]
        again = await rescued(new, stick)
        assert again.outcomes == told.outcomes
        await new.meet()
        await new.agree("Patient/an", *(f"Encounter/v{at}" for at in range(6)))
        await new.agree(*(f"Observation/m{at}" for at in range(6)))
        heads = await met.versions(met.hub, "Patient", "an")
        assert await met.versions(met.node, "Patient", "an") <= heads
        assert await met.hub.store.side.count(HELD) == 1


# --- who may bring what --------------------------------------------------------------------------


async def copied(met, tmp_path, *resources):
    """Written while the line is down, and on the stick alone."""
    met.wire.cut()
    async with copying(met, tmp_path / "stick", tmp_path) as copy:
        await put(met.node, *resources)
        await copy.covered()
    met.wire.mend()
    return tmp_path / "stick"


async def changed(met, id=NODE.id, **said):
    """The client of a node, as the hub's operator changes it."""
    row = await met.hub.store.access.client(id)
    now = row.changed + 1
    new = replace(clients.of(row), changed=now, **said)
    assert await met.hub.store.access.register(clients.row(new), replaces=row.changed)


async def by_operator(met, stick, *, also_revoked=False):
    (copy,) = folders.found(stick).copies
    return [
        await brought(met.hub, each.line(), BY_ANYBODY, by_operator=True, also_revoked=also_revoked)
        for each in copy.pieces
        if each.head.count
    ]


async def test_another_node_of_the_facility_may_bring_it(met, tmp_path):
    stick = await copied(met, tmp_path, person("an", "hue"))
    async with another(met, tmp_path, "tyt-hue-2") as new:
        told = await rescued(new, stick)
        assert list(told.outcomes.values()) == ["stored"]
        await new.meet()
        await new.agree("Patient/an")
    origin = await met.hub.store.side.range(RECEIPT, prefix=("tyt-hue",), limit=9)
    (row,) = [row for row in origin if row.incarnation == folders.found(stick).copies[0].name]
    assert facts_of(row).recorded > 0


@on_a_file
async def test_a_node_of_another_facility_brings_nothing(met, tmp_path):
    stick = await copied(met, tmp_path, person("an", "hue"))
    await changed(met, facility="hanoi")
    async with another(met, tmp_path, "tyt-hue-2") as new:
        told = await rescued(new, stick)
    assert told.outcomes == {}
    assert "cơ sở khác" in "".join(told.refused.values())
    assert await met.shown(met.hub, "Patient", "an") is None


@on_a_file
async def test_what_a_revoked_node_has_signed_is_for_the_operator_to_decide(met, tmp_path):
    stick = await copied(met, tmp_path, person("an", "hue"))
    await changed(met, revoked=int(time.time() * 1000))
    async with another(met, tmp_path, "tyt-hue-2") as new:
        told = await rescued(new, stick)
    assert "thu hồi" in "".join(told.refused.values())
    (refused,) = await by_operator(met, stick)
    assert "--revoked" in refused.refused.diagnostics
    assert await met.shown(met.hub, "Patient", "an") is None
    (taken,) = await by_operator(met, stick, also_revoked=True)
    assert [each.outcome for each in taken.versions] == [Outcome.STORED]
    assert await met.shown(met.hub, "Patient", "an") is not None


@on_a_file
async def test_a_key_that_was_followed_still_counts_and_a_strangers_does_not(met, tmp_path):
    stick = await copied(met, tmp_path, person("an", "hue"))
    file = tmp_path / "hub-key.json"
    line = Line(node_key.read(file))
    await line.rotate(file)
    await line.close()
    await changed(met, keys=clients.of(await met.hub.store.access.client(NODE.id)).keys[1:])
    (refused,) = await by_operator(met, stick)
    assert "No key" in refused.refused.diagnostics
    before = met.asking.line.key.jwk
    public = {name: value for name, value in before.items() if name != "d"}
    await changed(met, former=(public,))
    (taken,) = await by_operator(met, stick)
    assert len(taken.versions) == 1


@on_a_file
async def test_enrolling_anew_keeps_the_keys_of_before_for_what_they_have_signed(met, tmp_path):
    before = met.asking.line.key.jwk["kid"]
    async with another(met, tmp_path):
        row = await met.hub.store.access.client(NODE.id)
    assert [key["kid"] for key in clients.of(row).former] == [before]
    with pytest.raises(Refusal):
        await met.asking.push(1 << 18)
        await met.asking.pull(0)


async def forged(met, **said):
    """A piece that the node itself signs, of other numbers or another content than it should."""
    head = Head(NODE.id, "c1", 1, 1, 1, 1, 1)
    told = {"head": head, "node": NODE.id, "copy": "c1", "first": 1, "body": None, **said}
    key = met.asking.line.key
    push = Push(told["node"], told["copy"], told["first"], "", (a_version(told["first"]),), 1)
    body = told["body"] or words.written(push)
    return piece.sealed(told["head"], body, key.jwk, key.seal)


def a_version(number, id="an", body=None):
    key = Key("Patient", id)
    body = body or person(id, "hue")
    rev = words.named(key, (), body)
    return Pushed(number, number, key, rev, (), "PUT", 1, body)


WRONG = [
    # what a node signs that lies                                          what is said of it
    ({"node": "tyt-khac"}, "holds other versions"),
    ({"copy": "c2"}, "holds other versions"),
    ({"first": 2}, "holds other versions"),
    ({"head": Head(NODE.id, "c1", 1, 1, 1, 2, 1)}, "holds other versions"),
    ({"head": Head("tyt-khac", "c1", 1, 1, 1, 1, 1)}, "no node of this hub"),
    ({"body": b"{"}, ""),
    ({"body": b"[" * 5000}, ""),
    ({"body": b'{"resourceType":"Patient"}'}, "not a Bundle"),
]


@on_a_file
async def test_a_node_that_lies_in_a_copy_is_refused_with_a_sentence(met):
    """And a copy for another hub is told apart."""
    for said, why in WRONG:
        line = await forged(met, **said)
        told = await brought(met.hub, line, BY_ANYBODY, by_operator=True, also_revoked=True)
        assert told.versions == (), said
        assert why in told.refused.diagnostics, said
    key = met.asking.line.key
    elsewhere = jwk.generate_key("EC", "P-256", {"kid": "elsewhere", "use": "enc"})
    line = piece.sealed(Head(NODE.id, "c1", 1, 1, 1, 0, 1), b"{}", key.jwk, elsewhere.as_dict())
    told = await brought(met.hub, line, BY_ANYBODY, by_operator=True, also_revoked=False)
    assert "another hub" in told.refused.diagnostics
    assert await met.shown(met.hub, "Patient", "an") is None


@on_a_file
async def test_a_number_of_a_copy_means_one_version(met):
    line = await forged(met)
    told = await brought(met.hub, line, BY_ANYBODY, by_operator=True, also_revoked=False)
    assert [each.outcome for each in told.versions] == [Outcome.STORED]
    push = Push(NODE.id, "c1", 1, "", (a_version(1, "ba"),), 1)
    other = await forged(met, body=words.written(push))
    told = await brought(met.hub, other, BY_ANYBODY, by_operator=True, also_revoked=False)
    assert "meant other versions" in told.refused.diagnostics
    assert await met.shown(met.hub, "Patient", "ba") is None


@on_a_file
async def test_what_was_sealed_years_ago_is_opened_by_the_key_of_then(met):
    ring = Ring(met.hub.store, met.hub.lasting_secret, piece.KEYS)
    now, year = int(time.time() * 1000), 366 * 86_400_000
    kid = met.asking.line.key.seal["kid"]
    for years in range(10):
        assert (await ring.newest(now + years * year)).kid == kid or years
        assert (await ring.by_kid(kid, now + years * year)).kid == kid
    assert (await ring.newest(now + 9 * year)).kid != kid
    assert await ring.by_kid(kid, now + 12 * year) is None


@on_a_file
async def test_what_is_no_piece_is_refused_for_whoever_asks(met):
    for body, why in ASKED:
        with pytest.raises(Refusal, match=why):
            await met.asking.line.rescue(json.dumps(body).encode())
    told = {"name": "piece", "valueString": "nothing"}
    body = json.dumps({"resourceType": "Parameters", "parameter": [told]}).encode()
    (answer,) = (await met.asking.line.rescue(body)).bundle["parameter"]
    assert answer["part"][0]["name"] == "refused"


def given(*parameters):
    return {"resourceType": "Parameters", "parameter": list(parameters)}


ASKED = [
    ({"resourceType": "Parameters"}, "at least one"),
    (given(*[{"name": "piece", "valueString": "a"}] * 101), "at most 100"),
    (given({"name": "piece", "valueInteger": 1}), "valueString"),
    (given({"name": "piece", "valueBase64Binary": "/////w=="}), "valueString"),
    (given({"name": "other", "valueString": "a"}), "other"),
]
