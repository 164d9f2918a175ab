"""admitting — from what a request brings to who asks and what they may.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

from fhir_server.interaction.context import Admitted
from fhir_server.security.decision import decide
from fhir_server.security.policy import Policy
from fhir_server.security.tokens.authority import Authority
from fhir_server.security.tokens.credentials import Credentials


class Guarded:
    """Only who has a token comes in, to what the policy lets them reach."""

    def __init__(self, authority: Authority, policy: Policy) -> None:
        self.authority = authority
        self.policy = policy

    async def admitted(self, credentials: Credentials) -> Admitted:
        caller = await self.authority.authenticate(credentials)
        return Admitted(caller, decide(self.policy, caller))
