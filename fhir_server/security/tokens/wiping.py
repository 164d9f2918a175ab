"""wiping — a node that is revoked proves who it was: it may be told to wipe what it has.

https://hl7.org/fhir/R4/security.html#authentication

It is given no token, as anybody who is revoked. Only who signs by one of its keys is told more, and
what is told is for that key alone: a copy of the disk is told, too, and told again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.security.tokens import assertion, client
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.credentials import CHALLENGE
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.security.tokens.signed import Claims
from fhir_server.store.contract.access import AccessTable

CLAIM = "wiped"  # of an assertion that confirms: when what was done was ordered, as it was told
ATTEMPTS = 8


class Revoked(OAuthError):
    """Somebody is refused who has proven to be a node that is to be wiped.

    key: the thumbprint of the key that signed. words: what it is told besides, in the hub's hand.
    """

    def __init__(self, whose: Client, key: str, claims: Claims) -> None:
        sentence = assertion.UNPROVEN
        super().__init__("invalid_client", sentence, status=401, challenge=CHALLENGE)
        self.client = whose
        self.key = key
        self.claims = claims
        self.words: Sequence[str] = ()

    @property
    def told(self) -> Mapping[str, Any]:
        return {**super().told, "wipe": list(self.words)} if self.words else super().told


async def taken(table: AccessTable, id: str, now: int) -> Client:
    """The client, once it is written down that it is told; before that it is not. Raises
    OAuthError."""
    return await _changed(table, id, lambda one: one if one.word else replace(one, word=now), now)


async def confirmed(table: AccessTable, refusal: Revoked, now: int) -> Client:
    """The client, whose assertion says that it is done. Raises OAuthError."""
    told = refusal.claims.get(CLAIM)

    def done(found: Client) -> Client:
        if told != str(found.wipe):
            raise OAuthError(
                "invalid_request",
                f"The assertion's claim {CLAIM} must be a text: the time of the order that was"
                " followed, as the hub told it.",
            )
        return found if found.wiped else replace(found, wiped=now)

    return await _changed(table, refusal.client.id, done, now)


async def _changed(
    table: AccessTable, id: str, change: Callable[[Client], Client], now: int
) -> Client:
    for _ in range(ATTEMPTS):
        row = await table.client(id)
        before = client.of(row) if row is not None else None
        if row is None or before is None or not (before.revoked and before.wipe):
            break  # it was taken back at this moment
        after = change(before)
        if after is before:
            return before
        after = replace(after, changed=max(now, row.changed + 1))
        if await table.register(client.row(after), replaces=row.changed):
            return after
    else:
        raise OAuthError(
            "temporarily_unavailable", "Others change the client; ask again.", status=503
        )
    raise OAuthError("invalid_client", assertion.UNPROVEN, status=401, challenge=CHALLENGE)
