"""outbox — what the hub has not confirmed: found in the node's own log, and given numbers.

https://hl7.org/fhir/R4/http.html#history

Nothing is written for it when a record is: the log is looked through behind the writers, and what
the hub has said nothing of is put down as waiting. A number is given once, durably, before it is
sent, and means nothing else ever.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from fhir_server.conformance.canonicals import CONFORMANCE_TYPES
from fhir_server.foundation.outcome import Issue, operation_outcome
from fhir_server.interaction.context import Server
from fhir_server.search.site import Site
from fhir_server.store.contract import EVERYTHING, EpochEnded, Store, Stored, Unit
from fhir_server.store.contract.side import PACKED as NUMBERS
from fhir_server.store.contract.side import PLACE, PackedRow, PlaceRow, Put
from fhir_server.store.contract.version import LEFT
from fhir_server.sync.node import own
from fhir_server.sync.node.forgetting import reborn
from fhir_server.sync.node.grouping import URGENT_TYPES, Group, Waiting, groups, referred, visit_of
from fhir_server.sync.node.life import (
    IS_URGENT,
    PACKED,
    REFUSED,
    UNSENT,
    URGENT,
    Kept,
    Name,
    kept,
    name_of,
)
from fhir_server.sync.node.own import Own

PAGE = 500  # rows of the own log that are looked at together
SEEDS = 200  # waiting versions that are numbered together, with what they need
MOST = 2000  # with it
LOCAL = CONFORMANCE_TYPES | {"AuditEvent"}  # are not sent
UNREAD = orjson.dumps(
    {
        "outcome": REFUSED,
        "issue": operation_outcome(
            [
                Issue(
                    "error",
                    "exception",
                    "It cannot be read here any more, so it was not sent.",
                    vietnamese="Bản ghi này không đọc được nữa nên chưa được gửi.",
                )
            ]
        )["issue"],
    }
)


# --- what waits ----------------------------------------------------------------------------------


async def notice(store: Store) -> bool:
    """Put down what of the next page of the own log waits; whether there may be more. Raises
    Stale."""
    now = await kept(store)
    try:
        page = await store.feed(now.life.low or None, restriction=EVERYTHING, limit=PAGE)
    except EpochEnded:  # this disk was set back: what it was since then, only the hub may know
        why = "this database came back from a backup"
        await store.commit(await reborn(store, now, why, low=""))
        return True
    if not page.rows:
        return False
    rows = {name_of(row.key, row.version_id): row for row in page.rows if is_sent(row)}
    known = await store.side.rows(PLACE, list(rows))
    found = [
        PlaceRow(*name, _state(row.key.type), 0, 0, 0, "", 0, row.updated, b"")
        for name, row in rows.items()
        if name not in known
    ]
    await store.commit(now.unit(replace(now.life, low=page.next), Put(PLACE, tuple(found))))
    return len(page.rows) == PAGE


def is_sent(row: Stored) -> bool:
    return row.method != LEFT and row.key.type not in LOCAL


def _state(type: str) -> str:
    return URGENT if type in URGENT_TYPES else UNSENT


# --- what is given numbers -----------------------------------------------------------------------


async def pack(server: Server) -> int:
    """Give numbers to the next groups, once all that have one are answered; how many. Raises
    Stale."""
    store = server.store
    now = await kept(store)
    if now.life.numbered > now.life.acked:
        return 0
    rows = await _seeds(store)
    if not rows:
        return 0
    waiting, unreadable = await _with_needed(store, server.indexer.site, rows)
    refused = tuple(row._replace(state=REFUSED, facts=UNREAD) for row in unreadable)
    await store.commit(_numbered(now, list(groups(waiting)), Put(PLACE, refused)))
    return len(waiting)


async def _seeds(store: Store) -> list[PlaceRow]:
    """The oldest that wait, the urgent ones before all others."""
    found: list[PlaceRow] = []
    for state in (URGENT, UNSENT):
        left = SEEDS - len(found)
        if left:
            found += await store.side.range(PLACE, "by_state", prefix=(state,), limit=left)
    return found


def _numbered(now: Kept, found: Sequence[Group], also: Put[PlaceRow]) -> Unit:
    life = now.life
    number, group, at = life.numbered, life.group, int(time.time() * 1000)
    numbers: list[PackedRow] = []
    places: list[PlaceRow] = []
    for members in found:
        group += 1
        for one in members:
            number += 1
            numbers.append(PackedRow(life.incarnation, number, *one.name, group, at))
            facts = IS_URGENT if one.key.type in URGENT_TYPES else b""
            places.append(
                PlaceRow(*one.name, PACKED, 0, 0, 0, life.incarnation, number, one.at, facts)
            )
    return now.unit(
        replace(life, numbered=number, group=group),
        Put(NUMBERS, tuple(numbers)),
        Put(PLACE, tuple(places)),
        also,
    )


async def _with_needed(
    store: Store, site: Site, rows: Iterable[PlaceRow]
) -> tuple[list[Waiting], list[PlaceRow]]:
    """The waiting versions, with all that wait of what they refer to and were made from; and those
    that cannot be read."""
    found: dict[Name, Waiting] = {}
    unreadable: list[PlaceRow] = []
    looked: set[int] = set()
    ahead = {_name(row): row for row in rows}
    while ahead:
        made = await own.read(store, ahead.keys())
        found |= {name: _waiting(one, ahead[name].at, site) for name, one in made.items()}
        unreadable += [row for name, row in ahead.items() if name not in made]
        wanted = {number for name in made for number in (name.rid, *found[name].refers)} - looked
        looked |= wanted
        known = {*found, *map(_name, unreadable)}
        ahead = {}
        for number in sorted(wanted) if len(found) < MOST else ():
            of = await store.side.range(PLACE, prefix=(number,), limit=MOST)
            ahead |= {
                _name(row): row
                for row in of
                if row.state in (URGENT, UNSENT) and _name(row) not in known
            }
    return list(found.values()), unreadable


def _name(row: PlaceRow) -> Name:
    return Name(row.rid, row.generation, row.digest)


def _waiting(one: Own, at: int, site: Site) -> Waiting:
    refers: frozenset[int] = frozenset()
    visit = 0
    if one.resource is not None:
        refers = frozenset(referred(one.resource, site)) - {one.name.rid}
        visit = visit_of(one.resource, site)
    return Waiting(one.name, one.key, one.rev, one.parents, at, refers, visit)
