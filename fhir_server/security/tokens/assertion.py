"""assertion — a client proves itself by what it signs (private_key_jwt).

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2, client-confidential-asymmetric; RFC 7523. Until the signature is verified every failure
is told alike, and takes as long for a client that does not exist as for one that does.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache

from joserfc import jwk

from fhir_server.security.tokens import signed
from fhir_server.security.tokens.client import CLIENT_ID, PURPOSE, USER, Client
from fhir_server.security.tokens.client import ID as RESOURCE_ID
from fhir_server.security.tokens.keys import ASSERTION, Jwk
from fhir_server.security.tokens.signed import BadClaim, BadToken, Claims
from fhir_server.store.contract.access import Spent

KIND = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 300  # seconds an assertion may live
TYPES = frozenset({"jwt", "client-authentication+jwt"})
UNPROVEN = (
    "The client is not registered here, or its assertion is not a JWT signed by RS384 or ES384"
    " with a registered key that its kid names."
)
# What a system says of whom it acts for, in its assertion's claim `fhir_context`.
CONTEXT: Mapping[str, Callable[[str], object]] = {
    "user": USER.fullmatch,
    "patient": RESOURCE_ID.fullmatch,
    "purpose": PURPOSE.fullmatch,
    "basis": lambda text: text.isprintable() and len(text) <= 100,
    "reason": lambda text: text.isprintable() and len(text) <= 500,
}


def issuer(token: str, client_id: str | None) -> str:
    """Whose assertion it says it is; client_id: what is said beside it. Raises BadToken."""
    found = signed.told(token).get("iss")
    if not isinstance(found, str) or not CLIENT_ID.fullmatch(found):
        raise BadToken("it names no issuer that could be a client")
    if client_id not in (None, found):
        raise BadToken("client_id is not the issuer")
    return found


def kid(token: str) -> object:
    """The key it says it is signed with. Raises BadToken."""
    return signed.header(token).get("kid")


def proven(
    token: str, client: Client | None, keys: Sequence[Jwk], *, here: Collection[str], now: int
) -> Claims:
    """What it says, all of it checked. here: the names of this token endpoint. Raises BadToken."""
    if client is None or client.revoked:
        _take_as_long(token)
        raise BadToken("no such client")
    claims = signed.verified(token, keys, ASSERTION)
    head = signed.header(token)
    if head.get("jku") not in (None, client.keys_url or None):
        raise BadToken("its jku is not the URL that is registered")
    if str(head.get("typ")).lower() not in TYPES:
        raise BadClaim("The header's `typ` must be `JWT`.")
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise BadClaim("`iss` and `sub` must both be the client's id.")
    audiences = signed.audiences(claims)
    if len(audiences) != 1 or not set(audiences) <= set(here):
        raise BadClaim("`aud` must be the URL of this token endpoint, and nothing beside it.")
    signed.demand_times(claims, now, at_most=LONGEST)
    signed.text(claims, "jti")
    return claims


def spent(claims: Claims) -> Spent:
    """What may be seen once: this client's jti. RFC 7523 3, SMART: never twice while it lives."""
    told = f"{claims['iss']}\0{claims['jti']}".encode()
    until = (int(claims["exp"]) + 2 * signed.LEEWAY) * 1000
    return Spent(hashlib.sha256(told).digest(), until)


def context(claims: Claims) -> Mapping[str, str]:
    """What `fhir_context` says. Raises BadClaim."""
    found = claims.get("fhir_context", {})
    if not isinstance(found, dict):
        raise BadClaim("`fhir_context` must be an object.")
    for name, value in found.items():
        holds = CONTEXT.get(name)
        if holds is None or not isinstance(value, str) or not value or not holds(value):
            raise BadClaim(
                f"`fhir_context` takes {', '.join(CONTEXT)}: a reference, an id, a code of"
                f" v3-PurposeOfUse and two texts. `{name[:30]}` is not understood."
                if name.isascii() and name.isprintable()
                else "`fhir_context` has a member that is not understood."
            )
    return found


def _take_as_long(token: str) -> None:
    """Verify by a key that verifies nothing."""
    with suppress(BadToken):
        signed.verified(token, [{**key, "kid": kid(token)} for key in _decoys()], ASSERTION)


@cache
def _decoys() -> tuple[Jwk, ...]:
    """Made at once: of the RSA key only the public part, which nobody has the private part of."""
    modulus = base64.urlsafe_b64encode(b"\xc0" + os.urandom(254) + b"\x01").rstrip(b"=")
    rsa = {"kty": "RSA", "n": modulus.decode(), "e": "AQAB"}
    return rsa, jwk.generate_key("EC", "P-384").as_dict(private=False)
