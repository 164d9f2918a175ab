"""seeing — what a database holds, looked up by the store beside the process that serves it.

A look goes on from the one before: what was in the log then is there for ever. That it is, a look
from the beginning shows now and then.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, EpochEnded, Store, version_id
from fhir_server.store.contract.side import HELD
from fhir_server.store.contract.version import LEFT
from fhir_server.store.engine import store_at
from fhir_server.store.schema import sqlite_path
from fhir_server.sync.lineage import Known, Lineage, State
from fhir_server.sync.node.outbox import LOCAL

PAGE = 1000
MEMORY = Path("/dev/shm")


@dataclass
class Seen:
    """What a database holds. rows: how often each version stands in the log; newest: what is shown
    of each resource: its version, also of a deletion; left: hidden here; held: what a hub keeps
    apart. cursor: how far its log was looked through."""

    rows: Counter[tuple[Key, str]] = field(default_factory=Counter)
    newest: dict[Key, str] = field(default_factory=dict)
    bodies: dict[tuple[Key, str], dict[str, Any]] = field(default_factory=dict)
    left: set[Key] = field(default_factory=set)
    lineage: dict[Key, Lineage] = field(default_factory=dict)
    held: set[tuple[Key, str]] = field(default_factory=set)
    cursor: str | None = None

    def heads(self, key: Key) -> list[str]:
        return self.lineage[key].heads() if key in self.lineage else []

    def is_alive(self, key: Key) -> bool:
        return (key, self.newest.get(key, "")) in self.bodies


@asynccontextmanager
async def opened(url: str):
    """A store on the database as it is at this moment: of a file, which has one server, a copy."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        if url.startswith("sqlite"):
            copy = Path(folder) / "copy.db"
            with (
                closing(sqlite3.connect(sqlite_path(url))) as of,
                closing(sqlite3.connect(copy)) as to,
            ):
                of.backup(to)
            url = f"sqlite:///{copy}"
        store = store_at(url)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


async def seen(store: Store, before: Seen | None = None) -> Seen:
    """before: what was seen the last time, which is added to."""
    found = before or Seen()
    try:
        changed = await _log(store, found)
    except EpochEnded:  # it was restored
        found = Seen()
        changed = await _log(store, found)
    keys = sorted(changed)
    for start in range(0, len(keys), PAGE):
        some = keys[start : start + PAGE]
        for key, stored in (await store.newest(some, EVERYTHING)).items():
            found.newest[key] = stored.version_id
            (found.left.add if stored.method == LEFT else found.left.discard)(key)
        for key, known in (await store.lineage(some)).items():
            found.lineage[key] = Lineage(
                {one.rev: Known(one.parents, State(one.state)) for one in known}
            )
    held = await store.side.range(HELD, limit=100_000)
    found.held = {(Key(row.type, row.id), version_id(row.generation, row.digest)) for row in held}
    return found


async def _log(store: Store, found: Seen) -> set[Key]:
    """Take in what is new of it; of which resources."""
    changed = set()
    while True:
        page = await store.feed(found.cursor, restriction=EVERYTHING, limit=PAGE)
        for row in page.rows:
            if row.key.type in LOCAL:
                continue
            changed.add(row.key)
            if row.method != LEFT:
                found.rows[row.key, row.version_id] += 1
                if not row.deleted:
                    found.bodies[row.key, row.version_id] = resource_of(row)
        found.cursor = page.next
        if len(page.rows) < PAGE:
            return changed


def key_of(text: str) -> Key:
    return Key(*text.split("/"))
