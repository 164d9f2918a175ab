"""receiving — `$sync-push`: a node sends versions, and is told of each what became of it.

https://hl7.org/fhir/R4/operations.html
https://hl7.org/fhir/R4/bundle.html#history

Each group is one transaction. Whoever sends any part again is answered from what was kept then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from fhir_server.foundation.outcome import Conflict, Forbidden, Invalid
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Operation
from fhir_server.security.tokens.ring import Ring
from fhir_server.store.contract import Position, Stale, Unit, parse_version_id, rid, version_id
from fhir_server.store.contract.side import ReceiptRow
from fhir_server.sync import receipts as signing
from fhir_server.sync import words
from fhir_server.sync.hub import homes, lives, waking
from fhir_server.sync.hub.facts import facts_of
from fhir_server.sync.hub.places import epochs_of, place_of
from fhir_server.sync.hub.pulling import refuse_others
from fhir_server.sync.hub.taking import Sender, put, taken
from fhir_server.sync.words import Outcome, Push, Pushed, Receipt, Refused
from fhir_server.sync.words import answer as said
from fhir_server.sync.words import push as reading

NAME = "sync-push"
DEFINITION = "https://fhir-server.example/OperationDefinition/sync-push"
PATIENCE = 20.0  # seconds that one request may take: what is left is sent again
MOST_GROUP = 2000  # versions of one group


async def push(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Forbidden for who is no node, Invalid for what is no chunk, TooMany."""
    refuse_others(circumstances)
    if call.unreadable is not None:
        raise call.unreadable
    if call.body is None:
        raise Invalid("`$sync-push` takes a Bundle of type `history`.", expression="resourceType")
    chunk = reading.read(call.body)
    demand_own(chunk, circumstances)
    await homes.begin(server)
    return Answer(200, said.written(await answered(server, chunk, circumstances)))


def demand_own(chunk: Push, circumstances: Circumstances) -> None:
    """Raises Forbidden, Invalid."""
    client = circumstances.caller.client
    if chunk.node != client:
        raise Forbidden(
            f"The chunk is of the node `{chunk.node}`, and you are `{client}`.",
            vietnamese=f"Gói này là của máy chủ `{chunk.node}`, còn bạn là `{client}`.",
        )
    if any(parse_version_id(one.rev) is None for one in chunk.entries):
        raise Invalid("A version is said to have a longer history than versions have.")
    if chunk.first < 1 or (chunk.first > 1 and not chunk.before):
        raise Invalid(
            "Numbers begin with 1, and `before` names the version at the number before the first."
        )
    if max(len(members) for members in groups(chunk.entries)) > MOST_GROUP:
        raise Invalid(f"A group has more than {MOST_GROUP} versions. Send it in several.")


def groups(entries: Sequence[Pushed]) -> Iterator[list[Pushed]]:
    for _, members in groupby(entries, key=lambda one: one.group):
        yield list(members)


async def answered(server: Server, chunk: Push, circumstances: Circumstances) -> words.Answer:
    told = await lives.heard(server, chunk)
    refused = await lives.refusal(server, told, chunk)
    if refused is None:
        until = time.monotonic() + PATIENCE
        for members in groups(chunk.entries):
            if members[-1].number > told.reached and time.monotonic() < until:
                refused = await _group(server, chunk, circumstances, members)
            if refused is not None:
                break
    return await _answer(server, chunk, refused)


async def _group(
    server: Server, chunk: Push, circumstances: Circumstances, members: Sequence[Pushed]
) -> Refused | None:
    """One transaction; others may be sending the same. Raises Conflict."""
    sender = Sender(chunk.node, chunk.incarnation)
    for attempt in range(server.limits.attempts):
        told = await lives.heard(server, chunk)
        new = [one for one in members if one.number > told.reached]
        if not new:
            return await lives.refusal(server, told, chunk)
        if new[0].number > told.reached + 1:
            return Refused.GAP
        taking = await taken(server, circumstances, sender, new)
        rows = taking.receipts()
        life = lives.moved(told, chunk, new[-1].number)
        try:
            await _commit(server, circumstances, _with(taking.unit, life, rows))
        except Stale:
            await asyncio.sleep(random.uniform(0, 0.002) * min(attempt, 25))  # noqa: S311 - no secret
            continue
        await waking.wake(server, taking.stored)
        return None
    raise Conflict("Too many others are writing the same resources. Send it again in a moment.")


def _with(unit: Unit, life: Unit, rows: Sequence[ReceiptRow]) -> Unit:
    return replace(
        unit,
        side=(*unit.side, *life.side, put(rows)),
        expects=(*unit.expects, *life.expects),
    )


async def _commit(server: Server, circumstances: Circumstances, unit: Unit) -> None:
    await server.store.commit(unit)
    if circumstances.record is not None and unit.audit:
        circumstances.record.committed()
    server.departments.forget(
        rid(new.key) for new in unit.versions if new.key.type == "Organization"
    )


# --- the answer -----------------------------------------------------------------------------------


async def _answer(server: Server, chunk: Push, refused: Refused | None) -> words.Answer:
    """What is kept of the chunk's numbers, signed; the signature before it is named in it."""
    epochs = epochs_of(await server.store.epochs())
    told = await lives.heard(server, chunk)
    now = time.time_ns() // 1_000_000
    if refused is not None:
        return words.Answer((), told.reached, epochs, now, refused)
    last = min(chunk.entries[-1].number, told.reached)
    rows = await lives.receipts(server, chunk, chunk.first, last)
    stored = await server.store.epochs()
    keys = {one.number: one.key for one in chunk.entries}
    found = tuple(
        Receipt(
            row.number,
            version_id(row.generation, row.digest),
            Outcome(row.outcome),
            place_of(stored, Position(row.seq, row.num)),
            facts_of(row).issues,
        )
        for row in rows
    )
    assert len(found) <= len(keys), "each number is answered once"
    key = await Ring(server.store, server.lasting_secret, signing.KEYS).newest(now)
    for _ in range(server.limits.attempts):
        before = told.facts.get("signed", signing.FIRST)
        text = signing.said(chunk, found, epoch=epochs[-1].name, now=now, before=before)
        signed = signing.signed(text, key)
        unit = lives.moved(told, chunk, signed=signing.hash_of(signed))
        try:
            await server.store.commit(unit)
        except Stale:
            told = await lives.heard(server, chunk)
            continue
        return words.Answer(found, told.reached, epochs, now, said=text, signed=signed)
    raise Conflict("Too many are sending for this node at once. Send it again in a moment.")


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name=NAME,
        definition=DEFINITION,
        levels=frozenset({"system"}),
        types=None,
        parameters=frozenset(),
        perform=push,
        get=False,
        bodies=frozenset({"Bundle"}),
        judges=True,
    ),
)
