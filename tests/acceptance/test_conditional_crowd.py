"""64 clients that want the same resources make each of them once.

https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from contextlib import AsyncExitStack

from tests.acceptance.crowd import SYSTEM, patient
from tests.acceptance.web import Client

CLIENTS = 64
KEYS = int(os.environ.get("FHIR_TEST_KEYS", "25"))


async def one_client(client, number, answers):
    """Every key, from another beginning than the others, by one of the two ways."""
    draw = random.Random(number)
    turns = [(key + number * 7) % KEYS for key in range(KEYS)]
    for key in turns:
        name = f"key-{key}"
        criteria = f"identifier={SYSTEM}|{name}"
        if draw.random() < 0.5:
            told = await client.ask("POST", "Patient", patient(name), If_None_Exist=criteria)
        else:
            told = await client.ask("PUT", f"Patient?{criteria}", patient(name))
        assert told.status in (200, 201), (told.status, told.body)
        answers[name].append((told.status, told.json["id"], told.version))


async def crowd_on(server):
    answers = {f"key-{key}": [] for key in range(KEYS)}
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.port)) for _ in range(CLIENTS)]
        await asyncio.gather(*(one_client(c, n, answers) for n, c in enumerate(clients)))
        told = await clients[0].ask("GET", "Patient?_summary=count")
        assert told.json["total"] == KEYS
        history = await clients[0].ask("GET", "Patient/_history?_count=1000")
        assert history.json["total"] == KEYS
        for name, given in answers.items():
            found = (await clients[0].ask("GET", f"Patient?identifier={SYSTEM}|{name}")).json
            assert found["total"] == 1
            id = found["entry"][0]["resource"]["id"]
            assert {told[1] for told in given} == {id}
            assert [status for status, *_ in given].count(201) == 1


async def test_64_clients_make_each_resource_once_on_sqlite(sqlite_url, serve):
    await crowd_on(serve(sqlite_url))


async def test_64_clients_make_each_resource_once_on_postgresql_with_three_workers(
    postgresql_url, serve
):
    await crowd_on(serve(postgresql_url, workers=3, pool_size=6))


async def test_one_idempotency_key_sent_by_many_at_once_is_one_resource(database, serve):
    """A client that lost patience sends again while the first is still under way."""
    server = serve(database.url, **({"workers": 2} if database.product == "postgresql" else {}))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.port)) for _ in range(16)]

        async def ask(client, key):
            told = await client.ask("POST", "Patient", patient(key), Idempotency_Key=key)
            return key, told.status, told.headers.get("location"), told.body

        for turn in range(5):
            told = await asyncio.gather(*(ask(c, f"{turn}-{n % 4}") for n, c in enumerate(clients)))
            assert {status for _, status, *_ in told} == {201}
            assert len(set(told)) == 4
        counted = await clients[0].ask("GET", "Patient?_summary=count")
        assert counted.json["total"] == 20


async def test_many_updates_of_one_resource_under_if_match_lose_none(database, serve):
    """Each counts one further than what it read; who comes late is told 412 and reads again."""
    server = serve(database.url, **({"workers": 2} if database.product == "postgresql" else {}))
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.port)) for _ in range(8)]
        await clients[0].ask("PUT", "Patient/1", patient("1", id="1", multipleBirthInteger=1))

        async def count(client, times):
            done = 0
            while done < times:
                was = await client.ask("GET", "Patient/1")
                more = was.json | {"multipleBirthInteger": was.json["multipleBirthInteger"] + 1}
                told = await client.ask("PUT", "Patient/1", more, If_Match=was.headers["etag"])
                assert told.status in (200, 412), told
                done += told.status == 200

        await asyncio.gather(*(count(client, 6) for client in clients))
        last = await clients[0].ask("GET", "Patient/1")
        assert last.json["multipleBirthInteger"] == 1 + 8 * 6
        history = (await clients[0].ask("GET", "Patient/1/_history?_count=100")).json
        counted = [entry["resource"]["multipleBirthInteger"] for entry in history["entry"]]
        assert counted == list(range(1 + 8 * 6, 0, -1))
        assert len(set(itertools.chain(counted))) == len(counted)
