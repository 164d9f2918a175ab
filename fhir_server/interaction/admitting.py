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
        self.policy = policy
        self._consenting = Consenting(store, live, policy)
        self._granting = Granting(live, knowledge)

    async def admitted(self, credentials: Credentials) -> Admitted:
        return await self.admitted_again(await self.authority.authenticate(credentials))

    async def admitted_again(self, caller: Caller) -> Admitted:
        now = time.time_ns() // 1_000_000
        try:
            agreement = await self._consenting.about(caller, now)
            access = decide(self.policy, caller, agreement, meaning=self._granting, moment=now)
        except Forbidden as refusal:
            raise NotAdmitted(caller, refusal) from None
        return Admitted(caller, access)
