"""forgetting — what the hub or this disk has lost is to be sent again.

https://hl7.org/fhir/R4/http.html#history

A hub that came back from a backup says so by its epochs: what it confirmed since is no more so,
whoever wrote it. A disk that was set back, or copied, gives numbers that meant something else: it
begins a new life, and names make it harmless that things come twice.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.store.contract import Store, Unit
from fhir_server.store.contract.side import PACKED as NUMBERS
from fhir_server.store.contract.side import PLACE, Drop, PackedRow, PlaceRow, Put, Values
from fhir_server.sync import epochs
from fhir_server.sync.epochs import Epochs, Place, fork
from fhir_server.sync.node import journal
from fhir_server.sync.node.grouping import URGENT_TYPES
from fhir_server.sync.node.life import PACKED, PARKED, REFUSED, UNSENT, URGENT, WITH_HUB, Kept

PAGE = 5000  # rows that are read at once


async def reborn(store: Store, now: Kept, why: str, *, low: str | None = None) -> Unit:
    """A new incarnation: what had a number waits again. low: up to where the own log holds as
    looked through, where that is another place now."""
    rows: list[PackedRow] = []
    beyond: Values | None = None
    while True:
        page = await store.side.range(NUMBERS, beyond=beyond, limit=PAGE)
        rows += page
        if len(page) < PAGE:
            break
        beyond = (page[-1].incarnation, page[-1].number)
    names = {(row.rid, row.generation, row.digest): row for row in rows}
    places = await store.side.rows(PLACE, list(names))
    numbered = [row for row in places.values() if row.state == PACKED]
    unsent = await _unsent(store, numbered)
    life, line = journal.noted(now.life.born_again(), "new incarnation", why=why)
    life = replace(life, low=life.low if low is None else low)
    dropped = Drop(NUMBERS, tuple((row.incarnation, row.number) for row in rows))
    return now.unit(life, unsent, dropped, line)


async def adopted(store: Store, now: Kept, told: Epochs) -> Unit | None:
    """What follows from the epochs the hub tells; None: nothing does."""
    mine = now.life.told
    if mine == told:
        return None
    life = replace(now.life, epochs=epochs.told(told))
    parted = fork(mine, told) if mine else None
    if parted is None:
        return now.unit(life)
    rows = await _beyond(store, parted)
    if now.life.reached >= parted:  # what was shown since may not be so: everything once more
        life = life.pulled_anew()
    life, line = journal.noted(
        life, "the hub came back from a backup", since=str(parted), again=len(rows)
    )
    return now.unit(life, await _unsent(store, rows), line)


async def _beyond(store: Store, parted: Place) -> list[PlaceRow]:
    """What the hub had, or kept apart, at or after a place; what it kept apart nowhere may have
    been so since then."""
    rows: list[PlaceRow] = []
    beyond: Values = (*parted[:2], parted.num - 1)
    while True:
        page = await store.side.range(PLACE, "by_hub", beyond=beyond, limit=PAGE)
        rows += page
        if len(page) < PAGE:
            break
        beyond = PLACE.place(page[-1], "by_hub")
    for state in (PARKED, REFUSED):
        beyond = ()
        while True:
            page = await store.side.range(
                PLACE, "by_state", prefix=(state,), beyond=beyond or None, limit=PAGE
            )
            rows += [row for row in page if not row.epoch]
            if len(page) < PAGE:
                break
            beyond = PLACE.place(page[-1], "by_state")[1:]
    again = WITH_HUB | {PARKED, REFUSED}
    return [row for row in rows if row.state in again]


async def _unsent(store: Store, rows: list[PlaceRow]) -> Put[PlaceRow]:
    """They wait to be sent. In the order of time as far as it is known; what a row refers to goes
    before it in any case."""
    keys = await store.audit.keys(sorted({row.rid for row in rows}))
    found = []
    for row in rows:
        key = keys.get(row.rid)
        state = URGENT if key is not None and key.type in URGENT_TYPES else UNSENT
        at = 0 if row.state in WITH_HUB else row.at
        found.append(PlaceRow(*row[:3], state, 0, 0, 0, "", 0, at, b""))
    return Put(PLACE, tuple(found))
