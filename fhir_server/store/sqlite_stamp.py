"""sqlite_stamp — the stamp of the index in a database that is one file.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fhir_server.store.sqlite_connection import READER, connect, connect_writer
from fhir_server.store.stamp import NAME, Stamp

KEPT = f"SELECT value FROM setting WHERE name = '{NAME}'"
KEEP = (
    f"INSERT INTO setting (name, value) VALUES ('{NAME}', ?)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
FILLED = "SELECT EXISTS (SELECT 1 FROM version)"


def settle(path: Path, stamp: Stamp) -> str | None:
    """Give an empty database this stamp. What is kept then; only for who holds the lock."""
    with closing(connect_writer(path)) as connection:
        found = kept(connection)
        if found == stamp.text or connection.execute(FILLED).fetchone()[0]:
            return found
        connection.execute(KEEP, (stamp.text,))
        return stamp.text


def look(path: Path) -> tuple[str | None, bool]:
    """What is kept, and whether the database holds anything; others may be writing."""
    with closing(connect(path, READER)) as connection:
        return kept(connection), bool(connection.execute(FILLED).fetchone()[0])


def kept(connection: sqlite3.Connection) -> str | None:
    row = connection.execute(KEPT).fetchone()
    return None if row is None else str(row[0])
