"""own — versions of the node's own store, with what they were made from, as they are to be sent.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import Key, Resource
from fhir_server.store.codec import Damaged, resource_of
from fhir_server.store.contract import EVERYTHING, Store, version_id
from fhir_server.store.contract.lineage import Known
from fhir_server.sync.lineage import Parents, Rev, State
from fhir_server.sync.node.life import Name
from fhir_server.sync.words import Stubbed
from fhir_server.sync.words.push import MOST_STUBS, plain

STUB = State.STUB.value
UNREADABLE = (FhirError, Damaged, msgspec.MsgspecError, ValueError)  # it was damaged since


class Own(NamedTuple):
    """recorded: when it was stored here. resource: None: a deletion. stubs: of its past what is
    known here by name alone, from its parents on."""

    name: Name
    key: Key
    rev: Rev
    parents: Parents
    method: str
    recorded: int
    resource: Resource | None
    stubs: tuple[Stubbed, ...] = ()


async def read(store: Store, names: Collection[Name]) -> dict[Name, Own]:
    """Those of them that are there and can be read."""
    keys = await store.audit.keys(sorted({name.rid for name in names}))
    wanted = {
        (keys[name.rid], version_id(name.generation, name.digest)): name
        for name in names
        if name.rid in keys
    }
    if not wanted:
        return {}
    lineages = await store.lineage(sorted({key for key, _ in wanted}))
    pasts = {key: {one.rev: one for one in known} for key, known in lineages.items()}
    found: dict[Name, Own] = {}
    for stored in await store.at_versions(list(wanted), EVERYTHING):
        place = (stored.key, stored.version_id)
        past = pasts.get(stored.key, {})
        if place not in wanted or stored.version_id not in past:
            continue
        parents = past[stored.version_id].parents
        try:
            resource = None if stored.deleted else plain(resource_of(stored))
        except UNREADABLE:
            continue
        found[wanted[place]] = Own(
            wanted[place], *place, parents, stored.method, stored.updated, resource,
            absent(past, parents),
        )  # fmt: skip
    return found


def absent(past: Mapping[Rev, Known], parents: Parents) -> tuple[Stubbed, ...]:
    """Of the past what is known by name alone, the nearest first."""
    found: dict[Rev, Stubbed] = {}
    ahead = list(parents)
    while ahead and len(found) < MOST_STUBS:
        rev = ahead.pop(0)
        known = past.get(rev)
        if known is not None and known.state == STUB and rev not in found:
            found[rev] = Stubbed(rev, known.parents)
            ahead.extend(known.parents)
    return tuple(found.values())
