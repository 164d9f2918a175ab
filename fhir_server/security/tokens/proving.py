"""proving — which client sends a form: by its assertion, or by its name where it has no key.

https://hl7.org/fhir/R4/security.html#authentication

SMART 2.2, client-confidential-asymmetric and client-public.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from fhir_server.security.tokens import assertion, client, oauth
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.fetching import Fetch, Unfetched, UrlKeys, demand_url
from fhir_server.security.tokens.keys import ASSERTION, BadKeys, Jwk
from fhir_server.security.tokens.oauth import OAuthError, needed
from fhir_server.security.tokens.rotation import thumbprint
from fhir_server.security.tokens.signed import BadClaim, BadToken, Claims
from fhir_server.security.tokens.wiping import Revoked
from fhir_server.store.contract import Store
from fhir_server.store.contract.access import Spent

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Proving:
    """Of one server. base: its public base URL, or empty (see Authority)."""

    def __init__(self, store: Store, *, base: str, fetch: Fetch, clock: Callable[[], int]) -> None:
        self._store = store
        self._base = base
        self._fetch = fetch
        self._clock = clock
        self._urls: dict[str, UrlKeys] = {}

    async def proven(self, form: Mapping[str, str], base: str) -> tuple[Client, Claims]:
        """The client whose assertion a form holds. Raises OAuthError: Revoked for one that is to
        be wiped."""
        if "client_secret" in form:
            raise OAuthError("invalid_request", "Secrets are not used here: sign an assertion.")
        if needed(form, "client_assertion_type") != assertion.KIND:
            raise OAuthError("invalid_request", f"client_assertion_type must be {assertion.KIND}.")
        token = needed(form, "client_assertion")
        try:
            issuer = assertion.issuer(token, form.get("client_id"))
            row = await self._store.access.client(issuer)
            whose = client.of(row) if row is not None else None
            if whose is not None and whose.revoked and whose.wipe:
                raise await self._revoked(whose, token, base)
            keys = await self._keys(whose, token)
            claims = assertion.proven(
                token, whose, keys, here=self.names(base), now=self._clock() // 1000
            )
        except BadClaim as error:
            raise oauth.unproven(str(error)) from None
        except (BadToken, BadKeys, Unfetched) as error:
            raise oauth.unproven(assertion.UNPROVEN, why=str(error)) from None
        assert whose is not None, "what is proven is a client's"
        return whose, claims

    async def _revoked(self, whose: Client, token: str, base: str) -> Revoked:
        """It is as good as if it were not revoked, by any key it has ever had: else nobody but
        itself would be told. Raises BadToken, OAuthError."""
        keys = [client.bare(key) for key in (*whose.keys, *whose.former)]
        as_before, now = replace(whose, revoked=0), self._clock() // 1000
        claims = assertion.proven(token, as_before, keys, here=self.names(base), now=now)
        await self._spend(assertion.spent(claims))
        (signer,) = (key for key in keys if key["kid"] == assertion.kid(token))
        return Revoked(whose, thumbprint(signer), claims)

    async def once(self, form: Mapping[str, str], base: str) -> Client:
        """The client whose assertion a form holds, which is good no more. Raises OAuthError."""
        whose, _ = await self.once_with_claims(form, base)
        return whose

    async def once_with_claims(self, form: Mapping[str, str], base: str) -> tuple[Client, Claims]:
        """As once, with what the assertion claims. Raises OAuthError."""
        whose, claims = await self.proven(form, base)
        await self._spend(assertion.spent(claims))
        return whose, claims

    async def application(self, form: Mapping[str, str], base: str) -> Client:
        """Who brings a code or a refresh token, or takes a token back: one with a key proves
        itself, one without is only named."""
        if "client_assertion" in form:
            return await self.once(form, base)
        id = needed(form, "client_id")
        row = await self._store.access.client(id) if client.CLIENT_ID.fullmatch(id) else None
        found = client.of(row) if row is not None else None
        if found is None or found.revoked or found.keys or found.keys_url or found.provider:
            raise oauth.unproven(assertion.UNPROVEN)
        return found

    def names(self, base: str) -> Sequence[str]:
        """What an assertion may call this endpoint: the token URL, or who gives the tokens.

        What a request says of its host is believed on the machine itself alone: what a client
        signed for another server would be good here, too, for whoever sent it with that name.
        """
        here = self._base or base
        if not self._base and urlsplit(base).hostname not in LOOPBACK:
            raise OAuthError("invalid_request", "The server is not told its own public_base_url.")
        return f"{here}/oauth/token", here

    async def _keys(self, whose: Client | None, token: str) -> Sequence[Jwk]:
        if whose is None or not whose.keys_url or whose.revoked:
            return client.living(whose.keys, self._clock()) if whose is not None else ()
        found = self._urls.get(whose.keys_url)
        if found is None:
            found = UrlKeys(demand_url(whose.keys_url), ASSERTION, self._fetch)
            self._urls[whose.keys_url] = found
        return await found.having(assertion.kid(token))

    async def _spend(self, spent: Spent) -> None:
        if not await self._store.access.spend(spent):
            raise replayed()


def replayed() -> OAuthError:
    return oauth.unproven("This assertion was used before: make a new one, with a jti of its own.")
