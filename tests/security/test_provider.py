"""Tokens of the outside OpenID provider: its own, for us, of a client that is registered as its."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Unauthorized
from fhir_server.security.scope import parse
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.security.tokens.fetching import FileKeys
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.security.tokens.provider import ALGORITHMS, Provider

from .signing import BASE, NOW, by_hand, form, key, key_set, register, signed, unsigned

ISSUER = "https://idp.example.vn"
KEY = key("RS256", "idp-1")
OTHER = key("RS256", "idp-2")


@pytest.fixture
def authority(store, clock, tmp_path):
    file = tmp_path / "idp.jwks.json"
    file.write_text(key_set(KEY, key("ES256", "idp-e")))
    outside = Provider(ISSUER, FileKeys(file, ALGORITHMS), BASE)
    return Authority(store, base=BASE, outside=outside, clock=clock)


def said(**changes):
    told = {"iss": ISSUER, "sub": "u-93", "aud": BASE, "azp": "viewer", "exp": NOW + 600}
    told |= {"iat": NOW, "scope": "openid user/*.rs", "jti": "t1", "roles": ["doctor"]} | changes
    return {name: value for name, value in told.items() if value is not None}


async def viewer(store, **changes):
    told = {"id": "viewer", "keys": (), "provider": True, "scopes": "openid user/*.rs"}
    await register(store, **told | {"roles": ("doctor", "nurse")} | changes)


async def asked(authority, token):
    return await authority.authenticate(Credentials(f"Bearer {token}"))


async def test_a_token_of_the_provider_tells_who_asks_v5_0_0_10_3_3(store, authority):
    await viewer(store, facility="bv-1")
    caller = await asked(authority, signed(said(), by=KEY))
    assert (caller.client, caller.user) == ("viewer", f"{ISSUER}|u-93")
    assert (caller.roles, caller.scopes) == ({"doctor"}, parse("user/*.rs"))
    assert (caller.facility, caller.token) == ("bv-1", "t1")


@pytest.mark.parametrize("told", [f"{BASE}/Practitioner/1", "Practitioner/1"])
async def test_fhiruser_is_the_user_where_it_is_one_of_ours(store, authority, told):
    await viewer(store)
    assert (await asked(authority, signed(said(fhirUser=told), by=KEY))).user == "Practitioner/1"


@pytest.mark.parametrize("told", ["https://evil.example/Practitioner/1", "Practitioner/1/x", "x|y"])
async def test_a_user_of_elsewhere_is_told_by_issuer_and_subject_v5_0_0_6_8_1(
    store, authority, told
):
    await viewer(store)
    assert (await asked(authority, signed(said(fhirUser=told), by=KEY))).user == f"{ISSUER}|u-93"


@pytest.mark.parametrize("aud", [BASE, [BASE], ["account", BASE]])
async def test_the_token_is_for_this_server_perhaps_among_others(store, authority, aud):
    await viewer(store)
    assert await asked(authority, signed(said(aud=aud), by=KEY))


async def test_a_role_needs_both_the_provider_and_the_registration(store, authority):
    await viewer(store)
    caller = await asked(authority, signed(said(roles=["nurse", "admin", "system"]), by=KEY))
    assert caller.roles == {"nurse"}


ATTACKS = {
    "another issuer": lambda: signed(said(iss="https://evil.example"), by=KEY),
    "an issuer that begins alike": lambda: signed(said(iss=f"{ISSUER}.evil.example"), by=KEY),
    "issuers in a list": lambda: signed(said(iss=[ISSUER]), by=KEY),
    "no issuer": lambda: signed(said(iss=None), by=KEY),
    "another audience": lambda: signed(said(aud="https://other.example"), by=KEY),
    "an identity token's audience": lambda: signed(said(aud="viewer"), by=KEY),
    "an identity token": lambda: signed(said(nonce="n"), by=KEY),
    "an identity token by its type": lambda: signed(said(typ="ID"), by=KEY),
    "a refresh token by its type": lambda: signed(said(typ="Refresh"), by=KEY),
    "a logout token": lambda: signed(said(), by=KEY, typ="logout+jwt"),
    "no audience": lambda: signed(said(aud=None), by=KEY),
    "over": lambda: signed(said(exp=NOW - 60), by=KEY),
    "without an end": lambda: signed(said(exp=None), by=KEY),
    "too long a life": lambda: signed(said(exp=NOW + 90_000), by=KEY),
    "not yet": lambda: signed(said(nbf=NOW + 600), by=KEY),
    "no client": lambda: signed(said(azp=None), by=KEY),
    "two clients": lambda: signed(said(client_id="other"), by=KEY),
    "a client in a list": lambda: signed(said(azp=["viewer"]), by=KEY),
    "a client nobody registered": lambda: signed(said(azp="nobody"), by=KEY),
    "a client that is SQL": lambda: signed(said(azp="' or 1=1 --"), by=KEY),
    "a client of our own": lambda: signed(said(azp="his-1"), by=KEY),
    "a revoked client": lambda: signed(said(azp="gone"), by=KEY),
    "no subject": lambda: signed(said(sub=None), by=KEY),
    "no scope": lambda: signed(said(scope=None), by=KEY),
    "a scope that is not understood": lambda: signed(said(scope="user/*.zz"), by=KEY),
    "roles that are no list": lambda: signed(said(roles="doctor"), by=KEY),
    "a patient that is a path": lambda: signed(said(patient="../1"), by=KEY),
    "a number that is none": lambda: signed(said(jti={"a": 1}), by=KEY),
    "another key": lambda: signed(said(), by=OTHER),
    "another key by the right kid": lambda: signed(said(), by=OTHER, kid="idp-1"),
    "no kid": lambda: signed(said(), by=KEY, kid=None),
    "the key of another type": lambda: signed(said(), by=KEY, kid="idp-e"),
    "none": lambda: unsigned({"alg": "none", "kid": "idp-1"}, said()),
    "a key it brings": lambda: by_hand(
        {"alg": "RS384", "kid": "x", "jwk": OTHER.as_dict(private=False)}, said(), by=OTHER
    ),
    "an assertion of a client": lambda: dict(form())["client_assertion"],
}


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
async def test_what_is_not_the_providers_token_for_us_is_refused_v5_0_0_9_2_3(
    store, authority, attack
):
    await viewer(store)
    await viewer(store, id="gone", revoked=5)
    await register(store)
    with pytest.raises(Unauthorized) as refused:
        await asked(authority, ATTACKS[attack]())
    assert str(refused.value).startswith("The access token is not accepted")


async def test_a_token_for_another_facility_than_the_clients_is_refused_v5_0_0_8_4_1(
    store, authority
):
    await viewer(store, facility="bv-1")
    assert await asked(authority, signed(said(facility="bv-1"), by=KEY))
    with pytest.raises(Unauthorized):
        await asked(authority, signed(said(facility="bv-2"), by=KEY))


async def test_a_token_that_was_taken_ends_when_it_says(store, authority, clock):
    await viewer(store)
    token = signed(said(exp=NOW + 2), by=KEY)
    assert await asked(authority, token)
    clock.now += 33_000
    with pytest.raises(Unauthorized):
        await asked(authority, token)


async def test_without_a_provider_no_such_token_is_looked_at(store, clock):
    await viewer(store)
    with pytest.raises(Unauthorized):
        await asked(Authority(store, base=BASE, clock=clock), signed(said(), by=KEY))


async def test_a_key_file_that_changes_is_read_again(store, authority, tmp_path):
    await viewer(store)
    with pytest.raises(Unauthorized):
        await asked(authority, signed(said(), by=OTHER))
    (tmp_path / "idp.jwks.json").write_text(key_set(KEY, OTHER, key("ES384", "idp-3")))
    assert await asked(authority, signed(said(), by=OTHER))
    (tmp_path / "idp.jwks.json").unlink()
    with pytest.raises(Unauthorized):
        await asked(authority, signed(said(jti="t2"), by=OTHER))


async def test_the_providers_clients_get_no_tokens_of_ours(store, authority):
    await viewer(store)
    sent = form(signed({**said(), "iss": "viewer", "sub": "viewer"}, by=KEY))
    with pytest.raises(OAuthError) as refused:
        await authority.token(sent, BASE)
    assert refused.value.error == "invalid_client"
