"""A hub and a node meet over a real line: everything that was written is at both, once."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import uvicorn

from fhir_server.foundation.resource import Key
from fhir_server.interaction import update
from fhir_server.interaction.admitting import Guarded
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.policy_file import built_in
from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.authority import Authority
from fhir_server.store.contract import EVERYTHING, History
from fhir_server.store.contract.side import PLACE
from fhir_server.store.migrate import migrate
from fhir_server.store.schema import sqlite_path
from fhir_server.store.sqlite import SqliteStore
from fhir_server.sync.hub.homes import Keeper
from fhir_server.sync.node.asking import Asking
from fhir_server.sync.node.line import Away, Line, enrol
from tests.interaction.conftest import BY_ANYBODY, server_on
from tests.sync.hub.posts import measured, organization, person, visit
from tests.sync.real.line import Line as Wire

NODE = clients.Client(
    id="tyt-hue",
    scopes="system/*.cruds",
    roles=("node",),
    facility="hue",
    purposes=("TREAT",),
)


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
        served.should_exit = True
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
