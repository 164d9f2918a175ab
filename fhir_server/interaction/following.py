"""following — what is stored as a definition becomes known at once, in every worker.

https://hl7.org/fhir/R4/conformance-module.html

The worker that commits a definition knows it before it answers. The others read the store's feed
a few times a second; where there are others, the answer waits until they had their look, so that
who was told of a new profile meets it whichever worker comes next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES
from fhir_server.foundation.outcome import FhirError
from fhir_server.interaction.declaring import Declaring
from fhir_server.store.contract import EVERYTHING, EpochEnded, Store, Stored
from fhir_server.validation.knowledge import Knowledge

log = logging.getLogger(__name__)

INTERVAL = 0.25  # seconds between two looks
PAGE = 200  # versions a look reads at once


class Following:
    """Reads the store's feed of definitions into what is known.

    alone: no other process serves this store, so nobody need be waited for. declaring: brings
    SearchParameters into force.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        store: Store,
        *,
        alone: bool = True,
        declaring: Declaring | None = None,
    ) -> None:
        self.knowledge = knowledge
        self.declaring = declaring
        self.store = store
        self.alone = alone
        self._cursor: str | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> None:
        """Take in all that is new in the feed."""
        async with self._looking:
            while True:
                try:
                    page = await self.store.feed(
                        self._cursor, types=TYPES, limit=PAGE, restriction=EVERYTHING
                    )
                except EpochEnded:  # the store was restored: some of what is known may be gone
                    self.knowledge.forget()
                    if self.declaring is not None:
                        self.declaring.forget()
                    self._cursor = None
                    continue
                self._cursor = page.next
                self.knowledge.learn(page.rows)
                if self.declaring is not None:
                    self.declaring.learn(page.rows)
                if len(page.rows) < PAGE:
                    break
            if self.declaring is not None:
                await self.declaring.settle()

    async def committed(self, versions: Iterable[Stored]) -> None:
        """Versions of this worker were committed: know them, and let the others see them."""
        found = [version for version in versions if version.key.type in CONFORMANCE_TYPES]
        if not found:
            return
        self.knowledge.learn(found)
        if self.declaring is not None:
            self.declaring.learn(found)
            try:
                await self.declaring.settle()
            except FhirError as error:  # it is stored, and the next look does the rest
                log.warning("A SearchParameter waits to come into force: %s", error)
        if not self.alone:
            await asyncio.sleep(2 * INTERVAL)

    async def follow(self) -> None:
        """Look again and again, until cancelled. A store that is away is asked again later."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                await self.look()
            except FhirError as error:  # the store is away for a while, and its users are told
                log.debug("The feed of definitions: %s", error)
            except Exception:  # whatever it was, the next look may do better
                log.warning("The feed of definitions could not be read.", exc_info=True)


TYPES = tuple(sorted(CONFORMANCE_TYPES))
