"""rescuing — `$sync-rescue`: pieces of a copy are brought, and what a dead disk had is taken.

https://hl7.org/fhir/R4/operations.html
https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Any

from fhir_server.foundation.outcome import Invalid, operation_outcome
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Given, Operation
from fhir_server.operation.parameters import answer, parameters
from fhir_server.sync.copy.piece import MOST
from fhir_server.sync.hub import homes, nodes
from fhir_server.sync.hub.bringing import Became, Brought, brought

NAME = "sync-rescue"
DEFINITION = "https://fhir-server.example/OperationDefinition/sync-rescue"
PIECES = 100  # of one request
PATIENCE = 20.0  # seconds that one request may take: what is not answered is brought again
OCTETS = MOST // 3 * 4 + 4  # of a piece in base64


async def rescue(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Forbidden for who is no node; Invalid for what is no piece at all."""
    nodes.demand_node(circumstances, NAME)
    lines = [_line(given) for given in call.all("piece")]
    if not lines:
        raise Invalid("Bring at least one `piece` of a copy.", expression="Parameters.parameter")
    if len(lines) > PIECES:
        raise Invalid(f"There are {len(lines)} pieces; at most {PIECES} are taken at once.")
    await homes.begin(server)
    until, told = time.monotonic() + PATIENCE, list[Given]()
    for line in lines:
        if told and time.monotonic() > until:
            break
        found = await brought(server, line, circumstances, by_operator=False, also_revoked=False)
        told.append(_told(found))
    return answer(parameters(told))


def _line(given: Given) -> str:
    """A text; in base64 where it is longer than R4 lets a text be. Raises Invalid."""
    text = given.value
    if given.type == "base64Binary" and isinstance(text, str) and len(text) <= OCTETS:
        try:
            return base64.b64decode(text).decode("ascii")
        except (binascii.Error, ValueError):
            pass
    elif given.type == "string" and isinstance(text, str):
        return text
    raise Invalid(
        f"A `piece` is a valueString, or a valueBase64Binary of it, of at most {MOST} letters.",
        expression=given.place,
    )


def _told(found: Brought) -> Given:
    parts = []
    if found.head is not None:
        parts = [
            Given("node", found.head.node, "string"),
            Given("copy", found.head.copy, "string"),
            Given("number", str(found.head.piece), "string"),
        ]
    if found.refused is not None:
        parts.append(Given("refused", resource=_outcome([found.refused])))
    parts += [_version(each) for each in found.versions]
    return Given("piece", parts=tuple(parts))


def _version(one: Became) -> Given:
    parts = [
        Given("version", {"reference": f"{one.key}/_history/{one.rev}"}, "Reference"),
        Given("outcome", one.outcome.value, "code"),
    ]
    if one.issues:
        parts.append(Given("issues", resource=_outcome(one.issues)))
    return Given("version", parts=tuple(parts))


def _outcome(issues: Any) -> dict[str, Any]:
    found: dict[str, Any] = operation_outcome(issues)
    return found


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name=NAME,
        definition=DEFINITION,
        levels=frozenset({"system"}),
        types=None,
        parameters=frozenset({"piece"}),
        perform=rescue,
        get=False,
    ),
)
