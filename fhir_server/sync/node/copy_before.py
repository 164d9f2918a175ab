"""copy_before — the copies this disk made before: which may go, and which hold what it has lost.

https://hl7.org/fhir/R4/http.html#history

A disk that was set back knows its copies of then, and not what was added to them since. So when a
process begins it writes down how far the disk knows, and a copy with anything later stays.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import orjson

from fhir_server.store.contract import EVERYTHING, History, Store
from fhir_server.sync.copy.folder import Unreadable, found
from fhir_server.sync.node.copy_state import MINE, kept, text_of

LOOKED = 200  # of the newest versions, among which one is older than this process
Before = Mapping[str, int | None]  # of each copy how far the disk knows; None: it is being made


async def copies_before(store: Store) -> Before:
    told: dict[str, int | None] = orjson.loads(await text_of(store.side, MINE) or b"{}")
    return told


async def remember(store: Store, told: Before) -> None:
    await store.commit(kept(MINE, orjson.dumps(dict(told)).decode()))


async def look_back(store: Store, started: int) -> None:
    """Whoever made the last copy does so no more: write down how far the disk knew when this
    process started, in milliseconds since 1970 UTC."""
    told = await copies_before(store)
    if None not in told.values():
        return
    page = await store.history(History(restriction=EVERYTHING, limit=LOOKED))
    times = [row.updated for row in page.rows]
    before = [at for at in times if at < started] or times  # the clock was ahead, and was set
    known = max(before, default=0)
    await remember(store, {name: known if at is None else at for name, at in told.items()})


def is_known(folder: Path, until: int) -> bool:
    """Whether the disk knows all that lies there. Raises OSError."""
    try:
        copies = found(folder).copies
    except Unreadable:  # it is not there
        return True
    return all(piece.head.latest <= until for copy in copies for piece in copy.pieces)


def now() -> int:
    return time.time_ns() // 1_000_000
