"""horizon — up to where a copy of this database, taken at any moment, surely has everything.

https://hl7.org/fhir/R4/http.html#history

A transaction that was open when a copy was taken is not in it, though one with a later place may
be; and it may have been told of before the copy came to be used. So the horizon is written down
from time to time: whatever copy has the note has all that is before it, since all of that had ended
when the note was written. Where a copy goes on as the database, its history ended there (epoch).
"""

from __future__ import annotations

import asyncio
import logging
import time

from fhir_server.foundation.outcome import FhirError
from fhir_server.store.contract import Stale
from fhir_server.store.postgresql.connection import Pool, rows
from fhir_server.store.postgresql.reading import BASE

NAME = "horizon"  # of the setting
PAUSE = 1.0  # seconds: what was written in them is sent anew by the nodes after a restore
KEEP = (
    f"insert into setting (name, value) select '{NAME}',"
    f" ({BASE} + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)::text"
    " on conflict (name) do update set value = excluded.value"
    " where setting.value::bigint < excluded.value::bigint"
)
KEPT = f"(select value::bigint from setting where name = '{NAME}')"
log = logging.getLogger(__name__)


class Horizon:
    """Notes it behind commits, once in a while."""

    def __init__(self, writers: Pool) -> None:
        self._writers = writers
        self._due = 0.0
        self._is_behind = False
        self._task: asyncio.Task[None] | None = None

    def committed(self) -> None:
        self._is_behind = True
        now = time.monotonic()
        if now >= self._due and (self._task is None or self._task.done()):
            self._due = now + PAUSE
            self._task = asyncio.create_task(self._keep())

    async def finished(self) -> None:
        """All that was committed is behind it, and that is written down."""
        if self._task is not None:
            await self._task
        if self._is_behind:
            await self._keep()

    async def _keep(self) -> None:
        self._is_behind = False
        try:
            await rows(self._writers, f"{KEEP} returning 1", ())
        except (FhirError, Stale) as error:
            self._is_behind = True
            log.warning("the horizon was not written down: %s", error)
