"""A node brings its hub the key that follows, over a line that may fail at any moment of it.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from fhir_server.security.tokens import client as clients
from fhir_server.sync.node import key
from fhir_server.sync.node.key import BadKey
from fhir_server.sync.node.line import Away, Line, Refusal
from fhir_server.sync.node.working import Settings, Working
from tests.sync import test_meeting
from tests.sync.hub.posts import person
from tests.sync.test_meeting import put

met = test_meeting.met  # a fixture


@pytest.fixture
def file(met, tmp_path):
    key.write(tmp_path / "hub-key.json", met.asking.line.key)
    return tmp_path / "hub-key.json"


async def kids(met):
    row = await met.hub.store.access.client("tyt-hue")
    return [each["kid"] for each in clients.of(row).keys]


async def test_a_node_goes_on_by_its_new_key(met, file):
    before = met.asking.line.key
    found = await met.asking.line.rotate(file)
    assert key.read(file) == found != before
    assert await kids(met) == [before.jwk["kid"], found.jwk["kid"]]
    await put(met.node, person("an", "hue"))
    await met.meet()
    await met.agree("Patient/an")
    assert not list(file.parent.glob("*.next"))


async def test_whatever_breaks_on_the_way_no_node_is_shut_out(met, file):
    """Before it is sent, after the hub has it, and before it is in its place here."""
    line, before = met.asking.line, met.asking.line.key
    met.wire.cut()
    with pytest.raises(Away):
        await line.rotate(file)
    met.wire.mend()
    said = key.follower(file, before)
    assert key.follower(file, before) == said, "the attempt goes on with the same key"

    file.unlink()
    file.mkdir()  # nothing can take its place
    with pytest.raises(OSError, match="directory"):
        await line.rotate(file)
    file.rmdir()
    key.write(file, before)
    assert await kids(met) == [before.jwk["kid"], said.jwk["kid"]]
    assert await line.rotate(file) == said
    assert await kids(met) == [before.jwk["kid"], said.jwk["kid"]], "and the hub has it once"


async def test_a_server_that_runs_takes_the_key_a_command_brought(met, file):
    running = Line(met.asking.line.key, file)
    try:
        found = await met.asking.line.rotate(file)
        assert await running.receipt_keys()
        await running.pull({})
        assert running.key == found
        file.write_text("{")
        running._token = ""  # as if it had ended
        await running.pull({})
        assert running.key == found, "what is damaged is not taken"
    finally:
        await running.close()


AGES = [(0, 400, False), (365, 364, False), (365, 366, True)]


@pytest.mark.parametrize(("days", "age", "is_new"), AGES)
async def test_an_old_key_is_followed_by_itself(met, file, days, age, is_new):
    old = replace(met.asking.line.key, made=time.time() - age * 86_400)
    key.write(file, old)
    working = Working(met.node, old, Settings("", file, key_days=days))
    try:
        await working.renewed()
    finally:
        await working.line.close()
    assert (key.read(file).jwk["kid"] != old.jwk["kid"]) is is_new


async def test_an_answer_that_was_lost_until_the_old_key_had_ended_is_no_harm(met, file):
    before = met.asking.line.key
    found = await met.asking.line.rotate(file)
    key.write(file, before)  # as if this had never been told
    key.write(file.with_name(f"{file.name}.next"), found)
    row = await met.hub.store.access.client("tyt-hue")
    (_, new) = clients.of(row).keys
    ended = replace(clients.of(row), keys=(new,), changed=row.changed + 1)
    assert await met.hub.store.access.register(clients.row(ended), replaces=row.changed)
    line = Line(before, file)
    try:
        assert await line.rotate(file) == found == key.read(file)
    finally:
        await line.close()


async def test_a_revoked_node_brings_no_key(met, file):
    row = await met.hub.store.access.client("tyt-hue")
    gone = replace(clients.of(row), revoked=1)
    assert await met.hub.store.access.register(clients.row(gone), replaces=row.changed)
    with pytest.raises(Refusal):
        await met.asking.line.rotate(file)
    assert key.read(file) == met.asking.line.key


def test_without_a_key_there_is_none_that_follows(tmp_path):
    with pytest.raises(BadKey):
        key.read(tmp_path / "none.json")
