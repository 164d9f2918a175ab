"""The commands for conflicts and for people who were registered twice."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fhir_server.cli import conflicts
from fhir_server.cli.app import app
from fhir_server.cli.exits import Exit, Refused
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import OpenGate
from fhir_server.security.audit.said import read
from fhir_server.security.operator import user_name
from fhir_server.server import background_of, indexer_of
from fhir_server.settings import Settings
from fhir_server.store.contract import EVERYTHING, Sought, Unit
from fhir_server.store.contract.side import STATE, Put, StateRow
from fhir_server.sync.conflicts import asked
from fhir_server.sync.matching.rules import BUILT_IN
from tests.conftest import Database
from tests.interaction.conftest import BY_ANYBODY, put, server, server_on
from tests.sync.conflicts.test_resolving import BASE, ONE, OTHER, parted
from tests.sync.matching.people import AS_CARD, CCCD, patient

__all__ = ["server"]


@pytest.fixture
def said(sqlite_url, monkeypatch):
    """Run a command: its exit status, and what it says."""
    monkeypatch.setenv("FHIR_PROFILES", "off")
    monkeypatch.setenv("FHIR_DATABASE_URL", sqlite_url)

    def run(*words: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, words)
        if isinstance(found.exception, Refused):
            return found.exception.status, str(found.exception)
        return found.exit_code, found.output

    return run


@pytest.fixture
def on(sqlite_url, run):
    """Do something with a server on the database, which no command has open then."""
    database = Database("sqlite", sqlite_url)

    def do(doing):
        async def done():
            store = database.store(stamp=indexer_of(Settings()).stamp)
            await store.open()
            try:
                return await doing(server_on(store))
            finally:
                await store.close()

        return run(done())

    return do


async def begin(server):
    await put(server, BY_ANYBODY, BASE)
    await parted(server, ONE, OTHER)


async def version(server):
    return (await server.store.newest((Key("Patient", "an"),), EVERYTHING)).popitem()[1].version_id


def test_a_conflict_is_listed_shown_and_ended(said, on):
    on(begin)
    status, told = said("conflicts", "list")
    assert status == Exit.FOUND
    assert told.startswith("Patient/an\n    Hồ sơ người bệnh (Patient/an) đã được sửa khác nhau")
    status, told = said("conflicts", "show", "Patient/an")
    assert status == Exit.FOUND
    assert "* Patient.birthDate (ngày sinh)\n    before: 1980\n    1:" in told
    lines = re.findall(r"fhir-server (conflicts resolve .* --choose .*)", told)
    assert len(lines) == 2
    words = lines[1].split()
    status, told = said(*words)
    assert (status, told) == (Exit.DONE, f"Patient/an is now version {on(version)}.\n")
    assert said(*words)[0] == Exit.MISUSED, "there are no longer the versions that were seen"


def test_a_conflict_is_listed_shown_and_ended_beside_a_server(sqlite_url, on):
    """A command is another process, and the server answers it by the database."""
    told = {**os.environ, "FHIR_PROFILES": "off", "FHIR_DATABASE_URL": sqlite_url}

    async def listed():
        words = ("-m", "fhir_server", "conflicts", "list")
        made = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=told, stdout=PIPE, stderr=STDOUT
        )
        text, _ = await made.communicate()
        return made.returncode, text.decode()

    async def say(**words):
        return await conflicts._beside(sqlite_url, {"key": "Patient/an", **words})

    async def beside(server):
        await begin(server)
        answering = asyncio.create_task(asked.keep(replace(server, audit=True)))
        try:
            shown = await say(what="show")
            line = [one for one in shown.lines if "--choose" in one][1].split()
            choice = {"task": line[-3], "choose": line[-1], "resource": ""}
            found = [await listed(), shown, await say(what="resolve", **choice)]
            return *found, await say(what="resolve", **choice), await entries(server)
        finally:
            answering.cancel()

    found, shown, ended, again, written = on(beside)
    assert found[0] == Exit.FOUND
    assert found[1].startswith("Patient/an\n    Hồ sơ người bệnh (Patient/an) đã được sửa khác")
    assert shown.found and "* Patient.birthDate (ngày sinh)" in shown.lines
    assert ended == asked.Said((f"Patient/an is now version {on(version)}.",))
    assert "Look again" in again.refused and not again.lines
    names = [(one.interaction, one.user) for one in written]
    assert ("conflicts-resolve", user_name()) in names and ("conflicts-list", user_name()) in names


def test_a_server_answers_commands_where_they_cannot_reach_its_database():
    for url, expected in (("sqlite:///fhir.db", True), ("postgresql://localhost/fhir", False)):
        found = background_of(Settings(database_url=url), OpenGate())
        assert (asked.keep in found) is expected


async def entries(server):
    return [read(one.body) for one in await server.store.audit.found(Sought())]


async def test_an_answer_nobody_came_for_is_forgotten(server):
    old = StateRow(asked.ANSWER + "old", '{"lines":[],"found":false,"refused":"","at":1}')
    rows = (old, asked.question("new", {"what": "list", "most": 3}, "an"))
    await server.store.commit(Unit((), side=(Put(STATE, rows),)))
    assert await asked.look(server) == 1
    (row,) = await server.store.side.range(STATE, limit=9)
    assert (row.name, asked.answer_of(row)) == (asked.ANSWER + "new", asked.Said())
    assert await asked.look(server) == 0


async def twice(server):
    await put(server, BY_ANYBODY, patient("an", CCCD), patient("binh", AS_CARD))


def test_who_was_registered_twice_is_listed_linked_and_told_apart(said, on):
    on(twice)
    pair = "Patient/an Patient/binh"
    assert said("matching", "link") == (Exit.DONE, "Linked 1 pair.\n")
    told = said("matching", "unlink", "Patient/an", "Patient/binh", "--why", "mẹ và con")
    assert told == (Exit.DONE, "Patient/an and Patient/binh are two people.\n")
    assert f"{pair}: two, as somebody has said" in said("matching", "list", "--linked")[1]


# what is typed, what is said of it
MISUSED = [
    (("conflicts", "resolve", "Patient/an", "--task", "x"), "one of both"),
    (("conflicts", "show", "an"), "write it as `Patient/an`"),
    (("conflicts", "resolve", "Patient/an", "--task", "x", "--file", "none.json"), "be read"),
    (("matching", "link", "Patient/an"), "Name two Patients"),
    (("matching", "check", "none.toml"), "cannot be read"),
]


@pytest.mark.parametrize(("words", "told"), MISUSED, ids=range(len(MISUSED)))
def test_what_cannot_be_meant_ends_with_a_sentence(words, told):
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, Refused) and told in str(found.exception)


def test_who_is_one_person_is_said_at_the_hub(monkeypatch):
    monkeypatch.setenv("FHIR_HUB", "https://hub.example/fhir")
    for words in (["link"], ["unlink", "Patient/an", "Patient/binh"]):
        found = CliRunner().invoke(app, ["matching", *words])
        assert "Say it at its hub" in str(found.exception)


def test_the_rules_are_printed_and_checked(tmp_path):
    told = CliRunner().invoke(app, ["matching", "rules"]).output
    assert told == BUILT_IN.read_text("utf-8")
    (tmp_path / "own.toml").write_text(told, "utf-8")
    told = CliRunner().invoke(app, ["matching", "check", str(tmp_path / "own.toml")]).output
    assert "http://fhir.hl7.org.vn/core/sid/cccd, 12 digits" in told
