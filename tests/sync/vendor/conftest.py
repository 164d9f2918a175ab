"""A real hub, and the vendor's nodes that are enrolled at it by a code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_server.store.migrate import migrate
from tests import postgresql
from tests.conftest import DATABASES
from tests.sync.real.place import Place
from tests.sync.real.province import Hub as Process
from tests.sync.real.province import organization
from tests.sync.vendor.calling import Hub
from tests.sync.vendor.node import Node

FACILITIES = ("hue", "ninh")


class Province:
    """The hub's process, and who comes to it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.operator = process.place("tin", "operator", purpose="HSYSADMIN")
        for facility in FACILITIES:
            answer = self.operator.ask("PUT", f"Organization/{facility}", organization(facility))
            assert answer.status_code == 201, answer.text
        self._count = itertools.count()
        self.workers = {
            facility: process.place(f"his-{facility}", "system", facility)
            for facility in FACILITIES
        }
        self._nodes: list[Hub] = []

    def close(self) -> None:
        for one in (self.operator, *self.workers.values(), *self._nodes):
            one.close()

    def enrolled(self, facility: str) -> Hub:
        """A client of its own, with the code that the operator gives."""
        id = f"node-{facility}-{next(self._count)}"
        hub = Hub(self.process.base)
        self._nodes.append(hub)
        hub.enrol(self.process.code(id, "node", facility))
        assert hub.client == id
        return hub

    def node(self, facility: str) -> Node:
        hub = self.enrolled(facility)
        return Node(hub, hub.receipt_keys())

    def worker(self, facility: str) -> Place:
        """The hospital's own system, which writes at the hub."""
        return self.workers[facility]


@pytest.fixture(scope="package", params=DATABASES)
def province(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Province]:
    folder: Path = tmp_path_factory.mktemp("hub")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/hub.db"
        migrate(url)
        yield from _serving(url, folder)
        return
    try:
        postgresql.server()
    except postgresql.Absent as absent:
        pytest.skip(str(absent))
    with postgresql.database() as url:
        yield from _serving(url, folder)


def _serving(url: str, folder: Path) -> Iterator[Province]:
    process = Process(url, folder, audit="true", audit_anchors=f"{folder}/anchors")
    try:
        process.start()
        found = Province(process)
        yield found
        found.close()
        assert "Traceback" not in process.told(), process.told()[-4000:]
    finally:
        process.end()
