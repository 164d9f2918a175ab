"""Clients find where to get a token, get one, ask about it and give it back, in OAuth's words."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from fhir_server.interaction.admitting import Guarded
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.security.audit import said as audited
from fhir_server.security.policy_file import built_in
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.launching import LOGIN
from fhir_server.store.contract import Sought
from tests.interaction.conftest import server_on
from tests.rest.client import Client, on_one_database
from tests.security.signing import BASE, TOKEN_URL, form, key, key_set, register, said, signed

pytestmark = on_one_database

FOUND = "/fhir/.well-known/smart-configuration"


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


@pytest.fixture
def client(server, lines, authority):
    guarded = dataclasses.replace(server, authority=authority)
    return Client(create_app(guarded, Options(), write_log=lines))


async def post(client, where, pairs, **named):
    return await client.form(f"/fhir/oauth/{where}", urlencode(pairs).encode(), **named)


async def test_from_the_configuration_to_a_token_and_back(client, store, authority):
    await register(store)
    told = (await client.get(FOUND)).json
    assert told["token_endpoint"] == TOKEN_URL
    given = await post(client, "token", form())
    assert (given.status, given.json["scope"]) == (200, "system/*.rs")
    token = given.json["access_token"]
    asked = await post(client, "introspect", form(token=token))
    assert (asked.status, asked.json["active"]) == (200, True)
    back = await post(client, "revoke", form(token=token))
    assert (back.status, back.json) == (200, {})
    asked = await post(client, "introspect", form(token=token))
    assert (asked.status, asked.json) == (200, {"active": False})


async def test_the_configuration_has_what_smart_requires(client):
    for accept in ("application/fhir+xml", "text/html", "*/*"):
        found = await client.get(FOUND, headers={"Accept": accept})
        assert (found.status, found.headers["content-type"]) == (200, "application/json")
    told = found.json
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["grant_types_supported"] == [
        "client_credentials",
        "authorization_code",
        "refresh_token",
    ]
    assert {"RS384", "ES384"} == set(told["token_endpoint_auth_signing_alg_values_supported"])
    assert told["issuer"] == BASE
    assert told["jwks_uri"] == f"{BASE}/oauth/keys"
    assert (await client.head(FOUND)).status == 200


async def test_answers_are_json_that_no_cache_keeps(client, store):
    await register(store)
    for pairs in (form(), form(scope="nonsense"), []):
        found = await post(client, "token", pairs)
        assert found.headers["content-type"] == "application/json"
        assert found.headers["cache-control"] == "no-store"
        assert found.headers["pragma"] == "no-cache"


async def test_a_refusal_says_who_must_do_what(client, store):
    await register(store)
    found = await post(client, "token", form(signed(said(exp=5))))
    assert (found.status, found.json["error"]) == (401, "invalid_client")
    assert "`" in found.json["error_description"]
    assert found.headers["www-authenticate"].startswith("Bearer")
    found = await post(client, "token", form(scope="system/*.dus"))
    assert (found.status, found.json["error"]) == (400, "invalid_scope")


BAD = [
    (b"", {}, 400),
    (b"{}", {"Content-Type": "application/json"}, 400),
    (b"grant_type=client_credentials", {"Content-Type": "text/plain"}, 400),
    (b"grant_type=%zz", {}, 400),
    (b"grant_type=%ff", {}, 400),
    (b"grant_type=%00", {}, 400),
    (b"&".join(b"a%d=1" % n for n in range(50)), {}, 400),
    (b"a=" + b"x" * 200_000, {}, 400),
    (b"grant_type=client_credentials", {"Content-Length": "9" * 30}, 400),
]


@pytest.mark.parametrize(("body", "headers", "status"), BAD)
async def test_a_body_that_is_no_form_is_refused(client, body, headers, status):
    for where in ("token", "introspect", "revoke", "enrol"):
        found = await client.form(f"/fhir/oauth/{where}", body, headers=headers)
        assert found.status == status


async def test_nothing_is_taken_from_the_url_v5_0_0_14_2_1(client, store):
    await register(store)
    found = await client.form(f"/fhir/oauth/token?{urlencode(form())}", b"")
    assert (found.status, found.json["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
async def test_tokens_are_asked_for_by_post_alone_v5_0_0_4_1_4(client, method):
    for where in ("token", "introspect", "revoke", "enrol"):
        found = await client.request(method, f"/fhir/oauth/{where}")
        assert (found.status, found.headers["allow"]) == (405, "POST, OPTIONS")


async def test_options_says_what_may_be_done(client):
    found = await client.options("/fhir/oauth/token")
    assert (found.status, found.headers["allow"]) == (204, "POST, OPTIONS")


OTHER_WAYS = ["/fhir/oauth", "/fhir/oauth/", "/fhir/oauth/token/", "/fhir/OAuth/token"]
OTHER_WAYS += ["/fhir/oauth%2Ftoken", "/fhir//oauth/token", "/fhir/oauth/%74oken", "/oauth/token"]


@pytest.mark.parametrize("path", OTHER_WAYS)
async def test_there_is_no_other_way_in_v5_0_0_6_3_4(client, path):
    assert (await client.form(path, urlencode(form()).encode())).status == 404


async def test_where_access_is_off_there_is_nothing_of_it(server, lines):
    open = Client(create_app(server, Options(), write_log=lines))
    assert (await open.get(FOUND)).status == 404
    for where in ("token", "introspect", "revoke", "enrol"):
        assert (await post(open, where, form())).status == 404


async def test_no_token_and_no_assertion_is_logged_v5_0_0_16_2_5(client, store, lines):
    await register(store)
    sent = form()
    token = (await post(client, "token", sent)).json["access_token"]
    await post(client, "introspect", form(token=token))
    await client.get("/fhir/Patient", headers={"Authorization": f"Bearer {token}"})
    client.app.log.flush()
    logged = b"".join(lines).decode()
    assert "token" in logged, "each is logged by its name"
    assert token not in logged
    assert dict(sent)["client_assertion"][-40:] not in logged


async def test_a_health_post_enrols_by_its_code(client, store, clock):
    await register(store, keys=())
    code = enrolment.new_code()
    await store.access.issue(enrolment.kept(code, "his-1", clock.now, minutes=10))
    new = key("ES384", "post-1")
    told = await post(client, "enrol", [("code", code), ("jwks", key_set(new))])
    assert (told.status, told.json["client_id"]) == (200, "his-1")
    assert (await post(client, "token", form(signed(said(), by=new)))).status == 200
    again = await post(client, "enrol", [("code", code), ("jwks", key_set(new))])
    assert (again.status, again.json["error"]) == (400, "invalid_grant")


# --- the page on which a person gives leave ------------------------------------------------------

APP = "https://app.example.vn/done"


def wanted(**changes):
    told = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": APP,
        "scope": "patient/*.rs",
        "state": 'a"><script>alert(1)</script>',
        "aud": BASE,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    return list((told | changes).items())


async def app(store):
    told = {"id": "app", "keys": (), "redirects": (APP,), "scopes": "patient/*.rs"}
    await register(store, **told, name="<b>Sổ sức khỏe</b>")


async def invited(store, clock):
    code = enrolment.new_code()
    facts = '{"user": "Patient/p1", "patient": "p1"}'
    await store.access.issue(
        enrolment.kept(code, "app", clock.now, minutes=10, kind=LOGIN, facts=facts)
    )
    return code


async def test_a_person_gives_leave_on_a_page_and_is_led_back(client, store, clock):
    await app(store)
    for page in (
        await client.get(f"/fhir/oauth/authorize?{urlencode(wanted())}"),
        await post(client, "authorize", wanted()),
    ):
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"<script>" not in page.body, "nothing the application says becomes a part of it"
        assert "&lt;b&gt;Sổ sức khỏe" in page.body.decode()
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self' https://app.example.vn" in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["cache-control"] == "no-store"
    login = await invited(store, clock)
    back = await post(client, "authorize", [*wanted(), ("login", login), ("answer", "yes")])
    assert (back.status, back.body) == (302, b"")
    assert back.headers["location"].startswith(f"{APP}?code=")
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    told = [("grant_type", "authorization_code"), ("code", code), ("client_id", "app")]
    told += [("redirect_uri", APP), ("code_verifier", VERIFIER)]
    given = await post(client, "token", told)
    assert (given.status, given.json["patient"]) == (200, "p1")


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B


async def test_who_denies_or_mistypes_is_told_so(client, store):
    await app(store)
    denied = await post(client, "authorize", [*wanted(), ("answer", "no")])
    assert "error=access_denied" in denied.headers["location"]
    wrong = await post(client, "authorize", [*wanted(), ("login", "AAAA"), ("answer", "yes")])
    assert (wrong.status, b"not known" in wrong.body) == (403, True)
    by_get = urlencode([*wanted(), ("login", "AAAA"), ("answer", "yes")])
    page = await client.get(f"/fhir/oauth/authorize?{by_get}")
    assert (page.status, b"not known" in page.body) == (200, False), "a link gives no leave"
    assert b"AAAA" not in page.body


async def test_who_names_another_address_is_led_nowhere(client, store):
    await app(store)
    for redirect in ("https://evil.example/", "javascript:alert(1)", "\r\nX: y"):
        query = urlencode(wanted(redirect_uri=redirect))
        found = await client.get(f"/fhir/oauth/authorize?{query}")
        assert (found.status, "location" in found.headers) == (400, False)
        assert "script-src" not in found.headers["content-security-policy"]


async def test_who_is_known_and_may_nothing_is_named_in_the_audit(store, authority):
    await register(store, roles=("analyst",), purposes=("PUBHLTH",))
    whole = server_on(store, audit=True)
    gate = Guarded(authority, built_in(), store, whole.live, whole.knowledge)
    guarded = dataclasses.replace(whole, authority=authority, gate=gate)
    client = Client(create_app(guarded, Options()))
    token = (await post(client, "token", form())).json["access_token"]
    asked = await client.get("/fhir/Patient/an", headers={"Authorization": f"Bearer {token}"})
    assert (asked.status, b"needs a basis" in asked.body) == (403, True)
    (newest, *_) = await store.audit.found(Sought(limit=1))
    told = audited.read(newest.body)
    assert (told.client, told.status, told.url) == ("his-1", 403, "/fhir/Patient/an")
