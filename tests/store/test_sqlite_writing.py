"""What is acknowledged is there, whole; what is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from fhir_server.foundation.outcome import Conflict, OutOfSpace, Unavailable
from fhir_server.store.contract import (
    EVERYTHING,
    Assumption,
    History,
    NewVersion,
    Remember,
    Select,
    Stale,
    Unchanged,
    Unit,
)
from fhir_server.store.sqlite import SqliteStore
from fhir_server.store.sqlite_care import verify
from fhir_server.store.sqlite_connection import DatabaseInUse
from tests.store.world import DAY, has, made, newest, on, rows, unit, version

PATIENTS = Select(("Patient",), restriction=EVERYTHING)
KILLS = int(os.environ.get("FHIR_TEST_KILLS", "4"))


@pytest.fixture
def path(tmp_path):
    return made(tmp_path)


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


# --- one after the other -------------------------------------------------------------------------


def test_a_life_leaves_every_version_and_only_its_newest_rows(path):
    async def work(store):
        first, second = rows("a", "b", names=("ngo",)), rows("b", "c", names=("ngo", "dao"))
        await store.commit(unit(version("Patient/1", "vi", rows=first)))
        one = await newest(store, "Patient/1")
        two = version("Patient/1", "en", rows=second, before=first, follows=one)
        await store.commit(unit(two))
        found = [
            await store.count(Select(("Patient",), has(code), restriction=EVERYTHING))
            for code in "abc"
        ]
        assert found == [0, 1, 1]
        last = await newest(store, "Patient/1")
        await store.commit(unit(version("Patient/1", "deleted", before=second, follows=last)))
        assert (await newest(store, "Patient/1")).deleted
        assert await store.census() == {}
        gone = await newest(store, "Patient/1")
        await store.commit(unit(version("Patient/1", "vi", rows=first, follows=gone)))
        assert await store.census() == {"Patient": 1}
        page = await store.history(History(key=one.key, restriction=EVERYTHING))
        assert [v.generation for v in page.rows] == [4, 3, 2, 1]
        assert [v.method for v in page.rows] == ["PUT", "DELETE", "PUT", "POST"]

    on(path, work)
    assert verify(path) == []
    assert (count(path, "index_key"), count(path, "index_string")) == (2, 1)


def test_a_resource_written_twice_in_one_group_keeps_only_its_newest_rows(path):
    async def work(store):
        old, new = rows("a", day=1), rows("a", day=2)
        first = version("Encounter/1", "vi", rows=old)
        create = asyncio.ensure_future(store.commit(unit(first)))
        await asyncio.sleep(0)
        # The second is on its way before the first is answered: it says where the first will be.
        seen = None
        while seen is None:
            await asyncio.sleep(0)
            seen = await newest(store, "Encounter/1")
        moves = version("Encounter/1", "en", rows=new, before=old, follows=seen)
        others = [store.commit(unit(version(f"Patient/{n}"))) for n in range(40)]
        await asyncio.gather(create, *others[:20], store.commit(unit(moves)), *others[20:])
        page = await store.search(Select(("Encounter",), has("a"), restriction=EVERYTHING), limit=5)
        assert [v.main for v in page.rows] == [2 * DAY]

    on(path, work)
    assert count(path, "index_key") == 1
    assert verify(path) == []


def test_what_was_written_is_read_at_once(path):
    async def work(store):
        for n in range(50):
            await store.commit(unit(version(f"Patient/{n}", rows=rows(f"code-{n}"))))
            assert await newest(store, f"Patient/{n}")
            assert (
                await store.count(Select(("Patient",), has(f"code-{n}"), restriction=EVERYTHING))
                == 1
            )

    on(path, work)


def test_time_never_goes_back(path):
    async def work(store):
        return [(await store.commit(unit(version(f"Patient/{n}")))).updated for n in range(4)]

    times = iter([5000, 4000, 6000, 100])
    assert on(path, work, clock=lambda: next(times)) == [5000, 5000, 6000, 6000]
    late = version("Patient/late")
    assert on(path, lambda store: store.commit(unit(late)), clock=lambda: 7).updated == 6000


# --- assumptions ---------------------------------------------------------------------------------


def test_the_later_of_two_who_saw_the_same_version_looks_again(path):
    async def work(store):
        await store.commit(unit(version("Patient/1", "vi")))
        seen = await newest(store, "Patient/1")
        one, other = (version("Patient/1", text, follows=seen) for text in ("en", "fr"))
        told = await asyncio.gather(
            store.commit(unit(one)), store.commit(unit(other)), return_exceptions=True
        )
        assert sorted(type(t).__name__ for t in told) == ["Committed", "Stale"]
        with pytest.raises(Stale):
            await store.commit(unit(version("Patient/1", "de")))

    on(path, work)


def test_a_unit_that_is_refused_leaves_nothing(path):
    async def work(store):
        await store.commit(unit(version("Patient/1", "vi")))
        seen = await newest(store, "Patient/1")
        await store.commit(unit(version("Patient/1", "en", follows=seen)))
        late = version("Patient/1", "fr", follows=seen)
        with pytest.raises(Stale):
            await store.commit(unit(version("Patient/2", rows=rows("x")), late))
        with pytest.raises(Stale):
            await store.commit(
                unit(version("Patient/3"), unchanged=(Unchanged(seen.key, seen.position),))
            )
        assert await store.census() == {"Patient": 1}

    on(path, work)
    assert count(path, "index_key") == 0


def test_one_resource_written_twice_by_one_unit_is_refused(path):
    async def work(store):
        with pytest.raises(Conflict, match="twice"):
            await store.commit(unit(version("Patient/1", "a"), version("Patient/1", "b")))

    on(path, work)
    assert count(path, "version") == 0


def test_sixty_four_writers_of_the_same_conditions_make_no_duplicate(path):
    async def create(store, code: str, writer: int) -> str:
        asked = Select(("Patient",), has(code), restriction=EVERYTHING)
        while True:
            found = tuple(await store.find(asked, at_most=2))
            if found:
                return "found"
            new = version(f"Patient/{code}-{writer}", rows=rows(code))
            try:
                await store.commit(unit(new, assumptions=(Assumption(asked, (), 2, (1,)),)))
            except Stale:
                continue
            return "made"

    async def work(store):
        told = await asyncio.gather(
            *(create(store, f"c{n}", writer) for n in range(10) for writer in range(64))
        )
        assert told.count("made") == 10
        assert await store.count(PATIENTS) == 10

    on(path, work)


def test_an_answer_is_kept_once_under_its_key(path):
    def remember(text: bytes) -> Remember:
        return Remember("key", b"d" * 16, lambda updated: text + str(updated).encode())

    async def work(store):
        told = await asyncio.gather(
            *(store.commit(unit(version(f"Patient/{n}"), remember=remember(b"%d@" % n)))
              for n in range(8)),
            return_exceptions=True,
        )  # fmt: skip
        assert [type(t) for t in told].count(Stale) == 7
        kept = await store.remembered("key")
        assert kept is not None
        assert kept.answer.startswith(b"0@")
        assert kept.digest == b"d" * 16
        assert await store.remembered("other") is None
        assert await store.census() == {"Patient": 1}

    on(path, work)


def test_an_answer_that_cannot_be_made_writes_nothing_and_harms_nobody(path):
    def fail(updated: int) -> bytes:
        raise ZeroDivisionError

    async def work(store):
        bad = store.commit(unit(version("Patient/x"), remember=Remember("k", b"", fail)))
        good = [store.commit(unit(version(f"Patient/{n}"))) for n in range(20)]
        told = await asyncio.gather(*good[:10], bad, *good[10:], return_exceptions=True)
        assert isinstance(told[10], ZeroDivisionError)
        assert not any(isinstance(t, Exception) for t in told[:10] + told[11:])
        assert await store.census() == {"Patient": 20}
        page = await store.history(History(limit=50, ascending=True, restriction=EVERYTHING))
        assert [v.position.seq for v in page.rows] == list(range(1, 21))

    on(path, work)


# --- groups --------------------------------------------------------------------------------------


def test_those_who_wait_together_are_committed_together(path):
    async def work(store):
        told = await asyncio.gather(
            *(store.commit(unit(version(f"Patient/{n}"))) for n in range(100))
        )
        assert sorted(p.seq for t in told for p in t.positions) == list(range(1, 101))
        assert len({t.updated for t in told}) < 20

    ticks = iter(range(1, 1000))
    on(path, work, clock=lambda: next(ticks))


def test_a_large_unit_is_one(path):
    async def work(store):
        many = unit(*(version(f"Patient/{n}", rows=rows(f"{n}", "all")) for n in range(3000)))
        small = [store.commit(unit(version(f"Person/{n}"))) for n in range(20)]
        told = await asyncio.gather(*small[:10], store.commit(many), *small[10:])
        assert len(told[10].positions) == 3000
        assert await store.count(Select((), has("all"), restriction=EVERYTHING)) == 3000

    on(path, work)
    assert verify(path) == []


def test_closing_finishes_what_was_submitted(path):
    async def work():
        store = SqliteStore(path)
        await store.open()
        waiting = [
            asyncio.ensure_future(store.commit(unit(version(f"Patient/{n}")))) for n in range(300)
        ]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*waiting)
        with pytest.raises(Unavailable):
            await store.commit(unit(version("Patient/late")))
        with pytest.raises(Unavailable):
            await store.count(PATIENTS)

    asyncio.run(work())
    assert count(path, "version") == 300
    assert not path.with_name("fhir.db-wal").exists()


def test_who_gives_up_waiting_stops_nobody(path):
    async def work(store):
        tasks = [
            asyncio.ensure_future(store.commit(unit(version(f"Patient/{n}")))) for n in range(50)
        ]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(isinstance(t, Exception) for t in told[1::2])

    on(path, work)


def test_no_thread_is_left_behind(path):
    before = threading.active_count()
    on(path, lambda store: store.commit(unit(version("Patient/1"))))
    assert threading.active_count() == before


def test_a_second_writing_process_is_refused_and_told_why(path):
    async def work(store):
        other = SqliteStore(path, wait_for_writer=0.1)
        with pytest.raises(DatabaseInUse, match="Another process is writing"):
            await other.open()

    on(path, work)
    on(path, lambda store: store.census())  # and the lock is let go


# --- what happens to machines --------------------------------------------------------------------


def fill(start: int) -> list[NewVersion]:
    big = "".join(random.Random(start).choices("abcdefghij0123456789", k=3000))
    return [version(f"Patient/{start}-{n}", big + str(n), rows=rows(f"{n}")) for n in range(5)]


async def until_full(store) -> int:
    for acknowledged in range(10_000):
        try:
            await store.commit(five(acknowledged))
        except OutOfSpace as refusal:
            assert refusal.headers["Retry-After"]
            return acknowledged
    raise AssertionError("never full")


def five(n: int) -> Unit:
    return unit(*fill(n))


def test_a_full_database_refuses_keeps_what_it_said_and_goes_on_reading(path):
    async def work(store):
        done = await until_full(store)
        assert done > 5
        assert await store.count(PATIENTS) == done * 5
        assert await newest(store, "Patient/0-0")
        with pytest.raises(OutOfSpace):
            await store.commit(five(done))
        return done

    done = on(path, work, max_pages=400)
    assert verify(path) == []

    async def again(store):  # space came back
        await store.commit(five(done))
        page = await store.history(History(limit=10_000, ascending=True, restriction=EVERYTHING))
        assert [v.position.seq for v in page.rows] == list(range(1, done * 5 + 6))

    on(path, again)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_refuses_and_the_same_store_goes_on_when_space_is_back(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (folder / "ballast").write_bytes(bytes(3_000_000))
        path = made(folder)

        async def work(store):
            done = await until_full(store)
            assert await store.count(PATIENTS) == done * 5
            (folder / "ballast").unlink()
            await store.commit(five(done))
            assert await store.count(PATIENTS) == done * 5 + 5

        on(path, work)
        assert verify(path) == []
    finally:
        subprocess.run(["umount", str(folder)], check=True)


CHILD = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[2])
from tests.store.world import rows, unit, version
from fhir_server.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1], wait_for_writer=10)
    await store.open()
    async def write(writer):
        for n in range(100_000):
            name = f"{sys.argv[3]}-{writer}-{n}"
            made = [version(f"Patient/{name}-{i}", rows=rows(name, f"c{i}")) for i in range(5)]
            await store.commit(unit(*made))
            os.write(1, name.encode() + b"\\n")
    await asyncio.gather(*map(write, range(8)))

asyncio.run(main())
"""


def test_kill_9_loses_no_acknowledged_write_and_leaves_no_half(path):
    chance, acknowledged = random.Random(9), []
    for kill in range(KILLS):
        told = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(Path(__file__).parents[2]), str(kill)],
            stdout=subprocess.PIPE,
        )
        first = told.stdout.readline()  # it has begun
        time.sleep(chance.random() * 0.3)
        told.send_signal(signal.SIGKILL)
        names = (first + told.communicate()[0]).decode().split("\n")
        acknowledged += [name for name in names[:-1] if name]
    assert len(acknowledged) > KILLS

    async def look(store):
        for name in acknowledged:
            assert (
                await store.count(Select(("Patient",), has(name), restriction=EVERYTHING)) == 5
            ), name
        total = await store.count(PATIENTS)
        each = [
            await store.count(Select((), has(f"c{i}"), restriction=EVERYTHING)) for i in range(5)
        ]
        assert each == [total // 5] * 5
        page = await store.history(History(limit=200_000, ascending=True, restriction=EVERYTHING))
        assert [v.position.seq for v in page.rows] == list(range(1, total + 1))
        ids = {}
        for v in page.rows:
            ids.setdefault(v.key.id.rpartition("-")[0], []).append(v)
        assert all(len(five) == 5 for five in ids.values())

    on(path, look)
    assert verify(path) == []


def test_a_number_shared_by_two_ids_is_refused(path):
    async def work(store):
        await store.commit(unit(version("Patient/1")))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE version SET id = CAST('other' AS BLOB)")
            connection.commit()
        with pytest.raises(Conflict, match="Choose another id"):
            await store.commit(unit(version("Patient/1")))
        assert await newest(store, "Patient/1") is None

    on(path, work)


def test_a_question_too_costly_is_stopped_and_told_so(path):
    async def work(store):
        for start in range(0, 6000, 500):
            await store.commit(
                unit(*(version(f"Patient/{start + n}", rows=rows("a")) for n in range(500)))
            )
        with pytest.raises(Exception, match="Ask for less") as refused:
            await store.count(Select(("Patient",), has("a"), restriction=EVERYTHING))
        assert refused.value.issues[0].code == "too-costly"

    on(path, work, inline=0.0, patience=0.0)
