"""A person gives an application leave: once, for what it asked, and led back nowhere else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.security.scope import parse
from fhir_server.security.tokens import enrolment
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.client import BadClient, checked
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.security.tokens.launching import LOGIN, Returned, Stray
from fhir_server.security.tokens.leave import Leave
from fhir_server.security.tokens.oauth import OAuthError

from .signing import BASE, form, key, public, register, registered, said, signed

APP = "https://app.example.vn/done"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=")


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


async def app(store, **changes):
    told = {"id": "app", "keys": (), "redirects": (APP,), "roles": ("citizen",)}
    told |= {"scopes": "launch/patient patient/*.rs user/*.rs", "purposes": ("PATRQT",)}
    await register(store, **told | changes)


def wanted(**changes):
    told = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": APP,
        "scope": "launch/patient patient/*.rs openid offline_access",
        "state": "s" * 22,
        "aud": BASE,
        "code_challenge": CHALLENGE.decode(),
        "code_challenge_method": "S256",
    } | changes
    return [(name, value) for name, value in told.items() if value is not None]


async def invited(store, clock, id="app", **facts):
    code = enrolment.new_code()
    told = json.dumps({"user": "Patient/p1", "patient": "p1"} | facts)
    new = enrolment.kept(code, id, clock.now, minutes=10, kind=LOGIN, facts=told)
    await store.access.issue(new)
    return code


def told_by(url):
    return {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}


async def everybody(_caller):
    """A policy that lets anyone do something."""


async def allow(authority, launch, login, admits=everybody, **said):
    return await authority.allow(launch, Leave(login, **said), admits)


async def code_of(authority, store, clock, **changes):
    launch = await authority.launch(wanted(**changes), BASE)
    return told_by(await allow(authority, launch, await invited(store, clock)))["code"]


def exchange(code, **changes):
    told = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": APP,
        "client_id": "app",
        "code_verifier": VERIFIER,
    } | changes
    return [(name, value) for name, value in told.items() if value is not None]


async def asked(authority, token):
    return await authority.authenticate(Credentials(f"Bearer {token}"))


async def refused(doing) -> str:
    with pytest.raises(OAuthError) as found:
        await doing
    return found.value.error


async def test_from_leave_to_a_token_that_knows_the_person(store, authority, clock):
    await app(store)
    launch = await authority.launch(wanted(), BASE)
    back = await allow(authority, launch, await invited(store, clock))
    assert back.startswith(f"{APP}?")
    assert told_by(back)["state"] == "s" * 22
    answer = await authority.token(exchange(told_by(back)["code"]), BASE)
    assert (answer["patient"], answer["expires_in"]) == ("p1", 3600)
    assert answer["scope"] == "launch/patient patient/*.rs", "no identity token, no refresh token"
    caller = await asked(authority, answer["access_token"])
    assert (caller.client, caller.user, caller.patient) == ("app", "Patient/p1", "p1")
    assert (caller.scopes, caller.roles) == (parse("patient/*.rs"), {"citizen"})
    assert caller.purpose == "PATRQT"
    token = [("token", answer["access_token"])]
    told = await authority.introspect(token, Credentials(f"Bearer {token[0][1]}"), BASE)
    assert (told["patient"], told["fhirUser"]) == ("p1", "Patient/p1")


# RFC 6749 4.1.2.1: nobody is led to an address that is not the application's
STRAY = [
    {"client_id": None},
    {"client_id": "nobody"},
    {"client_id": "gone"},
    {"client_id": "' or 1=1 --"},
    {"redirect_uri": None},
    {"redirect_uri": "https://evil.example/"},
    {"redirect_uri": f"{APP}/"},
    {"redirect_uri": f"{APP}?x=1"},
    {"redirect_uri": f"{APP}/../evil"},
    {"redirect_uri": "https://app.example.vn.evil.example/done"},
    {"redirect_uri": "https://app.example.vn@evil.example/done"},
    {"redirect_uri": APP.upper()},
    {"redirect_uri": APP.replace("https", "http")},
]


@pytest.mark.parametrize("changes", STRAY, ids=str)
async def test_nobody_is_led_to_an_address_that_is_not_registered_v5_0_0_10_4_1(
    store, authority, changes
):
    await app(store)
    await app(store, id="gone", revoked=5)
    with pytest.raises(Stray):
        await authority.launch(wanted(**changes), BASE)


async def test_a_parameter_that_comes_twice_leads_nowhere(store, authority):
    await app(store)
    with pytest.raises(Stray):
        await authority.launch([*wanted(), ("redirect_uri", APP)], BASE)


RETURNED = [
    ({"response_type": None}, "unsupported_response_type"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"state": None}, "invalid_request"),
    ({"aud": None}, "invalid_request"),
    ({"aud": "https://evil.example/fhir"}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"scope": None}, "invalid_scope"),
    ({"scope": "openid"}, "invalid_scope"),
    ({"scope": "system/*.rs"}, "invalid_scope"),
    ({"scope": "patient/*.sr"}, "invalid_scope"),
]


@pytest.mark.parametrize(("changes", "error"), RETURNED, ids=str)
async def test_what_is_not_right_is_told_to_the_application_v5_0_0_10_4_6(
    store, authority, changes, error
):
    await app(store)
    with pytest.raises(Returned) as found:
        await authority.launch(wanted(**changes), BASE)
    assert found.value.url.startswith(f"{APP}?")
    assert told_by(found.value.url)["error"] == error


async def test_a_state_cannot_add_to_where_the_person_is_led(store, authority):
    await app(store)
    launch = await authority.launch(wanted(state="x&code=evil#/"), BASE)
    told = told_by(launch.back(error="access_denied"))
    assert told == {"error": "access_denied", "state": "x&code=evil#/", "iss": BASE}


BAD_EXCHANGES = [
    {"code_verifier": None},
    {"code_verifier": "w" * 43},
    {"code_verifier": "v" * 42},
    {"code_verifier": "v" * 129},
    {"code_verifier": CHALLENGE.decode()},
    {"redirect_uri": None},
    {"redirect_uri": "https://evil.example/"},
    {"client_id": "other"},
]


@pytest.mark.parametrize("changes", BAD_EXCHANGES, ids=str)
async def test_a_stolen_code_is_worth_nothing_and_then_is_none_v5_0_0_10_4_6(
    store, authority, clock, changes
):
    await app(store)
    await app(store, id="other")
    code = await code_of(authority, store, clock)
    error = await refused(authority.token(exchange(code, **changes), BASE))
    assert error in ("invalid_grant", "invalid_request")
    assert await refused(authority.token(exchange(code), BASE)) == "invalid_grant"


async def test_a_code_is_good_for_a_minute_v5_0_0_10_4_3(store, authority, clock):
    await app(store)
    code = await code_of(authority, store, clock)
    clock.now += 60_000
    assert await refused(authority.token(exchange(code), BASE)) == "invalid_grant"


async def test_a_code_that_comes_twice_ends_the_token_it_was_exchanged_for_v5_0_0_10_4_2(
    store, authority, clock
):
    await app(store)
    code = await code_of(authority, store, clock)
    token = (await authority.token(exchange(code), BASE))["access_token"]
    assert await refused(authority.token(exchange(code), BASE)) == "invalid_grant"
    clock.now += 5000
    with pytest.raises(Unauthorized):
        await asked(authority, token)


async def test_of_many_who_exchange_a_code_one_at_most_has_a_token(store, authority, clock):
    await app(store)
    code = await code_of(authority, store, clock)
    doing = [authority.token(exchange(code), BASE) for _ in range(6)]
    found = await asyncio.gather(*doing, return_exceptions=True)
    assert sum(isinstance(each, OAuthError) for each in found) == 5


async def test_a_persons_code_is_good_once_for_one_application_for_a_while_v5_0_0_6_5_1(
    store, authority, clock
):
    await app(store)
    await app(store, id="other")
    launch = await authority.launch(wanted(), BASE)
    other = await authority.launch(wanted(client_id="other"), BASE)
    mine = await invited(store, clock)
    assert await refused(allow(authority, other, mine)) == "access_denied"
    assert await refused(allow(authority, launch, mine)) == "access_denied", "shown elsewhere"
    late = await invited(store, clock)
    clock.now += 600_000
    assert await refused(allow(authority, launch, late)) == "access_denied"
    for guess in ("", "AAAA", "x" * 10_000, "' or 1=1 --"):
        assert await refused(allow(authority, launch, guess)) == "access_denied"


async def test_an_enrolment_code_opens_no_application(store, authority, clock):
    await app(store)
    code = enrolment.new_code()
    await store.access.issue(enrolment.kept(code, "app", clock.now, minutes=10))
    launch = await authority.launch(wanted(), BASE)
    assert await refused(allow(authority, launch, code)) == "access_denied"


async def test_an_authorization_code_is_no_access_token_v5_0_0_9_2_2(store, authority, clock):
    await app(store)
    with pytest.raises(Unauthorized):
        await asked(authority, await code_of(authority, store, clock))


async def test_an_application_with_a_key_proves_itself_too_v5_0_0_10_4_10(store, authority, clock):
    await app(store, keys=tuple(public(key())))
    code = await code_of(authority, store, clock)
    assert await refused(authority.token(exchange(code), BASE)) == "invalid_client"
    proof = dict(form(signed(said(iss="app", sub="app"))))
    told = {name: proof[name] for name in ("client_assertion", "client_assertion_type")}
    assert await authority.token(exchange(code, client_id=None, **told), BASE)


async def test_an_application_without_a_key_acts_for_people_alone_v5_0_0_10_4_4(store, authority):
    await app(store, scopes="system/*.rs patient/*.rs")
    assert await refused(authority.token(form(signed(said(iss="app", sub="app"))), BASE)) == (
        "invalid_client"
    )


async def test_a_patients_scope_needs_a_patient(store, authority, clock):
    await app(store)
    launch = await authority.launch(wanted(), BASE)
    code = enrolment.new_code()
    facts = json.dumps({"user": "Practitioner/1"})
    await store.access.issue(
        enrolment.kept(code, "app", clock.now, minutes=10, kind=LOGIN, facts=facts)
    )
    with pytest.raises(Returned, match="invalid_scope"):
        await allow(authority, launch, code)


REDIRECTS = [
    "http://app.example.vn/done",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://app.example.vn/done#x",
    "https://user@app.example.vn/",
    "https://*.example.vn/",
    "https://",
    "app.example.vn",
    "https://app.example.vn/a b",
    "https://app.example.vn/;x",
    "https://app.example.vn:99999/",
    "https://[a",
    "",
]


@pytest.mark.parametrize("uri", REDIRECTS)
def test_an_address_that_others_could_read_is_not_registered(uri):
    with pytest.raises(BadClient, match="redirect"):
        checked(registered(redirects=(uri,)))


@pytest.mark.parametrize("uri", [APP, "http://127.0.0.1:3000/done", "http://localhost/x?a=1"])
def test_a_whole_address_is_registered(uri):
    assert checked(registered(redirects=(uri,), keys=())).redirects == (uri,)
