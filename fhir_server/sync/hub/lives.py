"""lives — the lives of a node's disk, how far each has been heard, and whether two are alive.

https://hl7.org/fhir/R4/http.html#history

A number never means anything else. Where one does, the disk was set back or copied, and its node is
asked to begin a new life. A life that was given up and has news is another disk under one name:
both are heard, since they hold what people wrote, and somebody is told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from fhir_server.foundation.outcome import TooMany
from fhir_server.interaction.context import Server
from fhir_server.store.contract import Unit, version_id
from fhir_server.store.contract.side import LIFE, RECEIPT, Expect, LifeRow, Put, ReceiptRow
from fhir_server.sync.words import Push, Refused

log = logging.getLogger(__name__)

MOST = 1000  # lives of one node
READ = 1000  # receipts of one look


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of a node's life. before: the row as it is; None: it is new."""

    row: LifeRow
    before: LifeRow | None
    others: Sequence[LifeRow]

    @property
    def reached(self) -> int:
        return self.row.reached

    @property
    def facts(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = orjson.loads(self.row.facts)
        return found


async def heard(server: Server, push: Push) -> Heard:
    """Raises TooMany."""
    rows = await server.store.side.range(LIFE, prefix=(push.node,), limit=MOST)
    others = [row for row in rows if row.incarnation != push.incarnation]
    if len(others) == MOST:
        raise TooMany(
            f"The node `{push.node}` has begun {MOST} lives. Have it enrolled anew.",
            vietnamese=f"Máy chủ `{push.node}` đã bắt đầu lại {MOST} lần. Cần đăng ký lại.",
        )
    before = next((row for row in rows if row.incarnation == push.incarnation), None)
    row = before or LifeRow(push.node, push.incarnation, 0, 0, "{}")
    return Heard(row, before, others)


def moved(told: Heard, push: Push, reached: int | None = None, **facts: Any) -> Unit:
    """The life as it is from now on, and the others, which a new one ends."""
    now = time.time_ns() // 1_000_000
    news = push.first + len(push.entries) - 1 > told.reached
    more = {**told.facts, "at": now, "offset": push.sent - now, **facts}
    if told.row.retired and news and "alarm" not in more:
        more["alarm"] = now
        log.warning(
            "The node `%s` is alive twice: its life `%s` was given up, and has news. Enrol one of"
            " the two disks anew.",
            push.node,
            push.incarnation,
        )
    row = told.row._replace(
        reached=told.reached if reached is None else reached, facts=orjson.dumps(more).decode()
    )
    ended: list[LifeRow] = []
    if told.before is None:
        ended = [other._replace(retired=now) for other in told.others if not other.retired]
    key = (push.node, push.incarnation)
    others = {other.incarnation: other for other in told.others}
    expects = [Expect(LIFE, (row.node, row.incarnation), others[row.incarnation]) for row in ended]
    return Unit(
        (),
        side=(Put(LIFE, (row, *ended)),),
        expects=(Expect(LIFE, key, told.before), *expects),
    )


async def refusal(server: Server, told: Heard, push: Push) -> Refused | None:
    """Why nothing of a chunk is looked at: numbers are missing, or mean other versions."""
    if push.first > told.reached + 1:
        return Refused.GAP
    revs = {one.number: one.rev for one in push.entries}
    if push.first > 1:
        revs[push.first - 1] = push.before
    known = await receipts(server, push, min(revs), min(max(revs), told.reached))
    for row in known:
        if revs[row.number] != version_id(row.generation, row.digest):
            return Refused.REUSED
    return None


async def receipts(server: Server, push: Push, first: int, last: int) -> list[ReceiptRow]:
    """Those of the numbers from the first to the last."""
    found: list[ReceiptRow] = []
    at = first - 1
    while at < last:
        rows = await server.store.side.range(
            RECEIPT,
            prefix=(push.node, push.incarnation),
            beyond=(at,),
            limit=min(READ, last - at),
        )
        found += (row for row in rows if row.number <= last)
        if not rows:
            break
        at = rows[-1].number
    return found
