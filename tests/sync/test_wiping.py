"""A node that was lost meets its hub once more: it is told, believes it, stops, and wipes its disk.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.cli import wiping as command
from fhir_server.cli.app import app
from fhir_server.cli.exits import Exit, Refused
from fhir_server.interaction.context import Closing
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.tokens import client as clients
from fhir_server.settings import Settings as OfServer
from fhir_server.store.upkeep import wiping as store_wiping
from fhir_server.sync import figures
from fhir_server.sync.node import key as keys
from fhir_server.sync.node.line import Line, Refusal
from fhir_server.sync.node.wiping import ToldToWipe
from fhir_server.sync.node.working import Settings, Working
from tests.interaction.conftest import BY_ANYBODY
from tests.rest.conftest import Client
from tests.sync import test_meeting
from tests.sync.test_figures import CALL, parts

met = test_meeting.met  # a fixture


async def change(met, **facts):
    row = await met.hub.store.access.client("tyt-hue")
    found = replace(clients.of(row), changed=row.changed + 1, **facts)
    assert await met.hub.store.access.register(clients.row(found), replaces=row.changed)


async def at_hub(met):
    return clients.of(await met.hub.store.access.client("tyt-hue"))


async def test_it_is_told_when_it_comes_and_what_it_does_is_known(met, tmp_path):
    line = met.asking.line
    assert line.key.receipt_keys, "it has them since it was enrolled"
    await line.pull({})
    await change(met, revoked=1)
    line._token = ""
    with pytest.raises(Refusal) as plain:
        await line.pull({})
    assert not isinstance(plain.value, ToldToWipe)
    assert not (await at_hub(met)).word

    await change(met, wipe=9)
    for _ in range(2):
        with pytest.raises(ToldToWipe) as told:
            await line.pull({})
    assert told.value.word == (type(told.value.word))("tyt-hue", line.key.thumbprint, 9)
    assert (await at_hub(met)).word
    with pytest.raises(ToldToWipe):
        await line.rotate(tmp_path / "key.json")
    await line.wiped(9)
    found = await at_hub(met)
    assert found.wiped >= found.word
    answer = json.loads((await figures.status(met.hub, CALL, BY_ANYBODY)).body)
    (of_node,) = (parts(one) for one in answer["parameter"] if one["name"] == "node")
    assert {"key", "revoked", "wipe", "word", "wiped"} <= of_node.keys()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_no_other_hub_and_nobody_on_the_way_has_it_wiped(met):
    """Whoever answers in the hub's place signs by other keys than those it has from the first."""
    await change(met, revoked=1, wipe=9)
    stranger = replace(met.asking.line.key, receipt_keys=[])
    line = Line(stranger)
    try:
        with pytest.raises(Refusal) as found:
            await line.pull({})
        assert not isinstance(found.value, ToldToWipe)
    finally:
        await line.close()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_server_that_is_told_answers_nothing_more_and_ends(met, tmp_path):
    url, file, ended = f"sqlite:///{tmp_path}/node.db", tmp_path / "key.json", []
    keys.write(file, met.asking.line.key)
    settings = Settings("", file, database=url, stop=lambda: ended.append(1))
    await change(met, revoked=1, wipe=9)
    working = Working(met.node, met.asking.line.key, settings)
    try:
        await working._again_and_again(working._pull)
    finally:
        await working.line.close()
    assert ended == [1]
    facts = store_wiping.marked(url)
    assert (facts["client"], facts["ordered"], facts["done"]) == ("tyt-hue", 9, 0)
    assert facts["key_file"] == str(file)
    local = Client(create_app(met.node, Options(), write_log=lambda _: None))
    for path in ("/fhir/Patient", "/fhir/metadata", "/fhir/Patient/an"):
        answer = await local.get(path)
        assert answer.status == 503, path
        assert b"being wiped" in answer.body
        assert "xóa dữ liệu".encode() in answer.body
    assert (await local.get("/readyz")).status == 503


def test_an_open_server_is_open():
    Closing().demand_open()


@pytest.fixture
def lost(database, tmp_path, monkeypatch):
    """A node that was told, and whose hub cannot be reached any more."""
    own = keys.made()
    hub = "http://127.0.0.1:9/fhir"
    found = keys.NodeKey(hub, "tyt-hue", f"{hub}/oauth/token", "", dict(own.as_dict(private=True)))
    file = tmp_path / "key.json"
    keys.write(file, found)
    for beside in (".next", ".receipt-keys"):
        (tmp_path / f"key.json{beside}").write_text("{}")
    facts = {"client": "tyt-hue", "hub": hub, "key": found.thumbprint, "key_file": str(file)}
    store_wiping.mark(database.url, {**facts, "ordered": 9, "told": 8, "done": 0})
    told = {"DATABASE_URL": database.url, "HUB_KEY": str(file), "HUB": hub, "PROFILES": "off"}
    for name, text in told.items():
        monkeypatch.setenv(f"FHIR_{name}", text)
    return OfServer(database_url=database.url, hub_key=str(file), hub=hub)


def said(*words):
    found = CliRunner().invoke(app, words)
    if isinstance(found.exception, Refused):
        return found.exception.status, str(found.exception)
    return found.exit_code, found.output


def test_a_hub_that_is_away_keeps_nothing_from_being_erased_and_it_is_told_ever_after(lost):
    status, told = said("sync", "status")
    assert (status, "is being wiped" in told) == (Exit.WIPED, True)
    code = ("sync", "enrol", "--code", "AAAA")
    assert said(*code)[0] == Exit.WIPED, "not before it is done"
    for _ in range(2):
        with pytest.raises(Refused) as found:
            command.finish(lost, patience=0.1)
        assert found.value.status == Exit.WIPED
        assert "was wiped at" in str(found.value)
        assert not list(Path(lost.hub_key).parent.glob("key.json*"))
    for words in (("sync", "status"), ("sync", "now"), ("nodes",), ("sync", "pause")):
        status, told = said(*words)
        assert (status, "đã bị xóa" in told) == (Exit.WIPED, True), words
    status, told = said(*code)
    assert (status, "cannot be reached" in told) == (Exit.FOUND, True)
    assert said("sync", "status")[0] == Exit.WIPED, "a code that is not good begins nothing"


def test_a_key_of_later_is_not_taken_for_the_one_that_was_lost(lost):
    file = Path(lost.hub_key)
    later = replace(keys.read(file), jwk=dict(keys.made().as_dict(private=True)))
    keys.write(file, later)
    with pytest.raises(Refused):
        command.finish(lost, patience=0.1)
    assert keys.read(file) == later


def test_where_nothing_was_ordered_nothing_is_done(sqlite_url):
    command.finish(OfServer(database_url=sqlite_url))
    assert store_wiping.marked(sqlite_url) is None
