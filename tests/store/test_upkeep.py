"""Looking after a database: what is found, what is copied, and what a damaged copy is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fhir_server.foundation.resource import Key, Resource
from fhir_server.store import upkeep
from fhir_server.store.codec import digest_of, tail_of, whole
from fhir_server.store.contract import (
    EVERYTHING,
    EpochEnded,
    History,
    IndexRows,
    KeyRow,
    NewVersion,
    Stored,
    Unit,
)
from fhir_server.store.secret import secret_of
from fhir_server.store.upkeep import BadBackup, Grade, Unreachable, archive, findings
from tests import postgresql
from tests.conftest import Database, Run

NAMES = ("Nguyễn", "Trần", "a\tb\\c\n", "đặng", "x" * 100_000)


def version(key: Key, resource: Resource, before: Stored | None = None) -> NewVersion:
    parents = [before.version_id] if before else []
    digest = digest_of(key.type, key.id, parents, deleted=False, resource=resource)
    rows = IndexRows(keys=frozenset({KeyRow(7, len(key.id))}))
    generation = before.generation + 1 if before else 1
    return NewVersion(key, generation, digest, "PUT", tail_of(resource), rows, follows=before)


async def fill(database: Database) -> None:
    """A few resources, one of them with a second version."""
    store = database.store()
    await store.open()
    for number, name in enumerate(NAMES):
        key = Key("Patient", f"p{number}")
        resource = {"resourceType": "Patient", "id": key.id, "name": [{"family": name}]}
        await store.commit(Unit((version(key, resource),)))
    key = Key("Patient", "p0")
    before = (await store.newest([key], EVERYTHING))[key]
    resource = {"resourceType": "Patient", "id": "p0", "active": True}
    await store.commit(Unit((version(key, resource, before),)))
    await store.close()


async def bytes_of(database: Database) -> list[bytes]:
    """Every version as it would be sent."""
    store = database.store()
    await store.open()
    page = await store.history(History(limit=100, restriction=EVERYTHING))
    await store.close()
    return [whole(row) for row in page.rows]


async def cursor_of(database: Database) -> str:
    store = database.store()
    await store.open()
    feed = await store.feed(None, limit=100, restriction=EVERYTHING)
    await store.close()
    return feed.next


@pytest.fixture
def empty(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    """Another place of the same kind, with nothing in it."""
    if database.product == "sqlite":
        yield Database("sqlite", f"sqlite:///{tmp_path}/other.db")
        return
    with postgresql.database() as url:
        yield Database("postgresql", url)


def test_a_restored_backup_serves_the_same_bytes(
    database: Database, empty: Database, tmp_path: Path, run: Run[Any]
) -> None:
    run(fill(database))
    upkeep.backup(database.url, tmp_path / "copy")
    upkeep.restore(empty.url, tmp_path / "copy")
    assert upkeep.verify(empty.url) == []
    served = run(bytes_of(empty))
    assert served == run(bytes_of(database))
    assert len(served) == len(NAMES) + 1


def test_what_was_written_after_the_backup_is_gone_and_followers_are_told(
    database: Database, tmp_path: Path, run: Run[Any]
) -> None:
    run(fill(database))
    upkeep.backup(database.url, tmp_path / "copy")
    key = Key("Patient", "later")
    resource = {"resourceType": "Patient", "id": "later"}

    async def write_more() -> None:
        store = database.store()
        await store.open()
        await store.commit(Unit((version(key, resource),)))
        await store.close()

    run(write_more())
    after = run(cursor_of(database))
    upkeep.restore(database.url, tmp_path / "copy", replace=True)

    async def follow() -> None:
        store = database.store()
        await store.open()
        try:
            assert await store.newest([key], EVERYTHING) == {}
            with pytest.raises(EpochEnded):
                await store.feed(after, limit=10, restriction=EVERYTHING)
            await store.commit(Unit((version(key, resource),)))
        finally:
            await store.close()

    run(follow())
    assert upkeep.verify(database.url) == []


def test_records_are_not_lost_without_being_told_to(
    database: Database, tmp_path: Path, run: Run[Any]
) -> None:
    run(fill(database))
    upkeep.backup(database.url, tmp_path / "copy")
    with pytest.raises(FileExistsError, match="--replace"):
        upkeep.restore(database.url, tmp_path / "copy")
    with pytest.raises(FileExistsError, match="already"):
        upkeep.backup(database.url, tmp_path / "copy")


def test_a_backup_that_fails_leaves_no_file(postgresql_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("DROP TABLE version")
    with pytest.raises(Unreachable, match="version"):
        upkeep.backup(postgresql_url, tmp_path / "copy")
    assert list(tmp_path.glob("copy*")) == []


def test_a_backup_that_cannot_be_written_names_the_file(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises((Unreachable, FileExistsError), match="file"):
        upkeep.backup(database.url, tmp_path / "file" / "copy")


def test_the_secret_is_made_once(database: Database) -> None:
    made = secret_of(database.url)
    assert len(made) == 64
    assert secret_of(database.url) == made


def cut(data: bytes) -> bytes:
    return data[:-20]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def other(_: bytes) -> bytes:
    return b'{"resourceType": "Patient"}'


@pytest.mark.parametrize("damage", [cut, half, flipped, other])
def test_a_damaged_archive_is_refused_and_changes_nothing(
    postgresql_url: str, tmp_path: Path, run: Run[Any], damage: Callable[[bytes], bytes]
) -> None:
    database = Database("postgresql", postgresql_url)
    run(fill(database))
    good = tmp_path / "good"
    upkeep.backup(database.url, good)
    before = run(bytes_of(database))
    (tmp_path / "bad").write_bytes(damage(good.read_bytes()))
    with pytest.raises(BadBackup):
        upkeep.restore(database.url, tmp_path / "bad", replace=True)
    assert run(bytes_of(database)) == before


def test_a_backup_goes_back_to_its_own_kind_of_database(
    postgresql_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    upkeep.backup(postgresql_url, tmp_path / "postgresql")
    upkeep.backup(sqlite_url, tmp_path / "sqlite")
    with pytest.raises(BadBackup, match="PostgreSQL"):
        upkeep.restore(f"sqlite:///{tmp_path}/new.db", tmp_path / "postgresql")
    with pytest.raises(BadBackup, match="PostgreSQL"):
        upkeep.restore(postgresql_url, tmp_path / "sqlite")
    with pytest.raises(BadBackup, match="no file"):
        upkeep.restore(postgresql_url, tmp_path / "nowhere")


def test_a_database_in_use_is_not_replaced(
    database: Database, tmp_path: Path, run: Run[Any]
) -> None:
    run(fill(database))
    upkeep.backup(database.url, tmp_path / "copy")

    async def used() -> None:
        store = database.store()
        await store.open()
        try:
            with pytest.raises((Unreachable, FileExistsError), match="Stop"):
                upkeep.restore(database.url, tmp_path / "copy", replace=True)
        finally:
            await store.close()

    run(used())


DAMAGE = {
    "sqlite": "UPDATE version SET digest_hi = digest_hi + 1 WHERE id = CAST('p1' AS BLOB)",
    "postgresql": "UPDATE version SET digest_hi = digest_hi + 1 WHERE id = 'p1'",
}


def test_a_version_that_is_not_what_its_name_says_is_found(
    database: Database, run: Run[Any]
) -> None:
    run(fill(database))
    assert upkeep.verify(database.url) == []
    execute(database, DAMAGE[database.product])
    wrong = upkeep.verify(database.url)
    assert any("Patient/p1" in sentence for sentence in wrong)


def execute(database: Database, statement: str) -> None:
    if database.product == "sqlite":
        with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"))) as connection:
            connection.execute(statement)
            connection.commit()
        return
    with psycopg.connect(database.url) as connection:
        connection.execute(statement.encode())


def test_an_examined_database_tells_what_it_is(database: Database) -> None:
    found = {finding.about: finding for finding in upkeep.examine(database.url)}
    assert "schema" in found["database"].found
    assert found["database"].grade is Grade.GOOD
    assert "hidden" not in str(found)


def test_what_a_power_cut_would_lose_is_unsafe(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("ALTER ROLE current_user SET synchronous_commit = off")
        try:
            found = {finding.about: finding for finding in upkeep.examine(postgresql_url)}
        finally:
            connection.execute("ALTER ROLE current_user RESET synchronous_commit")
    assert found["synchronous_commit"].grade is Grade.UNSAFE
    assert found["synchronous_commit"].advice


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    url = "postgresql://fhir:hidden@127.0.0.1:1/fhir"
    for ask in (upkeep.examine, upkeep.verify):
        with pytest.raises(Unreachable) as told:
            ask(url)
        assert "hidden" not in str(told.value)
        assert "FHIR_DATABASE_URL" in str(told.value)


# free of 100 GiB     how it is taken
@pytest.mark.parametrize(
    ("free", "grade"), [(50, Grade.GOOD), (5, Grade.NOTE), (0.5, Grade.UNSAFE)]
)
def test_room_on_the_disk_is_told(free: float, grade: Grade) -> None:
    assert findings.disk(int(free * 2**30), 100 * 2**30).grade is grade


def test_clocks_that_are_apart_are_unsafe() -> None:
    assert findings.clock(0.0).grade is Grade.UNSAFE


def test_every_table_is_in_an_archive(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as connection:
        rows = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
    assert {name for (name,) in rows} == {*archive.layout(), "alembic_version"}
