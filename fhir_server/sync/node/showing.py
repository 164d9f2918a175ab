"""showing — the last receipt is shown to a hub that may have been set back without knowing it.

https://hl7.org/fhir/R4/signatures.html

It goes with the first question after a start, after the line was away (a hub that is brought back
is away meanwhile), after a while without a question under way (then nobody would have seen it), and
after an answer by which the hub seems to know less than it did; and now and then all the same.
"""

from __future__ import annotations

import base64
import itertools
import time

import orjson

from fhir_server.store.contract.side import RECEIPT, SideTables
from fhir_server.sync.node.life import Life

AGAIN = 6 * 3600.0  # seconds after which it is shown all the same
SILENT = 30.0  # seconds without a question under way


class Showing:
    """Whether it is due. A question is asked with `due`, and `done` is told that once it is
    answered, also without: what has become due since is due still."""

    def __init__(self) -> None:
        self._turns = itertools.count(2)
        self._due = 1
        self._at = self._heard = time.monotonic()

    @property
    def due(self) -> int:
        """0: it is not."""
        now = time.monotonic()
        if not self._due and (now > self._at + AGAIN or now > self._heard + SILENT):
            self.again()
        return self._due

    def again(self) -> None:
        self._due = next(self._turns)

    def done(self, turn: int) -> None:
        self._heard = time.monotonic()
        if turn and turn == self._due:
            self._due, self._at = 0, self._heard


async def shown(side: SideTables, node: str, life: Life) -> str:
    """The receipt as `[header].[payload].[signature]`; empty: there is none."""
    incarnation, _, first = life.receipt.partition(" ")
    if not first:
        return ""
    key = (node, incarnation, int(first))
    row = (await side.rows(RECEIPT, [key])).get(key)
    if row is None:
        return ""
    told = orjson.loads(row.facts)
    head, _, signature = told["signed"].partition("..")
    payload = base64.urlsafe_b64encode(told["said"].encode()).rstrip(b"=").decode()
    return f"{head}.{payload}.{signature}"
