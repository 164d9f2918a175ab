"""A node that is lost, and comes once more, wipes its disk: hub and nodes as processes, killed too.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from fhir_server.cli.exits import Exit
from fhir_server.store.migrate import migrate
from fhir_server.store.upkeep import access
from fhir_server.sync.hub import keying
from fhir_server.sync.hub.keying import Keyed
from fhir_server.sync.node import key as node_key
from fhir_server.sync.node.line import enrol
from tests.acceptance.serving import ROOT, Patience
from tests.sync.real.conftest import database
from tests.sync.real.province import Fallible, Hub, organization
from tests.sync.real.test_chaos import ROUNDS


def person(id: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient", "id": id, "name": [{"text": "Nguyễn Thị Lan"}],
        "managingOrganization": {"reference": "Organization/my-khanh"},
    }  # fmt: skip


class Node(Fallible):
    """A laptop, on either database."""

    def __init__(self, name: str, url: str, folder: Path, hub: Hub, **settings: Any) -> None:
        self.name, self.home = name, folder
        self.key = folder / "key.json"
        told = {"hub": hub.base, "hub_key": self.key, "reference_targets": "off"}
        super().__init__(url, folder, **told, text_index="false", **settings)
        code = hub.code(name, "node", "my-khanh")
        node_key.write(self.key, asyncio.run(enrol(hub.base, code)))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("FHIR_")}
        told = {"FHIR_DATABASE_URL": self.url, "FHIR_HUB": self.settings["hub"]}
        told |= {"FHIR_HUB_KEY": str(self.key), "FHIR_PROFILES": "off"}
        return subprocess.run(
            [sys.executable, "-m", "fhir_server", *words],
            cwd=ROOT, env=kept | told, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def work(self, id: str) -> None:
        """Somebody is registered here."""
        answer = httpx.put(
            f"{self.base}/Patient/{self.name}-{id}", json=person(f"{self.name}-{id}")
        )
        assert answer.status_code == 201, answer.text

    def ended(self) -> int:
        assert self.process is not None
        return self.process.wait(120)

    def holds_records(self) -> bool:
        """Whether a name is to be found in anything it has left."""
        if self.url.startswith("postgresql"):
            with psycopg.connect(self.url) as reached:
                asked = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
                return [name for (name,) in reached.execute(asked)] != ["setting"]
        return any(one.name.startswith("node.db") for one in self.left())

    def left(self) -> list[Path]:
        return sorted(one for one in self.home.iterdir() if not one.name.endswith("-wiped"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    migrate(f"sqlite:///{folder}/hub.db")
    shutil.copy(folder / "hub.db", folder / "empty.db")
    found = Hub(f"sqlite:///{folder}/hub.db", folder)
    try:
        found.start()
        operator = found.place("tin", "operator", purpose="HSYSADMIN")
        where = "Organization/my-khanh"
        assert operator.ask("PUT", where, organization("my-khanh")).status_code == 201
        operator.close()
        yield found
    finally:
        found.end()


def laptop(name: str, folder: Path, hub: Hub) -> Node:
    home = folder / name
    home.mkdir()
    shutil.copy(hub.errors.parent / "empty.db", home / "node.db")
    return Node(name, f"sqlite:///{home}/node.db", home, hub)


def of_hub(hub: Hub, node: Node) -> Keyed:
    return keying.of(access.clients(hub.url))[node.name]


def wait_for(what: Any) -> None:
    patience = Patience(60.0)
    while not what():
        patience.wait(0.02)
        assert patience.left > 0


def test_a_laptop_that_was_lost_wipes_its_disk_also_who_kills_it_saves_nothing(
    hub: Hub, tmp_path: Path
) -> None:
    node = laptop("may-1", tmp_path, hub)
    try:
        node.start()
        node.work("lan")
        hub.must("client", "revoke", node.name, "--wipe")
        node.work("sent-never")
        wait_for((node.home / "node.db-wiped").exists)
        node.kill()
        node.begin()
        assert node.ended() == Exit.WIPED
        assert not node.holds_records()
        assert not node.key.exists()
        told = of_hub(hub, node)
        assert told.key < told.revoked <= told.wipe < told.word < told.wiped
        assert "was wiped at" in node.told()
        assert "đã bị xóa" in node.told()
        assert not node.holds_records(), "and no new database was begun"
    finally:
        node.end()


@pytest.mark.skipif(ROUNDS == 0, reason="`make chaos` runs it")
def test_all_processes_of_a_node_stop_and_its_tables_go(hub: Hub, tmp_path: Path) -> None:
    with database() as url:
        node = Node("benh-vien", url, tmp_path, hub, workers=2, pool_size=2)
        try:
            node.start()
            node.work("lan")
            hub.must("client", "revoke", node.name, "--wipe")
            node.work("sent-never")
            assert node.ended() == Exit.WIPED
            assert not node.family()
            assert not node.holds_records()
            assert not node.key.exists()
            assert of_hub(hub, node).wiped
            node.must("sync", "enrol", "--code", hub.code("benh-vien-2", "node", "my-khanh"))
            assert node.command("sync", "now").returncode == 0
        finally:
            node.end()


@pytest.mark.skipif(ROUNDS == 0, reason="`make chaos` runs it")
@pytest.mark.parametrize("round", range(10))
def test_killed_at_any_moment_it_is_wiped_in_the_end(hub: Hub, tmp_path: Path, round: int) -> None:
    chance = random.Random(round)
    node = laptop(f"may-c{round}", tmp_path, hub)
    try:
        node.start()
        node.work("lan")
        hub.must("client", "revoke", node.name, "--wipe")
        for _ in range(20):
            time.sleep(chance.uniform(0.0, 3.0))
            assert node.process is not None
            if node.process.poll() == Exit.WIPED:
                break
            node.kill()
            node.begin()
        assert node.ended() == Exit.WIPED
        assert not node.holds_records()
        assert not node.key.exists()
        assert of_hub(hub, node).word
    finally:
        node.end()
