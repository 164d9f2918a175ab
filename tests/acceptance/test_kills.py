"""kill -9, again and again, while clients write: nothing acknowledged is lost, nothing is half.

FHIR_TEST_KILLS says how often (hundreds for a long run).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import pytest

from fhir_server.store.migrate import migrate
from tests import postgresql
from tests.acceptance.crowd import Ledger, Writer, check, write_until
from tests.acceptance.serving import Serving
from tests.acceptance.web import Client
from tests.acceptance.whole import wrong_with

KILLS = int(os.environ.get("FHIR_TEST_KILLS", "3"))
WRITERS = 6


async def settle_all(writers, server, ledger):
    """What was not answered is made sure of; then all of this round's facts are looked up."""
    await asyncio.gather(*(writer.settle() for writer in writers))
    for writer in writers:
        writer.client.hang_up()
    async with Client(server.port) as client:
        return await check(client, ledger)


def figures(name, kills, ledger, checked, begun):
    print(
        f"\n{name}: {kills} kills, {ledger.asked} writes asked, {ledger.unanswered} unanswered,"
        f" {checked} acknowledged versions found again, {time.monotonic() - begun:.0f} s"
    )


async def kill_and_look(server: Serving, *, name: str) -> None:
    ledger, draw, checked, begun = Ledger(), random.Random(7), 0, time.monotonic()
    writers = [Writer(f"w{n}", server.port, ledger) for n in range(WRITERS)]
    for _ in range(KILLS):
        await write_until(writers, draw.uniform(0.05, 0.7), server.kill)
        await asyncio.to_thread(server.start)
        checked += await settle_all(writers, server, ledger)
    figures(name, KILLS, ledger, checked, begun)
    assert checked
    assert await asyncio.to_thread(server.stop) == 0
    assert "Traceback" not in server.told()
    assert await asyncio.to_thread(wrong_with, server.url) == []


async def test_killing_the_server_on_sqlite_loses_nothing_acknowledged(sqlite_url, serve):
    await kill_and_look(serve(sqlite_url), name="sqlite")


async def test_killing_the_servers_on_postgresql_loses_nothing_acknowledged(postgresql_url, serve):
    await kill_and_look(serve(postgresql_url, workers=2, pool_size=4), name="postgresql")


async def test_killing_the_database_below_the_server_loses_nothing_acknowledged(serve):
    """The server stays; it serves again when its database does."""
    begun, ledger, draw, checked = time.monotonic(), Ledger(), random.Random(8), 0
    kills = max(2, KILLS // 3)
    with postgresql.cluster() as cluster:
        migrate(cluster.url)
        server = serve(cluster.url, pool_size=4)
        writers = [Writer(f"w{n}", server.port, ledger) for n in range(WRITERS)]
        for _ in range(kills):
            await write_until(writers, draw.uniform(0.1, 0.7), lambda: cluster.stop(signal.SIGKILL))
            await asyncio.to_thread(cluster.start)
            await asyncio.to_thread(server.await_ready)
            checked += await settle_all(writers, server, ledger)
        figures("postgresql's own server", kills, ledger, checked, begun)
        assert checked
        assert await asyncio.to_thread(server.stop) == 0
        assert await asyncio.to_thread(wrong_with, cluster.url) == []


@pytest.mark.parametrize("signal_sent", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
async def test_workers_end_with_the_process_that_started_them(postgresql_url, serve, signal_sent):
    """Else they would hold the port, and the next start be refused."""
    server = serve(postgresql_url, workers=2, pool_size=2)
    server.process.send_signal(signal_sent)
    await asyncio.to_thread(server.process.wait, 60)
    deadline = time.monotonic() + 30
    while server.family():
        assert time.monotonic() < deadline, "its workers live on"
        await asyncio.sleep(0.05)
    await asyncio.to_thread(server.start)
