"""recognising — of an access token, whose it is and what it is good for now.

https://hl7.org/fhir/R4/security.html#authentication

RFC 6750; for the outside provider's, RFC 9068. What was found is taken for good for KNOWN
milliseconds without looking again, and is never more than the client's registration as it was then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.security import scope
from fhir_server.security.caller import Caller
from fhir_server.security.tokens import client, granted, provider
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.issued import ACCESS, digest_of, number_of
from fhir_server.security.tokens.provider import Provider
from fhir_server.security.tokens.signed import BadToken
from fhir_server.store.contract import Store
from fhir_server.store.contract.access import Issued

KNOWN = 5000  # milliseconds a token is taken for good without looking again
MANY = 10_000  # tokens remembered by a process


@dataclass(frozen=True, slots=True)
class Known:
    """A token that was looked up. expires, until: when it ends, and when to look again."""

    caller: Caller
    client: Client
    scope: str
    issued: int
    expires: int
    until: int
    facts: Mapping[str, Any]


class Recognising:
    """Of one process."""

    def __init__(
        self, store: Store, *, base: str, outside: Provider | None, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._base = base
        self._outside = outside
        self._clock = clock
        self.known: dict[bytes, Known] = {}

    async def look(self, token: str) -> Known | None:
        """What a token is good for now; None: nothing."""
        digest, now = digest_of(token), self._clock()
        known = self.known.get(digest)
        if known is not None and now < known.until:
            return known
        self.known.pop(digest, None)
        try:
            found = await (self._ours(digest) if "." not in token else self._theirs(token, digest))
        except (BadToken, scope.BadScope):  # also where a registration has become unreadable
            return None
        if found is None or found.client.revoked or now >= found.expires:
            return None
        if len(self.known) >= MANY:
            self.known.clear()
        self.known[digest] = found
        return found

    def forget(self, digest: bytes) -> None:
        """A token was taken back, or a grant with all its tokens: known here no more, at once."""
        grant = digest.hex()
        self.known = {
            each: known
            for each, known in self.known.items()
            if each != digest and known.facts.get("grant") != grant
        }

    async def _ours(self, digest: bytes) -> Known | None:
        row = await self._store.access.issued(digest)
        if row is None or row[0].kind != ACCESS:
            return None
        issued, whose = row[0], client.of(row[1])
        facts = json.loads(issued.facts)
        if not await granted.holds(self._store.access, facts, self._clock()):
            return None
        words = scope.grant(facts["scope"], whose.scopes)  # it may have been narrowed since
        return self._known(issued, whose, facts, words)

    def _known(self, issued: Issued, whose: Client, facts: Mapping[str, Any], words: str) -> Known:
        caller = caller_of(whose, facts, words, token=number_of(issued.digest))
        until = min(self._clock() + KNOWN, issued.expires)
        return Known(caller, whose, words, issued.issued, issued.expires, until, facts)

    async def _theirs(self, token: str, digest: bytes) -> Known | None:
        """A token of the outside provider, for a client that is registered here as its own."""
        now = self._clock()
        if self._outside is None:
            return None
        told = await provider.verified(self._outside, token, base=self._base, now=now // 1000)
        row = await self._store.access.client(told.client)
        whose = client.of(row) if row is not None else None
        if whose is None or not whose.provider:
            return None
        words = scope.grant(told.scope, whose.scopes)
        facts = told.facts
        if whose.facility and facts.get("facility", whose.facility) != whose.facility:
            return None
        caller = Caller(
            client=whose.id,
            user=told.user,
            facility=whose.facility or facts.get("facility", ""),
            roles=frozenset(whose.roles) & frozenset(facts["roles"]),
            scopes=scope.parse(words),
            purpose=client.purpose(whose, facts.get("purpose")),
            patient=whose.patient or facts.get("patient", ""),
            token=told.number or number_of(digest),
        )
        expires = told.expires * 1000
        return Known(caller, whose, words, now, expires, min(now + KNOWN, expires), {})


def caller_of(whose: Client, facts: Mapping[str, Any], words: str, *, token: str = "") -> Caller:
    """Who comes with a token of these facts and scopes."""
    return Caller(
        client=whose.id,
        user=facts.get("user", whose.user),
        facility=whose.facility,
        roles=frozenset(whose.roles),
        scopes=scope.parse(words),
        purpose=facts.get("purpose", ""),
        patient=facts.get("patient", whose.patient),
        basis=facts.get("basis", ""),
        reason=facts.get("reason", ""),
        token=token,
    )
