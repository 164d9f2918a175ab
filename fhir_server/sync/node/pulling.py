"""pulling — a page of the hub is stored, with the cursor to the next one, in one transaction.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fhir_server.foundation import wire
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.interaction.writing import (
    audited,
    new_version,
    of_facilities,
    rows_of,
    tell_definitions,
)
from fhir_server.security.audit.record import Record
from fhir_server.security.caller import HUB
from fhir_server.store.codec import DEEPEST, resource_of, tail_of
from fhir_server.store.contract import EVERYTHING, NewVersion, Store, Stored, Unit, rid, version_id
from fhir_server.store.contract.lineage import Earlier, Stub
from fhir_server.store.contract.side import (
    PLACE,
    WHOSE,
    Drop,
    PlaceRow,
    Put,
    Side,
    Values,
    WhoseRow,
)
from fhir_server.store.contract.version import LEFT
from fhir_server.sync.lineage import Known, Rev, State
from fhir_server.sync.node import journal
from fhir_server.sync.node.forgetting import adopted, reborn
from fhir_server.sync.node.life import (
    CAME,
    CONFIRMED,
    OWN,
    WITH_HUB,
    Kept,
    Life,
    kept,
    name_of,
)
from fhir_server.sync.node.taking import (
    Change,
    Here,
    Strange,
    Told,
    changed,
    patients_left,
    told,
)
from fhir_server.sync.words import Kind, Page, Row
from fhir_server.sync.words.push import plain

AT_ONCE = 1000  # rows that are read at once
IN_ONE_GO = 50  # resources that are made ready while nobody else is answered
NOTHING: Mapping[Rev, Resource] = {}
OPERATION, URL = "operation", "$sync-pull"  # as the audit names what brought it
STRANGE = "the hub says that this disk sent what is not on it: it was set back, or copied"


async def take(
    server: Server,
    page: Page,
    incarnation: str,
    parked: Sequence[PlaceRow],
    said: Mapping[Rev, Resource] = NOTHING,
) -> bool:
    """Take a page, if it is the one that comes next; whether it told anything. parked: what was
    asked about. said: what its versions say, as far as it is parsed. Raises Stale."""
    store = server.store
    now = await kept(store)
    parted = await adopted(store, now, page.epochs)
    if parted is not None:
        await store.commit(parted)
        now = await kept(store)
    if (page.cursor, incarnation) != (now.life.cursor, now.life.incarnation):
        return parted is not None
    try:
        unit = await _unit(server, now, page, parked, said)
    except Strange:
        await store.commit(await reborn(store, now, STRANGE))
        return True
    if unit is None:
        return parted is not None
    unit = replace(unit, rules=server.live.current.change)
    unit = await of_facilities(server, BY_OPERATOR, unit)
    record = Record(OPERATION, URL) if server.audit else None
    unit = audited(unit, replace(BY_OPERATOR, caller=HUB, record=record))  # one entry for all of it
    committed = await store.commit(unit)
    server.departments.forget(
        rid(new.key) for new in unit.versions if new.key.type == "Organization"
    )
    await tell_definitions(server, unit, committed.updated)
    return True


async def _unit(
    server: Server,
    now: Kept,
    page: Page,
    parked: Sequence[PlaceRow],
    resources: Mapping[Rev, Resource],
) -> Unit | None:
    """What the page changes; None: nothing. Raises Strange."""
    store, life = server.store, now.life
    is_over = life.whole and not page.entering
    compartments = {one: await _compartment(store, one) for one in patients_left(page.rows)}
    said = told(page.rows, compartments)
    if is_over and life.round > 1:
        for number in await _unmet(store, life, said.left):
            said.left.setdefault(number, True)
    versions = await _versions(server, said, resources)
    mended = _mended(page, parked, life)
    becomes = replace(
        life,
        cursor=page.next,
        read=str(max(life.reached, page.read)),
        whole=life.whole and page.entering,
    )
    if becomes == life and not page.rows and not mended:
        return None
    side: list[Side] = [Put(PLACE, mended), Put(PLACE, _places(page, life)), *_whose(said)]
    if page.rows or mended or is_over:
        facts = _counted(page, mended) | ({"whole": 1} if is_over else {})
        becomes, line = journal.noted(becomes, "came", **facts)
        side.append(line)
    return now.unit(becomes, *side, versions=Unit(tuple(versions)))


# --- what is known before ------------------------------------------------------------------------


async def _compartment(store: Store, patient: int) -> set[int]:
    """What is known as a patient's: as the hub said, else as it says itself."""
    found: set[int] = set()
    beyond: Values | None = None
    while True:
        rows = await store.side.range(
            WHOSE, "by_patient", prefix=(patient,), beyond=beyond, limit=AT_ONCE
        )
        found |= {row.rid for row in rows}
        if len(rows) < AT_ONCE:
            break
        beyond = (rows[-1].rid,)
    after: int | None = None
    while True:
        page = await store.compartments([patient], after, limit=AT_ONCE)
        numbers = [rid(stored.key) for stored in page]
        others = await store.side.rows(WHOSE, [(number,) for number in numbers])
        found |= {number for number in numbers if (number,) not in others}
        if len(page) < AT_ONCE:
            return found
        after = numbers[-1]


async def _unmet(store: Store, life: Life, met: Mapping[int, bool]) -> set[int]:
    """What the hub had confirmed before everything was sent anew, and has not sent."""
    found: dict[int, bool] = {}
    beyond: Values | None = None
    while True:
        rows = await store.side.range(PLACE, beyond=beyond, limit=AT_ONCE)
        for row in rows:
            if row.state in WITH_HUB:
                found[row.rid] = found.get(row.rid, False) or row.at >= life.round
        if len(rows) < AT_ONCE:
            return {number for number, is_met in found.items() if not is_met} - met.keys()
        beyond = PLACE.place(rows[-1])


async def _here(store: Store, keys: Sequence[Key]) -> tuple[dict[Key, Here], dict[Key, Stored]]:
    newest = await store.newest(keys, EVERYTHING)
    lineages = await store.lineage(keys)
    names = [
        name_of(key, one.rev)
        for key, known in lineages.items()
        for one in known
        if one.state != "stub"
    ]
    places = await store.side.rows(PLACE, names)
    found = {}
    for key in keys:
        stored = newest.get(key)
        known = lineages.get(key, ())
        found[key] = Here(
            {one.rev: Known(one.parents, State(one.state)) for one in known},
            frozenset(one.rev for one in known if _is_own(places.get(name_of(key, one.rev)))),
            "" if stored is None else stored.version_id,
            left=stored is not None and stored.method == LEFT,
        )
    return found, newest


def _is_own(row: PlaceRow | None) -> bool:
    """Whether the hub is not known to have it; what was not looked at yet is the node's own."""
    return row is None or row.state in OWN


# --- what is to be written -----------------------------------------------------------------------


async def _versions(
    server: Server, said: Told, resources: Mapping[Rev, Resource]
) -> list[NewVersion]:
    """Raises Strange. Whoever works at this node meanwhile is answered between some of them."""
    leaving = sorted(number for number, left in said.left.items() if left)
    keys = {*said.coming, *(await server.store.audit.keys(leaving)).values()}
    found = []
    for part in _parts(sorted(keys)):
        here, newest = await _here(server.store, part)
        for number, key in enumerate(part, 1):
            if number % IN_ONE_GO == 0:
                await asyncio.sleep(0)
            left = said.left[rid(key)]
            change = changed(here[key], said.coming.get(key, ()), left=left)
            if change is not None:
                found.append(await _version(server, key, change, newest.get(key), resources))
    return found


def _parts(keys: Sequence[Key]) -> Iterable[Sequence[Key]]:
    return (keys[at : at + AT_ONCE] for at in range(0, len(keys), AT_ONCE))


async def _version(
    server: Server,
    key: Key,
    change: Change,
    follows: Stored | None,
    resources: Mapping[Rev, Resource],
) -> NewVersion:
    """The version that stands for the resource, with those that come before it."""
    new = {row.rev: row for row in change.new}
    row = None if change.left else new.pop(change.shown, None)
    if change.left:
        found = _without_body(server, key, change.shown, LEFT, follows)
    elif row is not None:
        found = _of_row(server, row, follows, resources)
    else:
        found = await _again(server, key, change.shown, follows)
    stubs = tuple(
        Stub(name.generation, name.digest, stub.parents)
        for stub in change.stubs
        for name in [name_of(key, stub.rev)]
    )
    earlier = tuple(_earlier(one, resources) for one in new.values())
    return replace(found, earlier=earlier, stubs=stubs) if earlier or stubs else found


def _of_row(
    server: Server, row: Row, follows: Stored | None, resources: Mapping[Rev, Resource]
) -> NewVersion:
    if row.body is None:
        found = _without_body(server, row.key, row.rev, "DELETE", follows)
        return replace(found, parents=row.parents)
    resource, name = _said(row, row.body, resources), name_of(row.key, row.rev)
    named = (name.generation, name.digest)  # it was looked at when the page was read
    return new_version(server, BY_OPERATOR, resource, row.method, follows, row.parents, named=named)


def _said(row: Row, body: bytes, resources: Mapping[Rev, Resource]) -> Resource:
    known = resources.get(row.rev)
    return plain(wire.parse(body, max_depth=DEEPEST)) if known is None else known


async def _again(server: Server, key: Key, rev: Rev, follows: Stored | None) -> NewVersion:
    """A version that is here already, told once more."""
    stored = await server.store.at_version(key, rev, EVERYTHING)
    assert stored is not None, "it was looked up among what is here"
    if stored.deleted:
        return _without_body(server, key, rev, "DELETE", follows)
    name = name_of(key, rev)
    found = new_version(server, BY_OPERATOR, plain(resource_of(stored)), stored.method, follows)
    return replace(found, generation=name.generation, digest=name.digest)


def _without_body(
    server: Server, key: Key, rev: Rev, method: str, follows: Stored | None
) -> NewVersion:
    name = name_of(key, rev)
    before = rows_of(server, follows)
    return NewVersion(
        key, name.generation, name.digest, method, None, before=before, follows=follows
    )


def _earlier(row: Row, resources: Mapping[Rev, Resource]) -> Earlier:
    tail = None if row.body is None else tail_of(_said(row, row.body, resources))
    name = name_of(row.key, row.rev)
    method = "DELETE" if tail is None else row.method
    return Earlier(name.generation, name.digest, method, tail, row.parents)


# --- beside the versions -------------------------------------------------------------------------


def _places(page: Page, life: Life) -> tuple[PlaceRow, ...]:
    rows = {
        name: PlaceRow(*name, CAME, *row.place, "", 0, life.round, b"")
        for row in page.rows
        if row.kind in (Kind.VERSION, Kind.ECHO)
        for name in [name_of(row.key, row.rev)]
    }
    return tuple(rows.values())


def _mended(page: Page, parked: Iterable[PlaceRow], life: Life) -> tuple[PlaceRow, ...]:
    """What was kept apart and is stored by now; at the latest where the hub is."""
    stored = set(page.stored)
    return tuple(
        PlaceRow(*row[:3], CONFIRMED, *page.read, "", 0, life.round, b"")
        for row in parked
        if version_id(row.generation, row.digest) in stored
    )


def _whose(said: Told) -> tuple[Side, ...]:
    rows = tuple(WhoseRow(one, patient) for one, patient in said.whose.items() if patient)
    nobodys = tuple((one,) for one, patient in said.whose.items() if not patient)
    return Put(WHOSE, rows), Drop(WHOSE, nobodys)


def _counted(page: Page, mended: Sequence[PlaceRow]) -> dict[str, int]:
    found = {"mended": len(mended)} if mended else {}
    for row in page.rows:
        found[row.kind.value] = found.get(row.kind.value, 0) + 1
    return found
