"""declaring — SearchParameters that are stored come into force, in every worker.

https://hl7.org/fhir/R4/searchparameter.html

The store's table of parameters is what holds (contract/parameter.py). Whoever reads a definition
that says otherwise brings the table to it: the worker that stored it before it answers; another
one, from the feed, where that one was killed in between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from fhir_server.foundation.outcome import Unavailable
from fhir_server.foundation.resource import Key, Resource
from fhir_server.search import custom
from fhir_server.search.live import Live
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import Store, Stored
from fhir_server.store.contract.parameter import BUILDING, READY, Declaration, source_key

log = logging.getLogger(__name__)

LATER = 20.0  # seconds: whoever declares holds up all who write for a while


class Declaring:
    """Brings definitions to the store's table, and the table to what is live.

    folder: the definitions beside the store, asked once; None: whatever the table has of them.
    """

    def __init__(
        self,
        live: Live,
        store: Store,
        folder: Callable[[], Iterable[Resource] | None] = lambda: None,
    ) -> None:
        self.live = live
        self.store = store
        self._folder = folder
        self._begun = False
        self._again = 0.0  # when what could not be done is tried again
        self._newest: dict[Key, int] = {}  # the generation that was read
        self._waiting: dict[Key, tuple[int, tuple[Declaration, ...]]] = {}

    def learn(self, versions: Iterable[Stored]) -> None:
        """Take in versions of definitions; those of other types are passed over."""
        for version in versions:
            key = version.key
            if key.type != "SearchParameter" or version.generation <= self._newest.get(key, 0):
                continue
            self._newest[key] = version.generation
            wanted: tuple[Declaration, ...] = ()
            if not version.deleted:
                parameters = self.live.current.parameters
                wanted = custom.declarations(parameters, resource_of(version))
            self._waiting[key] = version.generation, wanted

    def forget(self) -> None:
        """Know nothing of what is stored: the store was restored, and is read again."""
        self._newest.clear()
        self._waiting.clear()
        self._begun = False

    async def refresh(self) -> None:
        """What the store's table says now."""
        self.live.take(await self.store.parameters.all())

    async def settle(self) -> None:
        """Bring the table to all that was learned. What cannot be done now waits."""
        if not self._begun:
            await self.refresh()
            await self._declare_folder()
            self._begun = True
        elif self._waiting or self.live.is_restless:
            await self.refresh()
        if time.monotonic() < self._again:
            return
        changed = False
        for key, (generation, wanted) in list(self._waiting.items()):
            if self._differs(str(key), wanted):
                try:
                    changed |= await self.store.parameters.declare(str(key), generation, wanted)
                except Unavailable as error:  # it is stored, and takes effect later
                    log.warning("A SearchParameter waits to take effect: %s", error)
                    self._again = time.monotonic() + LATER
                    break
            self._waiting.pop(key, None)
        if changed:
            await self.refresh()

    def _differs(self, source: str, wanted: Sequence[Declaration]) -> bool:
        had = {
            (row.base, row.code, row.facts)
            for row in self.live.table.rows
            if row.source == source and row.state in (BUILDING, READY)
        }
        return had != {(one.base, one.code, one.facts) for one in wanted}

    async def _declare_folder(self) -> None:
        """The definitions that come with the deployment, known from the start."""
        found = self._folder()
        if found is None:
            return
        parameters, rows = self.live.current.parameters, self.live.table.rows
        wanted: dict[str, tuple[Declaration, ...]] = {
            row.source: () for row in rows if source_key(row.source) is None
        }
        for resource in found:
            problems = custom.issues(parameters, resource, rows, resource["url"])
            for problem in problems:
                log.warning("`%s`: %s", resource["url"], problem.diagnostics)
            if not problems:
                wanted[resource["url"]] = custom.declarations(parameters, resource)
        for source, declared in wanted.items():
            if self._differs(source, declared):
                try:
                    await self.store.parameters.declare(source, None, declared)
                except Unavailable as error:
                    log.warning("`%s` takes effect at the next start: %s", source, error)
        await self.refresh()
