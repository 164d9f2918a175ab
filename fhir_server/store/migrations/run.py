"""run — the steps from the schema a database has to the newest, in one transaction.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text

from fhir_server.store.schema import SCHEMA, SQLITE, dialect_of, sqlite_path
from fhir_server.store.sqlite_connection import hold

LOCK = 4_001_000_001  # every migration of a PostgreSQL database waits for this advisory lock


def run(url: str, had: str | None) -> list[str]:
    """Take every step after `had`, and tell which."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    steps = ScriptDirectory.from_config(config).iterate_revisions(SCHEMA, had or "base")
    told = [f"{step.revision}: {(step.doc or '').partition('— ')[2]}" for step in steps]
    with _connection(url) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, SCHEMA)
    return told[::-1]


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """A transaction that no other migration, and no SQLite server, shares."""
    if dialect_of(url) == SQLITE:
        path = sqlite_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with hold(path), _sqlite(path) as connection:
            yield connection
        return
    engine = create_engine(f"postgresql+psycopg://{url.partition('://')[2]}")
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection
    engine.dispose()


@contextmanager
def _sqlite(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}", connect_args={"isolation_level": None})

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:  # else the driver leaves each DDL by itself
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        yield connection
    engine.dispose()
