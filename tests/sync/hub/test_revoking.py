"""An operator orders a lost node wiped, or not after all, and looks what has become of it."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from fhir_server.cli.app import app
from fhir_server.cli.exits import Exit, Refused
from fhir_server.cli.nodes import aged
from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens.client import SINCE
from fhir_server.store.upkeep import access
from fhir_server.sync.hub.keying import Keyed
from tests.security.signing import key, public, registered

NODE = {"id": "tyt-hue", "roles": ("node",), "facility": "hue"}
DAY = 86_400


@pytest.fixture
def said(database, monkeypatch):
    """Run a command: its exit status, and what it says."""
    monkeypatch.setenv("FHIR_PROFILES", "off")
    monkeypatch.setenv("FHIR_ACCESS", "on")
    monkeypatch.setenv("FHIR_DATABASE_URL", database.url)
    (one,) = public(key())
    brought = int(time.time() - 3.5 * DAY) * 1000
    node = registered(**NODE, keys=({**one, SINCE: brought},))
    lost = registered(id="tyt-was", roles=("node",), revoked=1, wipe=1)
    for each in (node, lost, registered(), registered(id="tyt-new", roles=("node",), keys=())):
        assert access.register(database.url, clients.row(each))

    def run(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, words)
        if isinstance(found.exception, Refused):
            return found.exception.status, str(found.exception)
        return found.exit_code, found.output

    return run


def test_an_order_is_given_seen_taken_back_and_given_again(said, database):
    revoke = ("client", "revoke", "tyt-hue")
    told, _ = json.loads(said("nodes", "--json")[1])
    assert told["node"] == "tyt-hue"
    assert (told["revoked"], told["wipe"], told["before"]) == (0, 0, 0)
    assert said(*revoke)[0] == 0
    assert said(*revoke)[0] == Exit.MISUSED
    assert said(*revoke, "--wipe")[0] == 0
    assert "has not come since" in said("nodes")[1]
    assert said(*revoke, "--no-wipe")[0] == 0
    assert "`tyt-hue` is revoked since" in said("nodes")[1]
    assert said(*revoke, "--wipe")[0] == 0

    found = clients.of(access.client(database.url, "tyt-hue"))
    assert found.revoked < found.wipe
    for facts, words in (({"word": 9}, "has not said that it did"), ({"wiped": 9}, "it is wiped")):
        row = access.client(database.url, "tyt-hue")
        changed = clients.Client(
            **{**as_told(clients.of(row)), **facts, "changed": row.changed + 1}
        )
        assert access.register(database.url, clients.row(changed), replaces=row.changed)
        assert words in said("nodes")[1]
    status, text = said(*revoke, "--no-wipe")
    assert (status, "too late" in text) == (Exit.MISUSED, True)

    told = json.loads(said("audit", "report", "--client", "operator", "--json")[1])
    assert told["interactions"] == {"client-no-wipe": 1, "client-revoke": 1, "client-wipe": 2}


def as_told(client):
    return {name: getattr(client, name) for name in clients.Client.__slots__}


# whom,      which order,   and why not
SENSELESS = [
    ("his-1", "--wipe", "is no node with a key"),
    ("tyt-new", "--wipe", "is no node with a key"),
    ("tyt-hue", "--no-wipe", "is not told to wipe anything"),
    ("tyt-was", "--wipe", "That was ordered at"),
]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("id", "order", "why"), SENSELESS)
def test_an_order_that_cannot_be_meant_is_refused(said, id, order, why):
    status, text = said("client", "revoke", id, order)
    assert (status, why in text) == (Exit.MISUSED, True)


NOW = 1_800_000_000
AGES = [
    (None, "not known"),
    (Keyed("n"), "not known"),
    (Keyed("n", key=(NOW - 400 * DAY) * 1000), "400 d"),
    (Keyed("n", key=(NOW + 9) * 1000), "0 d"),
    (
        Keyed("n", key=(NOW - DAY) * 1000, before=(NOW + 29 * DAY) * 1000),
        "1 d (the one before: 29 d more)",
    ),
    (Keyed("n", key=(NOW - DAY) * 1000, before=(NOW - 1) * 1000), "1 d"),
]


@pytest.mark.parametrize(("keyed", "told"), AGES)
def test_how_old_a_key_is_is_told_in_days(keyed, told):
    assert aged(keyed, NOW) == told
