"""wiping_tables — the tables of a database server go, and one setting stays that says so.

https://hl7.org/fhir/R4/security.html

A role that may not drop tables empties them; what it deletes row by row is still in the files of
the server until its vacuum has been there.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import errors, sql

from fhir_server.store.schema import POSTGRESQL
from fhir_server.store.tables import tables
from fhir_server.store.upkeep.postgresql import Connection, connect

SCHEMA_TABLE = "alembic_version"
KEEP = (
    "INSERT INTO setting (name, value) VALUES (%s, %s)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
# Who still asks, asks no more: a worker process, or somebody's long question.
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = current_user AND pid <> pg_backend_pid()"
)
WAIT = "SET lock_timeout = '3s'"
ATTEMPTS = 20


def marked(url: str, name: str) -> str | None:
    with connect(url) as connection:
        if not _there(connection, ["setting"]):
            return None
        asked = "SELECT value FROM setting WHERE name = %s"
        found = connection.execute(asked, (name,)).fetchone()
        return None if found is None else str(found[0])


def mark(url: str, name: str, told: str) -> None:
    with connect(url) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute(KEEP, (name, told))


def erase(url: str, name: str) -> None:
    """All tables of ours but `setting`, and all of that but the mark, in one transaction."""
    with connect(url) as connection:
        connection.execute(WAIT)
        for attempt in range(ATTEMPTS):
            connection.execute(END_OTHERS)
            try:
                _erase(connection, name)
            except errors.LockNotAvailable:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return


def _erase(connection: Connection, name: str) -> None:
    ours = [*sorted(tables(POSTGRESQL).tables.keys() - {"setting"}), SCHEMA_TABLE]
    there = _there(connection, ours)
    records = [each for each in there if each != SCHEMA_TABLE]
    ways: tuple[tuple[str, Sequence[str]], ...] = (
        ("DROP TABLE {} CASCADE", there),
        ("TRUNCATE {}", records),
    )
    for text, names in ways:
        try:
            with connection.transaction():
                if names:
                    connection.execute(sql.SQL(text).format(_listed(names)))
                _forget_settings(connection, name)
        except errors.InsufficientPrivilege:
            continue
        return
    with connection.transaction():
        for each in records:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(each)))
        _forget_settings(connection, name)


def unmark(url: str, name: str) -> None:
    """Where all other tables are gone this one goes too: the schema is made anew from the first."""
    with connect(url) as connection:
        if not _there(connection, ["setting"]):
            return
        if _there(connection, [SCHEMA_TABLE]):
            connection.execute("DELETE FROM setting WHERE name = %s", (name,))
        else:
            connection.execute("DROP TABLE setting")


def _forget_settings(connection: Connection, name: str) -> None:
    connection.execute("DELETE FROM setting WHERE name <> %s", (name,))


def _listed(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _there(connection: Connection, names: Sequence[str]) -> list[str]:
    """Those of them that are."""
    found = []
    for name in names:
        row = connection.execute("SELECT to_regclass(%s)", (name,)).fetchone()
        if row is not None and row[0] is not None:
            found.append(name)
    return found
