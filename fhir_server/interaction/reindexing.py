"""reindexing — the index of new parameters is filled while everything else is served.

https://hl7.org/fhir/R4/searchparameter.html

What was written since a parameter has its number has its rows. What is older is walked through, by
type and in the order of versions, some at a time; each time the store keeps how far that is, so
that whoever comes after a process that was killed goes on from there. Rows of parameters that are
gone are taken away. One process of all does this, and leaves at least half of the time to others.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from fhir_server.foundation.outcome import FhirError
from fhir_server.interaction.declaring import Declaring
from fhir_server.search import custom
from fhir_server.search.live import Rules
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import IndexRows, Position, Stale, Stored
from fhir_server.store.contract.parameter import (
    BUILDING,
    GONE,
    Declared,
    Filling,
    Reached,
    only,
)
from fhir_server.store.types import NUMBERS

log = logging.getLogger(__name__)

PAUSE = 0.5  # seconds between two looks whether there is something to do
ELSEWHERE = 5.0  # seconds until the work another process does is looked at again
AT_ONCE = 50  # resources of one transaction: it holds up who writes the same ones
STEADY = 0.8  # how much of the rate shown is that of before


class Reindexing:
    """Fills and sweeps. rate: resources a second, at most."""

    def __init__(self, declaring: Declaring, *, rate: int) -> None:
        self._declaring = declaring
        self._live = declaring.live
        self._store = declaring.store
        self._rate = rate

    async def work(self) -> None:
        """Look whether there is something to do and do it, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE)
            try:
                if self._due():
                    async with self._store.parameters.alone() as alone:
                        if alone:
                            await self.turn()
                            continue
                    await asyncio.sleep(ELSEWHERE)
            except (FhirError, Stale) as error:  # the store is away for a while
                log.debug("The index of parameters: %s", error)
                await asyncio.sleep(ELSEWHERE)
            except Exception:  # whatever it was, what is asked for is not given up
                log.warning("The index of parameters could not be filled.", exc_info=True)
                await asyncio.sleep(ELSEWHERE)

    async def turn(self) -> None:
        """Do all there is to do."""
        while rows := self._due():
            begun = time.monotonic()
            first = rows[0]
            if first.state == GONE:
                await self._store.parameters.sweep(first.number)
                count = 0
            else:
                count = await self._fill([row for row in rows if _together(first, row)], begun)
            spent = time.monotonic() - begun
            await asyncio.sleep(max(count / self._rate - spent, spent))
            await self._declaring.refresh()

    def _due(self) -> list[Declared]:
        """What is to be done, first what is asked for longest."""
        rows = self._live.table.rows
        asked = [row for row in rows if row.state == BUILDING and row.began]
        known = self._live.current.building
        asked = [row for row in asked if row.number in known]
        return sorted(asked, key=lambda row: row.began) + [r for r in rows if r.state == GONE]

    async def _fill(self, rows: Sequence[Declared], begun: float) -> int:
        """The next resources of parameters that stand at one place; how many they were."""
        numbers, before = tuple(row.number for row in rows), rows[0].reached
        found, reached = await self._following(rows[0].base, before, max(r.horizon for r in rows))
        if not found:
            await self._store.parameters.finish(numbers, before)
            return 0
        rules = self._live.current
        filled, refused = await asyncio.to_thread(_rows, rules, found, frozenset(numbers))
        rate = self._rate_now(rows[0], len(found), time.monotonic() - begun)
        filling = Filling(numbers, before, reached, filled, refused, rate)
        await self._store.parameters.fill(filling)
        return len(found)

    async def _following(
        self, base: str, before: Reached, until: int
    ) -> tuple[Sequence[Stored], Reached]:
        """The next resources, and where the last of them stands; none at the end."""
        limit = max(1, min(AT_ONCE, self._rate))
        types = custom.types_of(self._live.current.parameters, base)
        for type in sorted(types, key=lambda type: NUMBERS[type]):
            number = NUMBERS[type]
            if number < before.type:
                continue
            after = Position(before.seq, before.num) if number == before.type else Position(0, -1)
            found = await self._store.parameters.following(type, after, until, limit=limit)
            if found:
                return found, Reached(number, *found[-1].position)
        return (), before

    def _rate_now(self, row: Declared, count: int, spent: float) -> float:
        now = min(count / (2 * spent), float(self._rate))  # as long as it works it pauses
        return STEADY * row.rate + (1 - STEADY) * now if row.rate else now


def _together(one: Declared, other: Declared) -> bool:
    return other.state == BUILDING and (one.base, one.reached) == (other.base, other.reached)


def _rows(
    rules: Rules, versions: Sequence[Stored], numbers: frozenset[int]
) -> tuple[list[tuple[Stored, IndexRows]], int]:
    """The rows of these parameters, and how many resources cannot be given any."""
    found, refused = [], 0
    for version in versions:
        try:
            found.append((version, only(rules.indexer.rows(resource_of(version)), numbers)))
        except (FhirError, ValueError, KeyError) as error:
            # not which one, nor the error's words: an id and a value may be a patient's
            log.warning("One %s cannot be indexed.", version.key.type, exc_info=error)
            refused += 1
    return found, refused
