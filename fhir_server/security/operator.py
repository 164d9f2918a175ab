"""operator — who runs a command: the user of this machine, as the system knows them.

https://hl7.org/fhir/R4/auditevent-definitions.html#AuditEvent.agent.who
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pwd import getpwuid

from fhir_server.security.caller import OPERATOR, Caller


@cache
def operator() -> Caller:
    """The command line reaches everything; the audit names the person."""
    return replace(OPERATOR, user=user_name())


def user_name() -> str:
    """Of the process, whatever the environment says."""
    number = os.getuid()
    try:
        return getpwuid(number).pw_name
    except KeyError:  # a container may run as a number that has no name
        return f"uid {number}"
