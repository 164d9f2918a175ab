"""standing — how far a node and its hub are apart, in figures a nurse can read.

https://hl7.org/fhir/R4/parameters.html

They are read from the tables, so that a command beside a server tells the same as the server.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import orjson

from fhir_server.store.contract import Unit
from fhir_server.store.contract.side import PLACE, STATE, PlaceRow, Put, SideTables, StateRow
from fhir_server.sync.node.copy_state import CopyState, copy_state
from fhir_server.sync.node.life import (
    IS_URGENT,
    PACKED,
    PARKED,
    PAUSED,
    REFUSED,
    UNSENT,
    URGENT,
    looked_up,
)

LINE = "line"  # the row of what is known of the line
USUAL = 150.0  # bytes of a version on the line, where none was sent yet
AT_ONCE = 5000  # versions that have numbers: more are not given any before these are answered
WEIGHT = 0.3  # of the newest figure in an average


@dataclass(frozen=True, slots=True)
class LineState:
    """Times are in milliseconds since 1970 UTC, 0: never. failing: since when; why: in words. rate:
    bytes a second that go up; each: bytes of a version."""

    contact: int = 0
    failing: int = 0
    why: str = ""
    up: int = 0
    down: int = 0
    rate: float = 0.0
    each: float = USUAL

    def answered(self, up: int, down: int) -> LineState:
        return replace(
            self, contact=_now(), failing=0, why="", up=self.up + up, down=self.down + down
        )

    def sent(self, up: int, seconds: float, versions: int) -> LineState:
        """How fast it went."""
        rate = up / max(seconds, 0.001)
        each = up / max(versions, 1)
        before = self.rate or rate
        return replace(
            self,
            rate=before + WEIGHT * (rate - before),
            each=self.each + WEIGHT * (each - self.each),
        )

    def failed(self, why: str) -> LineState:
        return replace(self, failing=self.failing or _now(), why=why[:500])

    @property
    def unit(self) -> Unit:
        return Unit((), side=(Put(STATE, (StateRow(LINE, orjson.dumps(asdict(self)).decode()),)),))


@dataclass(frozen=True, slots=True)
class Standing:
    """waiting: versions that are to be sent, urgent ones among them; parked and refused: those the
    hub keeps apart, or does not take. whole: everything is being sent by the hub. left: seconds
    until all is sent, as the line was lately; None: that is not known."""

    incarnation: str
    paused: bool
    waiting: int
    urgent: int
    parked: int
    refused: int
    whole: bool
    offset: int
    line: LineState
    copy: CopyState | None = None  # None: none is kept

    @property
    def bytes(self) -> int:
        """That are still to go up, about."""
        return round(self.waiting * self.line.each)

    @property
    def left(self) -> float | None:
        return self.bytes / self.line.rate if self.line.rate and not self.line.failing else None


async def line_state(side: SideTables) -> LineState:
    row = (await side.rows(STATE, [(LINE,)])).get((LINE,))
    if row is None:
        return LineState()
    told = orjson.loads(row.value)
    known = {each.name for each in fields(LineState)}
    return LineState(**{name: value for name, value in told.items() if name in known})


async def standing(side: SideTables) -> Standing | None:
    """None: the node has never begun."""
    found = await looked_up(side)
    if found is None:
        return None
    counts = {
        state: await side.count(PLACE, (state,), "by_state")
        for state in (URGENT, UNSENT, PACKED, PARKED, REFUSED)
    }
    paused = await side.rows(STATE, [(PAUSED,)])
    packed = await side.range(PLACE, "by_state", prefix=(PACKED,), limit=AT_ONCE)
    return Standing(
        incarnation=found.life.incarnation,
        paused=bool(paused),
        waiting=counts[URGENT] + counts[UNSENT] + counts[PACKED],
        urgent=counts[URGENT] + sum(row.facts == IS_URGENT for row in packed),
        parked=counts[PARKED],
        refused=counts[REFUSED],
        whole=found.life.whole,
        offset=found.life.offset,
        line=await line_state(side),
        copy=await copy_state(side),
    )


def _now() -> int:
    return int(time.time() * 1000)


# --- what is kept apart --------------------------------------------------------------------------

MOST = 500  # records that are told of


class Apart(NamedTuple):
    """A version the hub keeps apart, or does not take. reasons: in English and in Vietnamese."""

    key: str
    state: str
    at: int
    reasons: tuple[tuple[str, str], ...]


async def apart(side: SideTables) -> list[Apart]:
    """Those there are, the oldest first."""
    rows = [
        row
        for state in (PARKED, REFUSED)
        for row in await side.range(PLACE, "by_state", prefix=(state,), limit=MOST)
    ]
    return [_apart(row) for row in rows]


def _apart(row: PlaceRow) -> Apart:
    told = orjson.loads(row.facts) if row.facts else {}
    issues = told.get("issue", ())
    return Apart(
        told.get("key", "A record"), row.state, row.at, tuple(_reason(issue) for issue in issues)
    )


def _reason(issue: dict[str, Any]) -> tuple[str, str]:
    vietnamese = ""
    match issue.get("_diagnostics"):
        case {"extension": [{"extension": [{"url": "lang"}, {"valueString": str(text)}]}]}:
            vietnamese = text
    return issue.get("diagnostics", ""), vietnamese
