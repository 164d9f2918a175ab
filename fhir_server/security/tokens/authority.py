"""authority — gives tokens to clients, and tells of a token whose it is.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2 Backend Services, token introspection (RFC 7662), revocation (RFC 7009). A token is a
random number that says nothing itself: what it is good for stands in the database, so that taking
it back, or revoking its client, holds for every process as soon as it looks again (KNOWN).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from fhir_server.security import scope
from fhir_server.security.caller import Caller
from fhir_server.security.tokens import assertion, client, launching, oauth, provider
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.configuration import configuration
from fhir_server.security.tokens.credentials import Credentials, bearer, refused
from fhir_server.security.tokens.enrolment import enrol
from fhir_server.security.tokens.fetching import Fetch, Https, Unfetched, UrlKeys, demand_url
from fhir_server.security.tokens.issued import ACCESS, digest_of, new_token, number_of
from fhir_server.security.tokens.keys import ASSERTION, BadKeys, Jwk
from fhir_server.security.tokens.launching import Launch
from fhir_server.security.tokens.oauth import OAuthError, needed
from fhir_server.security.tokens.provider import Provider
from fhir_server.security.tokens.signed import BadClaim, BadToken, Claims
from fhir_server.store.contract import Store
from fhir_server.store.contract.access import Issued, Spent

LIVES = 300  # seconds an access token lives; SMART Backend Services: no longer
KNOWN = 5000  # milliseconds a token is taken for good without looking again
LOOPBACK = ("localhost", "127.0.0.1", "::1")
MANY = 10_000  # tokens remembered by a process
INACTIVE: Mapping[str, Any] = {"active": False}


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was looked up. expires, until: when it ends, and when to look again."""

    caller: Caller
    client: Client
    scope: str
    issued: int
    expires: int
    until: int


class Authority:
    """One of a server. base: its public base URL; empty on a machine's own loopback, where it is as
    each request says."""

    def __init__(
        self,
        store: Store,
        *,
        base: str = "",
        outside: Provider | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], int] = clock_ms,
    ) -> None:
        self._store = store
        self._base = base.rstrip("/")
        self._outside = outside
        self._fetch = fetch or Https()
        self._clock = clock
        self._known: dict[bytes, Known] = {}
        self._urls: dict[str, UrlKeys] = {}

    # --- who asks --------------------------------------------------------------------------------

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Who sends a request. Raises Unauthorized, or Invalid for a header that is malformed."""
        known = await self._look(bearer(credentials))
        if known is None:
            raise refused()
        if known.caller.address == credentials.address:
            return known.caller
        return replace(known.caller, address=credentials.address)

    async def _look(self, token: str) -> Known | None:
        """What a token is good for now; None: nothing."""
        digest, now = digest_of(token), self._clock()
        known = self._known.get(digest)
        if known is not None and now < known.until:
            return known
        self._known.pop(digest, None)
        found = await (self._ours(digest) if "." not in token else self._theirs(token, digest))
        if found is None or found.client.revoked or now >= found.expires:
            return None
        if len(self._known) >= MANY:
            self._known.clear()
        self._known[digest] = found
        return found

    async def _ours(self, digest: bytes) -> Known | None:
        row = await self._store.access.issued(digest)
        if row is None or row[0].kind != ACCESS:
            return None
        issued, whose = row[0], client.of(row[1])
        facts = json.loads(issued.facts)
        words = scope.grant(facts["scope"], whose.scopes)  # it may have been narrowed since
        caller = Caller(
            client=whose.id,
            user=facts.get("user", whose.user),
            facility=whose.facility,
            roles=frozenset(whose.roles),
            scopes=scope.parse(words),
            purpose=facts.get("purpose", ""),
            patient=facts.get("patient", whose.patient),
            basis=facts.get("basis", ""),
            reason=facts.get("reason", ""),
            token=number_of(digest),
        )
        until = min(self._clock() + KNOWN, issued.expires)
        return Known(caller, whose, words, issued.issued, issued.expires, until)

    async def _theirs(self, token: str, digest: bytes) -> Known | None:
        """A token of the outside provider, for a client that is registered here as its own."""
        now = self._clock()
        if self._outside is None:
            return None
        try:
            told = await provider.verified(self._outside, token, base=self._base, now=now // 1000)
            row = await self._store.access.client(told.client)
            whose = client.of(row) if row is not None else None
            if whose is None or not whose.provider:
                return None
            words = scope.grant(told.scope, whose.scopes)
        except (BadToken, scope.BadScope):
            return None
        facts = told.facts
        if whose.facility and facts.get("facility", whose.facility) != whose.facility:
            return None
        caller = Caller(
            client=whose.id,
            user=told.user,
            facility=whose.facility or facts.get("facility", ""),
            roles=frozenset(whose.roles) & frozenset(facts["roles"]),
            scopes=scope.parse(words),
            purpose=_purpose(whose, facts.get("purpose")),
            patient=whose.patient or facts.get("patient", ""),
            token=told.number or number_of(digest),
        )
        expires = told.expires * 1000
        return Known(caller, whose, words, now, expires, min(now + KNOWN, expires))

    # --- the endpoints ---------------------------------------------------------------------------

    async def token(self, pairs: Sequence[tuple[str, str]], base: str) -> Mapping[str, Any]:
        """An access token for a client that proves itself. Raises OAuthError."""
        form = oauth.form(pairs)
        match needed(form, "grant_type"):
            case "client_credentials":
                return await self._for_itself(form, base)
            case "authorization_code":
                whose = await self._application(form, base)
                return await launching.exchanged(self._store.access, form, whose, self._clock())
        raise OAuthError(
            "unsupported_grant_type", "grant_type is client_credentials or authorization_code."
        )

    async def _for_itself(self, form: Mapping[str, str], base: str) -> Mapping[str, Any]:
        whose, claims = await self._proven(form, base)
        facts = _facts(whose, claims) | {"scope": _scope(whose, form, claims)}
        token, now = new_token(), self._clock()
        told = json.dumps(facts, ensure_ascii=False)
        new = Issued(digest_of(token), ACCESS, whose.id, told, now, now + LIVES * 1000)
        if not await self._store.access.issue(new, assertion.spent(claims)):
            raise _replayed()
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": LIVES,
            "scope": facts["scope"],
        }
        return answer | {name: facts[name] for name in ("patient",) if name in facts}

    async def launch(self, pairs: Sequence[tuple[str, str]], base: str) -> Launch:
        """What an application asks a person's leave for. Raises Stray, or Returned."""
        return await launching.asked(self._store.access, pairs, self._names(base)[1])

    async def allow(self, launch: Launch, login: str) -> str:
        """Where a person who gave leave goes next. Raises OAuthError, or Returned."""
        return await launching.allowed(self._store.access, launch, login, self._clock())

    async def introspect(
        self, pairs: Sequence[tuple[str, str]], credentials: Credentials, base: str
    ) -> Mapping[str, Any]:
        """What a token is good for, to whom it belongs or who may ask about all. RFC 7662."""
        form = oauth.form(pairs)
        if credentials.authorization is None:
            asking, claims = await self._proven(form, base)
            await self._spend(assertion.spent(claims))
        else:
            asking = await self._asking(form, credentials)
        known = await self._look(needed(form, "token"))
        if known is None or not (asking.introspects or known.client.id == asking.id):
            return INACTIVE
        told = {
            "active": True,
            "scope": known.scope,
            "client_id": known.client.id,
            "token_type": "Bearer",
            "exp": known.expires // 1000,
            "iat": known.issued // 1000,
            "jti": known.caller.token,
        }
        extra = {"patient": known.caller.patient, "fhirUser": known.caller.user}
        return told | {name: value for name, value in extra.items() if value and "|" not in value}

    async def revoke(self, pairs: Sequence[tuple[str, str]], base: str) -> None:
        """End a token of the client that asks. One that is none needs no ending. RFC 7009."""
        form = oauth.form(pairs)
        asking, claims = await self._proven(form, base)
        digest = digest_of(needed(form, "token"))
        await self._spend(assertion.spent(claims))
        found = await self._store.access.issued(digest)
        if found is None:
            return
        if found[0].client != asking.id:
            raise OAuthError("invalid_request", "The token was not given to this client.")
        await self._store.access.take(digest, ACCESS)
        self._known.pop(digest, None)

    async def enrol(self, pairs: Sequence[tuple[str, str]], base: str) -> Mapping[str, Any]:
        """Take the key that a new client brings with its code. Raises OAuthError."""
        found = await enrol(self._store.access, oauth.form(pairs), self._clock())
        token_url = self._names(base)[0]
        return {"client_id": found.id, "token_endpoint": token_url, "scope": found.scopes}

    def configuration(self, base: str) -> Mapping[str, Any]:
        """`.well-known/smart-configuration`."""
        return configuration(self._base or base)

    # --- whose assertion -------------------------------------------------------------------------

    async def _asking(self, form: Mapping[str, str], credentials: Credentials) -> Client:
        """The client of the bearer token that a question about another token comes with."""
        if "client_assertion" in form:
            raise OAuthError("invalid_request", "Prove the client in one way, not in two.")
        scheme, _, token = (credentials.authorization or "").partition(" ")
        known = await self._look(token.strip()) if scheme.lower() == "bearer" else None
        if known is None:
            raise oauth.unproven("The access token in Authorization is not accepted.")
        return known.client

    async def _proven(self, form: Mapping[str, str], base: str) -> tuple[Client, Claims]:
        """The client whose assertion a form holds. Raises OAuthError."""
        if "client_secret" in form:
            raise OAuthError("invalid_request", "Secrets are not used here: sign an assertion.")
        if needed(form, "client_assertion_type") != assertion.KIND:
            raise OAuthError("invalid_request", f"client_assertion_type must be {assertion.KIND}.")
        token = needed(form, "client_assertion")
        try:
            issuer = assertion.issuer(token, form.get("client_id"))
            row = await self._store.access.client(issuer)
            whose = client.of(row) if row is not None else None
            keys = await self._keys(whose, token)
            claims = assertion.proven(
                token, whose, keys, here=self._names(base), now=self._clock() // 1000
            )
        except BadClaim as error:
            raise oauth.unproven(str(error)) from None
        except (BadToken, BadKeys, Unfetched) as error:
            raise oauth.unproven(assertion.UNPROVEN, why=str(error)) from None
        assert whose is not None, "what is proven is a client's"
        return whose, claims

    async def _application(self, form: Mapping[str, str], base: str) -> Client:
        """Who exchanges a code: one with a key proves itself, one without is only named."""
        if "client_assertion" in form:
            whose, claims = await self._proven(form, base)
            await self._spend(assertion.spent(claims))
            return whose
        id = needed(form, "client_id")
        row = await self._store.access.client(id) if client.CLIENT_ID.fullmatch(id) else None
        found = client.of(row) if row is not None else None
        if found is None or found.revoked or found.keys or found.keys_url or found.provider:
            raise oauth.unproven(assertion.UNPROVEN)
        return found

    async def _keys(self, whose: Client | None, token: str) -> Sequence[Jwk]:
        if whose is None or not whose.keys_url or whose.revoked:
            return whose.keys if whose is not None else ()
        found = self._urls.get(whose.keys_url)
        if found is None:
            found = UrlKeys(demand_url(whose.keys_url), ASSERTION, self._fetch)
            self._urls[whose.keys_url] = found
        return await found.having(assertion.kid(token))

    def _names(self, base: str) -> Sequence[str]:
        """What an assertion may call this endpoint: the token URL, or who gives the tokens.

        What a request says of its host is believed on the machine itself alone: what a client
        signed for another server would be good here, too, for whoever sent it with that name.
        """
        here = self._base or base
        if not self._base and urlsplit(base).hostname not in LOOPBACK:
            raise OAuthError("invalid_request", "The server is not told its own public_base_url.")
        return f"{here}/oauth/token", here

    async def _spend(self, spent: Spent) -> None:
        if not await self._store.access.spend(spent):
            raise _replayed()


def _replayed() -> OAuthError:
    return oauth.unproven("This assertion was used before: make a new one, with a jti of its own.")


def _facts(whose: Client, claims: Claims) -> dict[str, str]:
    """What the assertion says of whom it acts for, as far as the client may say it."""
    try:
        told = dict(assertion.context(claims))
    except BadClaim as error:
        raise OAuthError("invalid_request", str(error)) from None
    if whose.patient and told.get("patient", whose.patient) != whose.patient:
        raise OAuthError("invalid_request", "The client is registered for another patient.")
    if whose.user and told.get("user", whose.user) != whose.user:
        raise OAuthError("invalid_request", "The client is registered for another user.")
    facts = {"user": whose.user, "patient": whose.patient, **told}
    facts["purpose"] = _purpose(whose, told.get("purpose"))
    if "purpose" in told and facts["purpose"] != told["purpose"]:
        raise OAuthError("invalid_request", "The client is not registered for this purpose.")
    return {name: value for name, value in facts.items() if value}


def _purpose(whose: Client, told: str | None) -> str:
    """What is told where the client may say it; else the client's own first."""
    if told in whose.purposes:
        return str(told)
    return whose.purposes[0] if whose.purposes else ""


def _scope(whose: Client, form: Mapping[str, str], claims: Claims) -> str:
    """What is granted of what is asked for."""
    try:
        found = scope.grant(needed(form, "scope"), whose.scopes)
    except scope.BadScope as error:
        raise OAuthError("invalid_scope", str(error)) from None
    if not found:
        raise OAuthError("invalid_scope", "The client is not registered for any of these scopes.")
    about = {each.context for each in scope.parse(found)}
    facts = _facts(whose, claims)
    if "patient" in about and "patient" not in facts:
        raise OAuthError(
            "invalid_scope", "A patient/ scope needs a patient: say it in fhir_context."
        )
    return found
