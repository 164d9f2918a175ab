"""What PostgreSQL's errors are called before a client: no fault of ours that a client causes."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.outcome import Invalid, TooCostly, Unavailable
from fhir_server.store.postgresql import connection
from fhir_server.store.postgresql.connection import pool, rows

# what is asked                        what the client is told
ERRORS = [
    ("select pg_sleep(5)", TooCostly),
    ("select 10000000000::int", Invalid),
]


@pytest.mark.parametrize(("question", "refusal"), ERRORS)
async def test_a_question_that_fails_is_refused(postgresql_url, question, refusal):
    connections = pool(postgresql_url, size=1, settings={"statement_timeout": "50ms"})
    await connections.open()
    try:
        with pytest.raises(refusal):
            await rows(connections, question, ())
        assert await rows(connections, "select 1", ()) == [(1,)]
    finally:
        await connections.close()


async def test_what_takes_long_leaves_connections_to_others(postgresql_url, monkeypatch):
    monkeypatch.setattr(connection, "QUICK", 0.05)
    monkeypatch.setattr(connection, "LANE", 0.05)
    connections = pool(postgresql_url, size=2, settings={}, lanes=True)
    await connections.open()
    try:
        long = [
            asyncio.create_task(rows(connections, "select 5 from pg_sleep(2)", ()))
            for _ in range(5)
        ]
        told = [await rows(connections, f"select {n}", ()) for n in range(20)]
        assert told == [[(n,)] for n in range(20)]
        found = await asyncio.gather(*long, return_exceptions=True)
        assert [(5,)] in found
        busy = [one for one in found if isinstance(one, Unavailable)]
        assert len(busy) == 4
        assert busy[0].headers == {"Retry-After": "5"}
    finally:
        await connections.close()
