"""Caller — who asks: the client, the person, the facility, and with what right.

https://hl7.org/fhir/R4/security.html#authentication

A Caller is made out once, at the head of a request, from a token or on the command line. Nothing
after that looks at a token, a role or a scope: `decision.decide` turns the Caller into an Access.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b

from fhir_server.security.scope import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. What is not told gives no right: without a role nothing is reached.

    everything: reaches all there is; never made from a token, only OPERATOR and OPEN say it.
    """

    client: str  # the registered client's id
    user: str = ""  # `Practitioner/123`, or `<issuer>|<subject>` of an outside provider
    facility: str = ""  # the id of the Organization it acts for
    roles: frozenset[str] = frozenset()  # names of the policy's roles
    scopes: tuple[Scope, ...] | None = None  # None: not limited by scopes; (): nothing
    purpose: str = ""  # a code of v3-PurposeOfUse
    patient: str = ""  # the id of the Patient in context: a citizen, or `patient/` scopes
    basis: str = ""  # `Consent/123`, or the name of a rule of the policy
    reason: str = ""  # why a glass was broken, in words
    token: str = ""  # the token's own number, for the audit; never the token
    address: str = ""  # where from
    everything: bool = False

    @property
    def identity(self) -> str:
        """What cursors, idempotency keys and jobs belong to: the same for a later token."""
        told = json.dumps([self.client, self.user, self.facility, self.patient, self.everything])
        return blake2b(told.encode(), digest_size=16, person=b"caller").hexdigest()


OPERATOR = Caller("operator", everything=True)  # the command line of the machine itself
HUB = Caller("hub")  # of a node: it sends, and makes one of two; it asks for nothing
OPEN = Caller("anyone", everything=True)  # a laptop's loopback server with access off

# No registered client is called so.
RESERVED = frozenset({OPERATOR.client, HUB.client, OPEN.client})
