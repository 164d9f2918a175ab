"""launched — an EMR opens an application for its user, about the patient who is before them.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2 App Launch, EHR launch. How an EMR tells the server of it is left open there: here it
posts whom, whose record and which application to `oauth/launch`, and gives the value it is
answered to the application's launch URL. The value is good once, for that application, for two
minutes, and says nothing itself: it is all a person who is in the EMR already needs to show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fhir_server.security.tokens import client
from fhir_server.security.tokens.client import CLIENT_ID, ID, USER, Client
from fhir_server.security.tokens.issued import digest_of, new_token
from fhir_server.security.tokens.oauth import OAuthError, needed
from fhir_server.store.contract.access import AccessTable, Issued

LAUNCH = "launch"
LIVES = 120_000  # milliseconds
LONGEST = 100
BANNER: Mapping[str, bool] = {"true": True, "false": False}
STAFF = re.compile(r"(?:Practitioner|PractitionerRole)/.+")  # citizens are no users of an EMR
TAKEN = ("client_id", "user", "patient", "encounter", "need_patient_banner")


def context(form: Mapping[str, str], user: str) -> Mapping[str, Any]:
    """What an EMR says of a launch. user: whom its own token is of. Raises OAuthError."""
    strange = next((name for name in form if name not in TAKEN), None)
    if strange is not None:
        raise OAuthError("invalid_request", f"A launch takes {', '.join(TAKEN)}.")
    who = form.get("user", user)
    if not (USER.fullmatch(who) and STAFF.fullmatch(who)):
        raise OAuthError("invalid_request", "user must be as Practitioner/123: who is in the EMR.")
    if user and who != user:
        raise OAuthError("invalid_request", "The access token is another user's.")
    told: dict[str, Any] = {"user": who, "patient": needed(form, "patient")}
    if "encounter" in form:
        told["encounter"] = form["encounter"]
    for name in ("patient", "encounter"):
        if name in told and not ID.fullmatch(told[name]):
            raise OAuthError("invalid_request", f"{name} must be the id of one, without its type.")
    banner = form.get("need_patient_banner", "false")
    if banner not in BANNER:
        raise OAuthError("invalid_request", "need_patient_banner must be true or false.")
    return told | {"need_patient_banner": BANNER[banner]}


async def made(
    table: AccessTable, form: Mapping[str, str], facts: Mapping[str, Any], by: Client, now: int
) -> Mapping[str, Any]:
    """The launch of an application of the EMR's own facility. Raises OAuthError."""
    id = needed(form, "client_id")
    row = await table.client(id) if CLIENT_ID.fullmatch(id) else None
    whose = client.of(row) if row is not None and not row.revoked else None
    if whose is None or not whose.redirects or whose.facility != by.facility:
        raise OAuthError(
            "invalid_request",
            "client_id names no application of this facility that people open.",
        )
    for name in ("patient", "user"):
        if getattr(whose, name) not in ("", facts[name]):
            raise OAuthError("invalid_request", f"The application is for another {name}.")
    launch = new_token()
    told = json.dumps(dict(facts), ensure_ascii=False)
    await table.issue(Issued(digest_of(launch), LAUNCH, id, told, now, now + LIVES))
    return {"launch": launch, "expires_in": LIVES // 1000}


async def looked(
    table: AccessTable, launch: str, whose: Client, now: int
) -> Mapping[str, Any] | None:
    """What the EMR said, for this application; None: it said no such thing, or it is over."""
    found = await table.issued(digest_of(launch)) if len(launch) <= LONGEST else None
    if found is None or found[0].kind != LAUNCH or found[0].client != whose.id:
        return None
    if now >= found[0].expires:
        return None
    facts: dict[str, Any] = json.loads(found[0].facts)
    return facts
