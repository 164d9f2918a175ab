"""tending — conflicts and what waits are looked at again, since others write on a hub, too.

https://hl7.org/fhir/R4/http.html#concurrency

A client of the hub that changes one of several heads may have made them one that can be merged; one
that registers a patient has stored what a node's record waits for. Neither is told that it did.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field, replace

import orjson

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import Key
from fhir_server.interaction import writing
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.security.audit.record import Record
from fhir_server.store.contract import EVERYTHING, Position, Stale, Unit, rid
from fhir_server.store.contract.side import CONFLICT, WAITING, ConflictRow, Values
from fhir_server.sync.conflicts.conflict import lineage_of
from fhir_server.sync.conflicts.keeping import kept
from fhir_server.sync.hub import waking
from fhir_server.sync.hub.growing import grown
from fhir_server.sync.hub.tree import Tree
from fhir_server.sync.hub.waking import OPERATION, URL

log = logging.getLogger(__name__)

PAGE = 200  # rows of one look at each table
INTERVAL = 5.0  # seconds between two looks
AGAIN = 600.0  # seconds after which what could not be stored is looked at again all the same


@dataclass
class Tending:
    """Looks at a page of each table, and goes on from there the next time."""

    server: Server
    _conflicts: Values | None = None
    _waiting: Values | None = None
    _tried: dict[int, tuple[Position, float]] = field(default_factory=dict)

    async def work(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL * (0.5 + random.random()))  # noqa: S311 - nothing secret
            try:
                await self.look()
            except FhirError as error:  # the store is away for a while, and its users are told
                log.debug("Conflicts could not be tended: %s", error)
            except Exception:  # whatever it was, the next look may do better
                log.warning("Conflicts could not be tended.", exc_info=True)

    async def look(self) -> int:
        """How much was written."""
        return await self._end_conflicts() + await self._wake()

    # --- conflicts ---

    async def _end_conflicts(self) -> int:
        rows = await self.server.store.side.range(CONFLICT, beyond=self._conflicts, limit=PAGE)
        self._conflicts = (rows[-1].rid,) if len(rows) == PAGE else None
        count = 0
        for row in rows:
            facts = orjson.loads(row.facts)
            key = Key(*facts["key"].split("/", 1))
            lineage = await lineage_of(self.server, key)
            if sorted(lineage.heads()) != facts["heads"]:
                count += await self._tend(key, row)
        return count

    async def _tend(self, key: Key, row: ConflictRow) -> int:
        """Make one of the heads, or tell which there are now; 0: others are writing it."""
        server, rules = self.server, self.server.live.current.change
        newest = (await server.store.newest((key,), EVERYTHING)).get(key)
        if newest is None:
            return 0
        tree = Tree(key, await lineage_of(server, key), newest.version_id)
        found = await grown(server, BY_OPERATOR, tree, newest)
        if found is None:
            told = await kept(server, BY_OPERATOR, key, tree.lineage, issues=tree.issues)
            unit = Unit(told.versions, unchanged=(writing.still(newest),))
        else:
            told = found.told
            unit = Unit((found.version, *found.own, *told.versions))
        unit = Unit(
            unit.versions,
            unchanged=unit.unchanged,
            side=told.side,
            expects=told.expects,
            rules=rules,
        )
        by_server = replace(BY_OPERATOR, record=Record(OPERATION, URL) if server.audit else None)
        unit = await writing.of_facilities(server, BY_OPERATOR, unit)
        try:
            await server.store.commit(writing.audited(unit, by_server))
        except Stale:
            return 0
        log.info("The conflict of `%s` since %d was looked at again.", key, row.since)
        return 1

    # --- what waits ---

    async def _wake(self) -> int:
        rows = await self.server.store.side.range(WAITING, beyond=self._waiting, limit=PAGE)
        self._waiting = tuple(rows[-1]) if len(rows) == PAGE else None
        wanted = sorted({row.rid_for for row in rows})
        if not wanted:
            self._tried.clear()
            return 0
        count = 0
        for stored in await self.server.store.by_rid(wanted, EVERYTHING):
            number, now = rid(stored.key), time.monotonic()
            before = self._tried.get(number)
            if before is None or before[0] != stored.position or now > before[1] + AGAIN:
                self._tried[number] = (stored.position, now)
                count += await waking.wake(self.server, (stored.key,))
        return count


async def tend(server: Server) -> int:
    """One look."""
    return await Tending(server).look()


async def keep(server: Server) -> None:
    """Tend, until cancelled."""
    await Tending(server).work()
