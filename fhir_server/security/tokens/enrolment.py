"""enrolment — a health post brings its own key, once, with a code it was told by somebody it knows.

https://hl7.org/fhir/R4/security.html#authentication

So no private key ever travels: the post makes its own, and sends the public part of it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import replace

from fhir_server.security.tokens import client, oauth
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.issued import digest_of
from fhir_server.security.tokens.keys import BadKeys, registered
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.store.contract.access import AccessTable, Issued

KIND = "enrolment"
LIVES = 10  # minutes, where nobody says otherwise
SIGNS, GROUP = 24, 4  # of 32 signs each: 120 bits


def new_code() -> str:
    """A code that can be read out on the telephone: no 0, 1, 8 or 9 in it."""
    signs = base64.b32encode(secrets.token_bytes(SIGNS * 5 // 8)).decode()
    return "-".join(signs[at : at + GROUP] for at in range(0, SIGNS, GROUP))


def kept(
    code: str, whose: str, now: int, *, minutes: int, kind: str = KIND, facts: str = "{}"
) -> Issued:
    """The code as it is kept: its digest alone."""
    return Issued(digest_of_code(code), kind, whose, facts, now, now + minutes * 60_000)


async def enrol(table: AccessTable, form: Mapping[str, str], now: int) -> Client:
    """The client, with the keys it brings. Raises OAuthError."""
    code = oauth.needed(form, "code")
    try:
        keys = registered(oauth.needed(form, "jwks"))
    except BadKeys as error:
        raise OAuthError("invalid_request", str(error)) from None
    taken = await table.take(digest_of_code(code), KIND) if len(code) <= 100 else None
    row = await table.client(taken.client) if taken is not None else None
    if taken is None or row is None or row.revoked or now >= taken.expires:
        raise _unknown()
    keys = client.brought(keys, now)
    found = replace(client.rotated(client.of(row), keys, keep=False), changed=now)
    if not await table.register(client.row(found), replaces=row.changed):
        raise _unknown()
    await table.withdraw(found.id)
    return found


def digest_of_code(code: str) -> bytes:
    """The same however a person writes it."""
    return digest_of("".join(code.upper().replace("-", " ").split()))


def _unknown() -> OAuthError:
    return OAuthError(
        "invalid_grant", "The code is not known, was used, or is over. Ask for another one."
    )
