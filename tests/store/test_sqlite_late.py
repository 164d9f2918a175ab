"""What the audit is found by is written in large parts: until then it is found all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store import sqlite_late
from fhir_server.store.audit import RANDOM, Lane
from fhir_server.store.contract import Before, Entry, Sought, Unit, rid
from fhir_server.store.migrate import migrate
from fhir_server.store.sqlite import SqliteStore
from fhir_server.store.upkeep import audit

AN, BINH = rid(Key("Patient", "an")), rid(Key("Patient", "binh"))


@pytest.fixture
def path(tmp_path):
    migrate(f"sqlite:///{tmp_path}/fhir.db")
    return tmp_path / "fhir.db"


def entry(text: str, *subjects: int, at: int = 1) -> Unit:
    return Unit((), audit=(Entry(at, subjects, text.encode()),))


def count(path, table: str = "audit_subject") -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


async def bodies(store, *subjects, **asked):
    found = await store.audit.found(Sought(subjects, **asked))
    return [one.body.decode() for one in found]


async def test_entries_are_found_before_and_after_they_have_their_rows(path, monkeypatch):
    monkeypatch.setattr(sqlite_late, "MANY", 3)
    store = SqliteStore(path)
    await store.open()
    for n in range(20):
        await store.commit(entry(f"{n}", AN, *([BINH] if n % 2 else []), at=n))
        assert await bodies(store, AN) == [f"{m}" for m in range(n, -1, -1)]
        assert await bodies(store, AN, BINH) == [f"{m}" for m in range(n, -1, -1) if m % 2]
        assert await bodies(store, AN, since=2, limit=3) == [
            f"{m}" for m in range(n, max(n - 3, 1), -1)
        ]
    assert 0 < count(path) <= 30
    await store.close()
    assert count(path) == 30
    with audit.trail(f"sqlite:///{path}") as trail:
        assert [one.body for one in trail.found(Sought((BINH,), until=4))] == [b"3", b"1"]


async def test_what_a_process_left_that_was_ended_gets_its_rows_from_the_next(path):
    store = SqliteStore(path)
    await store.open()
    await store.commit(entry("read", AN))
    await store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM audit_subject")
        connection.execute("DELETE FROM audit_place")
    with audit.trail(f"sqlite:///{path}") as trail:
        assert [one.body for one in trail.found(Sought((AN,)))] == [b"read"]
        assert trail.place() == (0, 0)
    store = SqliteStore(path)
    await store.open()
    assert await bodies(store, AN) == ["read"]
    await store.commit(entry("again", AN, at=2))
    await store.close()
    assert count(path) == 2
    with audit.trail(f"sqlite:///{path}") as trail:
        assert trail.place() == [row[:2] for part in trail.parts() for row in part][-1]


async def test_pages_go_on_within_what_was_written_at_once(path):
    store = SqliteStore(path)
    await store.open()
    several = tuple(Entry(5, (AN if n % 2 else BINH,), b"%d" % n) for n in range(9))
    await store.commit(Unit((), audit=several))
    met, before = [], None
    while page := await store.audit.found(Sought((AN,), before=before, limit=1)):
        met += [one.body for one in page]
        before = Before(page[0].at, page[0].chain, page[0].number)
    assert met == [b"7", b"5", b"3", b"1"]
    await store.close()


def test_a_chain_begun_while_the_clock_goes_wrong_comes_after_those_before():
    later = (1 << 42) << RANDOM
    assert Lane.begun(later).chain > later
