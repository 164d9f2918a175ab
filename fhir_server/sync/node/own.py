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
from fhir_server.sync.lineage import Parents, Rev
from fhir_server.sync.node.life import Name
from fhir_server.sync.words.push import plain

UNREADABLE = (FhirError, Damaged, msgspec.MsgspecError, ValueError)  # it was damaged since


class Own(NamedTuple):
    """recorded: when it was stored here. resource: None: a deletion."""

    name: Name
    key: Key
    rev: Rev
    parents: Parents
    method: str
    recorded: int
    resource: Resource | None


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
    parents = await _parents(store, {key for key, _ in wanted})
    found: dict[Name, Own] = {}
    for stored in await store.at_versions(list(wanted), EVERYTHING):
        place = (stored.key, stored.version_id)
        if place not in wanted or place not in parents:
            continue
        try:
            resource = None if stored.deleted else plain(resource_of(stored))
        except UNREADABLE:
            continue
        found[wanted[place]] = Own(
            wanted[place], *place, parents[place], stored.method, stored.updated, resource
        )
    return found


async def _parents(store: Store, keys: Collection[Key]) -> Mapping[tuple[Key, Rev], Parents]:
    lineages = await store.lineage(sorted(keys))
    return {(key, one.rev): one.parents for key, known in lineages.items() for one in known}
