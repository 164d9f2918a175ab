"""launching — an application asks a person for leave: the authorization code grant, with PKCE.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2 App Launch; RFC 6749 4.1, RFC 7636, RFC 9207. A person shows who they are by a code that
an operator gave them (`fhir-server client invite`), which is good once; nobody has a password. Who
was in an EMR already is known by the launch that the EMR made (see launched).
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from fhir_server.security import scope
from fhir_server.security.caller import Caller
from fhir_server.security.purpose import BREAK_GLASS
from fhir_server.security.tokens import client, enrolment, launched, oauth
from fhir_server.security.tokens.client import CLIENT_ID, Client
from fhir_server.security.tokens.granted import OFFLINE, ONLINE, coded
from fhir_server.security.tokens.issued import digest_of
from fhir_server.security.tokens.leave import Leave
from fhir_server.security.tokens.oauth import OAuthError
from fhir_server.security.tokens.recognising import caller_of
from fhir_server.store.contract.access import AccessTable

Admits = Callable[[Caller], Awaitable[None]]
LOGIN = "login"
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 7636 4.2: a SHA-256 in base64url
STATE = re.compile(r"[ -~]{1,1000}")
NONCE = re.compile(r"[!-~]{1,200}")
# Of OpenID Connect, what is not done here, and its word for that.
NOT_DONE = {"request": "request_not_supported", "request_uri": "request_uri_not_supported"}


class Stray(Exception):
    """A request that must not lead back: nobody knows whose address it names. RFC 6749 4.1.2.1."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What an application asks leave for, all of it checked. issuer: who answers, so that it is
    not taken for another's answer. opened: what the EMR said that opened the application."""

    whose: Client
    redirect: str
    scope: str
    state: str
    challenge: str
    issuer: str
    nonce: str = ""
    launch: str = ""
    opened: Mapping[str, Any] = field(default_factory=dict)

    def back(self, **told: str) -> str:
        """Where the person's browser goes next."""
        parts = "&" if urlsplit(self.redirect).query else "?"
        pairs = {**told, "state": self.state, "iss": self.issuer}
        return f"{self.redirect}{parts}{urlencode(pairs)}"


class Returned(Exception):
    """A refusal that the application is told, by the address it registered."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


async def asked(
    table: AccessTable, pairs: Sequence[tuple[str, str]], base: str, now: int, *, days: int
) -> Launch:
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
    state, challenge = form.get("state", ""), form.get("code_challenge", "")
    launch = Launch(whose, redirect, "", state, challenge, base, form.get("nonce", ""))
    if not STATE.fullmatch(state):
        raise Returned(replace(launch, state="").back(error="invalid_request"))
    wrong = _wrong(form, base)
    if wrong is not None:
        raise Returned(launch.back(**wrong.told))
    if "launch" in form:
        opened = await launched.looked(table, form["launch"], whose, now)
        if opened is None:
            told = OAuthError("invalid_request", "The launch is not known, was used, or is over.")
            raise Returned(launch.back(**told.told))
        launch = replace(launch, launch=form["launch"], opened=opened)
    return replace(launch, scope=_granted(launch, form.get("scope", ""), days))


def _wrong(form: Mapping[str, str], base: str) -> OAuthError | None:
    held = {
        "response_type must be code.": form.get("response_type") == "code",
        f"aud must be {base}.": form.get("aud", form.get("resource")) == base,
        "code_challenge_method must be S256.": form.get("code_challenge_method") == "S256",
        "code challenge required: 43 signs of base64url.": CHALLENGE.fullmatch(
            form.get("code_challenge", "")
        ),
        "response_mode must be query.": form.get("response_mode", "query") == "query",
        "nonce must be 1 to 200 printable signs of ASCII.": NONCE.fullmatch(form.get("nonce", "-")),
    }
    for sentence, holds in held.items():
        if not holds:
            kind = "unsupported_response_type" if "response_type" in sentence else "invalid_request"
            return OAuthError(kind, sentence)
    if "none" in form.get("prompt", "").split(" "):
        return OAuthError("interaction_required", "A person is asked each time.")
    for name, error in NOT_DONE.items():
        if name in form:
            return OAuthError(error, f"Send the parameters themselves, not in {name}.")
    return None


def _granted(launch: Launch, asked: str, days: int) -> str:
    """The words of scope that may be granted. Raises Returned where there are none."""
    try:
        found = scope.words(scope.grant(asked, launch.whose.scopes))
    except scope.BadScope:
        raise Returned(launch.back(error="invalid_scope")) from None
    words = [word for word in found if _is_given(word, found, launch, days)]
    if launch.launch and "launch" not in words:
        raise Returned(launch.back(error="invalid_scope", error_description="launch is missing"))
    if "openid" not in words and not any(map(_is_of_resources, words)):
        raise Returned(launch.back(error="invalid_scope"))
    return " ".join(words)


def _is_given(word: str, asked: Iterable[str], launch: Launch, days: int) -> bool:
    """Whether what is beside the scopes of resources is meant here. `profile` is of a person's
    name, which is in the record of who they are."""
    if _is_of_resources(word) or word in ("openid", ONLINE, "launch/patient", "launch/encounter"):
        return True
    if word == "fhirUser":
        return "openid" in asked
    if word == "launch":
        return bool(launch.launch)
    return word == OFFLINE and days > 0


def _is_of_resources(word: str) -> bool:
    return not scope.is_beside(word)


async def allowed(
    table: AccessTable, launch: Launch, leave: Leave, now: int, *, days: int, admits: Admits
) -> str:
    """Where to go with the code, for who gave leave: who is here by a launch, or by a code of
    their own; either is still good where only what else they said was wrong. admits: raises where
    the policy lets them do nothing. Raises OAuthError where nobody is here, and Returned where
    they are not for this."""
    if launch.launch:
        known = await launched.looked(table, launch.launch, launch.whose, now)
        digest, kind = digest_of(launch.launch), launched.LAUNCH
    else:
        known = await _logged_in(table, launch, leave.login, now)
        digest, kind = enrolment.digest_of_code(leave.login), LOGIN
    if known is None:
        raise _nobody(kind)
    facts = leave.facts(launch.whose, known)
    words = [word for word in launch.scope.split(" ") if _is_given_to(facts, word)]
    about_one = any(word.startswith(("patient/", "launch/patient")) for word in words)
    if "patient" in facts or not about_one:
        await admits(caller_of(launch.whose, facts, " ".join(words)))
    if await table.take(digest, kind) is None:
        raise _nobody(kind)
    if "patient" not in facts and about_one:
        raise Returned(launch.back(error="invalid_scope"))
    told = {**facts, "scope": " ".join(words), "redirect": launch.redirect}
    told["challenge"] = launch.challenge
    if launch.nonce:
        told["nonce"] = launch.nonce
    code = await coded(table, launch.whose, told, now, days=days)
    return launch.back(code=code)


def _is_given_to(facts: Mapping[str, Any], word: str) -> bool:
    """A glass that was broken is not open for days."""
    if facts.get("purpose") == BREAK_GLASS and word in (OFFLINE, ONLINE):
        return False
    return word != "launch/encounter" or "encounter" in facts


async def _logged_in(
    table: AccessTable, launch: Launch, login: str, now: int
) -> Mapping[str, Any] | None:
    """Whose code it is. One that was shown to another application is none from then on."""
    digest = enrolment.digest_of_code(login)
    found = await table.issued(digest) if len(login) <= 100 else None
    if found is None or found[0].kind != LOGIN or now >= found[0].expires:
        return None
    if found[0].client != launch.whose.id:
        await table.take(digest, LOGIN)
        return None
    facts: dict[str, Any] = json.loads(found[0].facts)
    return facts


def _nobody(kind: str) -> OAuthError:
    what = "launch" if kind == launched.LAUNCH else "code"
    return OAuthError(
        "access_denied", f"The {what} is not known, was used, or is over.", status=403
    )
