"""waking — what was kept apart is looked at again, when what it waited for is stored.

https://hl7.org/fhir/R4/http.html#transaction

It is judged by the rights that its node has now. Its receipts say what has become of it, so that a
node that asks learns that it is stored.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from fhir_server.foundation.outcome import FhirError, Forbidden
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import BY_OPERATOR, Circumstances, Server
from fhir_server.security.audit.record import Record
from fhir_server.store.contract import Stale, Unit, rid
from fhir_server.store.contract.side import HELD, RECEIPT, WAITING, Expect, HeldRow, Values
from fhir_server.sync.hub import quarantine
from fhir_server.sync.hub.facts import facts_of, text_of
from fhir_server.sync.hub.judging import Judging
from fhir_server.sync.hub.taking import Sender, Taking, put, taken
from fhir_server.sync.words import Outcome

log = logging.getLogger(__name__)

AT_ONCE = 500  # of one node that wait for one resource, and cannot be stored
PAGES = 40  # of as many that are read
MOST = 5000  # that are looked at again after one write
RECEIPTS = 200  # of one version
OPERATION, URL = "operation", "$sync-push"  # as the audit names what brought it
ATTEMPTS = 8


async def wake(server: Server, stored: Iterable[Key]) -> int:
    """Look again at what waited for these, and at what waited for that; how many were stored."""
    if not await server.store.side.range(WAITING, limit=1):
        return 0
    ahead = list(stored)
    count = looks = 0
    while ahead and looks < MOST:
        vain: Counter[str] = Counter()
        async for row in _waiting_for(server, rid(ahead.pop())):
            if vain[row.node] == AT_ONCE:  # a node keeps no other's versions waiting
                continue
            looks += 1
            found = await _stored(server, row)
            vain[row.node] += not found
            count += bool(found)
            ahead += found
    return count


async def _waiting_for(server: Server, number: int) -> AsyncIterator[HeldRow]:
    """What is kept apart until this is stored."""
    beyond: Values | None = None
    for _ in range(PAGES):
        waiting = await server.store.side.range(
            WAITING, prefix=(number,), beyond=beyond, limit=AT_ONCE
        )
        keys: list[Values] = [row[1:] for row in waiting]
        rows = await server.store.side.rows(HELD, keys) if keys else {}
        for row in sorted(rows.values(), key=lambda one: (one.generation, one.at, one.number)):
            yield row
        if len(waiting) < AT_ONCE:
            return
        beyond = keys[-1]


async def _stored(server: Server, row: HeldRow) -> list[Key]:
    """What was stored by it. Nobody's answer waits for it, so no fault of it is anybody's."""
    try:
        taking = await look_again(server, row)
    except FhirError as error:
        log.debug("`%s/%s` was not looked at again: %s", row.type, row.id, error)
    except Exception:
        log.warning("`%s/%s` could not be looked at again.", row.type, row.id, exc_info=True)
    else:
        return [] if taking is None else taking.stored
    return []


async def look_again(server: Server, row: HeldRow) -> Taking | None:
    """Store what is kept apart, if it can be now; None: somebody else has seen to it."""
    held = quarantine.of_row(row)
    circumstances = await circumstances_of(server, held)
    if circumstances is None:
        return None
    sender = Sender(held.node, held.incarnation, held.offset)
    key: Values = tuple(row[:3])
    judging = Judging(server, circumstances)
    for _ in range(ATTEMPTS):
        taking = await taken(server, circumstances, sender, (held.pushed,), judging)
        outcome, issues = taking.outcome(held.pushed)
        if outcome is Outcome.PARKED and issues == held.issues:
            return taking
        unit = replace(taking.unit, expects=(*taking.unit.expects, Expect(HELD, key, row)))
        try:
            await server.store.commit(await _with_receipts(server, taking, unit, row))
        except Stale:
            if (await server.store.side.rows(HELD, [key])).get(key) != row:
                return None
        else:
            return taking
    return None


async def circumstances_of(server: Server, held: quarantine.Held) -> Circumstances | None:
    """None: its node may nothing any more."""
    try:
        caller, access = await server.gate.admitted_again(held.caller)
    except Forbidden:
        return None
    record = Record(OPERATION, URL) if server.audit else None
    return replace(BY_OPERATOR, caller=caller, access=access, record=record)


async def _with_receipts(server: Server, taking: Taking, unit: Unit, row: HeldRow) -> Unit:
    """The unit with all receipts of the version, which say what has become of it."""
    (own,) = taking.receipts()
    told = facts_of(own)
    prefix: Values = tuple(row[:3])
    rows = await server.store.side.range(RECEIPT, "by_version", prefix=prefix, limit=RECEIPTS)
    mended = [
        own._replace(
            node=each.node,
            incarnation=each.incarnation,
            number=each.number,
            facts=text_of(told._replace(recorded=was.recorded, offset=was.offset)),
        )
        for each in rows
        for was in [facts_of(each)]
        if each.outcome == Outcome.PARKED.value
    ]
    return replace(unit, side=(*unit.side, put(mended))) if mended else unit
