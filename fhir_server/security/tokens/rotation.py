"""rotation — a client that proves itself by its key brings the one that follows it.

https://hl7.org/fhir/R4/security.html#authentication

Both are good for a while, so that nobody is shut out whose answer was lost, and who brings the same
key again is told the same. Then the one before is good no more, whoever has it by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from fhir_server.security.tokens import assertion, client, oauth
from fhir_server.security.tokens.client import UNTIL, Client
from fhir_server.security.tokens.keys import BadKeys, Jwk, registered
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.store.contract.access import AccessTable

DAY = 86_400_000  # milliseconds
KEPT = 30 * DAY  # that the keys before are good beside the new one
MOST = 4  # keys that are good at once
ATTEMPTS = 8


class Rotated(NamedTuple):
    """until: when the keys before are good no more, in milliseconds since 1970 UTC."""

    client: Client
    key: Jwk
    until: int


async def rotate(table: AccessTable, whose: Client, form: Mapping[str, str], now: int) -> Rotated:
    """The client with one key more. whose: who has proven itself. Raises OAuthError."""
    try:
        keys = registered(oauth.needed(form, "jwks"))
    except BadKeys as error:
        raise OAuthError("invalid_request", str(error)) from None
    if len(keys) != 1:
        raise OAuthError("invalid_request", "Bring one key: the one that follows.")
    if not whose.keys:
        raise OAuthError("invalid_request", "The client publishes its keys itself.")
    for _ in range(ATTEMPTS):
        row = await table.client(whose.id)
        if row is None or row.revoked:
            raise oauth.unproven(assertion.UNPROVEN)
        found = _with(client.of(row), keys[0], now)
        if found.client.keys == client.of(row).keys:
            return found
        changed = replace(found.client, changed=max(now, row.changed + 1))
        if await table.register(client.row(changed), replaces=row.changed):
            return found
    raise OAuthError("temporarily_unavailable", "Others change the client; ask again.", status=503)


def _with(before: Client, key: Jwk, now: int) -> Rotated:
    """The same where it has the key already. Raises OAuthError."""
    good = tuple(each for each in before.keys if client.living((each,), now))
    known = next((each for each in good if each["kid"] == key["kid"]), None)
    if known is not None and dict(known) != dict(key):
        raise OAuthError("invalid_request", "Another key has this kid, or this one ends already.")
    if known is None and len(good) >= MOST:
        raise OAuthError(
            "invalid_request", f"{MOST} keys are good already; wait until one of them ends."
        )
    if known is None:
        ending = tuple({**each, UNTIL: each.get(UNTIL, now + KEPT)} for each in good)
        before = replace(before, keys=(*ending, key))
    until = max((each[UNTIL] for each in before.keys if UNTIL in each), default=now)
    return Rotated(before, key, until)
