"""A node's copy: what is in it, when, and what happens where it cannot be written."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager

import pytest
from joserfc import jwk

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING
from fhir_server.store.contract.side import PLACE
from fhir_server.sync.copy import folder as folders
from fhir_server.sync.copy import piece
from fhir_server.sync.epochs import Epoch
from fhir_server.sync.node import copy_writer, copying, working
from fhir_server.sync.node import key as node_key
from fhir_server.sync.node.copy_state import copy_state
from fhir_server.sync.node.copying import Copying, Settings
from fhir_server.sync.words import Outcome, push
from tests.sync.node.conftest import a_patient, a_row

# What no database has a part in.
on_a_file = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
HUB = jwk.generate_key("EC", "P-256", {"kid": "h1", "use": "enc"})
OWN = node_key.made()
NOWHERE = "http://127.0.0.1:9/fhir"  # nobody listens there


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A loaded machine is slow, and a test is no benchmark."""
    monkeypatch.setattr(copying, "PATIENCE", 30.0)


@pytest.fixture
def stick(tmp_path):
    (tmp_path / "stick").mkdir()
    return tmp_path / "stick"


@pytest.fixture
def settings(tmp_path, stick):
    public = HUB.as_dict(private=False)
    seal = {name: public[name] for name in ("kty", "crv", "x", "y", "kid")}
    own = dict(OWN.as_dict(private=True))
    file = tmp_path / "key.json"
    key = node_key.NodeKey(NOWHERE, "n1", NOWHERE, "system/*.cruds", own, seal=seal)
    node_key.write(file, key)
    return Settings(stick, working.Settings("", file))


@asynccontextmanager
async def running(node, settings):
    found = Copying(settings)
    task = asyncio.create_task(found.work(node.server))
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so, seconds=10.0):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it has not come"
        await asyncio.sleep(0.005)


async def shown(node, is_so):
    """How the copy stands, as everybody may look it up."""
    for _ in range(1000):
        state = await copy_state(node.store.side)
        if state is not None and is_so(state):
            return state
        await asyncio.sleep(0.01)
    raise AssertionError("it is not shown")


async def begun(copy):
    await until(lambda: copy._works)
    return copy


def inside(stick):
    """What the hub reads on the stick: each version once."""
    found = {}
    copies = folders.found(stick).copies
    for lies in [each for copy in copies for each in copy.pieces if each.head.count]:
        body = piece.verified(piece.opened(lies.line(), HUB), [OWN.as_dict(private=False)])
        for one in push.read(piece_of(body)).entries:
            found[one.number, lies.head.copy] = f"{one.key} {one.method}"
    return sorted(found.values())


def piece_of(body):
    return copying.orjson.loads(body)


async def test_what_is_acknowledged_is_in_the_copy_and_what_came_from_the_hub_is_not(
    node, settings, stick
):
    await node.put(a_patient("before"))
    async with running(node, settings) as copy:
        await begun(copy)
        assert inside(stick) == ["Patient/before PUT"]
        await node.page(a_row(a_patient("hers"), node.place()))
        await node.put(a_patient("p1"))
        await copy.covered()
        await node.delete("Patient", "p1")
        await copy.covered()
    expected = ["Patient/before PUT", "Patient/p1 DELETE", "Patient/p1 PUT"]
    assert inside(stick) == expected
    state = await copy_state(node.store.side)
    assert (state.failing, state.missing) == (0, 0)


@on_a_file
async def test_many_writers_are_covered_together(node, settings, stick):
    async with running(node, settings) as copy:
        await begun(copy)
        for at in range(40):
            await node.put(a_patient(f"p{at}"))
        await asyncio.gather(*[copy.covered() for _ in range(40)])
    assert len(inside(stick)) == 40
    (found,) = folders.found(stick).copies
    assert len(found.pieces) <= 3


async def test_what_the_hub_has_leaves_the_copy_and_what_it_lost_is_in_it_again(
    node, settings, stick, monkeypatch
):
    monkeypatch.setattr(copying, "TENDED", 0.0)
    async with running(node, settings) as copy:
        await begun(copy)
        await node.put(a_patient("p1"), a_patient("p2"))
        await copy.covered()
        await node.answered(await node.chunk(), Outcome.STORED, Outcome.REFUSED)
        await copy.covered()
        await until(lambda: len(inside(stick)) == 1)
        (refused,) = inside(stick)  # it is here alone
        await node.put(a_patient(refused[8:10], gender="male"))
        await node.all_stored()
        await copy.covered()
        await until(lambda: inside(stick) == [])
        (found,) = folders.found(stick).copies
        assert (found.missing, found.last.count) == ([], 0)
        node.epochs = (Epoch("e1", node.newest._replace(seq=1, num=0)), Epoch("e2"))
        await node.put(a_patient("p3"))
        await node.answered(await node.chunk(), Outcome.STORED)
        states = {row.state for row in await node.store.side.range(PLACE, limit=99)}
        assert "unsent" in states, "the hub came back from a backup"
        await copy.covered()
        await until(lambda: len(inside(stick)) >= 2)


async def test_a_server_that_begins_again_has_one_copy_and_leaves_another_disks_alone(
    node, settings, stick
):
    other = copy_writer.Writer(stick, "n1", "of-the-disk-before")
    other.begin()
    other.add((), copy_writer.Sealing(dict(OWN.as_dict(private=True)), HUB.as_dict(private=False)))
    await node.put(a_patient("p1"))
    for _ in range(3):
        async with running(node, settings) as copy:
            await begun(copy)
    names = [each.name for each in folders.found(stick).copies]
    assert len(names) == 2
    assert "of-the-disk-before" in names
    assert inside(stick) == ["Patient/p1 PUT"]


async def test_a_disk_that_was_set_back_leaves_the_copy_of_what_it_has_lost(node, settings, stick):
    """Also where the stick was not there when it began again."""
    await node.put(a_patient("p1"))
    async with running(node, settings) as copy:
        await begun(copy)
        name = folders.found(stick).copies[0].name
    own = dict(OWN.as_dict(private=True))
    path = stick / "n1" / name / "000099.pieces"  # what was added after the backup
    (stored,) = (await node.store.newest([Key("Patient", "p1")], EVERYTHING)).values()
    head = piece.Head("n1", name, 9, 1, 9, 1, 1, 0, stored.updated + 1)
    folders.appended(path, piece.sealed(head, b"{}", own, HUB.as_dict(private=False)))
    away = stick.rename(stick.with_name("away"))
    async with running(node, settings):
        await shown(node, lambda state: state.failing)
        await node.put(a_patient("p2"))
    away.rename(stick)
    async with running(node, settings) as copy:
        await begun(copy)
    assert name in {each.name for each in folders.found(stick).copies}
    assert len(folders.found(stick).copies) == 2


@on_a_file
async def test_a_folder_that_fails_holds_nobody_up_is_told_and_made_up_for(
    node, settings, stick, monkeypatch
):
    monkeypatch.setattr(copying, "SOON", 0.02)
    async with running(node, settings) as copy:
        await begun(copy)
        await node.put(a_patient("p1"))
        await copy.covered()
        gone = stick.rename(stick.with_name("pulled-out"))
        await node.put(a_patient("p2"))
        await copy.covered()
        await until(lambda: not copy._works)
        await node.noticed()
        state = await shown(node, lambda state: state.failing and state.missing)
        assert state.why
        assert not stick.exists(), "nothing is copied to where the stick was"
        gone.rename(stick)
        await begun(copy)
        assert set(inside(stick)) == {"Patient/p1 PUT", "Patient/p2 PUT"}
        await shown(node, lambda state: not state.failing)


@on_a_file
async def test_a_line_that_broke_off_is_written_again_to_another_file(
    node, settings, stick, monkeypatch
):
    """As where the disk is full, and there is room again later."""
    monkeypatch.setattr(copying, "SOON", 0.02)
    fails = [2]
    write = os.write

    def written(handle, data):
        if fails[0] and bytes(data).startswith(b"ey"):
            fails[0] -= 1
            write(handle, bytes(data)[:30])
            raise OSError(28, "No space left on device")
        return write(handle, data)

    async with running(node, settings) as copy:
        await begun(copy)
        monkeypatch.setattr(folders.os, "write", written)
        await node.put(a_patient("p1"))
        await copy.covered()
        await until(lambda: not fails[0])
        await begun(copy)
        await node.put(a_patient("p2"))
        await copy.covered()
        monkeypatch.undo()
    found = folders.found(stick)
    assert len(found.torn) == 2
    assert [copy.missing for copy in found.copies] == [[]]
    assert inside(stick) == ["Patient/p1 PUT", "Patient/p2 PUT"]


@on_a_file
async def test_a_disk_that_does_not_answer_keeps_a_writer_waiting_once(
    node, settings, stick, monkeypatch
):
    monkeypatch.setattr(copying, "PATIENCE", 0.05)
    asleep = []
    async with running(node, settings) as copy:
        await begun(copy)
        add = copy_writer.Writer.add

        def slow(self, *told):
            asleep.append(1)
            time.sleep(0.3)
            return add(self, *told)

        monkeypatch.setattr(copy_writer.Writer, "add", slow)
        await node.put(a_patient("p1"))
        await copy.covered()
        assert inside(stick) == [], "the writer is answered all the same"
        assert not copy._works, "and the next ones do not wait"
        await until(lambda: asleep and copy._works)
        assert inside(stick) == ["Patient/p1 PUT"]


@on_a_file
async def test_without_a_key_of_the_hub_nothing_is_copied_and_that_is_told(
    node, settings, stick, monkeypatch
):
    monkeypatch.setattr(copying, "SOON", 0.02)
    file = settings.of_node.key_file
    node_key.write(file, copying.replace(node_key.read(file), seal={}))
    async with running(node, settings):
        state = await shown(node, lambda state: state.failing)
    assert "no key yet" in state.why
    assert not list(stick.rglob("*.pieces"))
