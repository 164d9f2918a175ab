"""log — one line of JSON for each interaction, and none of anybody's health.

What is written is listed in `line` and `trouble`: no ids, no parameters, no bodies, and of an
exception only its class and where it was raised, since its words may quote a record.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from fhir_server.foundation.journal import frames, told

Write = Callable[[bytes], None]

FLUSH_AFTER = 0.05  # seconds: one write for many lines
MOST = 500  # lines held before they are written at once


def to_stderr(lines: bytes) -> None:
    sys.stderr.buffer.write(lines)
    sys.stderr.buffer.flush()


class Done(NamedTuple):
    """What is told of one interaction."""

    request_id: bytes
    interaction: str
    type: str | None
    status: int
    seconds: float
    size: int
    client: str


class Log:
    """Lines, written a few at a time so that a request does not wait for them."""

    def __init__(self, write: Write = to_stderr) -> None:
        self._write = write
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def line(self, done: Done) -> None:
        self._add(
            {
                "time": datetime.now(UTC),
                "request": done.request_id.decode("latin-1"),
                "interaction": done.interaction,
                "type": done.type,
                "status": done.status,
                "ms": round(done.seconds * 1000, 2),
                "bytes": done.size,
                "client": done.client,
            }
        )

    def trouble(self, *, request_id: bytes, interaction: str, error: BaseException) -> None:
        """Something unexpected: what kind, and the way to it through the code."""
        self._add(
            {
                "time": datetime.now(UTC),
                "level": "error",
                "request": request_id.decode("latin-1"),
                "interaction": interaction,
                "error": told(error),
                "traceback": frames(error),
            }
        )

    def _add(self, facts: dict[str, object]) -> None:
        self._lines.append(orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self.flush)

    def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._write(b"".join(lines))
