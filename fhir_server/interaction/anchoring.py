"""anchoring — the ends of the audit's chains go to a file outside the database at intervals.

https://hl7.org/fhir/R4/security.html#audit
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from fhir_server.security.audit.anchors import Anchors
from fhir_server.store.contract import Store

log = logging.getLogger(__name__)


class Anchoring:
    """Tells the file what has moved. What cannot be written is tried again at the next turn."""

    def __init__(self, store: Store, file: Path, seconds: float) -> None:
        self._store = store
        self._anchors = Anchors(file)
        self._seconds = seconds

    async def work(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self.tell()

    async def tell(self) -> None:
        """At the end too, when the store is closed: then the chains have ended."""
        heads = self._store.audit.heads()
        try:
            await asyncio.to_thread(self._anchors.tell, heads)
        except OSError as error:
            log.warning(
                "the audit cannot be anchored: `%s`: %s", self._anchors.file, error.strerror
            )
