"""By which rules the index was made is kept; by other rules nothing is written, until it is
made anew: then it is what the same records would have left behind by those rules.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from fhir_server.demo.load import load
from fhir_server.foundation.outcome import Unavailable, Unprocessable
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import delete, read, update
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.search.index import Indexer
from fhir_server.server import build, indexer_of
from fhir_server.settings import Settings
from fhir_server.store import upkeep
from fhir_server.store.contract import NO_ROWS, IndexRows, Position, Store, Unit
from fhir_server.store.stamp import IndexDiffers, Stamp, difference, parse, zone
from fhir_server.store.upkeep import Grade, Unreachable
from tests import postgresql
from tests.conftest import Database, Run
from tests.store.world import version

HERE = Stamp("a1", "+07:00")
PATIENTS = 140  # with all that is about them, more than one batch
TABLES = {
    "index_key": "v, main, rid, w",
    "index_string": "param, word, rid, whole",
    "index_date": "param, lo, hi, rid",
    "index_quantity": "param, unit, lo, hi, rid",
    "current": "rid, owner, main_lo, main_hi, keys, deleted",
}
# the rules of another start                             what is told
OTHERS = [
    (Stamp("a1", "+00:00"), "`zone` is now +00:00"),
    (Stamp("a1", "+07:00", ("https://a.example/fhir",)), "https://a.example/fhir"),
    (Stamp("b2", "+07:00"), "version of the program"),
]


async def fill(store: Store, name: str = "Patient/1") -> None:
    await store.commit(Unit((version(name),)))


async def opened(database: Database, stamp: Stamp | None) -> Store:
    store = database.store(stamp=stamp)
    await store.open()
    return store


async def begin_and_end(database: Database, stamp: Stamp) -> None:
    await (await opened(database, stamp)).close()


def change(database: Database, statement: str, *values: str) -> None:
    if database.product == "sqlite":
        path = database.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement, values)
        return
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(statement.replace("?", "%s").encode(), values)


def keep(database: Database, stamp: Stamp) -> None:
    """Someone else changes the stamp."""
    change(database, "UPDATE setting SET value = ? WHERE name = 'index'", stamp.text)


# --- the stamp -----------------------------------------------------------------------------------


# what is kept                                          is it read as a stamp?
@pytest.mark.parametrize(
    ("kept", "good"),
    [
        (HERE.text, True),
        (HERE.reached(Position(5, 2)).text, True),
        (None, False),
        ("", False),
        ("abc", False),
        ("[]", False),
        ("{}", False),
        ('{"extraction": "a", "zone": "b", "base_urls": [], "after": [1, 2, 3]}', False),
        ('{"extraction": "a", "zone": "b", "base_urls": [], "after": "x"}', False),
    ],
)
def test_only_a_stamp_is_read_as_one(kept: str | None, good: bool) -> None:
    found = parse(kept)
    assert (found is not None) is good
    assert found is None or found.text == kept


@pytest.mark.parametrize(("minutes", "told"), [(420, "+07:00"), (0, "+00:00"), (-210, "-03:30")])
def test_a_zone_is_told_as_it_is_set(minutes: int, told: str) -> None:
    assert zone(minutes) == told
    assert Settings(zone=told).zone_minutes == minutes


def test_where_a_server_listens_has_no_part_in_its_index() -> None:
    plain = indexer_of(Settings())
    assert plain.stamp == indexer_of(Settings(host="::1", port=9, base_path="/")).stamp
    assert plain.stamp != indexer_of(Settings(public_base_url="https://a.example")).stamp


def test_a_link_to_a_next_page_ends_with_its_index() -> None:
    one, other = (build(Settings(secret="s" * 32, zone=z)) for z in ("+07:00", "+00:00"))
    assert one.secret != other.secret


# --- a server starts -----------------------------------------------------------------------------


async def test_a_filled_database_opens_by_its_own_rules_only(database: Database) -> None:
    store = await opened(database, HERE)
    await fill(store)
    assert (await store.health()).index is None
    await store.close()
    await begin_and_end(database, HERE)
    for other, told in OTHERS:
        with pytest.raises(IndexDiffers, match="fhir-server reindex") as refused:
            await opened(database, other)
        assert told in str(refused.value)
    await begin_and_end(database, HERE)


async def test_an_empty_database_takes_new_rules(database: Database) -> None:
    await begin_and_end(database, HERE)
    for other, _ in OTHERS:
        await begin_and_end(database, other)
    store = await opened(database, HERE)
    await fill(store)
    await store.close()
    with pytest.raises(IndexDiffers):
        await opened(database, OTHERS[0][0])


async def test_a_database_that_does_not_say_is_refused(database: Database) -> None:
    store = await opened(database, None)
    await fill(store)
    await store.close()
    with pytest.raises(IndexDiffers, match="does not say"):
        await opened(database, HERE)


async def test_a_server_tells_that_the_index_changed_beneath_it(database: Database) -> None:
    store = await opened(database, HERE)
    await fill(store)
    keep(database, OTHERS[0][0])
    try:
        assert "+00:00" in str((await store.health()).index)
    finally:
        await store.close()


async def test_a_server_that_lost_its_connections_writes_by_no_other_rules(
    postgresql_url: str,
) -> None:
    database = Database("postgresql", postgresql_url)
    store = await opened(database, HERE)
    try:
        await fill(store)
        keep(database, OTHERS[0][0])
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        for number in range(2):
            with pytest.raises(Unavailable):
                await fill(store, f"Patient/2{number}")
    finally:
        await store.close()


# --- and the index is made anew ------------------------------------------------------------------


def settings(database: Database, zone: str) -> Settings:
    return Settings(database_url=database.url, zone=zone, secret="s" * 32, profiles="off")


async def live(database: Database, zone: str) -> None:
    """Records come, change, go, and come again."""
    server = build(settings(database, zone))
    await server.store.open()
    try:
        await load(server, patients=PATIENTS, circumstances=BY_OPERATOR)
        page = await server.store.census()
        assert sum(page.values()) > 2000
        await change_some(server)
    finally:
        await server.store.close()


async def change_some(server: Server) -> None:
    born = {"resourceType": "Patient", "id": "p", "gender": "male"}
    seen = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p"},
    }
    for birth in ("1990-05-01", "1990-05-02"):
        await put(server, {**born, "birthDate": birth})
    for start in ("2025-01-01", "2024-02-03", "2024-02-04"):
        await put(server, {**seen, "period": {"start": start}})
    for id in ("gone", "back"):
        await put(server, {**seen, "id": id, "period": {"start": "2025-01-01"}})
        await delete.delete(server, delete.Ask("Encounter", id), BY_OPERATOR)
    await put(server, {**seen, "id": "back"})


async def put(server: Server, resource: Resource) -> None:
    ask = update.Ask(resource["resourceType"], resource["id"], resource)
    await update.update(server, ask, BY_OPERATOR)


def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    engine = create_engine(database.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = {
            name: sorted(map(tuple, connection.execute(text(f"select {columns} from {name}"))))
            for name, columns in TABLES.items()
        }
    engine.dispose()
    return found


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


@pytest.fixture
def another(database: Database, tmp_path: Any) -> Iterator[Database]:
    """Another empty database of the same kind."""
    if database.product == "sqlite":
        url = f"sqlite:///{tmp_path}/another.db"
        upkeep.ready(url, migrating=True)
        yield Database("sqlite", url)
        return
    with postgresql.database() as url:
        yield Database("postgresql", url)


class PowerCut(BaseException):
    """What nothing on the way catches."""


def breaking(indexer: Indexer, after: int) -> Any:
    """Makes rows, and after so many breaks off."""
    left = after

    def index(resource: Resource) -> IndexRows:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerCut
        return indexer.rows(resource)

    return index


def test_a_new_index_has_the_rows_that_the_records_would_leave_behind(
    database: Database, another: Database, run: Run[Any]
) -> None:
    run(live(database, "+07:00"))
    run(live(another, "-05:00"))
    before, wanted = rows(database), rows(another)
    assert before != wanted
    new, old = (indexer_of(settings(database, z)) for z in ("-05:00", "+07:00"))
    assert upkeep.indexed(database.url, new.stamp).grade is Grade.UNSAFE
    # Broken off in its second part, it is nobody's.
    with pytest.raises(PowerCut):
        upkeep.reindex(database.url, breaking(new, 2100), new.stamp, quiet)
    for indexer in (new, old):
        told = upkeep.indexed(database.url, indexer.stamp)
        assert (told.grade, "broken off" in told.found) == (Grade.UNSAFE, True)
        with pytest.raises(IndexDiffers, match="half made"):
            run(begin_and_end(database, indexer.stamp))
    # It goes on from there, and does the first part no second time.
    count = len(wanted["current"])
    done = upkeep.reindex(database.url, breaking(new, count - 1000), new.stamp, quiet)
    assert (done.resources, done.refused) == (count, [])
    assert rows(database) == wanted
    assert upkeep.indexed(database.url, new.stamp).grade is Grade.GOOD
    run(begin_and_end(database, new.stamp))
    assert upkeep.verify(database.url) == []
    # And back again, from a broken one of other rules.
    with pytest.raises(PowerCut):
        upkeep.reindex(database.url, breaking(new, 2100), new.stamp, quiet)
    upkeep.reindex(database.url, old.rows, old.stamp, quiet)
    assert rows(database) == before


def test_a_new_index_is_written_to_as_the_old_one_was(
    database: Database, another: Database, run: Run[Any]
) -> None:
    async def write(place: Database, zone: str) -> None:
        server = build(settings(place, zone))
        await server.store.open()
        await change_some(server)
        await server.store.close()

    indexer = indexer_of(settings(database, "-05:00"))
    run(write(database, "+07:00"))
    upkeep.reindex(database.url, indexer.rows, indexer.stamp, quiet)
    run(write(database, "-05:00"))
    for _ in range(2):
        run(write(another, "-05:00"))
    assert rows(database) == rows(another)


async def test_what_cannot_be_indexed_is_told_and_stays(database: Database) -> None:
    store = await opened(database, HERE)
    await fill(store)
    await fill(store, "Patient/2")
    await store.close()
    wanted = indexer_of(Settings()).stamp

    def index(resource: Resource) -> IndexRows:
        if resource["id"] == "2":
            raise Unprocessable("This Patient cannot be indexed.")
        return NO_ROWS

    done = upkeep.reindex(database.url, index, wanted, quiet)
    assert done.refused == ["`Patient/2`: This Patient cannot be indexed."]
    server = build(settings(database, "+07:00"))
    await server.store.open()
    found = await read.read(server, read.Ask(Key("Patient", "2")), BY_OPERATOR)
    await server.store.close()
    assert found.key == Key("Patient", "2")


async def test_no_index_is_made_anew_under_a_server(database: Database) -> None:
    store = await opened(database, HERE)
    await fill(store)
    wanted = OTHERS[0][0]
    try:
        with pytest.raises(Unreachable, match="Stop it"):
            upkeep.reindex(database.url, lambda _: NO_ROWS, wanted, quiet)
        assert (await store.health()).index is None
    finally:
        await store.close()
    upkeep.reindex(database.url, lambda _: NO_ROWS, wanted, quiet)
    assert difference(wanted, wanted.text) is None
    await begin_and_end(database, wanted)
