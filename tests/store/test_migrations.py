"""A database is brought from empty to the newest schema, again without harm, or refused."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from fhir_server.store.codec import shipped_dictionaries
from fhir_server.store.migrate import SchemaUnknown, migrate, schema_of
from fhir_server.store.migrations import versions
from fhir_server.store.schema import SCHEMA, SQLITE, dialect_of, sqlite_path
from fhir_server.store.sqlite import SqliteStore
from fhir_server.store.sqlite_connection import DatabaseInUse, hold
from fhir_server.store.tables import tables

STEPS = sorted(step.stem[1:5] for step in Path(versions.__file__).parent.glob("v*.py"))


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/new/fhir.db"


def statements(path) -> set[str]:
    """Every CREATE of a file, with its spaces evened out."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {" ".join(sql.split()).replace("( ", "(").replace(" )", ")") for (sql,) in rows}


def test_empty_to_newest_and_newest_again_without_harm(url):
    assert schema_of(url) is None
    assert [step.partition(":")[0] for step in migrate(url)] == STEPS
    before = statements(sqlite_path(url))
    assert schema_of(url) == SCHEMA
    assert migrate(url) == []
    assert statements(sqlite_path(url)) == before


def test_a_migrated_database_equals_what_the_tables_say(url, tmp_path):
    migrate(url)
    fresh = tmp_path / "fresh.db"
    with closing(sqlite3.connect(fresh)) as connection:
        for table in tables(SQLITE).sorted_tables:
            connection.execute(str(CreateTable(table).compile(dialect=dialect.dialect())))
            for index in table.indexes:
                connection.execute(str(CreateIndex(index).compile(dialect=dialect.dialect())))
    migrated = {sql for sql in statements(sqlite_path(url)) if "alembic_version" not in sql}
    assert migrated == statements(fresh)


def test_the_dictionary_bodies_are_packed_with_is_inside(url):
    migrate(url)
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        rows = connection.execute("SELECT id, body FROM dictionary").fetchall()
    assert dict(rows) == shipped_dictionaries()
    assert len(rows) == 2


def test_a_step_that_fails_leaves_nothing(url):
    path = sqlite_path(url)
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE version (mine)")
    with pytest.raises(Exception, match="version"):
        migrate(url)
    assert statements(path) == {"CREATE TABLE version (mine)"}


def make(path, schema: str | None) -> None:
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        if schema is not None:
            connection.execute("CREATE TABLE alembic_version (version_num)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (schema,))
        connection.execute("CREATE TABLE something (else_)")
        connection.commit()


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        (None, "Run `fhir-server migrate`"),
        ("0000", "then run `fhir-server migrate`"),
        ("9999", "Install the newer program"),
    ],
)
def test_an_unknown_schema_is_not_served_and_the_refusal_says_what_to_do(url, schema, advice):
    make(sqlite_path(url), schema)
    with pytest.raises(SchemaUnknown, match=advice):
        asyncio.run(SqliteStore(sqlite_path(url)).open())


def test_a_file_that_is_not_there_is_not_served(url):
    with pytest.raises(SchemaUnknown, match="fhir-server migrate"):
        asyncio.run(SqliteStore(sqlite_path(url)).open())
    assert not sqlite_path(url).exists()


def test_a_file_that_is_no_database_is_refused(url):
    sqlite_path(url).parent.mkdir()
    sqlite_path(url).write_bytes(b"not a database, but long enough to look at" * 30)
    with pytest.raises(SchemaUnknown, match="not a SQLite database"):
        schema_of(url)


def test_a_newer_database_is_not_migrated_back(url):
    make(sqlite_path(url), "9999")
    with pytest.raises(SchemaUnknown, match="newer program"):
        migrate(url)


def test_a_database_in_use_is_not_migrated(url):
    sqlite_path(url).parent.mkdir()
    with hold(sqlite_path(url)), pytest.raises(DatabaseInUse, match="Stop it first"):
        migrate(url)


def test_two_at_once_make_one_database(url):
    code = f"from fhir_server.store.migrate import migrate; migrate({url!r})"
    run = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in "12"]
    errors = [process.communicate()[1].decode() for process in run]
    assert all(not e or "DatabaseInUse" in e or "already" in e for e in errors), errors
    assert any(process.returncode == 0 for process in run)
    assert schema_of(url) == SCHEMA


def test_serving_a_file_loads_neither_what_makes_tables_nor_the_other_driver(sqlite_url):
    """They take 20 MB and a third of a second, of which a laptop has no use."""
    code = (
        "import sys, fhir_server.rest.app, fhir_server.cli.running;"
        "from fhir_server.cli.database import prepare;"
        "from fhir_server.settings import Settings;"
        f"settings = prepare(Settings(database_url={sqlite_url!r}), migrating=True);"
        "fhir_server.cli.running.build(settings);"
        "print([m for m in ('alembic', 'sqlalchemy', 'psycopg') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("url", "is_a"),
    [
        ("sqlite:///x.db", "sqlite"),
        ("sqlite:////var/x.db", "sqlite"),
        ("postgresql://u@h/d", "postgresql"),
        ("postgres://h/d", "postgresql"),
        ("postgresql+psycopg://h/d", "postgresql"),
    ],
)
def test_a_url_says_which_database(url, is_a):
    assert dialect_of(url) == is_a


@pytest.mark.parametrize("url", ["mysql://h/d", "x.db", "", "sqlite:", "sqlite://", "sqlite:///"])
def test_a_url_that_says_nothing_is_refused(url):
    with pytest.raises(ValueError, match="sqlite:///"):
        sqlite_path(url) if dialect_of(url) == SQLITE else None


def test_a_url_opens_the_file_it_names(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    migrate(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    engine.dispose()
