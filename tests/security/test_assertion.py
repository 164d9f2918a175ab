"""A client proves itself by one fresh signature of its own key, and by nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from fhir_server.security.tokens import assertion
from fhir_server.security.tokens.signed import BadClaim, BadToken, verified

from .signing import (
    BASE,
    NOW,
    TOKEN_URL,
    by_hand,
    key,
    public,
    registered,
    said,
    signed,
    unsigned,
)

HERE = (TOKEN_URL, BASE)
RSA, EC = key("RS384", "r1"), key("ES384", "k1")


def proven(token, client=None, now=NOW, keys=None):
    client = client or registered()
    found = client.keys if keys is None else keys
    return assertion.proven(token, client, found, here=HERE, now=now)


@pytest.mark.parametrize("by", [EC, RSA], ids=["ES384", "RS384"])
def test_either_algorithm_of_smart_proves_a_client(by):
    assert proven(signed(said(), by=by))["iss"] == "his-1"


@pytest.mark.parametrize("aud", [TOKEN_URL, [TOKEN_URL], BASE])
def test_the_audience_is_the_token_url_or_who_gives_the_tokens(aud):
    assert proven(signed(said(aud=aud)))


def hs256(secret: bytes) -> str:
    head = {"alg": "HS256", "kid": "r1", "typ": "JWT"}
    told = unsigned(head, said()).rpartition(".")[0]
    raw = hmac.new(secret, told.encode(), hashlib.sha256).digest()
    return f"{told}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def head(**changes):
    return {"alg": "RS384", "kid": "r1", "typ": "JWT"} | changes


OTHER = key("RS384", "other")
# v5.0.0-9.1.1, -9.1.2, -9.1.3: what nothing is proven by. One answer for all of them.
UNPROVEN = {
    "none": lambda: unsigned(head(alg="none"), said()),
    "none in capitals": lambda: unsigned(head(alg="nOnE"), said()),
    "no signature": lambda: unsigned(head(), said()).rstrip("."),
    "empty signature": lambda: unsigned(head(), said()),
    "the public key as a secret": lambda: hs256(RSA.as_pem(private=False)),
    "the public key as a secret, in DER": lambda: hs256(RSA.as_der(private=False)),
    "an algorithm not of SMART": lambda: by_hand(head(alg="RS256"), said()),
    "another key by our kid": lambda: by_hand(head(), said(), by=OTHER),
    "an unknown kid": lambda: by_hand(head(kid="zz"), said()),
    "no kid": lambda: by_hand({"alg": "RS384", "typ": "JWT"}, said()),
    "the kid of a key of another type": lambda: by_hand(head(kid="k1"), said()),
    "a kid that is a number": lambda: by_hand(head(kid=1), said()),
    "a kid that is a path": lambda: by_hand(head(kid="../../dev/null"), said()),
    "a kid that is SQL": lambda: by_hand(head(kid="' or 1=1 --"), said()),
    "an algorithm that is a list": lambda: by_hand(head(alg=["RS384"]), said()),
    "an algorithm that is a table": lambda: by_hand(head(alg={}), said()),
    "no algorithm": lambda: by_hand({"kid": "r1", "typ": "JWT"}, said()),
    "a key it brings": lambda: by_hand(head(kid="other", jwk=public(OTHER)[0]), said(), by=OTHER),
    "a certificate it brings": lambda: by_hand(head(x5c=["A" * 200]), said()),
    "a certificate's URL": lambda: by_hand(head(x5u="https://evil.example/"), said()),
    "a key set's URL that is not registered": lambda: by_hand(
        head(jku="https://evil.example/jwks"), said()
    ),
    "a rule of its own": lambda: by_hand(head(crit=["exp"], exp=1), said()),
    "an empty rule": lambda: by_hand(head(crit=[]), said()),
    "an unencoded payload": lambda: by_hand(head(crit=["b64"], b64=False), said()),
    "a header with a name twice": lambda: by_hand(
        b'{"alg":"none","alg":"RS384","kid":"r1","typ":"JWT"}', said()
    ),
    "a payload that is a list": lambda: by_hand(head(), b"[]"),
    "a payload that is a text": lambda: by_hand(head(), b'"x"'),
    "a payload that is nothing": lambda: by_hand(head(), b""),
    "a payload nested deep": lambda: by_hand(head(), b"[" * 3000 + b"]" * 3000),
    "a claim twice": lambda: by_hand(
        head(), json.dumps(said())[:-1].encode() + b',"exp":%d}' % (NOW + 100)
    ),
    "exp that is no number": lambda: by_hand(
        head(), json.dumps(said()).replace(str(NOW + 240), "NaN").encode()
    ),
    "exp without end": lambda: by_hand(
        head(), json.dumps(said()).replace(str(NOW + 240), "Infinity").encode()
    ),
    "half a surrogate pair": lambda: by_hand(head(kid="\ud800"), said()),
    "five parts": lambda: "a.b.c.d.e",
    "no parts": lambda: "abc",
    "signs that are no base64url": lambda: "é.é.é",
    "white space around": lambda: f" {signed(said())}",
    "a line's end": lambda: f"{signed(said())}\n",
    "too long": lambda: by_hand(head(), said(pad="x" * 9000)),
    "another curve": lambda: signed(said(), by=key("ES256", "k1"), alg="ES256"),
}


@pytest.mark.parametrize("attack", UNPROVEN, ids=str)
def test_what_no_key_of_the_client_signed_proves_nothing_v5_0_0_9_1_1(attack):
    with pytest.raises(BadToken) as refused:
        proven(UNPROVEN[attack]())
    assert not isinstance(refused.value, BadClaim), "who is not proven is told nothing more"


# v5.0.0-9.2.1, -9.2.3, -9.2.4: signed by the client, and not accepted all the same
CLAIMS = [
    ({"iss": "his-2"}, "iss"),
    ({"sub": "his-2"}, "sub"),
    ({"sub": None}, "sub"),
    ({"iss": ["his-1", "his-2"]}, "iss"),
    ({"sub": ["his-1"]}, "sub"),
    ({"aud": None}, "aud"),
    ({"aud": "https://evil.example/fhir/oauth/token"}, "aud"),
    ({"aud": ["https://evil.example/fhir/oauth/token", TOKEN_URL]}, "aud"),
    ({"aud": f"{TOKEN_URL}/"}, "aud"),
    ({"aud": TOKEN_URL.upper()}, "aud"),
    ({"aud": []}, "aud"),
    ({"aud": {"a": TOKEN_URL}}, "aud"),
    ({"exp": None}, "exp"),
    ({"exp": NOW - 31}, "exp"),
    ({"exp": NOW - 30}, "exp"),
    ({"exp": NOW + 331}, "exp"),
    ({"exp": NOW + 86400}, "exp"),
    ({"exp": True}, "exp"),
    ({"exp": str(NOW + 100)}, "exp"),
    ({"exp": NOW + 100.5}, "exp"),
    ({"exp": 10**4000}, "exp"),
    ({"nbf": NOW + 31}, "nbf"),
    ({"nbf": "soon"}, "nbf"),
    ({"iat": NOW + 31}, "iat"),
    ({"iat": []}, "iat"),
    ({"jti": None}, "jti"),
    ({"jti": 5}, "jti"),
    ({"jti": ""}, "jti"),
    ({"jti": "x" * 300}, "jti"),
    ({"jti": "a\0b"}, "jti"),
]


@pytest.mark.parametrize(("changes", "named"), CLAIMS)
def test_a_claim_that_is_not_accepted_is_named_v5_0_0_9_2_1(changes, named):
    with pytest.raises(BadClaim, match=f"`{named}`"):
        proven(signed(said(**changes), by=RSA))


@pytest.mark.parametrize("typ", [None, "at+jwt", "id_token", ""])
def test_a_token_for_another_purpose_is_no_assertion_v5_0_0_9_2_2(typ):
    told = {"alg": "RS384", "kid": "r1"} | ({} if typ is None else {"typ": typ})
    with pytest.raises(BadClaim, match="typ"):
        proven(by_hand(told, said()))


def test_two_keys_of_one_kid_are_none():
    twice = [*public(EC), {**public(key("ES384", "k2"))[0], "kid": "k1"}]
    with pytest.raises(BadToken):
        proven(signed(said()), keys=twice)


def test_the_same_kid_may_stand_for_a_key_of_each_type():
    both = [*public(EC), {**public(RSA)[0], "kid": "k1"}]
    assert proven(signed(said()), keys=both)


def test_a_key_for_encryption_or_another_algorithm_verifies_nothing():
    for changed in ({"use": "enc"}, {"alg": "ES256"}):
        with pytest.raises(BadToken):
            proven(signed(said()), keys=[{**public(EC)[0], **changed}])


def test_the_registered_url_may_be_named_in_the_header():
    at = registered(keys=(), keys_url="https://his.example/jwks")
    token = by_hand(head(jku="https://his.example/jwks"), said())
    assert proven(token, at, keys=public(RSA))


def test_the_second_form_of_a_signature_is_the_same_jti():
    """An ES384 signature (r, n - s) verifies as well as (r, s)."""
    order = int(
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        16,
    )
    token = signed(said())
    told, _, last = token.rpartition(".")
    raw = base64.urlsafe_b64decode(last + "=" * (-len(last) % 4))
    r, s = int.from_bytes(raw[:48]), order - int.from_bytes(raw[48:])
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    other = base64.urlsafe_b64encode(r.to_bytes(48) + s.to_bytes(48)).rstrip(b"=").decode()
    twin = f"{told}.{other}"
    assert twin != token
    assert assertion.spent(proven(twin)) == assertion.spent(proven(token))


def test_a_jti_is_told_apart_by_who_says_it():
    one, other = said(jti="n"), said(jti="n", iss="his-2")
    assert assertion.spent(one) != assertion.spent(other)
    assert assertion.spent(one).until >= (one["exp"] + 30) * 1000, "as long as it would be accepted"


def test_who_is_not_registered_or_revoked_is_told_like_a_bad_signature_v5_0_0_6_3_8():
    for client in (None, registered(revoked=5)):
        with pytest.raises(BadToken) as refused:
            assertion.proven(signed(said()), client, public(EC), here=HERE, now=NOW)
        assert not isinstance(refused.value, BadClaim)


CONTEXT = [
    "doctor",
    [],
    {"user": 5},
    {"user": ""},
    {"user": "Patient/1/../2"},
    {"user": "Organization/1"},
    {"patient": "Patient/1"},
    {"purpose": "treat"},
    {"reason": "x" * 501},
    {"reason": "a\nb"},
    {"role": "admin"},
    {"roles": ["admin"]},
    {"everything": "true"},
    {"\n": "x"},
]


@pytest.mark.parametrize("told", CONTEXT, ids=str)
def test_a_context_that_is_not_understood_is_refused_v5_0_0_15_3_3(told):
    with pytest.raises(BadClaim, match="fhir_context"):
        assertion.context(said(fhir_context=told))


def test_a_context_says_for_whom_and_why():
    told = {"user": "Practitioner/1", "purpose": "BTG", "reason": "Cấp cứu", "patient": "p1"}
    assert assertion.context(said(fhir_context=told)) == told
    assert assertion.context(said()) == {}


@pytest.mark.parametrize("by", [EC, RSA], ids=["ES384", "RS384"])
def test_for_a_client_that_is_not_there_a_signature_is_tried_all_the_same(by):
    token = signed(said(), by=by)
    keys = [{**each, "kid": by.kid} for each in assertion._decoys()]
    with pytest.raises(BadToken, match="BadSignature"):
        verified(token, keys, ("RS384", "ES384"))
