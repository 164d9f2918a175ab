"""A policy whose file changes holds from then on, for what was given under the one before, too.

https://hl7.org/fhir/R4/security.html#authorization%2Faccess-control
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging

import pytest

from fhir_server.interaction.admitting import Guarded
from fhir_server.interaction.renewing import Renewing, reading
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.audit import said as audited
from fhir_server.security.operator import user_name
from fhir_server.security.tokens.authority import Authority
from fhir_server.store.contract import Sought
from tests.interaction.conftest import BY_ANYBODY, link, patient, put, server_on
from tests.rest.client import Client
from tests.rest.conftest import Lines
from tests.rest.test_authorization import post
from tests.security.signing import BASE, form, register

WIDE = """
[[purpose]]
code = "TREAT"
basis = "rule"
law = "a law"

[[role]]
name = "doctor"
purposes = ["TREAT"]

[[rule]]
name = "records"
roles = ["doctor"]
letters = "rs"
types = ["Patient", "Organization"]
reach = "all"
"""
NARROW = WIDE.replace('"Patient", ', "")
BROKEN = WIDE.replace('"Patient"', '"Pateint"')
LINE = BROKEN.splitlines().index('types = ["Pateint", "Organization"]') + 1


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "access.toml"
    made.write_text(WIDE, "utf-8")
    return made


@pytest.fixture
def guarded(store, clock, file, run):
    """A server whose policy is of this file, with three patients."""
    server = server_on(store, audit=True)
    run(put(server, BY_ANYBODY, *(patient(f"p{number}") for number in range(3))))
    authority = Authority(store, base=BASE, clock=clock)
    first = reading(file)
    gate = Guarded(authority, first.policy, store, server.live, server.knowledge)
    renewing = Renewing(file, first, gate.take, store)
    return dataclasses.replace(server, authority=authority, gate=gate, renewing=renewing)


@pytest.fixture
def client(guarded):
    return Client(create_app(guarded, Options(), write_log=Lines()))


@pytest.fixture
def bearing(client, store, run):
    """The header of a client that was given a token while the policy was wide."""
    run(register(store, roles=("doctor",), purposes=("TREAT",), facility="hue"))
    token = run(post(client, "token", form())).json["access_token"]
    return {"Authorization": f"Bearer {token}"}


async def renewed(guarded, file, text):
    """The file is replaced, as an editor does, and looked at until it has stood still."""
    beside = file.with_suffix(".new")
    beside.write_text(text, "utf-8")
    beside.replace(file)
    await guarded.renewing.look()
    await guarded.renewing.look()


async def told(store):
    """What the audit says of policies."""
    found = [audited.read(one.body) for one in await store.audit.found(Sought(limit=50))]
    return [one for one in found if one.interaction == "access-policy"]


async def test_v5_0_0_8_3_2_what_was_given_under_the_old_policy_is_judged_by_the_new(
    guarded, client, bearing, file
):
    page = await client.get("/fhir/Patient?_count=1", headers=bearing)
    assert (page.status, len(page.json["entry"])) == (200, 1)
    onward = link(page.json, "next").removeprefix(page.json["link"][0]["url"].split("/fhir/")[0])
    assert (await client.get(onward, headers=bearing)).json["entry"]
    read = await client.get("/fhir/Patient/p1", headers=bearing)
    again = bearing | {"If-None-Match": read.headers["etag"]}
    assert (await client.get("/fhir/Patient/p1", headers=again)).status == 304

    await renewed(guarded, file, NARROW)
    nowhere = await client.get("/fhir/Patient/none", headers=again)
    for headers in (bearing, again):
        assert (await client.get("/fhir/Patient/p1", headers=headers)).status == nowhere.status
    for path in (onward, "/fhir/Patient?_count=1", "/fhir/Patient?_summary=count"):
        left = await client.get(path, headers=bearing)
        assert not left.json.get("entry") and not left.json.get("total"), left.json
    assert (await client.get("/fhir/Organization", headers=bearing)).status == 200

    await renewed(guarded, file, WIDE)
    assert (await client.get("/fhir/Patient/p1", headers=bearing)).status == 200


async def test_each_process_looks_for_itself(guarded, client, store, bearing, file):
    first = reading(file)
    gate = Guarded(guarded.authority, first.policy, store, guarded.live, guarded.knowledge)
    renewing = Renewing(file, first, gate.take, store)
    other = dataclasses.replace(guarded, gate=gate, renewing=renewing)
    await renewed(guarded, file, NARROW)
    await other.renewing.look()
    await other.renewing.look()
    for one in (client, Client(create_app(other, Options(), write_log=Lines()))):
        refused = await one.get("/fhir/Patient/p1", headers=bearing)
        assert refused.status == (await one.get("/fhir/Patient/no", headers=bearing)).status
    assert len(await told(store)) == 2


async def test_a_policy_is_written_down_by_its_hash_before_it_holds(guarded, store, file):
    await renewed(guarded, file, NARROW)
    (one,) = await told(store)
    digest = hashlib.sha256(NARROW.encode()).hexdigest()
    assert (one.url, one.client, one.user) == (f"{file} sha256:{digest}", "operator", user_name())
    await renewed(guarded, file, NARROW)  # other bytes on the disk, and the same in the file
    assert len(await told(store)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [(BROKEN, f"line {LINE}: `Pateint`"), ("[[", "is not TOML"), (None, "cannot be read")],
    ids=["a wrong word", "no TOML", "not there"],
)
async def test_what_is_no_policy_leaves_the_old_one_in_force_and_is_told_once(
    guarded, client, store, bearing, file, caplog, text, said
):
    with caplog.at_level(logging.WARNING):
        if text is None:
            file.unlink()
            await guarded.renewing.look()
            await guarded.renewing.look()
        else:
            await renewed(guarded, file, text)
        await guarded.renewing.look()
    (line,) = [one.getMessage() for one in caplog.records if "access policy" in one.getMessage()]
    assert "stays as it was" in line and said in line
    assert (await client.get("/fhir/Patient/p1", headers=bearing)).status == 200
    assert await told(store) == []
    await renewed(guarded, file, NARROW)
    assert (await client.get("/fhir/Patient/p1", headers=bearing)).status != 200


async def test_a_file_that_is_being_written_is_waited_for(guarded, store, file):
    file.write_text(NARROW, "utf-8")
    await guarded.renewing.look()
    assert await told(store) == []
    file.write_text(NARROW + "\n# more", "utf-8")
    await guarded.renewing.look()
    assert await told(store) == []
    await guarded.renewing.look()
    assert len(await told(store)) == 1
