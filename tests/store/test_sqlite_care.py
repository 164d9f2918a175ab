"""A backup serves the same bytes, damage is found, and a follower learns of a restore."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.codec import Codec, shipped_dictionaries, whole
from fhir_server.store.contract import EVERYTHING, EpochEnded, History, Select
from fhir_server.store.contract.side import TABLES
from fhir_server.store.migrate import SchemaUnknown, migrate
from fhir_server.store.schema import SCHEMA
from fhir_server.store.sqlite import SqliteStore
from fhir_server.store.sqlite_care import backup, restore, verify
from fhir_server.store.sqlite_connection import DatabaseInUse
from tests.store.world import has, made, newest, on, rows, unit, version


@pytest.fixture
def path(tmp_path):
    return made(tmp_path)


async def live(store, start: int = 0) -> None:
    """Thirty patients, each amended, a third deleted."""
    for n in range(start, start + 30):
        first, second = rows(f"a{n}", "all"), rows(f"b{n}", "all")
        await store.commit(unit(version(f"Patient/{n}", "vi", rows=first)))
        seen = await newest(store, f"Patient/{n}")
        amended = version(f"Patient/{n}", "en", rows=second, before=first, follows=seen)
        await store.commit(unit(amended))
        if n % 3 == 0:
            seen = await newest(store, f"Patient/{n}")
            gone = version(f"Patient/{n}", "deleted", before=second, follows=seen)
            await store.commit(unit(gone))


async def everything(store) -> tuple[list[object], int]:
    page = await store.history(History(limit=10_000, ascending=True, restriction=EVERYTHING))
    told = [(v.position, v.version_id, v.deleted or whole(v)) for v in page.rows]
    return told, await store.count(Select((), has("all"), restriction=EVERYTHING))


def test_a_restored_backup_serves_the_same_bytes(path, tmp_path):
    copy, elsewhere = tmp_path / "backup.db", tmp_path / "other" / "fhir.db"

    async def work(store):
        await live(store)
        before = await everything(store)
        await store.backup(copy)
        await live(store, 30)
        return before

    before = on(path, work)
    assert verify(copy) == []
    restore(copy, elsewhere)
    assert on(elsewhere, everything) == before
    assert verify(elsewhere) == []
    assert on(elsewhere, lambda store: live(store, 30)) is None
    assert verify(elsewhere) == []


def test_a_backup_is_taken_while_others_write_and_holds_whole_units(path, tmp_path):
    async def work(store):
        async def write(writer: int) -> None:
            for n in range(30):
                pair = [version(f"Patient/{writer}-{n}-{i}", rows=rows(f"{i}")) for i in "ab"]
                await store.commit(unit(*pair))

        await asyncio.gather(*map(write, range(8)), store.backup(tmp_path / "copy.db"))

    on(path, work)
    assert verify(tmp_path / "copy.db") == []

    async def counts(store):
        return await store.count(Select((), has("a"), restriction=EVERYTHING)), await store.count(
            Select((), has("b"), restriction=EVERYTHING)
        )

    one, other = on(tmp_path / "copy.db", counts)
    assert one == other


def test_a_backup_is_never_half_and_never_written_over(path, tmp_path):
    copy = tmp_path / "copy.db"
    backup(path, copy)
    with pytest.raises(FileExistsError, match="Choose another name"):
        backup(path, copy)
    assert not list(tmp_path.glob("*.part"))


def test_a_restore_replaces_only_when_told_and_never_a_database_in_use(path, tmp_path):
    backup(path, tmp_path / "copy.db")
    on(path, live)
    with pytest.raises(FileExistsError, match="may be replaced"):
        restore(tmp_path / "copy.db", path)

    async def work(store):
        with pytest.raises(DatabaseInUse):
            restore(tmp_path / "copy.db", path, replace=True)

    on(path, work)
    restore(tmp_path / "copy.db", path, replace=True)
    assert on(path, everything) == ([], 0)
    kept = on(path.with_name("fhir.db.replaced"), everything)
    assert len(kept[0]) == 70


def test_what_is_no_backup_is_not_restored(path, tmp_path):
    (tmp_path / "x.db").write_bytes(b"something else" * 100)
    with pytest.raises(SchemaUnknown):
        restore(tmp_path / "x.db", tmp_path / "y.db")
    with pytest.raises(SchemaUnknown):
        restore(tmp_path / "missing.db", tmp_path / "y.db")
    assert not (tmp_path / "y.db").exists()


# --- damage --------------------------------------------------------------------------------------

DAMAGES = [
    ("UPDATE version SET body = x'00112233' WHERE seq = 5", "cannot be unpacked|version 5"),
    ("UPDATE version SET digest_lo = digest_lo + 1 WHERE seq = 5", "not what its version id says"),
    ("UPDATE version SET id = CAST('other' AS BLOB) WHERE seq = 5", "another's number"),
    ("UPDATE current SET seq = seq - 1 WHERE deleted", "newest version"),
    ("DELETE FROM current WHERE deleted", "belong to no resource"),
    ("DELETE FROM dictionary", "missing"),
    ("UPDATE tally SET n = n + 1", "number of resources"),
    ("UPDATE current SET deleted = 1 WHERE deleted = 0", "newest version"),
]


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=range(len(DAMAGES)))
def test_damage_is_found(path, damage, told):
    on(path, live)
    assert verify(path) == []
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(damage)
        connection.commit()
    with pytest.raises(AssertionError, match=told):
        assert "\n".join(verify(path)) == ""


# --- followers -----------------------------------------------------------------------------------


async def follow(store, cursor: str | None = None) -> tuple[list[int], str]:
    seen: list[int] = []
    while True:
        page = await store.feed(cursor, limit=7, restriction=EVERYTHING)
        seen += [v.position.seq for v in page.rows]
        cursor = page.next
        if not page.rows:
            return seen, cursor


def test_a_follower_meets_everything_once_in_order(path):
    async def work(store):
        await live(store)
        seen, cursor = await follow(store)
        assert seen == list(range(1, 71))
        await live(store, 30)
        later, cursor = await follow(store, cursor)
        assert later == list(range(71, 141))
        only = await store.feed(None, types=("Person",), limit=5, restriction=EVERYTHING)
        assert only.rows == []
        assert only.next == cursor

    on(path, work)


def test_a_follower_goes_on_when_the_server_was_only_started_again(path):
    _, cursor = on(path, _lived)
    on(path, lambda store: live(store, 30))
    seen, _ = on(path, lambda store: follow(store, cursor))
    assert seen == list(range(71, 141))


async def _lived(store) -> tuple[list[int], str]:
    await live(store)
    return await follow(store)


@pytest.mark.parametrize("how", ["restore", "copy"])
def test_a_follower_that_saw_what_a_restore_lost_is_told_and_others_go_on(path, tmp_path, how):
    copy = tmp_path / "copy.db"

    async def before(store):
        await live(store)
        _, early = await follow(store)
        await store.backup(copy)
        await live(store, 30)
        _, late = await follow(store)
        return early, late

    early, late = on(path, before)
    if how == "restore":
        restore(copy, path, replace=True)
    else:
        path.unlink()
        copy.rename(path)

    async def after(store):
        await live(store, 60)
        assert (await follow(store, early))[0] == list(range(71, 141))
        with pytest.raises(EpochEnded):
            await store.feed(late, limit=5, restriction=EVERYTHING)

    on(path, after)


def test_two_restores_of_one_backup_are_two_histories(path, tmp_path):
    copy = tmp_path / "copy.db"
    backup(path, copy)
    restore(copy, tmp_path / "one.db")
    restore(copy, tmp_path / "two.db")
    _, cursor = on(tmp_path / "one.db", _lived)

    async def other(store):
        await live(store, 100)
        with pytest.raises(EpochEnded):
            await store.feed(cursor, limit=5, restriction=EVERYTHING)

    on(tmp_path / "two.db", other)


@pytest.mark.parametrize(
    "cursor", ["", "1", "1.2", "a.b.c", "1.2.3.4", "-1.2.3", "9" * 40, "1.1.²"]
)
def test_a_cursor_of_nobody_is_refused(path, cursor):
    async def work(store):
        with pytest.raises(Invalid, match="cursor"):
            await store.feed(cursor, limit=5, restriction=EVERYTHING)

    on(path, work)


def test_a_cursor_of_another_database_is_refused(path):
    async def work(store):
        with pytest.raises(EpochEnded):
            await store.feed("1.2.3", limit=5, restriction=EVERYTHING)

    on(path, work)


def test_health_tells_the_schema(path):
    health = on(path, SqliteStore.health)
    assert (health.product, health.schema, health.schema_wanted) == ("SQLite", SCHEMA, SCHEMA)
    assert health.notes == []


def test_records_of_the_first_schema_are_read_and_new_ones_packed_anew(path):
    """A database as 0001 left it: one dictionary, and bodies packed with it."""
    first = {1: shipped_dictionaries()[1]}

    async def work(store):
        await live(store)
        return await everything(store)

    before = on(path, work, codec=Codec(first))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM dictionary WHERE id = 2")
        for later in (
            "uri",
            "parameter",
            "care",
            "client",
            "token",
            "spent",
            "audit",
            "audit_subject",
            "audit_place",
            "lineage",
            *(table.name for table in TABLES),
        ):
            connection.execute(f"DROP TABLE {later}")
        for index in ("current_by_owner", "current_by_facility"):
            connection.execute(f"DROP INDEX {index}")
        connection.execute("ALTER TABLE current DROP COLUMN facility")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert migrate(f"sqlite:///{path}")[0].startswith("0002")
    assert on(path, everything) == before
    on(path, lambda store: live(store, 30))
    with closing(sqlite3.connect(path)) as connection:
        used = connection.execute("SELECT DISTINCT dictionary FROM version WHERE body NOT NULL")
        assert {number for (number,) in used} == {1, 2}
