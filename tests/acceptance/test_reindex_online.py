"""A new search parameter is indexed beside the server's work, and a kill costs it nothing.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import asyncio

from tests.acceptance.web import Client
from tests.acceptance.whole import wrong_with
from tests.search.test_custom import definition

PATIENTS = 600
RATE = 150  # resources a second, so that there is a middle to be killed in
STATUS = "SearchParameter/ward/$reindex-status"


def ward(n):
    extension = {"url": "http://here.example/ward", "valueCode": f"W{n % 3}"}
    return {
        "resourceType": "Patient",
        "id": f"p{n}",
        "name": [{"family": "Lý"}],
        "extension": [extension],
    }


async def fill(client):
    for start in range(0, PATIENTS, 200):
        entries = [
            {"resource": ward(n), "request": {"method": "PUT", "url": f"Patient/p{n}"}}
            for n in range(start, start + 200)
        ]
        whole = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert (await client.ask("POST", "", whole)).status == 200


async def total(client, query):
    told = await client.ask("GET", f"Patient?{query}&_summary=count")
    assert told.status == 200, told
    return told.json["total"]


async def until(client, wanted, path=STATUS):
    """The status, asked until it is as wanted."""
    async with asyncio.timeout(60):
        while True:
            told = await client.ask("GET", path)
            if wanted(told):
                return told
            await asyncio.sleep(0.05)


def done(told):
    [one] = told.json["parameter"]
    return {part["name"]: part.get("valueInteger") for part in one["part"]}["done"]


async def test_it_goes_on_after_a_kill_and_all_else_is_served_meanwhile(database, serve):
    postgresql = database.product == "postgresql"
    settings = {"workers": 2, "pool_size": 3} if postgresql else {}
    server = serve(database.url, reindex_rate=RATE, **settings)
    async with Client(server.port) as client:
        await fill(client)
        told = await client.ask("PUT", "SearchParameter/ward", definition())
        assert told.status == 201
        told = await client.ask("GET", "Patient?ward=W1")
        assert (told.status, "not indexed yet" in told.refusal) == (400, True)
        told = await client.ask("POST", "SearchParameter/ward/$reindex")
        assert told.status == 202
        assert told.headers["content-location"].endswith(f"/fhir/{STATUS}")
        told = await until(client, lambda told: told.status == 202 and done(told) >= 100)
        assert f"of {PATIENTS} resources" in told.headers["x-progress"]
        told = await client.ask("GET", "Patient?ward=W1")
        assert (told.status, "is being indexed" in told.refusal) == (503, True)
        assert int(told.headers["retry-after"])
        assert await total(client, "family=ly") == PATIENTS
        assert (await client.ask("PUT", "Patient/p0", ward(1) | {"id": "p0"})).status == 200
        before = done(await client.ask("GET", STATUS))
        assert before < PATIENTS
    server.kill()
    await asyncio.to_thread(server.start)
    async with Client(server.port) as client:
        told = await client.ask("GET", STATUS)
        assert told.status == 202
        assert done(told) >= before - 50 * postgresql  # its last parts may be lost with a process
        assert await total(client, "family=ly") == PATIENTS
        await until(client, lambda told: told.status == 200)
        # each worker knows it within its next look
        for _ in range(4):
            await until(client, lambda told: told.status == 200, "Patient?ward=W1&_count=0")
        assert await total(client, "ward=W1") == PATIENTS // 3 + 1
        assert await total(client, "ward=W0") == PATIENTS // 3 - 1
    assert await asyncio.to_thread(server.stop) == 0
    assert "Traceback" not in server.told()
    assert await asyncio.to_thread(wrong_with, database.url) == []
