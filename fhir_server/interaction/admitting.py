"""admitting — from what a request brings to who asks and what they may.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

import time

from fhir_server.foundation.outcome import Forbidden
from fhir_server.interaction.consenting import Consenting
from fhir_server.interaction.context import Admitted, NotAdmitted
from fhir_server.interaction.granting import Granting
from fhir_server.search.live import Live
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy import Policy
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import Credentials
from fhir_server.store.contract import Store
from fhir_server.validation.knowledge import Knowledge


class Guarded:
    """Only who has a token comes in, to what the policy lets them reach."""

    def __init__(
        self, authority: Authority, policy: Policy, store: Store, live: Live, knowledge: Knowledge
    ) -> None:
        self.authority = authority
        self._store, self._live = store, live
        self._granting = Granting(live, knowledge)
        self.take(policy)

    def take(self, policy: Policy) -> None:
        """It holds for whoever is admitted from now on, and nothing is remembered from before."""
        self._held = policy, Consenting(self._store, self._live, policy)

    @property
    def policy(self) -> Policy:
        """The one that holds at this moment."""
        policy, _ = self._held
        return policy

    async def admitted(self, credentials: Credentials) -> Admitted:
        return await self.admitted_again(await self.authority.authenticate(credentials))

    async def admitted_again(self, caller: Caller) -> Admitted:
        policy, consenting = self._held
        now = time.time_ns() // 1_000_000
        try:
            agreement = await consenting.about(caller, now)
            access = decide(policy, caller, agreement, meaning=self._granting, moment=now)
        except Forbidden as refusal:
            raise NotAdmitted(caller, refusal) from None
        return Admitted(caller, access)
