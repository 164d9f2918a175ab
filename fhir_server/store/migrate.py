"""migrate — bring a database to the schema this program knows, and tell which one it has.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fhir_server.store.schema import SCHEMA, SQLITE, dialect_of, sqlite_path


class SchemaUnknown(Exception):
    """The database's schema is not the one this program knows. Its message says what to run."""


def migrate(url: str) -> list[str]:
    """Bring the database to the newest schema, and tell what was done. Again does no harm."""
    had = schema_of(url)
    if had == SCHEMA:
        return []
    if had is not None and had > SCHEMA:
        raise SchemaUnknown(unknown(url, had))
    from fhir_server.store.migrations.run import run  # alembic takes 250 ms

    return run(url, had)


def schema_of(url: str) -> str | None:
    """The database's schema, or None where it is empty."""
    if dialect_of(url) == SQLITE:
        return sqlite_schema(sqlite_path(url))
    import psycopg

    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        row = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
        if row is None or row[0] is None:
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else None


def sqlite_schema(path: Path) -> str | None:
    """The schema of a file, which need not be there."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as connection:
        try:
            named = "SELECT 1 FROM sqlite_schema WHERE name = 'alembic_version'"
            if connection.execute(named).fetchone() is None:
                return None
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise SchemaUnknown(f"`{path}` is not a SQLite database: {error}.") from error
        return str(found[0]) if found else None


def check(place: str, schema: str | None) -> None:
    """Raise SchemaUnknown unless this is the schema the program knows."""
    if schema != SCHEMA:
        raise SchemaUnknown(unknown(place, schema))


def unknown(place: str, schema: str | None) -> str:
    """What is wrong with the schema and what to run."""
    if schema is None:
        return f"`{place}` is empty. Run `fhir-server migrate` to make its tables."
    if schema < SCHEMA:
        return (
            f"`{place}` has schema {schema}, and this program needs {SCHEMA}. "
            "Make a backup, then run `fhir-server migrate`."
        )
    return (
        f"`{place}` has schema {schema}, which this program (schema {SCHEMA}) does not know. "
        "Install the newer program that made it."
    )
