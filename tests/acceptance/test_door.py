"""More than the server takes at once is told so, and nothing that was taken in is lost.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from tests.acceptance.crowd import patient
from tests.acceptance.web import Client


async def test_more_requests_than_it_takes_are_told_to_come_again(database, serve):
    """Each client comes again when it is told to, until each of its resources is made, once."""
    server = serve(database.url, concurrency=4, pool_size=2)
    statuses, each = Counter(), 8
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.port)) for _ in range(40)]

        async def write(client, number):
            for turn in range(each):
                name = f"{number}-{turn}"
                while True:
                    told = await client.ask("POST", "Patient", patient(name))
                    statuses[told.status] += 1
                    if told.status == 201:
                        break
                    assert told.status in (429, 503), told
                    assert "concurrency" in told.refusal
                    assert int(told.headers["retry-after"]) > 0
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(write(client, n) for n, client in enumerate(clients)))
        total = (await clients[0].ask("GET", "Patient?_summary=count")).json["total"]
    print(f"\n{database.product}: {dict(statuses)}")
    assert total == statuses[201] == 40 * each
    assert statuses[429] + statuses[503]


async def test_who_asks_how_it_is_is_answered_when_it_is_full(sqlite_url, serve):
    server = serve(sqlite_url, concurrency=2)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            writer.write(
                b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n"
                b"Content-Type: application/fhir+json\r\n\r\n{"
            )
        await asyncio.sleep(0.3)
        client = await stack.enter_async_context(Client(server.port))
        assert (await client.ask("GET", "Patient")).status in (429, 503)
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await client.ask("GET", path)).status == 200
