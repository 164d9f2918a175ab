"""signing — keys and tokens as clients and attackers make them."""

from __future__ import annotations

import base64
import itertools
import json
import time
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwk, jws

from fhir_server.security.tokens import client
from fhir_server.security.tokens.assertion import KIND
from fhir_server.security.tokens.client import Client

BASE = "http://localhost/fhir"
TOKEN_URL = f"{BASE}/oauth/token"
ALGORITHMS = ["RS256", "RS384", "ES256", "ES384", "HS256"]
NOW = 1_800_000_000  # what tests.conftest.Clock stands at, in seconds
numbers = itertools.count(1)


def key(kind="ES384", kid="k1"):
    """A private key; the same for the same words."""
    return made(kind, kid)


@cache
def made(kind, kid):
    told = {"kid": kid, "use": "sig", "alg": kind}
    if kind.startswith("RS"):
        return jwk.generate_key("RSA", 2048, told)
    return jwk.generate_key("EC", {"ES384": "P-384", "ES256": "P-256"}[kind], told)


def public(*keys):
    return [each.as_dict(private=False) for each in keys]


def key_set(*keys) -> str:
    return json.dumps({"keys": public(*keys)})


def said(now=NOW, **changes):
    """The claims of an assertion; None takes one away."""
    told = {"iss": "his-1", "sub": "his-1", "aud": TOKEN_URL, "exp": now + 240}
    told |= {"iat": now, "jti": f"n{next(numbers)}"} | changes
    return {name: value for name, value in told.items() if value is not None}


def signed(claims, *, by=None, **header):
    """header: None takes a member away."""
    by = by or key()
    head = {"alg": by.get("alg") or "ES384", "kid": by.kid, "typ": "JWT"} | header
    head = {name: value for name, value in head.items() if value is not None}
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jws.serialize_compact(head, payload, by, algorithms=ALGORITHMS)


def part(told) -> str:
    raw = told if isinstance(told, bytes) else json.dumps(told).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hand(header, claims, *, by=None) -> str:
    """Signed by an RSA key, whatever the header says: what no library would write."""
    by = by or key("RS384", "r1")
    told = f"{part(header)}.{part(claims)}"
    signature = by.private_key.sign(told.encode(), padding.PKCS1v15(), hashes.SHA384())
    return f"{told}.{part(signature)}"


def unsigned(header, claims, signature=b"") -> str:
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def registered(**changes) -> Client:
    told = {"id": "his-1", "scopes": "system/*.cruds", "roles": ("system",), "changed": 1}
    told |= {"keys": tuple(public(key(), key("RS384", "r1")))} | changes
    return Client(**told)


async def register(store, **changes):
    assert await store.access.register(client.row(registered(**changes)))


def form(assertion=None, **changes):
    """The form of a token request, as pairs; None takes one away."""
    told = {
        "grant_type": "client_credentials",
        "scope": "system/*.rs",
        "client_assertion_type": KIND,
        "client_assertion": signed(said()) if assertion is None else assertion,
    } | changes
    return [(name, value) for name, value in told.items() if value is not None]


def real_now() -> int:
    return int(time.time())
