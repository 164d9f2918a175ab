"""figures — how sync stands, as a resource and as metrics: of a node, and of a hub's nodes.

https://hl7.org/fhir/R4/parameters.html

They tell of machines, and of nobody's record.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.bundle import instant
from fhir_server.foundation.outcome import Forbidden
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import Answer, Circumstances, Figure, Server
from fhir_server.operation.call import Call, Operation
from fhir_server.sync.hub import keying, nodes
from fhir_server.sync.hub.keying import Keyed
from fhir_server.sync.hub.nodes import Known
from fhir_server.sync.node.copy_state import CopyState
from fhir_server.sync.node.standing import Standing, standing

NAME = "sync-status"
DEFINITION = "https://fhir-server.example/OperationDefinition/sync-status"
NOT_FOR_YOU = (
    "How sync stands is for who runs this server: none of your roles `can` see `metrics`.",
    "Tình trạng đồng bộ chỉ dành cho người quản trị: vai trò của bạn không có quyền `metrics`.",
)


async def status(server: Server, call: Call, circumstances: Circumstances) -> Answer:  # noqa: ARG001 - an operation's signature
    """Raises Forbidden."""
    if not circumstances.access.able("metrics"):
        english, vietnamese = NOT_FOR_YOU
        raise Forbidden(english, vietnamese=vietnamese)
    side = server.store.side
    parameter: list[dict[str, Any]] = []
    own = await standing(side)
    if own is not None:
        parameter.append({"name": "hub", "part": list(_of_node(own))})
    keyed = keying.of(await server.store.access.clients())
    for node in await nodes.known(side):
        own_key = keyed.pop(node.node, None)
        parameter.append({"name": "node", "part": [*_of_hub(node), *_of_key(own_key)]})
    for one in keyed.values():  # of whom nothing was heard yet
        part = [{"name": "name", "valueString": one.node}, *_of_key(one)]
        parameter.append({"name": "node", "part": part})
    many = await nodes.conflicts(side)
    parameter.append({"name": "conflicts", "valueUnsignedInt": many})
    return Answer(200, render({"resourceType": "Parameters", "parameter": parameter}))


def _of_node(own: Standing) -> Iterator[dict[str, Any]]:
    yield {"name": "incarnation", "valueString": own.incarnation}
    yield {"name": "paused", "valueBoolean": own.paused}
    for name in ("waiting", "urgent", "parked", "refused", "bytes"):
        yield {"name": name, "valueUnsignedInt": min(getattr(own, name), 2**31 - 1)}
    if own.left is not None:
        yield {"name": "left", "valueQuantity": _seconds(own.left)}
    yield from _moment("contact", own.line.contact)
    yield from _moment("failing", own.line.failing)
    if own.line.failing and own.line.why:
        yield {"name": "why", "valueString": own.line.why}
    yield {"name": "offset", "valueQuantity": _seconds(own.offset / 1000)}
    yield {"name": "entering", "valueBoolean": own.whole}
    if own.copy is not None:
        yield {"name": "copy", "part": list(_of_copy(own.copy))}


def _of_copy(copy: CopyState) -> Iterator[dict[str, Any]]:
    yield from _moment("whole", copy.at)
    yield from _moment("failing", copy.failing)
    if copy.failing and copy.why:
        yield {"name": "why", "valueString": copy.why}
    for name in ("versions", "octets", "missing", "large"):
        yield {"name": name, "valueUnsignedInt": min(getattr(copy, name), 2**31 - 1)}


def _of_hub(node: Known) -> Iterator[dict[str, Any]]:
    yield {"name": "name", "valueString": node.node}
    yield from _moment("pushed", node.pushed)
    yield from _moment("pulled", node.pulled)
    yield {"name": "reached", "valueUnsignedInt": min(node.reached, 2**31 - 1)}
    if node.waiting is not None:
        yield {"name": "waiting", "valueUnsignedInt": node.waiting}
    yield {"name": "parked", "valueUnsignedInt": node.held}
    yield {"name": "behind", "valueBoolean": node.behind}
    yield {"name": "entering", "valueBoolean": node.entering}
    yield {"name": "offset", "valueQuantity": _seconds(node.offset / 1000)}
    yield {"name": "lives", "valueUnsignedInt": node.lives}
    yield from _moment("alarm", node.alarm)


def _of_key(one: Keyed | None) -> Iterator[dict[str, Any]]:
    if one is not None:
        for name in ("key", "before", "revoked", "wipe", "word", "wiped"):
            yield from _moment(name, getattr(one, name))


def _moment(name: str, at: int) -> Iterator[dict[str, Any]]:
    if at:
        yield {"name": name, "valueInstant": instant(at)}


def _seconds(value: float) -> dict[str, Any]:
    number = round(value, 3)
    return {"value": number, "system": "http://unitsofmeasure.org", "code": "s"}


# --- metrics --------------------------------------------------------------------------------------


async def figures(server: Server) -> list[Figure]:
    """What `/metrics` tells of sync. The part is a node."""
    now, found, side = time.time_ns() // 1_000_000, list[Figure](), server.store.side
    own = await standing(side)
    if own is not None:
        for name in ("waiting", "urgent", "parked", "refused"):
            found.append(
                (f"sync_{name}", f"Versions of this node: {name}.", "", getattr(own, name))
            )
        silent = (now - own.line.contact) / 1000 if own.line.contact else -1.0
        found.append(("sync_hub_silent_seconds", "Seconds since the hub answered.", "", silent))
        if own.copy is not None:
            since = own.copy.failing
            failing = (now - since) / 1000 if since else 0.0
            found.append(("sync_copy_missing", MISSING, "", own.copy.missing + own.copy.large))
            found.append(("sync_copy_failing_seconds", FAILING, "", failing))
    for node in await nodes.known(side):
        silent = (now - node.heard) / 1000
        found.append(("sync_node_silent_seconds", SILENT, node.node, silent))
        found.append(("sync_node_parked", "Versions of a node kept apart.", node.node, node.held))
        found.append(("sync_node_behind", BEHIND, node.node, float(node.behind)))
        found.append(("sync_node_alarm", ALARM, node.node, float(bool(node.alarm))))
        if node.waiting is not None:
            found.append(("sync_node_waiting", WAITING, node.node, node.waiting))
    found.append(
        ("sync_conflicts", "Resources with several heads.", "", await nodes.conflicts(side))
    )
    return found


SILENT = "Seconds since a node was heard."
BEHIND = "1 where there was more for a node when it asked last."
ALARM = "1 where two disks have been speaking under a node's name."
MISSING = "Versions that are neither at the hub nor in the copy."
FAILING = "Seconds since the copy cannot be written; 0: it can."
WAITING = "Versions a node has still to send, as it said."

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name=NAME,
        definition=DEFINITION,
        levels=frozenset({"system"}),
        types=None,
        parameters=frozenset(),
        perform=status,
    ),
)
