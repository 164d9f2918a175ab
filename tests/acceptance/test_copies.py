"""A backup made while clients write, restored elsewhere, serves the same bytes.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests import postgresql
from tests.acceptance.crowd import Ledger, Writer
from tests.acceptance.serving import ROOT
from tests.acceptance.web import Client


def command(url, *words):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    done = subprocess.run(
        [sys.executable, "-m", "fhir_server", *words],
        cwd=ROOT, env=kept | {"FHIR_DATABASE_URL": url, "FHIR_PROFILES": "off"},
        capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def elsewhere(database, tmp_path):
    """The URL of another database, where nothing is yet."""
    if database.product == "sqlite":
        yield f"sqlite:///{tmp_path}/elsewhere/fhir.db"
    else:
        with postgresql.database(migrated=False) as url:
            yield url


async def everything(client):
    """Each version by its place, with the bytes and the headers of a read."""
    found, path = {}, "_history?_count=1000"
    while path:
        page = (await client.ask("GET", path)).json
        for entry in page.get("entry", []):
            where = entry["fullUrl"].rpartition("/fhir/")[2]
            version = entry["response"]["etag"][3:-1]
            told = await client.ask("GET", f"{where}/_history/{version}")
            kept = {name: told.headers.get(name) for name in ("etag", "last-modified")}
            found[where, version] = (told.status, kept, told.body)
        links = {link["relation"]: link["url"] for link in page["link"]}
        path = "/fhir/" + links["next"].partition("/fhir/")[2] if "next" in links else None
    return found


async def test_a_backup_made_under_load_serves_the_same_bytes_elsewhere(
    database, elsewhere, serve, tmp_path
):
    server = serve(database.url)
    file = tmp_path / "backup"
    ledger = Ledger()
    writers = [Writer(f"w{n}", server.port, ledger) for n in range(5)]
    running = [asyncio.create_task(writer.write()) for writer in writers]
    await asyncio.sleep(0.4)
    before = {(fact.place, fact.version) for fact in ledger.fresh}
    assert before
    await asyncio.to_thread(command, database.url, "backup", str(file))
    await asyncio.sleep(0.2)
    for writer in writers:
        writer.enough = True
    await asyncio.gather(*running)
    for writer in writers:
        writer.client.hang_up()
    assert "Verified" in await asyncio.to_thread(
        command, elsewhere, "restore", str(file), "--verify"
    )
    other = serve(elsewhere)
    async with Client(server.port) as one, Client(other.port) as two:
        origin, copy = await everything(one), await everything(two)
        assert before <= set(copy), "what was acknowledged before the backup is not in it"
        assert {name: origin[name] for name in copy} == copy
        visits = {}
        for where, version in copy:
            if where.startswith("Encounter/"):
                name = (await two.ask("GET", f"{where}/_history/{version}")).json["identifier"]
                visits[name[0]["value"]] = where
        for name in visits:  # a visit is in it whole
            for type, called in (
                ("Patient", name), ("Organization", name),
                ("MedicationRequest", f"{name}a"), ("MedicationRequest", f"{name}b"),
            ):  # fmt: skip
                found = await two.ask("GET", f"{type}?identifier=urn:kill|{called}")
                assert found.json["total"] == 1
        counted = [await c.ask("GET", "Patient?_summary=count") for c in (one, two)]
        assert counted[0].json["total"] >= counted[1].json["total"]
        assert (await two.ask("POST", "Patient", {"resourceType": "Patient"})).status == 201
