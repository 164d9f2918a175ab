"""provider — the access tokens of an outside OpenID provider.

https://hl7.org/fhir/R4/security.html#authentication

RFC 9068, SMART 2.2. Its tokens are taken for clients that are registered here as the provider's,
and for no others: so this server's own registration bounds what the provider may give, and
revoking a client here ends what it was given there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.security.tokens import signed
from fhir_server.security.tokens.client import CLIENT_ID, ID, PURPOSE, ROLE, USER
from fhir_server.security.tokens.discovery import Discovery
from fhir_server.security.tokens.fetching import Keys
from fhir_server.security.tokens.keys import BadKeys
from fhir_server.security.tokens.signed import BadClaim, BadToken, Claims

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
LONGEST = 3600  # seconds: what the provider takes back is not seen here before its token ends
NO_ACCESS = frozenset({"id", "refresh", "logout"})  # the claim `typ` of some providers
JWT = frozenset({"jwt", "at+jwt", "application/at+jwt", "none"})


@dataclass(frozen=True, slots=True)
class Provider:
    """Who it is, its keys, and the audience that its tokens for this server name. discovery: where
    it tells its endpoints, which clients are told then; None: it tells them itself."""

    issuer: str
    keys: Keys
    audience: str
    discovery: Discovery | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a verified token says."""

    client: str
    user: str
    scope: str
    expires: int  # seconds
    number: str
    facts: Mapping[str, Any]  # facility, roles, purpose, patient: as far as they are said


async def verified(provider: Provider, token: str, *, base: str, now: int) -> Told:
    """Raises BadToken."""
    head = signed.header(token)
    try:
        keys = await provider.keys.having(head.get("kid"))
    except BadKeys as error:
        raise BadToken(str(error)) from None
    claims = signed.verified(token, keys, ALGORITHMS)
    kind = str(claims.get("typ", "")).lower()
    if str(head.get("typ")).lower() not in JWT or kind in NO_ACCESS or "nonce" in claims:
        raise BadToken("it is no access token")
    if claims.get("iss") != provider.issuer:
        raise BadToken("it is of another issuer")
    if provider.audience not in signed.audiences(claims):
        raise BadToken("it is for another audience")
    signed.demand_times(claims, now, at_most=LONGEST)
    client = claims.get("azp", claims.get("client_id"))
    if not isinstance(client, str) or not CLIENT_ID.fullmatch(client):
        raise BadToken("it names no client")
    if claims.get("client_id", client) != client:
        raise BadToken("it names two clients")
    subject = signed.text(claims, "sub")
    number = claims.get("jti", "")
    if not isinstance(number, str) or len(number) > 255:
        raise BadToken("its number is none")
    return Told(
        client=client,
        user=_user(claims, base) or f"{provider.issuer}|{subject}",
        scope=signed.text(claims, "scope", longest=signed.MAX_TEXT),
        expires=claims["exp"],
        number=number,
        facts=_facts(claims),
    )


def _user(claims: Claims, base: str) -> str:
    """fhirUser, where it is somebody in this server's records."""
    found = claims.get("fhirUser", "")
    if not isinstance(found, str):
        raise BadClaim("`fhirUser` must be a text.")
    told = found.removeprefix(f"{base}/")
    return told if USER.fullmatch(told) else ""


def _facts(claims: Claims) -> dict[str, Any]:
    found: dict[str, Any] = {"roles": _roles(claims.get("roles"))}
    shapes: dict[str, re.Pattern[str]] = {"facility": ID, "patient": ID, "purpose": PURPOSE}
    for name, shape in shapes.items():
        value = claims.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise BadClaim(f"`{name}` is not understood.")
        found[name] = value
    return found


def _roles(told: object) -> list[str]:
    if told is None:
        return []
    if not isinstance(told, list) or len(told) > 100:
        raise BadClaim("`roles` must be a list of names.")
    return [each for each in told if isinstance(each, str) and ROLE.fullmatch(each)]
