"""The application on an empty database, and a client that speaks to it in this process."""

from __future__ import annotations

import pytest

from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from tests.interaction.conftest import server_on
from tests.rest.client import Client


class Lines(list):
    """What was logged."""

    def __call__(self, lines: bytes) -> None:
        self.extend(lines.splitlines())


@pytest.fixture
def server(store):
    return server_on(store)


@pytest.fixture
def lines():
    return Lines()


@pytest.fixture
def app(server, lines):
    return create_app(server, Options(), write_log=lines)


@pytest.fixture
def client(app):
    return Client(app)


@pytest.fixture
def client_with(server):
    """A client of an application with these options."""

    def make(*, address: str = "127.0.0.1", **options) -> Client:
        app = create_app(server, Options(**options), write_log=Lines())
        return Client(app, address=address)

    return make
