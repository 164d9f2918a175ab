"""stirring — whether something new concerns who waits, looked up once for all who wait here.

https://hl7.org/fhir/R4/http.html#history

A province's nodes all wait, and something is always new: most of it concerns one of them. So the
log is looked through once for this process, and who is not concerned asks the database nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from fhir_server.store.contract import EpochEnded, Store

PAUSE = 0.4  # seconds between two looks: a little less than between two of one who waits
FORGOTTEN = 10.0  # seconds without a look, after which the log is joined where it is then
ROWS = 1000  # of the log, at once
LOOKS = 5  # at once: who is that far behind asks for themselves


class Stirring:
    """A moment is a number, which grows with each look that found something.

    What stands in the log by a moment has been told of by it; what comes later is told of by a
    later one. So who remembers a moment, and reads the log after that, misses nothing.
    """

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._cursor: str | None = None
        self._looked = -FORGOTTEN
        self._moment = 0
        self._everybody = 0  # when there was last something for everybody
        self._last: dict[int, int] = {}  # and for each
        self._looking = asyncio.Lock()

    async def moment(self, store: Store) -> int:
        """The one to remember, before the log is read."""
        await self._look(store)
        return self._moment

    async def concerns(self, store: Store, whom: Collection[int], since: int) -> bool:
        """Whether since that moment something came that may concern one of these numbers."""
        await self._look(store)
        return max(self._everybody, *(self._last.get(one, 0) for one in whom)) > since

    async def _look(self, store: Store) -> None:
        async with self._looking:
            now = time.monotonic()
            if now - self._looked < self._pause:
                return
            if self._cursor is None or now - self._looked > FORGOTTEN:
                await self._join(store)
            else:
                await self._go_on(store, self._cursor)
            self._looked = now

    async def _join(self, store: Store) -> None:
        """What came while nobody looked is for everybody."""
        self._moment += 1
        self._everybody = self._moment
        self._last.clear()
        log = await store.log(None, facility=0, everywhere=(), limit=0)
        self._cursor = log.end

    async def _go_on(self, store: Store, cursor: str) -> None:
        try:
            for _ in range(LOOKS):
                found = await store.stirred(cursor, limit=ROWS)
                cursor = found.next
                self._tell(found.whom, everybody=found.everybody)
                if not found.more:
                    self._cursor = cursor
                    return
        except EpochEnded:
            pass  # who waits is told so when they ask
        await self._join(store)

    def _tell(self, whom: Collection[int], *, everybody: bool) -> None:
        if whom or everybody:
            self._moment += 1
            self._last |= dict.fromkeys(whom, self._moment)
            if everybody:
                self._everybody = self._moment
