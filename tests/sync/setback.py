"""setback — a database is copied, and brought back later without its knowing it.

As who copies files, or loads a dump into the server it came from: its epochs, its keys and the
cluster's own name come back as they were.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from fhir_server.store.schema import sqlite_path

TABLES = "select tablename from pg_tables where schemaname = 'public' and tablename <> all(%s)"
KEPT = ["alembic_version"]


def copied(url: str) -> Callable[[], None]:
    """What brings back the database as it is now. No server may be running then."""
    return _file(sqlite_path(url)) if url.startswith("sqlite") else _tables(url)


def _file(path: Path) -> Callable[[], None]:
    copy = path.with_name(path.name + ".copy")
    with closing(sqlite3.connect(path)) as of, closing(sqlite3.connect(copy)) as to:
        of.backup(to)

    def back() -> None:
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.copy(copy, path)

    return back


def _tables(url: str) -> Callable[[], None]:
    url = url.replace("+psycopg", "", 1)
    held: dict[str, bytes] = {}
    with psycopg.connect(url) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        for (table,) in connection.execute(TABLES, (KEPT,)).fetchall():
            with connection.cursor().copy(f"copy {table} to stdout".encode()) as out:
                held[table] = b"".join(bytes(part) for part in out)

    def back() -> None:
        with psycopg.connect(url) as connection:
            connection.execute(f"truncate {', '.join(held)}".encode())
            for table, rows in held.items():
                with connection.cursor().copy(f"copy {table} from stdin".encode()) as into:
                    into.write(rows)

    return back
