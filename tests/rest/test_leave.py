"""A person says on an application's page for what purpose they ask, by what right, and why.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

import json
from html import unescape

import pytest

from fhir_server.security.audit import said as audited
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.launching import LOGIN
from fhir_server.store.contract import Sought
from tests.rest import test_smart
from tests.rest.client import on_one_database
from tests.rest.test_smart import bearing, exchange, post, told_by, viewer, wanted

pytestmark = on_one_database
guarded, client = test_smart.guarded, test_smart.client  # fixtures

REASON = "Hôn mê, cần biết thuốc đang dùng"
GLASS = {"purpose": "BTG", "patient": "p2", "reason": REASON}
APP = {"purposes": ("TREAT", "BTG"), "scopes": "user/*.rs offline_access"}


async def invited(store, clock, **facts):
    code = enrolment.new_code()
    told = json.dumps({"user": "Practitioner/an"} | facts)
    await store.access.issue(
        enrolment.kept(code, "app", clock.now, minutes=10, kind=LOGIN, facts=told)
    )
    return code


def asking(login, **told):
    form = wanted(scope="user/*.rs offline_access")
    return [*form, ("login", login), ("answer", "yes"), *told.items()]


async def test_a_glass_is_broken_on_the_page(client, store, clock):
    await viewer(store, **APP)
    page = (await post(client, "authorize", wanted(scope="user/*.rs"))).body.decode()
    for field in ("purpose", "basis", "reason", "patient"):
        assert f'name="{field}"' in page
    login = await invited(store, clock)
    back = told_by(await post(client, "authorize", asking(login, **GLASS)))
    given = (await post(client, "token", exchange(back["code"]))).json
    assert (given["patient"], given["scope"]) == ("p2", "user/*.rs"), "and no longer than an hour"
    assert "refresh_token" not in given
    mine = bearing(given["access_token"])
    assert (await client.get("/fhir/Patient/p2", headers=mine)).status == 200
    assert (await client.get("/fhir/Encounter/other", headers=mine)).status == 200
    told = [audited.read(entry.body) for entry in await store.audit.found(Sought(limit=50))]
    reads = [each for each in told if each.interaction == "read"]
    assert {(each.purpose, each.reason, each.user) for each in reads} == {
        ("BTG", REASON, "Practitioner/an")
    }


async def test_without_a_purpose_of_their_own_they_treat(client, store, clock):
    await viewer(store, **APP)
    login = await invited(store, clock)
    back = told_by(await post(client, "authorize", asking(login)))
    given = (await post(client, "token", exchange(back["code"]))).json
    assert "refresh_token" in given
    mine = bearing(given["access_token"])
    assert (await client.get("/fhir/Patient/p2", headers=mine)).status == 404


NOT_ALLOWED = [
    (GLASS | {"reason": "gấp"}, 403, "ít nhất 20 ký tự"),
    (GLASS | {"reason": ""}, 403, "ít nhất 20 ký tự"),
    (GLASS | {"patient": ""}, 403, "hãy nêu người bệnh"),
    (GLASS | {"patient": "p2/../p1"}, 400, "The patient is an id"),
    (GLASS | {"purpose": "HPAYMT"}, 400, "none the application is registered for"),
    (GLASS | {"purpose": "TREAT"}, 400, "to break a glass, alone"),
    (GLASS | {"reason": "x" * 501}, 400, "at most 500"),
    ({"basis": "x\x01"}, 400, "at most 100"),
]


@pytest.mark.parametrize(("told", "status", "sentence"), NOT_ALLOWED, ids=str)
async def test_what_the_policy_would_refuse_is_said_at_once_and_the_code_stays_good(
    client, store, clock, told, status, sentence
):
    await viewer(store, **APP)
    login = await invited(store, clock)
    page = await post(client, "authorize", asking(login, **told))
    assert (page.status, sentence in unescape(page.body.decode())) == (status, True), page.body
    back = await post(client, "authorize", asking(login, **GLASS))
    assert "code" in told_by(back)


async def test_a_glass_is_broken_for_the_patient_the_application_is_open_at(client, store, clock):
    await viewer(store, **APP)
    login = await invited(store, clock, patient="p1")
    page = await post(client, "authorize", asking(login, **GLASS))
    assert (page.status, b"at another patient" in page.body) == (400, True)
    back = told_by(await post(client, "authorize", asking(login, **GLASS | {"patient": ""})))
    given = (await post(client, "token", exchange(back["code"]))).json
    assert given["patient"] == "p1"


async def test_what_was_typed_is_text_on_the_page_and_no_part_of_it(client, store, clock):
    await viewer(store, **APP)
    login = await invited(store, clock)
    evil = '"><script>alert(1)</script>'
    told = {"purpose": "BTG", "reason": evil[:19], "basis": evil, "patient": evil}
    page = await post(client, "authorize", asking(login, **told))
    assert (page.status, b"<script" in page.body) == (400, False)


async def test_who_serves_one_purpose_is_asked_for_none(client, store):
    await viewer(store, purposes=("TREAT",))
    page = await post(client, "authorize", wanted(scope="patient/*.rs"))
    assert (page.status, b'name="purpose"' in page.body) == (200, False)


async def test_a_basis_is_asked_for_where_the_policy_wants_one(client, store, clock):
    await viewer(store, roles=("analyst",), purposes=("PUBHLTH",), scopes="user/*.rs")
    login = await invited(store, clock)
    page = await post(client, "authorize", asking(login))
    assert (page.status, b'name="basis"' in page.body) == (403, True)
    back = told_by(await post(client, "authorize", asking(login, basis="QĐ 12/QĐ-SYT")))
    assert "code" in back
