"""secret — the key that signs cursors, made once and kept in the database.

https://hl7.org/fhir/R4/http.html#paging

All processes on one database sign alike, and a link stays good after a restart. Whoever can read
the database has no need to forge a link.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing

from fhir_server.store.schema import SQLITE, dialect_of, sqlite_path

NAME = "secret"
KEEP = "INSERT INTO setting (name, value) VALUES ({0}, {0}) ON CONFLICT (name) DO NOTHING"
LOOK = "SELECT value FROM setting WHERE name = {0}"


def secret_of(url: str) -> str:
    """The database's secret; the first who asks makes it. The schema must be there."""
    made = secrets.token_hex(32)
    if dialect_of(url) == SQLITE:
        path = sqlite_path(url)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            found = connection.execute(LOOK.format("?"), (NAME,)).fetchone()
            if found is None:
                connection.execute(KEEP.format("?"), (NAME, made))
                found = connection.execute(LOOK.format("?"), (NAME,)).fetchone()
    else:
        import psycopg

        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as reached:
            found = reached.execute(LOOK.format("%s").encode(), (NAME,)).fetchone()
            if found is None:
                reached.execute(KEEP.format("%s").encode(), (NAME, made))
                found = reached.execute(LOOK.format("%s").encode(), (NAME,)).fetchone()
    assert found is not None
    return str(found[0])
