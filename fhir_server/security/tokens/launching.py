"""launching — an application asks a person for leave: the authorization code grant, with PKCE.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2 App Launch, standalone; RFC 6749 4.1, RFC 7636. A person shows who they are by a code
that an operator gave them (`fhir-server client invite`), which is good once; nobody has a password.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from fhir_server.security import scope
from fhir_server.security.tokens import client, enrolment, oauth
from fhir_server.security.tokens.client import CLIENT_ID, Client
from fhir_server.security.tokens.issued import ACCESS, digest_of, new_token
from fhir_server.security.tokens.oauth import OAuthError, needed
from fhir_server.store.contract.access import AccessTable, Issued

LOGIN, CODE, USED = "login", "code", "used"
CODE_LIVES = 60  # seconds
LIVES = 3600  # seconds an access token of an application lives
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 4.2: a SHA-256 in base64url
VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 4.1
STATE = re.compile(r"[ -~]{1,1000}")
# No identity tokens and no refresh tokens are given here: an outside provider gives those.
NOT_GIVEN = frozenset(
    {"openid", "fhirUser", "profile", "offline_access", "online_access", "launch"}
)


class Stray(Exception):
    """A request that must not lead back: nobody knows whose address it names. RFC 6749 4.1.2.1."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What an application asks leave for, all of it checked."""

    whose: Client
    redirect: str
    scope: str
    state: str
    challenge: str

    def back(self, **told: str) -> str:
        """Where the person's browser goes next."""
        parts = "&" if urlsplit(self.redirect).query else "?"
        return f"{self.redirect}{parts}{urlencode({**told, 'state': self.state})}"


class Returned(Exception):
    """A refusal that the application is told, by the address it registered."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


async def asked(table: AccessTable, pairs: Sequence[tuple[str, str]], base: str) -> Launch:
    """The launch that a request means. Raises Stray, or Returned."""
    try:
        form = oauth.form(pairs)
    except OAuthError as error:
        raise Stray(error.sentence) from None
    id = form.get("client_id", "")
    row = await table.client(id) if CLIENT_ID.fullmatch(id) else None
    whose = client.of(row) if row is not None and not row.revoked else None
    redirect = form.get("redirect_uri", "")
    if whose is None or redirect not in whose.redirects:
        raise Stray("The application is not registered here, or not with this redirect_uri.")
    state = form.get("state", "")
    launch = Launch(whose, redirect, "", state, form.get("code_challenge", ""))
    if not STATE.fullmatch(state):
        raise Returned(replace(launch, state="").back(error="invalid_request"))
    wrong = _wrong(form, base)
    if wrong is not None:
        raise Returned(launch.back(**wrong.told))
    try:
        found = scope.grant(form.get("scope", ""), whose.scopes)
    except scope.BadScope:
        raise Returned(launch.back(error="invalid_scope")) from None
    words = [word for word in scope.words(found) if word not in NOT_GIVEN]
    if not scope.parse(" ".join(words)):
        raise Returned(launch.back(error="invalid_scope"))
    return replace(launch, scope=" ".join(words))


def _wrong(form: Mapping[str, str], base: str) -> OAuthError | None:
    if form.get("response_type") != "code":
        return OAuthError("unsupported_response_type", "response_type must be code.")
    if form.get("aud", form.get("resource")) != base:
        return OAuthError("invalid_request", f"aud must be {base}.")
    if form.get("code_challenge_method") != "S256":
        return OAuthError("invalid_request", "code_challenge_method must be S256.")
    if not CHALLENGE.fullmatch(form.get("code_challenge", "")):
        return OAuthError("invalid_request", "code challenge required: 43 signs of base64url.")
    return None


async def allowed(table: AccessTable, launch: Launch, login: str, now: int) -> str:
    """Where to go with the code that the person's own code was exchanged for.

    Raises OAuthError where that is none, and Returned where it is not for this."""
    taken = await table.take(enrolment.digest_of_code(login), LOGIN) if len(login) <= 100 else None
    if taken is None or taken.client != launch.whose.id or now >= taken.expires:
        raise OAuthError(
            "access_denied", "The code is not known, was used, or is over.", status=403
        )
    facts: dict[str, Any] = json.loads(taken.facts)
    if "patient" not in facts and any(
        word.startswith(("patient/", "launch/patient")) for word in launch.scope.split(" ")
    ):
        raise Returned(launch.back(error="invalid_scope"))
    told = facts | {"scope": launch.scope, "redirect": launch.redirect}
    if launch.whose.purposes:
        told["purpose"] = launch.whose.purposes[0]
    code = new_token()
    new = Issued(
        digest_of(code),
        CODE,
        launch.whose.id,
        json.dumps(told | {"challenge": launch.challenge}, ensure_ascii=False),
        now,
        now + CODE_LIVES * 1000,
    )
    await table.issue(new)
    return launch.back(code=code)


async def exchanged(
    table: AccessTable, form: Mapping[str, str], whose: Client, now: int
) -> Mapping[str, Any]:
    """The access token for a code; a code that comes twice ends what it was exchanged for."""
    digest = digest_of(needed(form, "code"))
    taken = await table.take(digest, CODE)
    if taken is None:
        await _used_twice(table, digest)
        raise _bad()
    facts: dict[str, Any] = json.loads(taken.facts)
    verifier = needed(form, "code_verifier")
    if (
        taken.client != whose.id
        or now >= taken.expires
        or form.get("redirect_uri") != facts.pop("redirect")
        or not _fits(verifier, facts.pop("challenge"))
    ):
        raise _bad()
    token = new_token()
    told = json.dumps(facts, ensure_ascii=False)
    ends = now + LIVES * 1000
    mark = json.dumps({"token": digest_of(token).hex()})
    await table.issue(Issued(digest, USED, whose.id, mark, now, ends))
    await table.issue(Issued(digest_of(token), ACCESS, whose.id, told, now, ends))
    answer = {"access_token": token, "token_type": "Bearer", "expires_in": LIVES}
    return answer | {name: facts[name] for name in ("scope", "patient") if name in facts}


async def _used_twice(table: AccessTable, digest: bytes) -> None:
    """RFC 6749 4.1.2: whoever has the code has stolen it, or it was stolen from them."""
    used = await table.take(digest, USED)
    if used is not None:
        await table.take(bytes.fromhex(json.loads(used.facts)["token"]), ACCESS)


def _fits(verifier: str, challenge: str) -> bool:
    if not VERIFIER.fullmatch(verifier):
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())


def _bad() -> OAuthError:
    return OAuthError(
        "invalid_grant", "The code, its redirect_uri or its code_verifier is not accepted."
    )
