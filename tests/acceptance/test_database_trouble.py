"""A database in trouble: the right refusal meanwhile, and service again without a restart.

https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from fhir_server.store.migrate import migrate
from fhir_server.store.schema import sqlite_path
from tests import postgresql
from tests.acceptance.crowd import patient, visit
from tests.acceptance.web import Client

REQUESTS = [
    ("GET", "Patient/1", None),
    ("GET", "Patient/1/_history", None),
    ("GET", "Patient?family=nguyen", None),
    ("GET", "Patient?_summary=count", None),
    ("GET", "_history", None),
    ("POST", "Patient", patient("a")),
    ("PUT", "Patient/1", patient("1", id="1", active=True)),
    ("PUT", "Patient?identifier=urn:kill|1", patient("1", active=True)),
    ("DELETE", "Patient/1", None),
    ("POST", "/fhir", visit("v")),
]
ANSWERED = [("GET", "metadata"), ("GET", "/livez"), ("GET", "/metrics"), ("GET", "/")]


def refused_for_now(told, *statuses):
    assert told.status in statuses, (told.status, told.body)
    assert told.refusal
    assert int(told.headers["retry-after"]) > 0


async def all_at_once(server, asked):
    """Each from a client of its own."""

    async def one(request):
        async with Client(server.port) as client:
            return await client.ask(*request)

    return await asyncio.gather(*map(one, asked))


async def until(status, client, *asked, within=30.0):
    """Ask again until this is the answer."""
    deadline = time.monotonic() + within
    while (told := await client.ask(*asked)).status != status:
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.1)
    return told


async def test_a_database_that_went_away_is_told_and_used_again_when_it_is_back(serve):
    with postgresql.cluster(postgresql.ORDINARY) as cluster:
        migrate(cluster.url)
        server = serve(cluster.url, pool_size=3)
        async with Client(server.port) as client:
            assert (await client.ask(*REQUESTS[6])).status == 201
            await asyncio.to_thread(cluster.stop)
            for told in await all_at_once(server, REQUESTS):
                refused_for_now(told, 503)
            *answered, ready = await all_at_once(server, [*ANSWERED, ("GET", "/readyz")])
            assert [told.status for told in answered] == [200] * len(ANSWERED)
            assert (ready.status, ready.json["ready"]) == (503, False)
            await asyncio.to_thread(cluster.start)
            await until(200, client, "GET", "/readyz")
            await until(200, client, *REQUESTS[0])
            await until(201, client, *REQUESTS[5])
        assert "Traceback" not in server.told()


@pytest.mark.skipif(
    "FHIR_TEST_KILLS" not in os.environ, reason="it waits 15 s; FHIR_TEST_KILLS=1 includes it"
)
async def test_a_database_that_is_frozen_is_told_in_bounded_time(serve):
    """The machine of the database hangs: its processes answer nothing, and nothing is closed."""
    with postgresql.cluster(postgresql.ORDINARY) as cluster:
        migrate(cluster.url)
        server = serve(cluster.url, pool_size=2, request_timeout=2)
        async with Client(server.port) as client:
            assert (await client.ask(*REQUESTS[6])).status == 201
            children = cluster._children()
            frozen = [cluster.process.pid, *children]
            for pid in frozen:
                os.kill(pid, 19)
            try:
                begun = time.monotonic()
                read, ready = await all_at_once(server, [REQUESTS[0], ("GET", "/readyz")])
                refused_for_now(read, 503)
                assert ready.status == 503
                print(
                    f"\nfrozen: a read and /readyz refused after {time.monotonic() - begun:.1f} s"
                )
            finally:
                for pid in frozen:
                    os.kill(pid, 18)
            await until(200, client, "GET", "/readyz")
            await until(200, client, "GET", "Patient/1")


async def test_a_read_only_database_refuses_writes_and_serves_reads(postgresql_url, serve):
    """As a standby does until it is promoted."""
    server = serve(postgresql_url, pool_size=3)
    name = postgresql_url.partition("?")[0].rpartition("/")[2]
    own = ("select pg_terminate_backend(pid) from pg_stat_activity"
           " where datname = current_database() and application_name = 'fhir-server'")  # fmt: skip

    def set_to(told):
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            connection.execute("set default_transaction_read_only = off")
            connection.execute(f"alter database {name} {told}")
            connection.execute(own)

    async with Client(server.port) as client:
        assert (await client.ask(*REQUESTS[6])).status == 201
        set_to("set default_transaction_read_only = on")
        await until(503, client, *REQUESTS[5])
        refused_for_now(await client.ask(*REQUESTS[5]), 503)
        assert (await client.ask("GET", "Patient/1")).status == 200
        set_to("reset default_transaction_read_only")
        await until(201, client, *REQUESTS[5])


async def test_an_operators_lock_on_a_table_is_told_in_bounded_time(postgresql_url, serve):
    """VACUUM FULL and ALTER TABLE hold it; a write waits a while, then says so."""
    server = serve(postgresql_url, pool_size=3, request_timeout=3)
    async with Client(server.port, patience=45) as client:
        assert (await client.ask(*REQUESTS[6])).status == 201
        async with await psycopg.AsyncConnection.connect(postgresql_url) as other:
            await other.execute("lock table version in access exclusive mode")
            begun = time.monotonic()
            for told in await all_at_once(server, [REQUESTS[0], REQUESTS[5]]):
                refused_for_now(told, 503)
            print(f"\nlocked: refused after {time.monotonic() - begun:.1f} s")
        assert (await client.ask(*REQUESTS[5])).status == 201


async def test_a_file_another_program_writes_to_is_told_and_used_again(sqlite_url, serve):
    server = serve(sqlite_url)
    async with Client(server.port) as client:
        assert (await client.ask(*REQUESTS[6])).status == 201
        with closing(sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(client.ask(*REQUESTS[5]))
            async with Client(server.port) as reader:
                await asyncio.sleep(0.2)
                assert (await reader.ask("GET", "Patient/1")).status == 200
            refused_for_now(await writing, 503)
            other.execute("ROLLBACK")
        assert (await client.ask(*REQUESTS[5])).status == 201


async def test_a_schema_that_changed_below_the_server_is_told_by_readyz(database, serve):
    """A newer release migrated while this one still serves."""
    server = serve(database.url)

    def rename(old, new):
        told = f"update alembic_version set version_num = '{new}' where version_num = '{old}'"
        if database.product == "sqlite":
            with closing(sqlite3.connect(sqlite_path(database.url))) as connection, connection:
                connection.execute(told)
        else:
            with psycopg.connect(database.url) as connection:
                connection.execute(told)

    status, told = await asyncio.to_thread(server.ready)
    known = told["schema"]
    rename(known, "9999")
    status, told = await asyncio.to_thread(server.ready)
    assert (status, told["why"], told["schema"]) == (503, "schema", "9999")
    rename("9999", known)
    assert (await asyncio.to_thread(server.ready))[0] == 200


async def test_a_database_file_that_was_taken_away_is_told_by_readyz(sqlite_url, serve):
    """What is written goes to a file nobody will find again, so the server must not be used."""
    server = serve(sqlite_url)
    path = sqlite_path(sqlite_url)
    path.rename(path.with_suffix(".away"))
    status, told = await asyncio.to_thread(server.ready)
    assert (status, told["ready"]) == (503, False)
    assert not path.exists(), "asking must not make an empty file"
    path.with_suffix(".away").rename(path)
    assert (await asyncio.to_thread(server.ready))[0] == 200


# --- a full disk ---------------------------------------------------------------------------------


async def fill_and_look(server, fill, free):
    """Writes are refused as the disk fills, reads are served; with space again, all is."""
    async with Client(server.port) as client:
        assert (await client.ask(*REQUESTS[6])).status == 201
        kept = (await client.ask("GET", "Patient/1")).body
        fill()
        text = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))
        large = (patient(f"full-{n}", address=[{"text": text[n:] + str(n)}]) for n in range(400))
        n, first = await until_refused(client, large)
        # what is left may hold a small one
        more, _ = await until_refused(client, (patient(f"small-{n}") for n in range(400)))
        for _ in range(3):
            assert (await client.ask("GET", "Patient/1")).body == kept
            refused_for_now(await client.ask("POST", "Patient", patient("x")), 503, 507)
        free()
        await until(201, client, "POST", "Patient", patient("after"))
        found = await client.ask("GET", f"Patient?_summary=count&identifier=urn:kill|full-{n}")
        assert found.json["total"] == 0, "what was refused is there"
        found = await client.ask("GET", "Patient?_summary=count")
        assert found.json["total"] == n + more + 2
    return first


async def until_refused(client, contents):
    """How many are stored before one is refused, and with which status that is."""
    for n, content in enumerate(contents):
        told = await client.ask("POST", "Patient", content)
        if told.status != 201:
            refused_for_now(told, 503, 507)
            return n, told.status
    raise AssertionError("none is refused")


async def test_a_file_that_may_not_grow_is_told_and_used_again(sqlite_url, serve):
    server = serve(sqlite_url)
    path = sqlite_path(sqlite_url)
    unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)

    def fill():
        size = max(path.stat().st_size, path.with_name(path.name + "-wal").stat().st_size)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size + 40_000, unlimited[1]))

    def free():
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)

    await fill_and_look(server, fill, free)


@contextmanager
def small_disk(size):
    """A file system of its own, where one may be made."""
    folder = Path(tempfile.mkdtemp(prefix="fhir-disk-"))
    asked = ["mount", "-t", "tmpfs", "-o", f"size={size}", "fhir-test", folder]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("a small file system can be made by root alone")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(folder)


async def test_a_full_disk_is_told_as_507_and_used_again(serve):
    with small_disk("12m") as disk:
        url = f"sqlite:///{disk}/fhir.db"
        migrate(url)
        server = serve(url)
        filler = disk / "filler"

        def fill():
            usage = shutil.disk_usage(disk)
            filler.write_bytes(b"x" * (usage.free - 200_000))

        assert await fill_and_look(server, fill, filler.unlink) == 507
        assert server.stop() == 0
