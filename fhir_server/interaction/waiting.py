"""waiting — a follower is answered when there is something new, and not before.

https://hl7.org/fhir/R4/http.html#history

RFC 7240 4.3, `Prefer: wait`. Who waits holds no connection of the database between two looks. They
are no more than so many at once, so that others are still answered: the next one is told at once
that there is nothing. When the server stops, so is everyone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE = 0.5  # seconds between two looks
MOST = 64  # of one process


class Waiting:
    """Those who wait in this process."""

    def __init__(self, most: int = MOST, *, pause: float = PAUSE) -> None:
        self.most = most
        self.pause = pause
        self.here = 0
        self._stopped = False

    async def until(self, look: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Look again and again, until something is found or so many seconds have passed."""
        if self.here >= self.most:
            return
        self.here += 1
        ends = time.monotonic() + seconds
        try:
            while not self._stopped and (left := ends - time.monotonic()) > 0:
                await asyncio.sleep(min(self.pause, left))
                if await look():
                    break
        finally:
            self.here -= 1

    def stop(self) -> None:
        self._stopped = True
