"""A token is given to who proves itself, is good for what was registered, and ends when it ends."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Invalid, Unauthorized
from fhir_server.security.scope import parse
from fhir_server.security.tokens import client, recognising
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.security.tokens.fetching import Fetched, Unfetched
from fhir_server.security.tokens.issued import digest_of
from fhir_server.security.tokens.oauth import OAuthError

from .signing import BASE, TOKEN_URL, form, key, key_set, public, register, registered, said, signed


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock)


async def given(authority, **changes):
    """A token, as its client is answered."""
    return await authority.token(form(**changes), BASE)


def bearing(token, address="10.0.0.1"):
    return Credentials(f"Bearer {token}", address)


async def refused(doing) -> OAuthError:
    with pytest.raises(OAuthError) as found:
        await doing
    return found.value


async def test_a_client_asks_for_a_token_and_is_known_by_it(store, authority):
    await register(store, facility="bv-1", purposes=("TREAT", "PUBHLTH"))
    told = await given(authority)
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 300, "system/*.rs")
    caller = await authority.authenticate(bearing(told["access_token"]))
    assert (caller.client, caller.facility, caller.roles) == ("his-1", "bv-1", {"system"})
    assert caller.scopes == parse("system/*.rs")
    assert (caller.purpose, caller.address, caller.everything) == ("TREAT", "10.0.0.1", False)
    assert told["access_token"] not in repr(caller)


async def test_a_token_is_kept_by_its_digest_alone_v5_0_0_7_2_3(store, authority):
    await register(store)
    tokens = {(await given(authority))["access_token"] for _ in range(3)}
    assert len(tokens) == 3
    for token in tokens:
        assert len(token) >= 43, "256 bits of chance"
        issued, _ = await store.access.issued(digest_of(token))
        assert token not in repr(issued)


async def test_an_assertion_is_good_once_on_whichever_worker_v5_0_0_15_4_2(store, authority, clock):
    await register(store)
    others = [authority, Authority(store, base=BASE, clock=clock)]
    same = form()
    found = await asyncio.gather(
        *(each.token(same, BASE) for each in others * 4), return_exceptions=True
    )
    errors = [each.error for each in found if isinstance(each, OAuthError)]
    assert errors == ["invalid_client"] * 7


async def test_a_used_assertion_is_used_for_every_endpoint(store, authority):
    await register(store)
    same = signed(said())
    token = (await given(authority, client_assertion=same))["access_token"]
    again = form(client_assertion=same, token=token)
    for doing in (
        authority.revoke(again, BASE),
        authority.introspect(again, Credentials(None), BASE),
    ):
        assert (await refused(doing)).error == "invalid_client"
    assert await authority.authenticate(bearing(token))


async def test_a_jti_is_not_burnt_by_who_cannot_sign(store, authority):
    await register(store)
    forged = signed(said(jti="mine"), by=key("ES384", "other"), kid="k1")
    assert (await refused(given(authority, client_assertion=forged))).error == "invalid_client"
    assert await given(authority, client_assertion=signed(said(jti="mine")))


REQUESTS = [
    ({"grant_type": None}, "invalid_request"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": "authorization_code"}, "invalid_request"),
    ({"grant_type": "refresh_token"}, "invalid_request"),
    ({"grant_type": "implicit"}, "unsupported_grant_type"),
    ({"scope": None}, "invalid_request"),
    ({"scope": "user/*.rs"}, "invalid_scope"),
    ({"scope": "patient/*.rs"}, "invalid_scope"),
    ({"scope": "system/*.dus"}, "invalid_scope"),
    ({"scope": "system/Patient.rs?identifier:above=x"}, "invalid_scope"),
    ({"scope": "admin"}, "invalid_scope"),
    ({"scope": "openid"}, "invalid_scope"),
    ({"client_assertion": None}, "invalid_request"),
    ({"client_assertion_type": None}, "invalid_request"),
    ({"client_assertion_type": "x"}, "invalid_request"),
    ({"client_secret": "guess"}, "invalid_request"),
    ({"client_id": "his-2"}, "invalid_client"),
]


@pytest.mark.parametrize(("changes", "error"), REQUESTS, ids=str)
async def test_a_request_that_is_not_right_is_told_in_oauths_words(
    store, authority, changes, error
):
    await register(store)
    found = await refused(authority.token(form(**changes), BASE))
    assert found.error == error
    assert found.told["error_description"].isascii()
    assert '"' not in found.told["error_description"]


async def test_a_parameter_that_comes_twice_is_refused_v5_0_0_15_3_7(store, authority):
    await register(store)
    for name, value in form():
        found = await refused(authority.token([*form(), (name, value)], BASE))
        assert found.error == "invalid_request"


async def test_who_is_not_registered_is_answered_like_who_signs_badly_v5_0_0_6_3_8(
    store, authority
):
    await register(store)
    await register(store, id="his-gone", revoked=5)
    told = []
    for claims in (
        said(iss="nobody", sub="nobody"),
        said(iss="his-gone", sub="his-gone"),
        said(iss="' or 1=1 --", sub="x"),
        said(iss="a\0b"),
        said(iss=["his-1"]),
    ):
        told.append((await refused(given(authority, client_assertion=signed(claims)))).told)
    forged = signed(said(), by=key("ES384", "other"), kid="k1")
    told.append((await refused(given(authority, client_assertion=forged))).told)
    assert all(each == told[0] for each in told)


async def test_no_more_is_granted_than_is_registered_v5_0_0_10_4_11(store, authority):
    await register(store, scopes="system/Observation.rs?category=laboratory system/Patient.r")
    told = await given(authority, scope="system/*.cruds user/*.cruds")
    assert set(told["scope"].split(" ")) == {
        "system/Observation.rs?category=laboratory",
        "system/Patient.r",
    }
    caller = await authority.authenticate(bearing(told["access_token"]))
    assert caller.scopes == parse(told["scope"])


async def test_what_a_registration_loses_its_tokens_lose_v5_0_0_8_3_2(store, authority, clock):
    await register(store)
    token = (await given(authority, scope="system/*.cruds"))["access_token"]
    assert await authority.authenticate(bearing(token))
    less = registered(scopes="system/Patient.r", roles=("clerk",), changed=2)
    assert await store.access.register(client.row(less), replaces=1)
    clock.now += 5000
    caller = await authority.authenticate(bearing(token))
    assert (caller.scopes, caller.roles) == (parse("system/Patient.r"), {"clerk"})


async def test_a_token_ends_when_it_was_said_to_v5_0_0_9_2_1(store, authority, clock):
    await register(store)
    token = (await given(authority))["access_token"]
    clock.now += 299_999
    assert await authority.authenticate(bearing(token))
    clock.now += 1
    with pytest.raises(Unauthorized):
        await authority.authenticate(bearing(token))


async def test_a_revoked_client_has_no_token_within_five_seconds_v5_0_0_7_4_2(
    store, authority, clock
):
    await register(store)
    token = (await given(authority))["access_token"]
    await authority.authenticate(bearing(token))
    gone = registered(revoked=clock.now, changed=clock.now)
    assert await store.access.register(client.row(gone), replaces=1)
    clock.now += 5000
    with pytest.raises(Unauthorized):
        await authority.authenticate(bearing(token))
    assert (await refused(given(authority))).error == "invalid_client"


async def test_a_rotated_key_is_good_no_more_and_the_new_one_is(store, authority):
    await register(store)
    new = key("ES384", "k2")
    after = replace(registered(), keys=tuple(public(new)), changed=2)
    assert await store.access.register(client.row(after), replaces=1)
    assert (await refused(given(authority))).error == "invalid_client"
    assert await given(authority, client_assertion=signed(said(), by=new))


NO_TOKEN = [
    (None, Unauthorized),
    ("", Unauthorized),
    ("Basic aGlzOng=", Unauthorized),
    ("Digest x", Unauthorized),
    ("Bearer", Invalid),
    ("Bearer ", Invalid),
    ("Bearer a b", Invalid),
    ("Bearer a, Bearer b", Invalid),
    ("Bearer {token}, Basic x", Invalid),
    ("Bearer é", Unauthorized),
    ("Bearer a\0b", Unauthorized),
    ("Bearer " + "a" * 9000, Unauthorized),
    ("Bearer ' or 1=1", Invalid),
    ("Bearer unknown", Unauthorized),
    ("Bearer a.b.c", Unauthorized),
    ("Bearer {token}x", Unauthorized),
    ("Bearer {digest}", Unauthorized),
]


@pytest.mark.parametrize(("header", "error"), NO_TOKEN, ids=str)
async def test_what_is_no_token_is_refused_v5_0_0_10_3_1(store, authority, header, error):
    await register(store)
    token = (await given(authority))["access_token"]
    told = header and header.format(token=token, digest=digest_of(token).hex())
    with pytest.raises(error) as found:
        await authority.authenticate(Credentials(told))
    assert found.value.headers["WWW-Authenticate"].startswith('Bearer realm="fhir"')


async def test_without_credentials_no_error_is_named(authority):
    """RFC 6750 3.1: who sent nothing is told how to ask, not what was wrong."""
    with pytest.raises(Unauthorized) as found:
        await authority.authenticate(Credentials(None))
    assert found.value.headers["WWW-Authenticate"] == 'Bearer realm="fhir"'
    with pytest.raises(Unauthorized) as found:
        await authority.authenticate(bearing("x"))
    assert 'error="invalid_token"' in found.value.headers["WWW-Authenticate"]


# --- for whom, and why ---------------------------------------------------------------------------


async def test_a_system_says_whom_it_acts_for(store, authority):
    await register(store, purposes=("TREAT", "BTG"), scopes="system/*.rs patient/*.rs")
    told = {"user": "Practitioner/1", "patient": "p1", "purpose": "BTG", "reason": "Cấp cứu"}
    answer = await given(
        authority, scope="patient/*.rs", client_assertion=signed(said(fhir_context=told))
    )
    assert answer["patient"] == "p1"
    caller = await authority.authenticate(bearing(answer["access_token"]))
    assert (caller.user, caller.patient) == ("Practitioner/1", "p1")
    assert (caller.purpose, caller.reason) == ("BTG", "Cấp cứu")


BEYOND = [
    ({"purpose": "HRESCH"}, {}),
    ({"patient": "p2"}, {"patient": "p1"}),
    ({"user": "Practitioner/2"}, {"user": "Practitioner/1"}),
]


@pytest.mark.parametrize(("told", "bound"), BEYOND, ids=str)
async def test_a_system_says_no_more_than_it_is_registered_for(store, authority, told, bound):
    await register(store, purposes=("TREAT",), **bound)
    sent = signed(said(fhir_context=told))
    assert (await refused(given(authority, client_assertion=sent))).error == "invalid_request"


# --- introspection and revocation ----------------------------------------------------------------


async def test_a_client_asks_what_its_token_is_good_for(store, authority, clock):
    await register(store)
    token = (await given(authority))["access_token"]
    told = await authority.introspect(form(token=token), Credentials(None), BASE)
    assert (told["active"], told["client_id"], told["scope"]) == (True, "his-1", "system/*.rs")
    assert told["exp"] == clock.now // 1000 + 300
    assert token not in json.dumps(told)


async def test_who_may_introspect_asks_about_all_others_about_their_own_alone(store, authority):
    await register(store)
    await register(store, id="his-2", introspects=True)
    mine = (await given(authority))["access_token"]
    theirs = (await given(authority, client_assertion=signed(said(iss="his-2", sub="his-2"))))[
        "access_token"
    ]
    asked = await authority.introspect([("token", mine)], bearing(theirs), BASE)
    assert asked["active"]
    asked = await authority.introspect([("token", theirs)], bearing(mine), BASE)
    assert asked == {"active": False}


@pytest.mark.parametrize("token", ["unknown", "a.b.c", "é", "' or 1=1 --", "x" * 9000])
async def test_what_is_no_token_is_not_active_and_nothing_more_is_said(store, authority, token):
    await register(store)
    told = await authority.introspect(form(token=token), Credentials(None), BASE)
    assert told == {"active": False}


async def test_nobody_asks_about_tokens_without_showing_who_they_are(store, authority):
    await register(store)
    token = (await given(authority))["access_token"]
    for credentials in (bearing("guess"), Credentials("Basic x"), Credentials("")):
        found = await refused(authority.introspect([("token", token)], credentials, BASE))
        assert (found.error, found.status) == ("invalid_token", 401)
        assert found.challenge.endswith('error="invalid_token"')
    found = await refused(authority.introspect([("token", token)], Credentials(None), BASE))
    assert found.error == "invalid_request"
    both = authority.introspect(form(token=token), bearing(token), BASE)
    assert (await refused(both)).error == "invalid_request"


async def test_a_client_takes_its_token_back_v5_0_0_7_4_1(store, authority, clock):
    await register(store)
    token = (await given(authority))["access_token"]
    await authority.authenticate(bearing(token))
    other = Authority(store, base=BASE, clock=clock)
    await other.authenticate(bearing(token))
    await authority.revoke(form(token=token), BASE)
    with pytest.raises(Unauthorized):
        await authority.authenticate(bearing(token))
    clock.now += 5000
    with pytest.raises(Unauthorized):
        await other.authenticate(bearing(token))
    told = await authority.introspect(
        form(token=token, client_assertion=signed(said(now=clock.now // 1000))),
        Credentials(None),
        BASE,
    )
    assert told == {"active": False}


async def test_a_token_that_is_none_needs_no_ending(store, authority):
    await register(store)
    await authority.revoke(form(token="unknown", token_type_hint="refresh_token"), BASE)


async def test_nobody_ends_the_token_of_another_v5_0_0_10_4_10(store, authority):
    await register(store)
    await register(store, id="his-2")
    token = (await given(authority))["access_token"]
    other = signed(said(iss="his-2", sub="his-2"))
    found = await refused(authority.revoke(form(other, token=token), BASE))
    assert found.error == "invalid_request"
    assert await authority.authenticate(bearing(token))


# --- for whom a client signed --------------------------------------------------------------------


async def test_what_was_signed_for_another_server_is_not_good_here_v5_0_0_9_2_4(store, clock):
    """An attacker who was sent an assertion names his own host in the request."""
    await register(store)
    evil = "https://evil.example/fhir"
    sent = form(signed(said(aud=f"{evil}/oauth/token")))
    at_home = Authority(store, base="https://fhir.example.vn/fhir", clock=clock)
    assert (await refused(at_home.token(sent, evil))).error == "invalid_client"
    untold = Authority(store, clock=clock)
    assert (await refused(untold.token(sent, evil))).error == "invalid_request"


async def test_on_its_own_machine_a_server_is_called_as_each_request_calls_it(store, clock):
    await register(store)
    untold = Authority(store, clock=clock)
    assert await untold.token(form(), BASE)
    assert (await untold.configuration(BASE))["token_endpoint"] == TOKEN_URL


async def test_a_process_remembers_no_more_tokens_than_its_bound(store, authority, monkeypatch):
    monkeypatch.setattr(recognising, "MANY", 2)
    await register(store)
    for _ in range(5):
        assert await authority.authenticate(bearing((await given(authority))["access_token"]))
    assert len(authority._recognising.known) <= 2


# --- a key set at a URL --------------------------------------------------------------------------

URL = "https://his.example/jwks"


async def test_a_client_may_publish_its_keys_and_rotate_them_itself(store, clock):
    published = [key()]
    asked = []

    def fetch(url):
        asked.append(url)
        return Fetched(key_set(*published).encode(), 300)

    await register(store, keys=(), keys_url=URL)
    authority = Authority(store, base=BASE, fetch=fetch, clock=clock)
    assert await given(authority)
    assert await given(authority, client_assertion=signed(said(), jku=URL))
    new = key("ES384", "k2")
    published[:] = [new]
    assert (await refused(given(authority, client_assertion=signed(said(), by=new)))).error
    assert await given(authority), "until its publisher's time is over the set of before holds"
    assert asked == [URL]


async def test_a_token_names_no_url_that_would_be_called_v5_0_0_1_3_6(store, clock):
    def fetch(url):
        raise AssertionError(url)

    await register(store)
    authority = Authority(store, base=BASE, fetch=fetch, clock=clock)
    sent = signed(said(), jku="https://169.254.169.254/")
    assert (await refused(given(authority, client_assertion=sent))).error == "invalid_client"


async def test_a_key_set_that_cannot_be_had_lets_nobody_in_v5_0_0_16_5_3(store, clock):
    def fetch(url):
        raise Unfetched("gone")

    await register(store, keys=(), keys_url=URL)
    authority = Authority(store, base=BASE, fetch=fetch, clock=clock)
    assert (await refused(given(authority))).error == "invalid_client"
