"""Whatever is defined, claimed or asked: an answer in FHIR's words, and the others are served.

https://hl7.org/fhir/R4/profiling.html
https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager

from tests.acceptance import hostile
from tests.acceptance.serving import ROOT
from tests.acceptance.web import Client
from tests.rest.client import on_one_database

WARNED = {"Prefer": "return=OperationOutcome"}
PATIENCE = 20.0  # seconds before somebody else hangs up, on a machine under load


@asynccontextmanager
async def others(port):
    """Somebody else asks all the while, and is answered every time."""
    stop = asyncio.Event()

    async def ask_on():
        async with Client(port, patience=PATIENCE) as client:
            while not stop.is_set():
                told = await client.ask("GET", "Person?_count=1")
                assert told.status == 200, told
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask_on())
    try:
        yield
    finally:
        stop.set()
        await asking


def diagnostics(told):
    return [issue.get("diagnostics", "") for issue in told.json.get("issue", ())]


async def ask(client, *question, **headers):
    """A request that is answered, and not by an error of the server's own."""
    told = await client.ask(*question, **headers)
    assert told.status < 500, (question[:2], told.status, told.body[:500])
    if told.status >= 400:
        assert all(diagnostics(told)), (question[:2], told.body[:500])
    return told


@on_one_database
async def test_definitions_made_to_stop_a_server_stop_nobody(database, serve):
    server = serve(database.url, profiles="")
    async with Client(server.port) as client, others(server.port):
        for name, resource in hostile.DEFINITIONS:
            told = await ask(client, "PUT", f"StructureDefinition/{resource['id']}", resource)
            assert told.status in (200, 201, 400, 413, 422), name
        for name, resource in [*hostile.CLAIMS, *hostile.FILLED]:
            told = await ask(client, "POST", resource["resourceType"], resource, **WARNED)
            assert told.status in (201, 400, 422), name
    assert "Traceback" not in server.told()


@on_one_database
async def test_terminology_made_to_stop_a_server_stops_nobody(database, serve):
    server = serve(database.url, profiles="")
    async with Client(server.port) as client, others(server.port):
        for resource in hostile.TERMINOLOGY:
            await ask(client, "PUT", f"{resource['resourceType']}/{resource['id']}", resource)
        for question in hostile.QUESTIONS:
            await ask(client, "GET", question)
        for path, body, media in hostile.POSTED:
            await ask(client, "POST", path, body, Content_Type=media)
    assert "Traceback" not in server.told()


@on_one_database
async def test_a_profile_that_cannot_be_used_says_why_to_who_claims_it(database, serve):
    server = serve(database.url, profiles="")
    async with Client(server.port) as client:
        for id in ("two-a", "rule-4", "rule-0"):
            [resource] = [each for _, each in hostile.DEFINITIONS if each["id"] == id]
            await ask(client, "PUT", f"StructureDefinition/{id}", resource)
        told = await ask(client, "POST", "Person", hostile.person("two-a"), **WARNED)
        assert told.status == 201
        assert any("two-b" in text for text in diagnostics(told)), told.body
        told = await ask(client, "POST", "Person", hostile.person("rule-4"), **WARNED)
        assert told.status == 201
        assert any("`x-0`" in text for text in diagnostics(told)), told.body
        many = hostile.person("patterns", identifier=hostile.identifiers(10_000))
        [slices] = [each for _, each in hostile.DEFINITIONS if each["id"] == "patterns"]
        await ask(client, "PUT", "StructureDefinition/patterns", slices)
        told = await ask(client, "POST", "Person", many)
        assert told.status == 422
        assert "1000000 steps" in told.refusal


# --- definitions that come and go ----------------------------------------------------------------

STRICT = hostile.profile("strict", {"id": "Person.birthDate", "path": "Person.birthDate", "min": 1})


async def afresh(port, *question, **headers):
    """By a connection of its own, which any of the workers may take."""
    async with Client(port) as client:
        return await ask(client, *question, **headers)


async def test_a_profile_takes_effect_each_time_it_comes_and_goes(database, serve):
    workers = {"workers": 2} if database.product == "postgresql" else {}
    server = serve(database.url, profiles="", **workers)
    claim, place = hostile.person("strict"), "StructureDefinition/strict"
    for _ in range(3):
        assert (await afresh(server.port, "PUT", place, STRICT)).status in (200, 201)
        for _ in range(8):
            assert (await afresh(server.port, "POST", "Person", claim)).status == 422
        assert (await afresh(server.port, "DELETE", place)).status == 204
        for _ in range(8):
            told = await afresh(server.port, "POST", "Person", claim, **WARNED)
            assert told.status == 201
            assert [issue["severity"] for issue in told.json["issue"]] == ["information", "warning"]
            assert "is not known here" in told.json["issue"][1]["diagnostics"]
    assert (await afresh(server.port, "PUT", place, STRICT)).status in (200, 201)
    assert await asyncio.to_thread(server.stop) == 0
    await asyncio.to_thread(server.start)
    assert (await afresh(server.port, "POST", "Person", claim)).status == 422
    assert "Traceback" not in server.told()


async def test_one_value_set_is_written_by_two_while_others_validate(database, serve):
    server = serve(database.url, profiles="")
    sets = [
        hostile.value_set("shared", {"system": "http://x.example", "concept": [{"code": code}]})
        for code in ("a", "b")
    ]
    bound = hostile.profile(
        "bound",
        {"id": "Person.identifier.type", "path": "Person.identifier.type",
         "binding": {"strength": "required", "valueSet": hostile.url("shared", "ValueSet")}},
    )  # fmt: skip
    coded = {"coding": [{"system": "http://x.example", "code": "a"}]}
    claim = hostile.person("bound", identifier=[{"value": "1", "type": coded}])

    async def write(resource):
        async with Client(server.port) as client:
            for _ in range(25):
                told = await ask(client, "PUT", "ValueSet/shared", resource)
                assert told.status in (200, 201, 409)

    async def validate():
        async with Client(server.port) as client:
            for _ in range(25):
                told = await ask(client, "POST", "Person", claim)
                assert told.status in (201, 422)

    await afresh(server.port, "PUT", "ValueSet/shared", sets[0])
    await afresh(server.port, "PUT", "StructureDefinition/bound", bound)
    await asyncio.gather(*(write(each) for each in sets), *(validate() for _ in range(4)))
    for resource, status in ((sets[1], 422), (sets[0], 201)):
        await afresh(server.port, "PUT", "ValueSet/shared", resource)
        assert (await afresh(server.port, "POST", "Person", claim)).status == status
    assert "Traceback" not in server.told()


# --- packages ------------------------------------------------------------------------------------


def package_at(folder, count):
    """A package of value sets, as a folder."""
    folder.mkdir()
    (folder / "package.json").write_text('{"name": "many.sets", "version": "1.0.0"}')
    for number in range(count):
        text = hostile.value_set(f"set-{number}", hostile.LISTED)
        (folder / f"ValueSet-{number}.json").write_bytes(hostile.written(text))
    return folder


def command(url, *told):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FHIR_")}
    return {
        "args": [sys.executable, "-m", "fhir_server", "package", *map(str, told)],
        "cwd": ROOT, "env": kept | {"FHIR_DATABASE_URL": url}, "text": True,
    }  # fmt: skip


def test_a_package_whose_adding_was_killed_is_whole_once_it_is_added_again(sqlite_url, tmp_path):
    folder = package_at(tmp_path / "many", 400)
    told = command(sqlite_url, "add", folder)
    for seconds in (1.0, 1.8):
        killed = subprocess.Popen(**told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            killed.wait(seconds)
        except subprocess.TimeoutExpired:
            killed.send_signal(signal.SIGKILL)
        killed.wait()
    again = subprocess.run(**told, capture_output=True, check=False)
    assert "Added many.sets#1.0.0: 400 definitions." in again.stdout, again.stderr
    listed = subprocess.run(**command(sqlite_url, "list"), capture_output=True, check=False)
    assert listed.stdout.split() == ["many.sets#1.0.0", "400", "definitions"]


def test_what_is_no_package_is_told_and_not_added(sqlite_url, tmp_path):
    for name, content in (
        ("junk.tgz", os.urandom(1000)),
        ("none.tgz", b""),
        ("text.json", b"\xff"),
    ):
        (tmp_path / name).write_bytes(content)
        told = command(sqlite_url, "add", tmp_path / name)
        ran = subprocess.run(**told, capture_output=True, check=False)
        assert ran.returncode == 1, name
        assert "Traceback" not in ran.stderr
        assert name in ran.stderr
    listed = subprocess.run(**command(sqlite_url, "list"), capture_output=True, check=False)
    assert listed.stdout.startswith("No package was added.")
