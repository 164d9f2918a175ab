"""What is wiped is gone, says so, and goes on being wiped whatever came in between."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from fhir_server.store import upkeep
from fhir_server.store.migrate import migrate, schema_of
from fhir_server.store.schema import sqlite_path
from fhir_server.store.upkeep import wiping

FACTS = {"client": "tyt-hue", "done": 0}


def tables(url):
    with psycopg.connect(url) as reached:
        asked = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        return {name for (name,) in reached.execute(asked)}


def is_gone(database):
    if database.product == "postgresql":
        return tables(database.url) == {"setting"}
    path = sqlite_path(database.url)
    return [one.name for one in path.parent.glob(path.name + "*")] == [f"{path.name}-wiped"]


def some_of_it(database):
    """As after a kill in the middle; in a database server it is one transaction."""
    if database.product == "sqlite":
        sqlite_path(database.url).unlink()


STATES = {"nothing is erased": lambda _: None, "some of it is": some_of_it}
STATES["all of it is"] = lambda database: wiping.erase(database.url)


@pytest.mark.parametrize("state", STATES)
def test_wherever_it_was_broken_off_it_goes_on_and_says_so(database, state):
    for beside in ("-wal", "-writer", ".replaced", "-anchors.jsonl"):
        if database.product == "sqlite":
            Path(f"{sqlite_path(database.url)}{beside}").write_text("Nguyễn Thị Lan")
    assert wiping.marked(database.url) is None
    wiping.mark(database.url, FACTS)
    STATES[state](database)
    with pytest.raises(wiping.Wiped) as found:
        upkeep.ready(database.url, migrating=True)
    assert found.value.facts == FACTS
    wiping.erase(database.url)
    assert is_gone(database)
    wiping.mark(database.url, {**FACTS, "done": 7})
    assert wiping.marked(database.url) == {**FACTS, "done": 7}
    for refused in (
        lambda: upkeep.ready(database.url, migrating=False),
        lambda: upkeep.restore(database.url, Path(__file__)),
    ):
        with pytest.raises(wiping.Wiped):
            refused()
    assert is_gone(database)
    wiping.unmark(database.url)
    assert schema_of(database.url) is None
    if state == "all of it is":  # migrating takes a second
        assert upkeep.ready(database.url, migrating=True)


def test_what_is_beside_and_somebody_elses_stays(sqlite_url):
    path = sqlite_path(sqlite_url)
    others = [
        path.with_name(name) for name in ("fhir.db2", "other.db", f"{path.name}-hub-key.json")
    ]
    for one in others:
        one.write_text("x")
    wiping.mark(sqlite_url, FACTS)
    wiping.erase(sqlite_url)
    assert all(one.exists() for one in others)


def test_a_mark_that_cannot_be_read_erases_nothing(sqlite_url):
    path = sqlite_path(sqlite_url)
    path.with_name(f"{path.name}-wiped").write_text("{")
    assert wiping.marked(sqlite_url) == {}
    assert path.exists()


def test_who_is_at_work_in_the_tables_does_not_keep_them(postgresql_url):
    wiping.mark(postgresql_url, FACTS)
    with psycopg.connect(postgresql_url) as reader:
        reader.execute("SELECT count(*) FROM version").fetchone()
        wiping.erase(postgresql_url)
        with pytest.raises(psycopg.OperationalError):
            reader.execute("SELECT count(*) FROM version")
    assert tables(postgresql_url) == {"setting"}


def test_a_role_that_may_drop_no_tables_empties_them(postgresql_url):
    with psycopg.connect(postgresql_url, autocommit=True) as owner:
        name = f"clerk_{os.getpid()}"
        owner.execute(f"CREATE ROLE {name} LOGIN")
        owner.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}"
        )
        owner.execute("INSERT INTO spent (digest, until) VALUES ('x', 1)")
        try:
            url = postgresql_url.replace("postgresql://postgres@", f"postgresql://{name}@")
            assert url != postgresql_url
            wiping.mark(url, FACTS)
            wiping.erase(url)
            assert owner.execute("SELECT count(*) FROM spent").fetchone() == (0,)
            assert owner.execute("SELECT name FROM setting").fetchall() == [("wiped",)]
            wiping.unmark(url)
            assert wiping.marked(url) is None
        finally:
            owner.execute(f"DROP OWNED BY {name}")
            owner.execute(f"DROP ROLE {name}")
    migrate(postgresql_url)
