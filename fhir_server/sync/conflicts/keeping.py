"""keeping — what is written when a conflict begins, becomes another one, and ends.

https://hl7.org/fhir/R4/task.html

It goes into the transaction that stores the versions. Who stores versions on a hub asks for it with
the lineage as it will be; on a node nothing is kept, because the Task comes from the hub.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.writing import new_version
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, NewVersion, Stored, rid
from fhir_server.store.contract.side import CONFLICT, ConflictRow, Drop, Expect, Put, Side
from fhir_server.sync.conflicts import task
from fhir_server.sync.conflicts.conflict import Bodies, Conflict, conflict_of
from fhir_server.sync.lineage import Lineage, Rev


@dataclass(frozen=True, slots=True)
class Kept:
    """What goes into the Unit: it is the server's own, whoever's writing it comes from."""

    versions: tuple[NewVersion, ...] = ()
    side: tuple[Side, ...] = ()
    expects: tuple[Expect, ...] = ()
    is_conflict: bool = False


async def kept(
    server: Server,
    circumstances: Circumstances,
    key: Key,
    lineage: Lineage,
    bodies: Bodies | None = None,
    *,
    issues: Sequence[Issue] = (),
) -> Kept:
    """What is to be written with versions of a resource, so that its conflict is told as it is.

    lineage: with what is about to be stored. bodies: the content of that, without what a server
    adds to meta. issues: why a merge that could be made is not valid.
    """
    number = rid(key)
    row = (await server.store.side.rows(CONFLICT, ((number,),))).get((number,))
    conflict = await conflict_of(server, key, lineage, bodies, issues)
    if conflict is None and row is None:
        return Kept()
    expects = (Expect(CONFLICT, (number,), row),)
    if conflict is None:
        assert row is not None, "there was one"
        heads = lineage.heads()
        closed = await _closed(server, circumstances, key, row, heads[0] if heads else None)
        return Kept(closed, (Drop(CONFLICT, ((number,),)),), expects)
    if row is not None and row.task == task.id_of(key, conflict.revs):
        return Kept(expects=expects, is_conflict=True)
    closed = () if row is None else await _closed(server, circumstances, key, row, None)
    opened = await _opened(server, circumstances, conflict)
    put = Put(CONFLICT, (_row(conflict),))
    return Kept((*closed, *opened), (put,), expects, is_conflict=True)


def _row(conflict: Conflict) -> ConflictRow:
    facts = {"key": str(conflict.key), "heads": sorted(conflict.revs)}
    since = time.time_ns() // 1_000_000
    id = task.id_of(conflict.key, conflict.revs)
    return ConflictRow(rid(conflict.key), since, id, orjson.dumps(facts).decode())


async def _opened(
    server: Server, circumstances: Circumstances, conflict: Conflict
) -> tuple[NewVersion, ...]:
    """The Task; nothing where it is there and open."""
    told = task.task_of(server.definitions, conflict, patient_of(server, conflict))
    before = await _task(server, told["id"])
    if before is not None and not before.deleted and task.is_open(resource_of(before)):
        return ()
    return (new_version(server, circumstances, told, "PUT", before),)


async def _closed(
    server: Server,
    circumstances: Circumstances,
    key: Key,
    row: ConflictRow,
    resolution: Rev | None,
) -> tuple[NewVersion, ...]:
    """The Task of a conflict that is over; nothing where somebody has closed or deleted it."""
    before = await _task(server, row.task)
    if before is None or before.deleted:
        return ()
    told = resource_of(before)
    if not task.is_open(told):
        return ()
    return (
        new_version(server, circumstances, _without_servers(told, key, resolution), "PUT", before),
    )


def _without_servers(told: Resource, key: Key, resolution: Rev | None) -> Resource:
    meta = {name: one for name, one in told["meta"].items() if name == "security"}
    rest = {name: one for name, one in told.items() if name != "meta"}
    ended = task.ended(rest, key, resolution)
    return {**ended, "meta": meta} if meta else ended


async def _task(server: Server, id: str) -> Stored | None:
    key = Key("Task", id)
    return (await server.store.newest((key,), EVERYTHING)).get(key)


# --- whose record --------------------------------------------------------------------------------


def patient_of(server: Server, conflict: Conflict) -> str | None:
    """A reference to the patient whose record all versions are in. None: in nobody's; or in those
    of two, and then the Task, which shows both, is in neither."""
    living = [head.resource for head in conflict.heads if head.resource is not None]
    owners = {server.indexer.owner(resource) for resource in living}
    owner = owners.pop() if len(owners) == 1 else 0
    if not owner:
        return None
    if conflict.key.type == "Patient":
        return str(conflict.key)
    return _naming(server, living[0], owner)


def _naming(server: Server, value: Any, owner: int) -> str | None:
    """The first reference in a resource that names the patient."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    told = value.get("reference") if isinstance(value, dict) else None
    if isinstance(told, str):
        found = server.indexer.site.own(told)
        if found is not None and found.key.type == "Patient" and rid(found.key) == owner:
            return str(found.key)
    return next((named for part in parts if (named := _naming(server, part, owner))), None)
