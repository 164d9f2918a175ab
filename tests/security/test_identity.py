"""An identity token says who gave leave, to the application that asked, by a key of the server's.

OpenID Connect Core 1.0; SMART 2.2, sso-openid-connect."""

from __future__ import annotations

import asyncio
import json

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.security.tokens import signed as verifying
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.identity import DAY, NAME, PUBLISHED, QUARTER, Identity
from fhir_server.security.tokens.keys import fetched
from fhir_server.security.tokens.launching import Returned

from .signing import BASE, NOW, form, unsigned
from .test_launching import app, asked, code_of, exchange, refused, told_by, wanted

WORDS = "openid fhirUser launch/patient patient/*.rs"
SCOPES = {"scopes": f"{WORDS} profile"}


@pytest.fixture
def authority(store, clock):
    return Authority(store, base=BASE, clock=clock, secret=b"s" * 32)


async def opened(authority, token):
    """The claims, verified as an application does: by what is published, and nothing else."""
    keys = fetched(json.dumps(await authority.keys()), ("RS256",))
    return verifying.verified(token, keys, ("RS256",))


async def given(store, authority, clock, **changes):
    code = await code_of(authority, store, clock, **{"scope": WORDS} | changes)
    return await authority.token(exchange(code), BASE)


async def test_who_gave_leave_is_told_to_who_asked_v5_0_0_10_5_4(store, authority, clock):
    await app(store, **SCOPES)
    answer = await given(store, authority, clock, nonce="n-0S6_WzA2Mj")
    assert answer["scope"] == WORDS
    claims = await opened(authority, answer["id_token"])
    assert claims == {
        "iss": BASE,
        "sub": "Patient/p1",
        "aud": "app",
        "iat": NOW,
        "exp": NOW + 3600,
        "auth_time": NOW,
        "nonce": "n-0S6_WzA2Mj",
        "fhirUser": f"{BASE}/Patient/p1",
    }
    assert verifying.header(answer["id_token"])["alg"] == "RS256"


async def test_only_what_was_asked_for_is_told(store, authority, clock):
    await app(store, **SCOPES)
    assert "id_token" not in await given(store, authority, clock, scope="patient/*.rs fhirUser")
    answer = await given(store, authority, clock, scope="openid patient/*.rs profile")
    assert answer["scope"] == "openid patient/*.rs"
    claims = await opened(authority, answer["id_token"])
    assert not {"fhirUser", "nonce"} & claims.keys()
    alone = await given(store, authority, clock, scope="openid fhirUser")
    assert alone["scope"] == "openid fhirUser", "to know who it is reaches no record"
    assert (await asked(authority, alone["access_token"])).scopes == ()


async def test_what_is_published_signs_nothing_v5_0_0_6_7_1(store, authority, clock):
    await app(store, **SCOPES)
    await given(store, authority, clock)
    (key,) = (await authority.keys())["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    kept = await store.access.keep(NAME, "x")
    assert "sealed" in kept
    assert '"d"' not in kept


async def test_an_identity_token_is_no_access_token_and_no_assertion_v5_0_0_9_2_2(
    store, authority, clock
):
    await app(store, **SCOPES)
    token = (await given(store, authority, clock))["id_token"]
    with pytest.raises(Unauthorized):
        await asked(authority, token)
    assert await refused(authority.token(form(token), BASE)) == "invalid_client"
    refresh = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "app"}
    assert await refused(authority.token(list(refresh.items()), BASE)) == "invalid_grant"


async def test_all_processes_sign_by_the_same_key(store, clock):
    others = [Authority(store, base=BASE, clock=clock, secret=b"s" * 32) for _ in range(3)]
    found = await asyncio.gather(*(each.keys() for each in others))
    assert len({json.dumps(each) for each in found}) == 1


async def test_a_key_is_followed_by_another_and_verifies_a_while_longer(store, authority, clock):
    await app(store, **SCOPES)
    first = (await given(store, authority, clock))["id_token"]
    clock.now += QUARTER * DAY
    second = (await given(store, authority, clock))["id_token"]
    kids = [verifying.header(each)["kid"] for each in (first, second)]
    assert kids[0] != kids[1]
    assert [key["kid"] for key in (await authority.keys())["keys"]] == kids[::-1]
    assert (await opened(authority, first))["sub"] == "Patient/p1"
    clock.now += PUBLISHED * DAY
    assert [key["kid"] for key in (await authority.keys())["keys"]] == kids[1:]


async def test_under_another_secret_another_key_signs(store, clock):
    """Who has a copy of the database, and not the secret, signs nothing that is believed."""
    first = Identity(store, b"s" * 32)
    other = Identity(store, b"t" * 32)
    (before,) = (await first.published(clock.now))["keys"]
    newest, older = (await other.published(clock.now))["keys"]
    assert (older, newest["kid"] != before["kid"]) == (before, True)
    facts = {"user": "Patient/1", "when": clock.now, "scope": "openid"}
    token = await other.token(facts, issuer=BASE, audience="app", now=clock.now)
    keys = fetched(json.dumps({"keys": [before]}), ("RS256",))
    with pytest.raises(verifying.BadToken):
        verifying.verified(token, keys, ("RS256",))


WRONG = [
    ({"nonce": "a b"}, "invalid_request"),
    ({"nonce": "x" * 201}, "invalid_request"),
    ({"prompt": "none"}, "interaction_required"),
    ({"request": "e30.e30."}, "request_not_supported"),
    ({"request_uri": "https://evil.example/"}, "request_uri_not_supported"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"response_type": "id_token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
]


@pytest.mark.parametrize(("changes", "error"), WRONG, ids=str)
async def test_what_openid_may_ask_and_is_not_done_is_refused_v5_0_0_10_4_4(
    store, authority, changes, error
):
    await app(store, **SCOPES)
    with pytest.raises(Returned) as found:
        await authority.launch(wanted(**changes), BASE)
    assert told_by(found.value.url)["error"] == error


async def test_a_token_by_hand_is_not_the_servers(authority):
    """`none`, and the public key as a secret of HS256."""
    (key,) = (await authority.keys())["keys"]
    for head in ({"alg": "none", "kid": key["kid"]}, {"alg": "HS256", "kid": key["kid"]}):
        with pytest.raises(verifying.BadToken):
            await opened(authority, unsigned(head, {"sub": "Patient/1"}, b"x"))
