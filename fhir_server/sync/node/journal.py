"""journal — what happened lately between the node and the hub, in a ring of lines.

https://hl7.org/fhir/R4/auditevent.html

A line is written with what it tells, so that it is true after a power failure too.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

import orjson

from fhir_server.store.contract.side import STATE, Put, SideTables, StateRow
from fhir_server.sync.node.life import Life

MOST = 500  # lines; then the oldest is written over
PREFIX = "log."


class Line(NamedTuple):
    """at: milliseconds since 1970 UTC, by this machine's clock."""

    number: int
    at: int
    what: str
    facts: dict[str, Any]


def noted(life: Life, what: str, **facts: Any) -> tuple[Life, Put[StateRow]]:
    """The Life with one line more, and the line."""
    number = life.logged + 1
    told = {"number": number, "at": int(time.time() * 1000), "what": what, "facts": facts}
    row = StateRow(f"{PREFIX}{number % MOST:03}", orjson.dumps(told).decode())
    return replace(life, logged=number), Put(STATE, (row,))


async def lines(side: SideTables, limit: int = MOST) -> list[Line]:
    """The last lines, oldest first."""
    rows = await side.range(STATE, beyond=(PREFIX,), limit=MOST + 50)
    found = [Line(**orjson.loads(row.value)) for row in rows if row.name.startswith(PREFIX)]
    return sorted(found)[-limit:]
