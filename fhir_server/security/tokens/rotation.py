"""rotation — a client that proves itself by its key brings the one that follows it.

https://hl7.org/fhir/R4/security.html#authentication

Both are good for a while, so that nobody is shut out whose answer was lost, and who brings the same
key again is told the same. Then the one before is good no more, whoever has it by then. RFC 7523:
the assertion's claim `next_key` is the thumbprint (RFC 7638) of the key that comes, so that one
that was made to get a token brings none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from joserfc import jwk

from fhir_server.security.tokens import assertion, client, oauth
from fhir_server.security.tokens.client import SINCE, UNTIL, Client
from fhir_server.security.tokens.keys import BadKeys, Jwk, registered
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.security.tokens.signed import Claims
from fhir_server.store.contract.access import AccessTable

DAY = 86_400_000  # milliseconds
KEPT = 30 * DAY  # that the keys before are good beside the new one
MOST = 4  # keys that are good at once
ATTEMPTS = 8


CLAIM = "next_key"


def thumbprint(key: Jwk) -> str:
    """SHA-256, as RFC 7638 says."""
    return jwk.import_key(dict(key)).thumbprint()


class Rotated(NamedTuple):
    """until: when the keys before are good no more, in milliseconds since 1970 UTC."""

    client: Client
    key: Jwk
    until: int


async def rotate(
    table: AccessTable, form: Mapping[str, str], whose: Client, claims: Claims, now: int
) -> Rotated:
    """The client with one key more. whose: who has proven itself, by an assertion of the form that
    makes these claims. Raises OAuthError."""
    try:
        keys = registered(oauth.needed(form, "jwks"))
    except BadKeys as error:
        raise OAuthError("invalid_request", str(error)) from None
    if len(keys) != 1:
        raise OAuthError("invalid_request", "Bring one key: the one that follows.")
    if claims.get(CLAIM) != thumbprint(keys[0]):
        raise OAuthError(
            "invalid_request",
            f"The assertion's claim `{CLAIM}` must be the key's SHA-256 thumbprint (RFC 7638).",
        )
    if not whose.keys:
        raise OAuthError("invalid_request", "The client publishes its keys itself.")
    signer = assertion.kid(form["client_assertion"])
    for _ in range(ATTEMPTS):
        row = await table.client(whose.id)
        if row is None or row.revoked:
            raise oauth.unproven(assertion.UNPROVEN)
        found = _with(client.of(row), keys[0], signer, now)
        if found.client.keys == client.of(row).keys:
            return found
        changed = replace(found.client, changed=max(now, row.changed + 1))
        if await table.register(client.row(changed), replaces=row.changed):
            return found
    raise OAuthError("temporarily_unavailable", "Others change the client; ask again.", status=503)


def _with(before: Client, key: Jwk, signer: object, now: int) -> Rotated:
    """The same where it has the key already. signer: the `kid` of the key that signed. Raises
    OAuthError."""
    good = tuple(each for each in before.keys if client.living((each,), now))
    known = next((each for each in good if each["kid"] == key["kid"]), None)
    if known is not None and (UNTIL in known or client.bare(known) != dict(key)):
        raise OAuthError("invalid_request", "Another key has this kid, or this one ends already.")
    if known is None and any(each["kid"] == signer and UNTIL in each for each in good):
        # else who has found what a node left behind would be the node for ever
        raise OAuthError(
            "invalid_grant", "The key that signed has been followed by another: that one may."
        )
    if known is None and len(good) >= MOST:
        raise OAuthError(
            "invalid_request", f"{MOST} keys are good already; wait until one of them ends."
        )
    if known is None:
        ending = tuple({**each, UNTIL: each.get(UNTIL, now + KEPT)} for each in good)
        former = client.remembered(before, [each for each in before.keys if each not in good])
        before = replace(before, keys=(*ending, {**key, SINCE: now}), former=former)
    until = max((each[UNTIL] for each in before.keys if UNTIL in each), default=now)
    return Rotated(before, key, until)
