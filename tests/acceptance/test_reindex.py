"""A change of the rules is noticed by a server that starts, and mended by `fhir-server reindex`.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psycopg

from fhir_server.cli.exits import Exit
from fhir_server.store.stamp import parse
from tests.acceptance.serving import ROOT
from tests.acceptance.web import Client
from tests.acceptance.whole import wrong_with

PATIENTS = 300  # whose records are several batches
KEPT = "SELECT value FROM setting WHERE name = 'index'"


def begun(url, *words):
    """A command that is running; it ends with whoever waits for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    return subprocess.Popen(
        [sys.executable, "-m", "fhir_server", *words],
        cwd=ROOT, env=kept | {"FHIR_DATABASE_URL": url, "FHIR_PROFILES": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def command(url, *words):
    """Its exit status, and all it said."""
    running = begun(url, *words)
    try:
        out, err = running.communicate(timeout=120)
    finally:
        running.kill()
    return running.returncode, out + err


def stamp(url):
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=5)) as connection:
            row = connection.execute(KEPT).fetchone()
    else:
        with psycopg.connect(url) as connection:
            row = connection.execute(KEPT).fetchone()
    return parse(row[0])


def killed_half_way(url, *words):
    """Kill -9 the command once it has done a part and not all. Whether it was still at it."""
    running = begun(url, *words)
    try:
        while running.poll() is None:
            kept = stamp(url)
            if kept.after is not None and kept.after.seq:
                running.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
    finally:
        running.kill()
        running.communicate()
    return stamp(url).after is not None


async def test_a_new_zone_waits_for_its_index_which_a_kill_does_not_spoil(database, serve):
    url, zone = database.url, ("--zone", "-09:30")
    assert command(url, "demo", "--patients", str(PATIENTS))[0] == Exit.DONE
    status, said = command(url, "demo", "--patients", "1", *zone)
    assert (status, "Traceback" in said) == (Exit.INDEX, False)
    assert "`zone` is now -09:30" in said
    assert "fhir-server reindex" in said
    assert killed_half_way(url, "reindex", *zone)
    for words in ((), zone):
        status, said = command(url, "serve", "--port", "0", *words)
        assert status == Exit.INDEX
        assert "broken off" in said
    status, said = command(url, "doctor", *zone)
    assert (status, "broken off" in said) == (Exit.FOUND, True)
    status, said = command(url, "reindex", *zone)
    assert status == Exit.DONE, said
    assert "Indexed" in said
    assert await asyncio.to_thread(wrong_with, url, -9 * 60 - 30) == []
    assert "UNSAFE  index" not in command(url, "doctor", *zone)[1]
    server = serve(url, zone="-09:30")
    async with Client(server.port) as client:
        made = {"resourceType": "Patient", "birthDate": "2001-02-03"}
        assert (await client.ask("POST", "Patient", made)).status == 201
        found = await client.ask("GET", "Patient?birthdate=2001-02-03T12:00:00-09:30")
        assert found.status == 200
    # Not under a server, which stays as it is.
    status, said = command(url, "reindex")
    assert status == Exit.DATABASE
    assert "Stop it" in said
    assert server.ready()[0] == 200


def test_a_restored_backup_tells_that_its_index_is_of_other_rules(database, tmp_path):
    url, file = database.url, str(tmp_path / "copy")
    assert command(url, "demo", "--patients", "2", "--zone", "+00:00")[0] == Exit.DONE
    assert command(url, "backup", file)[0] == Exit.DONE
    status, said = command(url, "restore", file, "--replace", "--zone", "+00:00")
    assert (status, "reindex" in said) == (Exit.DONE, False), said
    status, said = command(url, "restore", file, "--replace")
    assert (status, "run `fhir-server reindex`" in said) == (Exit.DONE, True), said
