"""A follower over HTTP: it may wait, and no longer than the server lasts.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.interaction.waiting import Waiting
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.interaction.conftest import patient, server_on
from tests.rest.client import Client
from tests.rest.conftest import Lines

WAIT = {"Prefer": "wait=30"}


@pytest.fixture
def app(store):
    server = server_on(store, waiting=Waiting(2, pause=0.01))
    return create_app(server, Options(), write_log=Lines())


async def begun(app, many=1):
    while app.server.waiting.here < many:
        await asyncio.sleep(0.005)


async def test_who_waits_is_answered_when_there_is_something(app):
    client = Client(app)
    waits = asyncio.create_task(client.get("/fhir/Patient/_history?_cursor=", headers=WAIT))
    await begun(app)
    assert (await client.put("/fhir/Patient/a", patient("a"))).status == 201
    answer = await waits
    assert [one["resource"]["id"] for one in answer.json["entry"]] == ["a"]
    (onward,) = [one["url"] for one in answer.json["link"] if one["relation"] == "next"]
    again = await client.get(onward.removeprefix("http://test"))
    assert (again.status, "entry" in again.json) == (200, False)


async def test_a_server_that_stops_lets_nobody_wait(app):
    client = Client(app)
    waits = [
        asyncio.create_task(client.get("/fhir/_history?_cursor=", headers=WAIT)) for _ in range(2)
    ]
    await begun(app, 2)
    more = await client.get("/fhir/_history?_cursor=", headers=WAIT)
    assert more.status == 200, "so many wait that this one is answered at once"
    app.server.waiting.stop()
    for answer in await asyncio.gather(*waits):
        assert (answer.status, "entry" in answer.json) == (200, False)


async def test_a_node_over_http_is_told_why_it_is_none(app):
    answer = await Client(app).get("/fhir/$sync-pull?wait=30", headers=WAIT)
    assert answer.status == 403
    assert "`node`" in answer.issue["diagnostics"]
