"""SMART over HTTP: an EMR opens an application, scopes with parameters hold in real searches, web
pages of applications are let in, and refusals are said in OAuth's words.

SMART App Launch 2.2; RFC 6749 5.2, RFC 6750 3."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from fhir_server.interaction.admitting import Guarded
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.audit import said as audited
from fhir_server.security.policy_file import built_in
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.fetching import FileKeys
from fhir_server.security.tokens.launching import LOGIN
from fhir_server.security.tokens.provider import ALGORITHMS, Provider
from fhir_server.store.contract import Sought
from tests.interaction.conftest import BY_ANYBODY, put, server_on
from tests.rest.client import Client, on_one_database
from tests.rest.conftest import Lines
from tests.security.signing import BASE, NOW, form, key, key_set, register, said, signed

APP = "https://app.example.vn/done"
ORIGIN = {"Origin": "https://app.example.vn"}
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")
CLASS = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
IDP, IDP_KEY = "https://idp.example.vn", key("RS256", "idp-1")
DOCTOR = {"roles": ("doctor",), "facility": "hue", "purposes": ("TREAT",)}


def person(id, where):
    return {
        "resourceType": "Patient",
        "id": id,
        "managingOrganization": {"reference": f"Organization/{where}"},
    }


def visit(id, whose, code, where="hue"):
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished",
        "class": {"system": CLASS, "code": code},
        "subject": {"reference": f"Patient/{whose}"},
        "serviceProvider": {"reference": f"Organization/{where}"},
        "period": {"start": "2026-01-05"},
    }


WORLD = [
    {"resourceType": "Organization", "id": "hue", "name": "Hue"},
    {"resourceType": "Organization", "id": "hanoi", "name": "Hanoi"},
    person("p1", "hue"),
    person("p2", "hanoi"),
    visit("amb", "p1", "AMB"),
    visit("imp", "p1", "IMP"),
    visit("other", "p2", "AMB", "hanoi"),
]


@pytest.fixture
def guarded(store, clock, tmp_path, run):
    """A server with its own gate, which takes tokens of its own and of a provider of the test's."""
    file = tmp_path / "idp.jwks.json"
    file.write_text(key_set(IDP_KEY))
    outside = Provider(IDP, FileKeys(file, ALGORITHMS), BASE)
    authority = Authority(store, base=BASE, outside=outside, clock=clock)
    server = server_on(store, audit=True)
    run(put(server, BY_ANYBODY, *WORLD))
    gate = Guarded(authority, built_in(), store, server.live, server.knowledge)
    return dataclasses.replace(server, authority=authority, gate=gate)


@pytest.fixture
def client(guarded):
    return Client(create_app(guarded, Options(), write_log=Lines()))


def post(client, where, pairs, headers=None):
    return client.form(
        f"/fhir/oauth/{where}", urlencode(list(pairs)).encode(), headers=headers or {}
    )


def bearing(token):
    return {"Authorization": f"Bearer {token}"}


# --- an EMR opens an application -----------------------------------------------------------------


async def emr(client, store, **changes):
    """The access token of an EMR, whose user is a doctor of Hue."""
    told = {"scopes": "user/*.rs system/*.rs", "launches": True} | DOCTOR | changes
    await register(store, **told)
    who = said(fhir_context={"user": "Practitioner/an"})
    given = await post(client, "token", form(signed(who), scope="user/*.rs"))
    assert given.status == 200, given.body
    return given.json["access_token"]


async def viewer(store, **changes):
    told = {"id": "app", "keys": (), "redirects": (APP,), **DOCTOR}
    words = "openid fhirUser launch launch/patient launch/encounter patient/*.rs offline_access"
    await register(store, **told | {"scopes": words} | changes)


def opening(**changes):
    told = {"client_id": "app", "patient": "p1", "encounter": "amb"} | changes
    return [(name, value) for name, value in told.items() if value is not None]


def wanted(**changes):
    told = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": APP,
        "scope": "launch openid fhirUser launch/encounter patient/*.rs",
        "state": "s" * 22,
        "aud": BASE,
        "code_challenge": CHALLENGE.decode(),
        "code_challenge_method": "S256",
    } | changes
    return [(name, value) for name, value in told.items() if value is not None]


def told_by(reply):
    url = reply.headers["location"]
    assert url.startswith(f"{APP}?")
    return {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}


def exchange(code):
    told = {"grant_type": "authorization_code", "code": code, "client_id": "app"}
    return (told | {"redirect_uri": APP, "code_verifier": VERIFIER}).items()


async def test_a_doctor_opens_an_application_about_the_patient_before_them(client, store):
    token = await emr(client, store)
    await viewer(store)
    made = await post(client, "launch", opening(need_patient_banner="true"), bearing(token))
    assert (made.status, made.json["iss"], made.json["expires_in"]) == (200, BASE, 120)
    launch = made.json["launch"]
    page = await post(client, "authorize", wanted(launch=launch))
    assert (page.status, b'name="login"' in page.body) == (200, False)
    assert b"Practitioner/an" in page.body
    back = told_by(await post(client, "authorize", [*wanted(launch=launch), ("answer", "yes")]))
    given = (await post(client, "token", exchange(back["code"]))).json
    assert (given["patient"], given["encounter"]) == ("p1", "amb")
    assert given["need_patient_banner"] is True
    assert given["scope"] == "launch openid fhirUser launch/encounter patient/*.rs"
    assert given["id_token"]
    told = await post(client, "introspect", [("token", given["access_token"])],
                      bearing(given["access_token"]))  # fmt: skip
    for name, value in {"patient": "p1", "encounter": "amb", "fhirUser": "Practitioner/an",
                        "iss": BASE, "sub": "Practitioner/an"}.items():  # fmt: skip
        assert told.json[name] == value
    mine = await client.get(
        "/fhir/Encounter?_summary=count", headers=bearing(given["access_token"])
    )
    assert mine.json["total"] == 2
    theirs = await client.get("/fhir/Patient/p2", headers=bearing(given["access_token"]))
    assert theirs.status == 404


async def test_a_launch_is_good_once_v5_0_0_10_4_2(client, store, clock):
    token = await emr(client, store)
    await viewer(store)
    launch = (await post(client, "launch", opening(), bearing(token))).json["launch"]
    yes = [*wanted(launch=launch), ("answer", "yes")]
    assert "code" in told_by(await post(client, "authorize", yes))
    assert told_by(await post(client, "authorize", yes))["error"] == "invalid_request"
    late = (await post(client, "launch", opening(), bearing(token))).json["launch"]
    clock.now += 120_000
    yes = [*wanted(launch=late), ("answer", "yes")]
    assert told_by(await post(client, "authorize", yes))["error"] == "invalid_request"


async def test_a_launch_is_for_the_application_it_names_v5_0_0_2_3_1(client, store):
    token = await emr(client, store)
    await viewer(store)
    await viewer(store, id="other")
    launch = (await post(client, "launch", opening(), bearing(token))).json["launch"]
    stolen = [*wanted(launch=launch, client_id="other"), ("answer", "yes")]
    assert told_by(await post(client, "authorize", stolen))["error"] == "invalid_request"
    without = [*wanted(launch=launch, scope="patient/*.rs"), ("answer", "yes")]
    assert told_by(await post(client, "authorize", without))["error"] == "invalid_scope"
    for guess in ("x", "x" * 5000, "' or 1=1 --"):
        wrong = [*wanted(launch=guess), ("answer", "yes")]
        assert told_by(await post(client, "authorize", wrong))["error"] == "invalid_request"


NOT_OPENED = [
    ({"patient": None}, 400, "invalid_request"),
    ({"patient": "p2"}, 404, "invalid_request"),
    ({"patient": "nobody"}, 404, "invalid_request"),
    ({"patient": "Patient/p1"}, 400, "invalid_request"),
    ({"encounter": "other"}, 404, "invalid_request"),
    ({"encounter": "none"}, 404, "invalid_request"),
    ({"user": "Practitioner/other"}, 400, "invalid_request"),
    ({"user": "Patient/p1"}, 400, "invalid_request"),
    ({"need_patient_banner": "maybe"}, 400, "invalid_request"),
    ({"intent": "x"}, 400, "invalid_request"),
    ({"client_id": "nobody"}, 400, "invalid_request"),
    ({"client_id": "his-1"}, 400, "invalid_request"),
    ({"client_id": "hanoi"}, 400, "invalid_request"),
]


@on_one_database
@pytest.mark.parametrize(("changes", "status", "error"), NOT_OPENED, ids=str)
async def test_an_emr_opens_no_more_than_it_reaches_itself_v5_0_0_8_3_3(
    client, store, changes, status, error
):
    token = await emr(client, store)
    await viewer(store)
    await viewer(store, id="hanoi", facility="hanoi")
    found = await post(client, "launch", opening(**changes), bearing(token))
    assert (found.status, found.json["error"]) == (status, error)


async def test_what_is_out_of_reach_is_told_like_what_is_not_there_v5_0_0_8_4_1(client, store):
    token = await emr(client, store)
    await viewer(store)
    told = []
    for id in ("p2", "p9"):
        found = await post(client, "launch", opening(patient=id, encounter=None), bearing(token))
        told.append((found.status, found.body.replace(id.encode(), b"*")))
    assert told[0] == told[1]


async def test_only_an_emr_opens_applications_v5_0_0_8_2_1(client, store):
    token = await emr(client, store, launches=False)
    await viewer(store)
    found = await post(client, "launch", opening(), bearing(token))
    assert (found.status, found.json["error"]) == (403, "insufficient_scope")
    for headers in ({}, bearing("guess"), {"Authorization": "Basic eDp5"}):
        found = await post(client, "launch", opening(), headers)
        assert (found.status, found.json["error"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in found.headers["www-authenticate"]


async def test_a_launch_is_in_the_audit_with_its_patient_v5_0_0_16_3_2(client, store):
    token = await emr(client, store)
    await viewer(store)
    await post(client, "launch", opening(), bearing(token))
    (newest, *_) = await store.audit.found(Sought(limit=1))
    told = audited.read(newest.body)
    assert (told.client, told.user, told.interaction) == ("his-1", "Practitioner/an", "launch")
    assert ("Patient", "p1") in [each[:2] for each in told.resources]


# --- scopes with parameters, in real searches ----------------------------------------------------


async def ours(client, store, clock, words):
    """A token of this server's own, of a citizen."""
    told = {"id": "app", "keys": (), "redirects": (APP,), "roles": ("citizen",)}
    await register(store, **told, scopes=words, purposes=("PATRQT",))
    code, facts = enrolment.new_code(), json.dumps({"user": "Patient/p1", "patient": "p1"})
    login = enrolment.kept(code, "app", clock.now, minutes=10, kind=LOGIN, facts=facts)
    await store.access.issue(login)
    leave = [*wanted(scope=words), ("login", code), ("answer", "yes")]
    back = told_by(await post(client, "authorize", leave))
    given = (await post(client, "token", exchange(back["code"]))).json
    assert given["scope"] == words
    return given["access_token"]


async def theirs(client, store, clock, words):
    """A token of the outside provider's."""
    told = {"id": "viewer", "keys": (), "provider": True, "roles": ("citizen",)}
    await register(store, **told, scopes=words, purposes=("PATRQT",))
    return outside(words)


def outside(words):
    claims = {"iss": IDP, "sub": "u-1", "aud": BASE, "azp": "viewer", "exp": NOW + 600}
    claims |= {"scope": words, "roles": ["citizen"], "patient": "p1", "fhirUser": "Patient/p1"}
    return signed(claims, by=IDP_KEY)


AMB = f"patient/Encounter.rs?class={CLASS}|AMB patient/Patient.rs"
# path, ids that are told
ASKED = [
    ("Encounter", ["amb"]),
    ("Encounter?class=IMP", []),
    ("Encounter?class=AMB,IMP", ["amb"]),
    ("Encounter?class:not=AMB", []),
    ("Encounter?_id=imp", []),
    ("Encounter?_id=amb,imp,other", ["amb"]),
    ("Patient?_has:Encounter:subject:class=IMP", []),
    ("Patient?_has:Encounter:subject:class=AMB", ["p1"]),
    ("Patient?_revinclude=Encounter:subject", ["amb", "p1"]),
    ("Encounter?_include=Encounter:subject", ["amb", "p1"]),
    ("Patient/p1/Encounter", ["amb"]),
    ("?_type=Encounter,Patient", ["amb", "p1"]),
]


@pytest.mark.parametrize("given", [ours, theirs])
async def test_a_scope_with_parameters_holds_on_every_way_v5_0_0_8_2_2(client, store, clock, given):
    token = bearing(await given(client, store, clock, AMB))
    for path, ids in ASKED:
        found = await client.get(f"/fhir/{path}", headers=token)
        assert found.status == 200, (path, found.body)
        told = [each["resource"]["id"] for each in found.json.get("entry", [])]
        assert sorted(told) == ids, path
    assert (await client.get("/fhir/Encounter?_summary=count", headers=token)).json["total"] == 1
    for path, status in (("amb", 200), ("imp", 404), ("none", 404), ("other", 404)):
        assert (await client.get(f"/fhir/Encounter/{path}", headers=token)).status == status
        history = await client.get(f"/fhir/Encounter/{path}/_history", headers=token)
        assert history.status == status
    refused = await client.request(
        "POST", "/fhir/Encounter", visit("x", "p1", "AMB"), headers=token
    )
    assert refused.status == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]


# scope, path, status, ids; what no scope reaches is as if it were not there
SAID = [
    ("patient/Encounter.read", "Encounter", 200, ["amb", "imp"]),
    ("patient/*.read", "Patient/p1", 200, []),
    ("patient/Encounter.s", "Encounter", 200, ["amb", "imp"]),
    ("patient/Encounter.s", "Encounter/amb", 404, []),
    ("patient/Encounter.r", "Encounter/amb", 200, []),
    ("patient/Encounter.r", "Encounter", 200, []),
    ("patient/Observation.rs", "Encounter", 200, []),
    ("patient/Encounter.rs?nonsense=1", "Encounter", 200, []),
    ("patient/Encounter.rs?subject=Patient/p2", "Encounter", 200, []),
]


@on_one_database
@pytest.mark.parametrize(("words", "path", "status", "ids"), SAID, ids=str)
async def test_scopes_of_version_1_and_2_are_what_smart_says_v5_0_0_10_3_2(
    client, store, clock, words, path, status, ids
):
    token = bearing(await ours(client, store, clock, words))
    found = await client.get(f"/fhir/{path}", headers=token)
    assert found.status == status
    told = [each["resource"]["id"] for each in found.json.get("entry", [])]
    assert sorted(told) == ids


@pytest.mark.parametrize("words", ["patient/Encounter.rs?subject:Patient.name=x", "patient/*.sr"])
async def test_a_providers_scope_that_is_not_understood_lets_nobody_in(client, store, words):
    told = {"id": "viewer", "keys": (), "provider": True, "roles": ("citizen",)}
    await register(store, **told, scopes="patient/*.rs", purposes=("PATRQT",))
    found = await client.get("/fhir/Encounter", headers=bearing(outside(words)))
    assert found.status == 401


# --- web pages -----------------------------------------------------------------------------------


@on_one_database
async def test_how_to_ask_is_told_to_every_page_and_the_rest_to_registered_ones(client, store):
    await viewer(store)
    for path in (".well-known/smart-configuration", ".well-known/openid-configuration",
                 "oauth/keys", "oauth/receipt-keys", "oauth/copy-keys", "metadata"):  # fmt: skip
        found = await client.get(f"/fhir/{path}", headers={"Origin": "https://any.example"})
        assert (found.status, found.headers["access-control-allow-origin"]) == (200, "*")
    ask = {"Access-Control-Request-Method": "POST"}
    for path in ("oauth/token", "Patient"):
        found = await client.options(f"/fhir/{path}", headers=ORIGIN | ask)
        assert found.headers["access-control-allow-origin"] == ORIGIN["Origin"]
        other = await client.options(
            f"/fhir/{path}", headers={"Origin": "https://evil.example"} | ask
        )
        assert "access-control-allow-origin" not in other.headers
    mine = await post(client, "token", exchange("x"), ORIGIN)
    assert (mine.status, mine.headers["access-control-allow-origin"]) == (400, ORIGIN["Origin"])
    evil = await post(client, "token", exchange("x"), {"Origin": "https://evil.example"})
    assert (evil.status, evil.json["error"]) == (403, "access_denied")
    assert "access-control-allow-origin" not in evil.headers


# --- in OAuth's words ----------------------------------------------------------------------------


@on_one_database
async def test_every_refusal_of_these_endpoints_is_oauths_json_v5_0_0_4_1_1(client):
    for where in ("token", "introspect", "revoke", "enrol", "launch"):
        found = await client.get(f"/fhir/oauth/{where}")
        assert (found.status, found.json["error"]) == (405, "invalid_request")
        assert found.headers["content-type"] == "application/json"
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["allow"] == "POST, OPTIONS"
    basic = await post(client, "token", form(), {"Authorization": "Basic eDp5"})
    assert (basic.status, basic.json["error"]) == (401, "invalid_client")
    assert basic.headers["www-authenticate"] == 'Basic realm="fhir"'


async def test_a_token_in_a_url_is_refused_and_written_down_nowhere_v5_0_0_14_2_1(
    client, store, clock
):
    token = await ours(client, store, clock, "patient/*.rs")
    ways = [
        ("GET", f"/fhir/Patient/p1?access_token={token}", None),
        ("GET", f"/fhir/Patient?access%5Ftoken={token}", None),
        ("POST", "/fhir/Patient/_search", f"access_token={token}".encode()),
    ]
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers in ({}, bearing(token)):
        for method, path, body in ways:
            sent = headers | (kind if body else {})
            found = await client.request(method, path, body, headers=sent)
            assert found.status in (400, 401)
            assert token.encode() not in found.body
    for entry in await store.audit.found(Sought(limit=50)):
        assert token.encode() not in entry.body
