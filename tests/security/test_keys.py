"""A key set is read key by key, and holds what verifies assertions or is refused in words."""

from __future__ import annotations

import json

import pytest

from fhir_server.security.tokens.keys import BadKeys, fetched, registered

from .signing import key, key_set, public

EC, RSA = public(key(), key("RS384", "r1"))


def test_keys_of_both_algorithms_are_taken_and_nothing_but_their_public_members():
    found = registered(json.dumps({"keys": [EC | {"note": "x"}, RSA]}))
    assert [each["kid"] for each in found] == ["k1", "r1"]
    assert all({"d", "note"}.isdisjoint(each) for each in found)


def of(*keys):
    return json.dumps({"keys": keys})


REFUSED = [
    ("", "not JSON"),
    ("[]", '{"keys": [...]}'),
    ('{"keys": {}}', '{"keys": [...]}'),
    ('{"keys": [], "keys": []}', "not JSON"),
    ("[" * 50_000, "not JSON"),
    (of(), "empty"),
    (of("x"), "object"),
    (of(*[EC] * 21), "at most 20"),
    (of(EC, EC), "same `kid`"),
    (of({**EC, "kid": None}), "no `kid`"),
    (of({**EC, "kid": "x" * 129}), "no `kid`"),
    (of({name: value for name, value in EC.items() if name != "kid"}), "no `kid`"),
    (of(key().as_dict(private=True)), "private members"),
    (of({**EC, "d": ""}), "private members"),
    (of({"kty": "oct", "kid": "o", "k": "c2VjcmV0"}), "private members"),
    (of({**EC, "use": "enc"}), "`use`"),
    (of({**RSA, "alg": "RS256"}), "fits none"),
    (of({**EC, "crv": "P-256"}), "fits none"),
    (of({"kty": "AKP", "kid": "q", "pub": "AA"}), "fits none"),
    (of({**RSA, "kty": ["RSA"]}), "fits none"),
    (of({**RSA, "n": "AQAB"}), "bits"),
    (of({**RSA, "n": "A" * 3000}), "bits"),
    (of({**RSA, "n": 5}), "make no key"),
    (of({**RSA, "e": "AQ"}), "make no key"),
    (of({**EC, "x": "AA"}), "make no key"),
    (of({**EC, "x": EC["y"], "y": EC["x"]}), "make no key"),
    (" " * 70_000, "at most 65536"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_verify_is_refused_by_what_is_wrong_v5_0_0_11_6_1(text, said):
    with pytest.raises(BadKeys) as refused:
        registered(text)
    assert said in str(refused.value)


def test_of_a_published_set_what_is_for_other_uses_is_left_out():
    odd = {"kty": "AKP", "kid": "q", "pub": "AA"}, {**RSA, "kid": "e", "use": "enc"}, "x", None
    found = fetched(of(*odd, EC), ("ES384",))
    assert [each["kid"] for each in found] == ["k1"]
    assert fetched(key_set(key("ES256", "p")), ("ES384",)) == ()
    assert fetched(key_set(key("ES256", "p")), ("ES256",))
