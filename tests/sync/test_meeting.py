"""A hub and a node meet over a real line: everything that was written is at both, once."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import update
from fhir_server.interaction.admitting import Guarded
from fhir_server.interaction.writing import new_version
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.policy_file import built_in
from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.authority import Authority
from fhir_server.store import upkeep
from fhir_server.store.contract import EVERYTHING, History, Unit
from fhir_server.store.contract.side import (
    CONFLICT,
    LIFE,
    PLACE,
    RECEIPT,
    STATE,
    Drop,
    Put,
    StateRow,
)
from fhir_server.store.migrate import migrate
from fhir_server.store.schema import sqlite_path
from fhir_server.store.sqlite import SqliteStore
from fhir_server.sync.hub.homes import Keeper
from fhir_server.sync.hub.tending import tend
from fhir_server.sync.node.asking import Asking
from fhir_server.sync.node.life import PAUSED
from fhir_server.sync.node.line import Away, Line, Refusal, enrol
from fhir_server.sync.node.standing import line_state, standing
from fhir_server.sync.node.working import Settings, Working
from fhir_server.sync.receipts import verified
from tests.interaction.conftest import BY_ANYBODY, server_on
from tests.sync.hub.posts import measured, organization, person, visit
from tests.sync.real.line import CALM, Weather
from tests.sync.real.line import Line as Wire

NODE = clients.Client(
    id="tyt-hue",
    scopes="system/*.cruds",
    roles=("node",),
    facility="hue",
    purposes=("TREAT",),
)

# What no database of the hub has a part in.
on_a_file = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


class Meeting:
    """The hub and the node, and the line between them."""

    def __init__(self, hub, node, wire, keeper):
        self.hub, self.node, self.wire, self.keeper = hub, node, wire, keeper
        self.asking = None

    async def begin(self):
        """The node is enrolled with a code."""
        now = int(time.time() * 1000)
        await self.hub.store.access.register(clients.row(replace(NODE, changed=now)))
        code = enrolment.new_code()
        await self.hub.store.access.issue(enrolment.kept(code, NODE.id, now, minutes=5))
        key = await enrol(f"http://127.0.0.1:{self.wire.port}/fhir", code)
        self.asking = Asking(self.node, Line(key))

    async def meet(self, turns=60):
        """Until neither has anything to say."""
        quiet = 0
        for _ in range(turns):
            await tend(self.hub)
            while await self.keeper.look():
                pass
            try:
                while await self.asking.notice():
                    pass
                said = await self.asking.push(1 << 18)
                said = await self.asking.pull(0) or said
            except Away:
                said = True
            quiet = 0 if said else quiet + 1
            if quiet == 2:
                return
        raise AssertionError("They do not come to an end.")

    async def versions(self, server, type, id):
        known = (await server.store.lineage([Key(type, id)])).get(Key(type, id), ())
        return {one.rev for one in known if one.state != "stub"}

    async def shown(self, server, type, id):
        stored = (await server.store.newest([Key(type, id)], EVERYTHING)).get(Key(type, id))
        return stored and stored.version_id

    async def agree(self, *said):
        for each in said:
            hub, node = [await self.shown(one, *each.split("/")) for one in (self.hub, self.node)]
            assert hub == node != None, each  # noqa: E711 - all three


async def put(server, *resources):
    for each in resources:
        await update.update(server, update.Ask(each["resourceType"], each["id"], each), BY_ANYBODY)


async def put_unchecked(server, resource):
    """As a server would that has not these rules."""
    version = new_version(server, BY_ANYBODY, resource, "PUT", None)
    await server.store.commit(Unit((version,)))


@asynccontextmanager
async def meeting(store, tmp_path):
    hub = server_on(store, lasting_secret=b"s" * 32)
    policy, authority = built_in(), Authority(store, base="")
    gate = Guarded(authority, policy, store, hub.live, hub.knowledge)
    hub = replace(hub, authority=authority, gate=gate)
    migrate(f"sqlite:///{tmp_path}/node.db")
    of_node = SqliteStore(sqlite_path(f"sqlite:///{tmp_path}/node.db"))
    await of_node.open()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app = create_app(hub, Options(), write_log=lambda _: None)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    served = uvicorn.Server(config)
    serving = asyncio.create_task(served.serve(sockets=[listening]))
    while not served.started:
        await asyncio.sleep(0.01)
    wire = Wire(listening.getsockname()[1], seed=1)
    found = Meeting(hub, server_on(of_node), wire, Keeper(hub, policy))
    try:
        await put(hub, organization("hue"), organization("hanoi"))
        await found.begin()
        yield found
    finally:
        if found.asking is not None:
            await found.asking.line.close()
        wire.end()
        served.should_exit = served.force_exit = True  # a pull may be waiting for something new
        with suppress(asyncio.CancelledError):
            await serving
        await of_node.close()


@pytest.fixture
def met(database, run, tmp_path):
    store = database.store()
    run(store.open())
    around = meeting(store, tmp_path)
    yield run(around.__aenter__())
    run(around.__aexit__(None, None, None))
    run(store.close())


async def test_what_either_writes_is_at_both_once(met):
    await put(met.node, person("an", "hue"), visit("v", "an", "hue"), measured("m", "an"))
    await put(met.hub, person("binh", "hue"), person("chi", "hanoi"))
    await met.meet()
    await met.agree("Patient/an", "Encounter/v", "Observation/m", "Patient/binh")
    await met.agree("Organization/hue", "Organization/hanoi")
    assert await met.shown(met.node, "Patient", "chi") is None
    before = await met.hub.store.count_history(History(restriction=EVERYTHING))
    await met.meet()
    assert await met.hub.store.count_history(History(restriction=EVERYTHING)) == before
    assert await met.node.store.side.count(PLACE, ("unsent",), "by_state") == 0


async def test_what_both_changed_is_joined_or_put_to_a_person_and_shown_alike(met):
    await put(met.node, person("an", "hue", gender="unknown"), person("ba", "hue", gender="other"))
    await met.meet()
    met.wire.cut()
    phone = {"telecom": [{"system": "phone", "value": "0914 000 111"}]}
    await put(met.node, person("an", "hue", gender="unknown", **phone))
    await put(met.node, person("ba", "hue", gender="male"))
    await put(met.hub, person("an", "hue", gender="female"))
    await put(met.hub, person("ba", "hue", gender="female"))
    met.wire.mend()
    await met.meet()
    await met.agree("Patient/an", "Patient/ba")
    (stored,) = (await met.node.store.newest([Key("Patient", "an")], EVERYTHING)).values()
    assert b"female" in stored.tail and b"0914" in stored.tail
    assert await met.hub.store.side.count(CONFLICT) == 1
    heads = await met.versions(met.hub, "Patient", "ba")
    assert await met.versions(met.node, "Patient", "ba") == heads
    assert len(heads) == 3


async def test_what_is_not_valid_is_kept_apart_and_what_mends_it_is_stored(met):
    await put(met.node, person("an", "hue"))
    await met.meet()
    # a node may be of an older program, whose rules were other ones
    bad = {**measured("m", "an"), "status": "nonsense"}
    await put_unchecked(met.node, bad)
    await put(met.node, measured("n", "an"))
    await met.meet()
    assert await met.shown(met.hub, "Observation", "m") is None
    await met.agree("Observation/n")
    (parked,) = await met.node.store.side.range(PLACE, "by_state", prefix=("parked",), limit=9)
    assert b"status" in parked.facts
    await put(met.node, measured("m", "an"))
    await met.meet()
    await met.agree("Observation/m")
    assert await met.node.store.side.count(PLACE, ("parked",), "by_state") == 0
    assert await met.node.store.side.count(PLACE, ("mended",), "by_state") == 1


async def test_what_waits_for_another_is_stored_when_that_one_comes(met):
    await put(met.node, visit("v", "an", "hue"))
    await met.meet()
    assert await met.node.store.side.count(PLACE, ("parked",), "by_state") == 1
    await put(met.hub, person("an", "hue"))
    await met.meet()
    await met.agree("Patient/an", "Encounter/v")
    assert await met.node.store.side.count(PLACE, ("parked",), "by_state") == 0


async def test_answers_that_are_lost_and_requests_that_come_again_double_nothing(met):
    met.wire.weather = Weather(breaks=0.15, again=0.3)
    for at in range(12):
        await put(met.node, person(f"n{at}", "hue"), measured(f"m{at}", f"n{at}"))
        await put(met.hub, person(f"h{at}", "hue"))
        with suppress(Away, Refusal):
            await met.asking.notice()
            await met.asking.push(1 << 12)
            await met.asking.pull(0)
    met.wire.weather = CALM
    await met.meet()
    for at in range(12):
        await met.agree(f"Patient/n{at}", f"Observation/m{at}", f"Patient/h{at}")
        assert len(await met.versions(met.hub, "Patient", f"n{at}")) == 1
    history = History(types=("Patient", "Observation"), restriction=EVERYTHING, limit=1000)
    found = [(row.key, row.version_id) for row in (await met.hub.store.history(history)).rows]
    assert len(found) == len(set(found)) == 36


async def test_who_leaves_the_post_is_hidden_there_and_comes_back_whole(met):
    await put(met.node, person("an", "hue"), visit("v", "an", "hue"), measured("m", "an"))
    await met.meet()
    await put(met.hub, person("an", "hanoi"), visit("v", "an", "hanoi"))
    await met.meet()
    for said in (("Patient", "an"), ("Observation", "m")):
        stored = (await met.node.store.newest([Key(*said)], EVERYTHING))[Key(*said)]
        assert stored.method == "LEFT"
    await put(met.hub, person("an", "hue"))
    await met.meet()
    await met.agree("Patient/an", "Observation/m", "Encounter/v")


async def test_a_node_whose_disk_was_set_back_begins_a_new_life_and_has_all_again(met, tmp_path):
    await put(met.node, person("an", "hue"))
    await met.meet()
    await met.node.store.close()
    before = sqlite_path(f"sqlite:///{tmp_path}/node.db")
    copy = before.read_bytes()
    await met.node.store.open()
    await put(met.node, person("ba", "hue"))
    await met.meet()
    lost = await met.shown(met.hub, "Patient", "ba")
    await met.node.store.close()
    for name in tmp_path.glob("node.db-*"):
        name.unlink()
    before.write_bytes(copy)
    await met.node.store.open()
    assert await met.shown(met.node, "Patient", "ba") is None
    await put(met.node, person("chi", "hue"))
    await met.meet()
    await met.agree("Patient/an", "Patient/ba", "Patient/chi")
    assert await met.shown(met.node, "Patient", "ba") == lost
    assert len(await met.hub.store.side.range(LIFE, limit=9)) == 2


async def until(look, seconds=60):
    """Wait for something that comes by itself."""
    async with asyncio.timeout(seconds):
        while not await look():
            await asyncio.sleep(0.05)


@on_a_file
async def test_a_node_works_by_itself_and_goes_on_when_the_line_returns(met):
    working = Working(met.node, met.asking.line.key, Settings("", Path("none")))
    side = met.node.store.side
    task = asyncio.create_task(working.run())
    try:
        await put(met.node, person("an", "hue"))
        await until(lambda: met.shown(met.hub, "Patient", "an"))
        met.wire.cut()
        await put(met.node, person("ba", "hue"))
        await until(lambda: failing(side))
        assert await met.shown(met.hub, "Patient", "ba") is None
        met.wire.mend()
        await until(lambda: met.shown(met.hub, "Patient", "ba"))
        await put(met.hub, organization("dalat"))
        await until(lambda: met.shown(met.node, "Organization", "dalat"))
        assert (await standing(side)).waiting == 0
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def failing(side):
    return (await line_state(side)).failing


@on_a_file
async def test_a_node_that_is_paused_leaves_its_hub_alone_and_works_on(met):
    row = StateRow(PAUSED, "1")
    await met.node.store.commit(Unit((), side=(Put(STATE, (row,)),)))
    working = Working(met.node, met.asking.line.key, Settings("", Path("none")))
    task = asyncio.create_task(working.run())
    try:
        await put(met.node, person("an", "hue"))
        await asyncio.sleep(0.3)
        assert await met.shown(met.hub, "Patient", "an") is None
        await met.node.store.commit(Unit((), side=(Drop(STATE, ((PAUSED,),)),)))
        await until(lambda: met.shown(met.hub, "Patient", "an"))
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@on_a_file
async def test_a_node_whose_clock_is_a_year_wrong_is_let_in(met, monkeypatch):
    line = met.asking.line
    year = 365 * 86_400
    real = time.time
    monkeypatch.setattr("fhir_server.sync.node.line.time", SimpleNamespace(
        time=lambda: real() - year, monotonic=time.monotonic))  # fmt: skip
    await put(met.node, person("an", "hue"))
    await met.meet()
    await met.agree("Patient/an")
    assert abs(line.offset - year) < 60


@on_a_file
async def test_a_revoked_node_is_refused_and_keeps_its_work(met):
    await put(met.node, person("an", "hue"))
    await met.meet()
    row = await met.hub.store.access.client(NODE.id)
    await met.hub.store.access.register(
        replace(row, revoked=row.changed + 1, changed=row.changed + 1), replaces=row.changed
    )
    await put(met.node, person("ba", "hue"))
    await met.asking.notice()
    met.asking.line._token = ""  # it may be good for some seconds still
    with pytest.raises(Refusal):
        await met.asking.push(1 << 18)
    assert await met.shown(met.node, "Patient", "ba")


@on_a_file  # a store that is opened again
async def test_a_hub_that_came_back_from_a_backup_is_sent_what_it_lost(met, database, tmp_path):
    await put(met.node, person("an", "hue"), measured("m", "an"))
    await met.meet()
    await asyncio.to_thread(upkeep.backup, database.url, tmp_path / "backup")
    await put(met.node, person("ba", "hue"), measured("n", "ba"))
    await put(met.hub, person("an", "hue", gender="female"))
    await met.meet()
    acknowledged = await met.shown(met.hub, "Patient", "an")
    await met.hub.store.close()
    await asyncio.to_thread(upkeep.restore, database.url, tmp_path / "backup", replace=True)
    await met.hub.store.open()
    assert await met.shown(met.hub, "Patient", "ba") is None
    await met.meet()
    await met.agree("Patient/an", "Patient/ba", "Observation/m", "Observation/n")
    assert await met.shown(met.hub, "Patient", "an") == acknowledged
    assert len(await met.versions(met.hub, "Patient", "ba")) == 1


@on_a_file
async def test_what_was_made_from_a_version_that_nobody_has_any_more_comes_back_too(
    met, database, tmp_path
):
    """A node that meets a patient late has the newest version alone. Where the hub loses the one
    it was made from, its name is all there is of it."""
    await put(met.node, person("an", "hue"))
    await met.meet()
    await asyncio.to_thread(upkeep.backup, database.url, tmp_path / "backup")
    await put(met.hub, person("ba", "xa"))
    await put(met.hub, person("ba", "xa", gender="female"))
    await put(met.hub, person("ba", "hue", gender="female"))
    await met.meet()
    acknowledged = await met.shown(met.node, "Patient", "ba")
    assert acknowledged.startswith("3-")
    await met.hub.store.close()
    await asyncio.to_thread(upkeep.restore, database.url, tmp_path / "backup", replace=True)
    await met.hub.store.open()
    await put(met.node, measured("n", "ba"))
    await met.meet()
    await met.agree("Patient/an", "Patient/ba", "Observation/n")
    assert await met.shown(met.hub, "Patient", "ba") == acknowledged
    states = [
        one.state for one in (await met.hub.store.lineage([Key("Patient", "ba")])).popitem()[1]
    ]
    assert sorted(states) == ["alive", "stub", "stub"]


@on_a_file
async def test_receipts_are_verified_by_the_hubs_keys_and_kept(met):
    await put(met.node, person("an", "hue"))
    await met.meet()
    keys = await met.asking.line.receipt_keys()
    assert keys
    (row,) = await met.node.store.side.range(RECEIPT, limit=9)
    told = json.loads(row.facts)
    assert verified(told["said"], told["signed"], keys).node == NODE.id
    with pytest.raises(Invalid):
        verified(told["said"] + " ", told["signed"], keys)
