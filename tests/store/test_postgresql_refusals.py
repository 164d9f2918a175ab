"""What PostgreSQL's errors are called before a client: no fault of ours that a client causes."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid, TooCostly
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
