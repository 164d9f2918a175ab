"""Tokens made by chance and by malice: none but what the client signed, as it signed it, is good.

Each attack has a test of its own beside what it attacks (test_assertion, test_provider, test_keys,
test_authority, test_launching, test_granted, test_identity, test_smart); here they are many.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
from dataclasses import replace

from fhir_server.foundation.outcome import FhirError
from fhir_server.security.tokens import client
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.security.tokens.fetching import FileKeys
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.security.tokens.provider import ALGORITHMS, Provider
from tests.attack import times
from tests.rest.client import on_one_database

from .signing import BASE, NOW, form, key, key_set, public, register, registered, said, signed

SEED = int(os.environ.get("FHIR_FUZZ_SEED", "1"))
SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
IDP, IDP_KEY = "https://idp.example.vn", key("RS256", "idp-1")
HEADS = [
    {"alg": "none"}, {"alg": "HS256"}, {"alg": "HS384"}, {"alg": "RS256"}, {"alg": "ES256"},
    {"alg": ["ES384"]}, {"alg": 1}, {"alg": None}, {"kid": "r1"}, {"kid": "other"}, {"kid": 1},
    {"kid": ["k1"]}, {"kid": "' or 1=1 --"}, {"kid": "../../etc/passwd"}, {"kid": "k1\u0000"},
    {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/cert"}, {"x5c": ["MII"]},
    {"jwk": {"kty": "EC"}}, {"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"typ": "at+jwt"},
    {"zip": "DEF"}, {"enc": "A128GCM"}, {"cty": "JWT", "typ": "x"},
]  # fmt: skip
CLAIMS = [
    {"iss": "his-2"}, {"iss": ["his-1"]}, {"iss": None}, {"sub": "his-2"}, {"sub": None},
    {"aud": "https://evil.example/token"}, {"aud": [BASE, "https://evil.example"]}, {"aud": []},
    {"aud": None}, {"exp": NOW - 60}, {"exp": NOW + 9999}, {"exp": str(NOW + 60)}, {"exp": None},
    {"exp": 1e400}, {"exp": True}, {"nbf": NOW + 600}, {"iat": NOW + 600}, {"jti": None},
    {"jti": 7}, {"jti": ""}, {"jti": "x" * 9000},
]  # fmt: skip


def changed(chance, token):
    """A token with signs of it changed, taken away, put in, or parts of it mixed up."""
    signs = list(token)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(signs))
        match chance.randrange(4):
            case 0:
                signs[at] = chance.choice(SIGNS + ".=+/ \n\x00é")
            case 1:
                del signs[at]
            case 2:
                signs.insert(at, chance.choice(SIGNS + ".= "))
            case _:
                signs[at:] = signs[at : at + chance.randrange(1, 40)]
    return "".join(signs)


def rewritten(chance, token, heads, claims):
    """Its header or payload says something else, under the signature it had."""
    head, payload, signature = token.split(".")
    if chance.random() < 0.5:
        head = part_of(json.loads(raw(head)) | chance.choice(heads))
    else:
        payload = part_of(json.loads(raw(payload)) | chance.choice(claims))
    return ".".join((head, payload, signature))


def raw(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def part_of(told):
    return base64.urlsafe_b64encode(json.dumps(told).encode()).rstrip(b"=").decode()


def same(token, other):
    """The last sign of a part has bits that no byte takes: other letters, the same bytes."""
    try:
        return [raw(part) for part in token.split(".")] == [raw(part) for part in other.split(".")]
    except ValueError:
        return False


async def is_given(authority, assertion):
    """Whether a token is given for it. Whatever it is, it is answered in OAuth's words."""
    try:
        return bool(await authority.token(form(assertion), BASE))
    except OAuthError:
        return False


@on_one_database
async def test_no_assertion_but_the_clients_own_is_good_v5_0_0_9_1_1(store, clock, tell):
    await register(store)
    authority = Authority(store, base=BASE, clock=clock)
    chance, tried = random.Random(SEED), 0
    for n in range(times(600, 40_000)):
        token = signed(said())
        attack = changed(chance, token) if n % 2 else rewritten(chance, token, HEADS, CLAIMS)
        if same(token, attack):
            continue
        assert not await is_given(authority, attack), (SEED, n, attack)
        tried += 1
    tell("token attacks: forged assertions refused", tried)


@on_one_database
async def test_what_a_client_itself_signs_wrongly_is_refused_v5_0_0_9_2_1(store, clock, tell):
    await register(store)
    authority = Authority(store, base=BASE, clock=clock)
    for claims in CLAIMS:
        assert not await is_given(authority, signed(said(**claims))), claims
    tell("token attacks: assertions of wrong claims", len(CLAIMS))


@on_one_database
async def test_no_token_but_the_providers_own_is_good_v5_0_0_9_1_1(store, clock, tell, tmp_path):
    file = tmp_path / "idp.json"
    file.write_text(key_set(IDP_KEY))
    outside = Provider(IDP, FileKeys(file, ALGORITHMS), BASE)
    authority = Authority(store, base=BASE, outside=outside, clock=clock)
    await register(store, id="viewer", keys=(), provider=True, scopes="user/*.rs")
    told = {"iss": IDP, "sub": "u-1", "aud": BASE, "azp": "viewer", "exp": NOW + 600}
    token = signed(told | {"scope": "user/*.rs"}, by=IDP_KEY)
    assert await authority.authenticate(Credentials(f"Bearer {token}"))
    chance, tried = random.Random(SEED), 0
    for n in range(times(600, 40_000)):
        attack = changed(chance, token) if n % 2 else rewritten(chance, token, HEADS, CLAIMS)
        if same(token, attack):
            continue
        try:
            caller = await authority.authenticate(Credentials(f"Bearer {attack}"))
        except FhirError:
            tried += 1
        else:
            raise AssertionError((SEED, n, attack, caller))
    tell("token attacks: forged tokens of the provider refused", tried)


async def test_of_many_who_replay_an_assertion_one_is_given_a_token_v5_0_0_15_4_2(
    store, clock, tell
):
    """At once, on several workers; and after each of them was started anew."""
    await register(store)
    for _ in range(times(2, 100)):
        workers = [Authority(store, base=BASE, clock=clock) for _ in range(4)]
        assertion = signed(said())
        found = await asyncio.gather(*(is_given(each, assertion) for each in workers * 2))
        assert sum(found) == 1
        assert not await is_given(Authority(store, base=BASE, clock=clock), assertion)
        tell("token attacks: assertions replayed", len(found))


async def test_a_key_of_before_is_good_no_more_under_its_old_name_v5_0_0_9_1_3(store, clock):
    """The new key has the old one's kid, and the old one signs."""
    await register(store)
    authority = Authority(store, base=BASE, clock=clock)
    new = key("ES384", "second")
    renamed = {**public(new)[0], "kid": "k1"}
    after = replace(registered(keys=(renamed,)), changed=2)
    assert await store.access.register(client.row(after), replaces=1)
    assert not await is_given(authority, signed(said()))
    assert await is_given(authority, signed(said(), by=new, kid="k1"))
