"""authority — gives tokens to clients, and tells of a token whose it is.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2 Backend Services and App Launch, introspection (RFC 7662), revocation (RFC 7009). A token
is a random number that says nothing itself: what it is good for stands in the database, so that
taking it back, or revoking its client, holds for every process as soon as it looks again
(recognising.KNOWN).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from fhir_server.security import scope
from fhir_server.security.caller import Caller
from fhir_server.security.tokens import (
    assertion,
    client,
    granted,
    launched,
    launching,
    oauth,
    rotation,
    wiping,
)
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.configuration import configuration, openid, outside_of
from fhir_server.security.tokens.credentials import Credentials, bearer, refused
from fhir_server.security.tokens.enrolment import enrol
from fhir_server.security.tokens.fetching import Fetch, Https
from fhir_server.security.tokens.granted import GRANT, Granted
from fhir_server.security.tokens.identity import Identity
from fhir_server.security.tokens.issued import ACCESS, digest_of, new_token
from fhir_server.security.tokens.launching import Admits, Launch
from fhir_server.security.tokens.leave import Leave
from fhir_server.security.tokens.oauth import OAuthError, needed
from fhir_server.security.tokens.provider import Provider
from fhir_server.security.tokens.proving import Proving, replayed
from fhir_server.security.tokens.recognising import Known, Recognising, caller_of
from fhir_server.security.tokens.signed import BadClaim, Claims
from fhir_server.store.contract import Store
from fhir_server.store.contract.access import Issued

LIVES = 300  # seconds an access token lives; SMART Backend Services: no longer
DAYS = 30  # that an application may go on without asking its person again
ORIGINS = 30_000  # milliseconds that the applications' origins are known
INACTIVE: Mapping[str, Any] = {"active": False}


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Authority:
    """One of a server. base: its public base URL; empty on a machine's own loopback, where it is as
    each request says. secret: seals the keys that sign identity tokens. days: a refresh token."""

    def __init__(
        self,
        store: Store,
        *,
        base: str = "",
        outside: Provider | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], int] = clock_ms,
        secret: bytes = b"",
        days: int = DAYS,
    ) -> None:
        self._store = store
        self._base = base.rstrip("/")
        self._outside = outside
        self._clock = clock
        self._days = days
        self._proving = Proving(store, base=self._base, fetch=fetch or Https(), clock=clock)
        self._recognising = Recognising(store, base=self._base, outside=outside, clock=clock)
        self._identity = Identity(store, secret)
        self._origins: tuple[int, frozenset[str]] = (0, frozenset())

    # --- who asks --------------------------------------------------------------------------------

    async def authenticate(self, credentials: Credentials) -> Caller:
        """Who sends a request. Raises Unauthorized, or Invalid for a header that is malformed."""
        known = await self._recognising.look(bearer(credentials))
        if known is None:
            raise refused()
        if known.caller.address == credentials.address:
            return known.caller
        return replace(known.caller, address=credentials.address)

    async def origins(self) -> frozenset[str]:
        """The origins of the applications that people open, which browsers may let in."""
        now = self._clock()
        if now >= self._origins[0]:
            rows = await self._store.access.clients()
            found = (uri for row in rows if not row.revoked for uri in client.of(row).redirects)
            self._origins = now + ORIGINS, frozenset(map(_origin, found))
        return self._origins[1]

    # --- the endpoints ---------------------------------------------------------------------------

    async def token(self, pairs: Sequence[tuple[str, str]], base: str) -> Mapping[str, Any]:
        """An access token for a client that proves itself. Raises OAuthError."""
        form = oauth.form(pairs)
        table, now = self._store.access, self._clock()
        match needed(form, "grant_type"):
            case "client_credentials":
                return await self._for_itself(form, base)
            case "authorization_code":
                whose = await self._proving.application(form, base)
                return await self._with_identity(
                    await granted.exchanged(table, form, whose, now), whose, base
                )
            case "refresh_token":
                whose = await self._proving.application(form, base)
                return (await granted.refreshed(table, form, whose, now)).answer
        raise OAuthError(
            "unsupported_grant_type",
            "grant_type is client_credentials, authorization_code or refresh_token.",
        )

    async def _for_itself(self, form: Mapping[str, str], base: str) -> Mapping[str, Any]:
        whose, claims = await self._proving.proven(form, base)
        facts = _facts(whose, claims) | {"scope": _scope(whose, form, claims)}
        token, now = new_token(), self._clock()
        told = json.dumps(facts, ensure_ascii=False)
        new = Issued(digest_of(token), ACCESS, whose.id, told, now, now + LIVES * 1000)
        if not await self._store.access.issue(new, assertion.spent(claims)):
            raise replayed()
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": LIVES,
            "scope": facts["scope"],
        }
        return answer | {name: facts[name] for name in ("patient",) if name in facts}

    async def _with_identity(self, given: Granted, whose: Client, base: str) -> Mapping[str, Any]:
        if "openid" not in scope.words(given.facts["scope"]):
            return given.answer
        token = await self._identity.token(
            given.facts, issuer=self._base or base, audience=whose.id, now=self._clock()
        )
        return {**given.answer, "id_token": token}

    async def keys(self) -> Mapping[str, Any]:
        """The JWK Set of this server."""
        return await self._identity.published(self._clock())

    async def launch(self, pairs: Sequence[tuple[str, str]], base: str) -> Launch:
        """What an application asks a person's leave for. Raises Stray, or Returned."""
        here = self._proving.names(base)[1]
        return await launching.asked(
            self._store.access, pairs, here, self._clock(), days=self._days
        )

    async def allow(self, launch: Launch, leave: Leave, admits: Admits) -> str:
        """Where a person who gave leave goes next. Raises OAuthError, Returned, or what admits
        raises of whom the policy lets do nothing."""
        return await launching.allowed(
            self._store.access, launch, leave, self._clock(), days=self._days, admits=admits
        )

    async def may_open(
        self, pairs: Sequence[tuple[str, str]], credentials: Credentials
    ) -> Mapping[str, Any]:
        """What an EMR that may open applications says of one it opens. Raises OAuthError."""
        known = await self._asking(credentials)
        if not known.client.launches:
            raise OAuthError(
                "insufficient_scope", "The client is not registered to launch.", status=403
            )
        return launched.context(oauth.form(pairs), known.caller.user)

    async def opened(
        self,
        pairs: Sequence[tuple[str, str]],
        facts: Mapping[str, Any],
        credentials: Credentials,
        base: str,
    ) -> Mapping[str, Any]:
        """The launch of an application, about what the EMR reaches. Raises OAuthError."""
        by = (await self._asking(credentials)).client
        told = await launched.made(self._store.access, oauth.form(pairs), facts, by, self._clock())
        return {**told, "iss": self._base or base}

    async def introspect(
        self, pairs: Sequence[tuple[str, str]], credentials: Credentials, base: str
    ) -> Mapping[str, Any]:
        """What a token is good for, to whom it belongs or who may ask about all. RFC 7662."""
        form = oauth.form(pairs)
        if credentials.authorization is None:
            asking = await self._proving.once(form, base)
        elif "client_assertion" in form:
            raise OAuthError("invalid_request", "Prove the client in one way, not in two.")
        else:
            asking = (await self._asking(credentials)).client
        known = await self._recognising.look(needed(form, "token"))
        if known is None or not (asking.introspects or known.client.id == asking.id):
            return INACTIVE
        return _introspected(known, self._base or base)

    async def revoke(self, pairs: Sequence[tuple[str, str]], base: str) -> None:
        """End a token of the client that asks; with a refresh token, all that came of its grant.
        One that is none needs no ending. RFC 7009."""
        form = oauth.form(pairs)
        asking = await self._proving.application(form, base)
        token, table = needed(form, "token"), self._store.access
        grant = await granted.of_refresh(table, token, self._clock())
        row = await table.issued(digest_of(token))
        found = grant or (row[0] if row is not None else None)
        if found is None:
            return
        if found.client != asking.id:
            raise OAuthError("invalid_request", "The token was not given to this client.")
        await table.take(found.digest, GRANT if grant else ACCESS)
        self._recognising.forget(found.digest)

    async def enrol(self, pairs: Sequence[tuple[str, str]], base: str) -> Mapping[str, Any]:
        """Take the key that a new client brings with its code. Raises OAuthError."""
        found = await enrol(self._store.access, oauth.form(pairs), self._clock())
        token_url = self._proving.names(base)[0]
        return {"client_id": found.id, "token_endpoint": token_url, "scope": found.scopes}

    async def rotate(
        self, pairs: Sequence[tuple[str, str]], base: str
    ) -> tuple[Mapping[str, Any], Caller]:
        """Take the key that follows, of a client that proves itself by the one before. Raises
        OAuthError."""
        form = oauth.form(pairs)
        whose, claims = await self._proving.once_with_claims(form, base)
        found = await rotation.rotate(self._store.access, form, whose, claims, self._clock())
        told = {"client_id": whose.id, "kid": found.key["kid"], "until": found.until // 1000}
        return told, caller_of(whose, {}, "")

    async def wiped(self, pairs: Sequence[tuple[str, str]], base: str) -> Caller:
        """A node that was told to wipe what it has says that it did. Raises OAuthError."""
        try:
            await self._proving.proven(oauth.form(pairs), base)
        except wiping.Revoked as refusal:
            found = await wiping.confirmed(self._store.access, refusal, self._clock())
            return caller_of(found, {}, "")
        raise OAuthError("invalid_request", "The client is not told to wipe anything.")

    async def configuration(self, base: str) -> Mapping[str, Any]:
        """`.well-known/smart-configuration`. Raises Unfetched where the outside provider's own
        configuration cannot be had."""
        if self._outside is not None and self._outside.discovery is not None:
            return outside_of(await self._outside.discovery.told())
        return configuration(self._base or base)

    def openid(self, base: str) -> Mapping[str, Any]:
        """`.well-known/openid-configuration`: of this server itself."""
        return openid(self._base or base)

    async def _asking(self, credentials: Credentials) -> Known:
        """Whose access token a question comes with. Raises OAuthError."""
        scheme, _, token = (credentials.authorization or "").partition(" ")
        bears = scheme.lower() == "bearer"
        known = await self._recognising.look(token.strip()) if bears else None
        if known is None:
            raise oauth.unknown_token("The access token in Authorization is not accepted.")
        return known


def _introspected(known: Known, issuer: str) -> Mapping[str, Any]:
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
    told |= {name: value for name, value in extra.items() if value and "|" not in value}
    told |= {name: known.facts[name] for name in granted.TOLD if name in known.facts}
    if "grant" in known.facts and "openid" in known.scope.split(" "):
        told |= {"iss": issuer, "sub": known.caller.user}
    return told


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


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
    facts["purpose"] = client.purpose(whose, told.get("purpose"))
    if "purpose" in told and facts["purpose"] != told["purpose"]:
        raise OAuthError("invalid_request", "The client is not registered for this purpose.")
    return {name: value for name, value in facts.items() if value}


def _scope(whose: Client, form: Mapping[str, str], claims: Claims) -> str:
    """What is granted of what is asked for."""
    try:
        found = scope.grant(needed(form, "scope"), whose.scopes)
    except scope.BadScope as error:
        raise OAuthError("invalid_scope", str(error)) from None
    words = [word for word in scope.words(found) if not scope.is_beside(word)]
    if not words:
        raise OAuthError("invalid_scope", "The client is not registered for any of these scopes.")
    found = " ".join(words)  # no person is there, who could be told of or asked again
    about = {each.context for each in scope.parse(found)}
    facts = _facts(whose, claims)
    if "patient" in about and "patient" not in facts:
        raise OAuthError(
            "invalid_scope", "A patient/ scope needs a patient: say it in fhir_context."
        )
    return found
