"""Who walks through the history or a search while others write meets everything once.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from urllib.parse import quote, urlsplit

import psycopg

from tests.acceptance.crowd import patient, visit
from tests.acceptance.web import Client

LOOK_BACK = timedelta(seconds=5)


def after(url):
    """What follows /fhir/ in a link."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


async def walk(client, path):
    """The pages of a Bundle, one after another."""
    while path:
        told = await client.ask("GET", path)
        assert told.status == 200, told
        yield told.json
        links = {link["relation"]: link["url"] for link in told.json["link"]}
        path = after(links["next"]) if "next" in links else None


def versions(bundle):
    return [
        (entry["response"]["etag"], entry["fullUrl"].rpartition("/fhir/")[2])
        for entry in bundle.get("entry", [])
    ]


async def write(client, name, done, stop):
    """Creates, updates and visits, each remembered once it is acknowledged."""
    for turn in range(10_000):
        if stop.is_set():
            return
        id = f"{name}-{turn % 5}"
        told = await client.ask(
            "PUT", f"Patient/{id}", patient(id, id=id, multipleBirthInteger=turn)
        )
        done.append((told.headers["etag"], f"Patient/{id}"))
        if turn % 3 == 0:
            told = await client.ask("POST", "/fhir", visit(f"{name}v{turn}"))
            for entry in told.json["entry"]:
                if entry["response"]["status"].startswith("201"):
                    place = entry["response"]["location"].rpartition("/fhir/")[2]
                    done.append((entry["response"]["etag"], place.partition("/_history/")[0]))
        await asyncio.sleep(0.005)


def begin(clients, mark, done, stop):
    return [
        asyncio.create_task(write(client, f"{mark}{number}", done, stop))
        for number, client in enumerate(clients)
    ]


async def late(url, stop):
    """A slow process of another make: its transaction id is drawn long before it commits."""
    while not stop.is_set():
        async with await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("select pg_current_xact_id()")
            await asyncio.sleep(0.15)


async def test_a_walk_through_the_history_meets_every_version_before_it_once(database, serve):
    server = serve(database.url, **({"workers": 2} if database.product == "postgresql" else {}))
    done, stop = [], asyncio.Event()
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(Client(server.port)) for _ in range(4)]
        reader = await stack.enter_async_context(Client(server.port))
        running = begin(writers, "w", done, stop)
        if database.product == "postgresql":
            running.append(asyncio.create_task(late(database.url, stop)))
        for _ in range(6):
            await asyncio.sleep(0.3)
            before = list(done)
            met = []
            async for page in walk(reader, "_history?_count=17"):
                met += versions(page)
            assert len(met) == len(set(met)), "a version came twice"
            assert set(before) <= set(met), f"{len(set(before) - set(met))} were missed"
        stop.set()
        await asyncio.gather(*running)
        met = [
            each async for page in walk(reader, "_history?_count=1000") for each in versions(page)
        ]
        assert set(met) >= set(done)


async def test_a_follower_by_since_that_looks_back_a_little_misses_nothing(database, serve):
    """`_since` is a time, and what has the older time may be committed later, by another process:
    so it asks from some seconds before the newest time it saw, and knows what it met before."""
    server = serve(database.url, **({"workers": 2} if database.product == "postgresql" else {}))
    done, stop, met = [], asyncio.Event(), set()
    since = newest = "2020-01-01T00:00:00Z"
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(Client(server.port)) for _ in range(4)]
        reader = await stack.enter_async_context(Client(server.port))
        running = begin(writers, "s", done, stop)
        for turn in range(12):
            if turn == 10:
                stop.set()
                await asyncio.gather(*running)
            async for page in walk(reader, f"_history?_count=50&_since={since}"):
                met |= set(versions(page))
                for entry in page.get("entry", []):
                    newest = max(newest, entry["response"]["lastModified"])
            since = quote((datetime.fromisoformat(newest) - LOOK_BACK).isoformat())
            await asyncio.sleep(0.15)
        assert set(done) <= met


async def test_a_walk_through_a_search_meets_each_once_and_none_that_came_later(database, serve):
    server = serve(database.url)
    done, stop = [], asyncio.Event()
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(Client(server.port)) for _ in range(3)]
        reader = await stack.enter_async_context(Client(server.port))
        for n in range(60):
            told = await reader.ask("PUT", f"Patient/old-{n}", patient("old", id=f"old-{n}"))
            assert told.status == 201
        running = begin(writers, "x", done, stop)
        for _ in range(5):
            pages = walk(reader, "Patient?family=nguyen&_count=9")
            first = await anext(pages)
            before = (await reader.ask("GET", "Patient?_summary=count")).json["total"]
            ids = [entry["resource"]["id"] for entry in first["entry"]]
            async for page in pages:
                ids += [entry["resource"]["id"] for entry in page.get("entry", [])]
                await asyncio.sleep(0.01)
            assert len(ids) == len(set(ids)), "one came twice"
            assert {f"old-{n}" for n in range(60)} <= set(ids)
            assert len(ids) <= before
        stop.set()
        await asyncio.gather(*running)
