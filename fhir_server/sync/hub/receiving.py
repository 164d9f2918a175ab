"""receiving — `$sync-push`: a node sends versions, and is told of each what became of it.

https://hl7.org/fhir/R4/operations.html
https://hl7.org/fhir/R4/bundle.html#history

A group is stored whole, in one transaction. Whoever sends any part again is answered from what was
kept then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, zip_longest

from fhir_server.foundation.outcome import Conflict, Forbidden, Invalid
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Operation
from fhir_server.security.tokens.ring import Ring
from fhir_server.store.contract import Position, Stale, parse_version_id, version_id
from fhir_server.sync import receipts as signing
from fhir_server.sync import words
from fhir_server.sync.hub import homes, lives, nodes, noticing, storing
from fhir_server.sync.hub.facts import facts_of
from fhir_server.sync.hub.judging import Judging
from fhir_server.sync.hub.places import epochs_of, place_of
from fhir_server.sync.words import Outcome, Push, Pushed, Receipt, Refused
from fhir_server.sync.words import answer as said
from fhir_server.sync.words import push as reading

NAME = "sync-push"
DEFINITION = "https://fhir-server.example/OperationDefinition/sync-push"
PATIENCE = 20.0  # seconds that one request may take: what is left is sent again
MOST_GROUP = 2000  # versions of one group
MOST_PARENTS = 5 * MOST_GROUP  # of all the versions of one group
AT_ONCE = 250  # versions after which a transaction takes no further group


async def push(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Forbidden for who is no node, Invalid for what is no chunk, TooMany."""
    nodes.demand_node(circumstances, NAME)
    if call.unreadable is not None:
        raise call.unreadable
    if call.body is None:
        raise Invalid("`$sync-push` takes a Bundle of type `history`.", expression="resourceType")
    chunk = reading.read(call.body)
    demand_own(chunk, circumstances)
    await homes.begin(server)
    await noticing.look(server, chunk.shown, chunk.node)
    return Answer(200, said.written(await answered(server, chunk, circumstances)))


def demand_own(chunk: Push, circumstances: Circumstances) -> None:
    """Raises Forbidden, Invalid."""
    client = circumstances.caller.client
    if chunk.node != client:
        raise Forbidden(
            f"The chunk is of the node `{chunk.node}`, and you are `{client}`.",
            vietnamese=f"Gói này là của máy chủ `{chunk.node}`, còn bạn là `{client}`.",
        )
    if chunk.first < 1 or (chunk.first > 1 and not chunk.before):
        raise Invalid(
            "Numbers begin with 1, and `before` names the version at the number before the first."
        )
    demand_groups(chunk)


def demand_groups(chunk: Push) -> None:
    """They can be stored whole. Raises Invalid."""
    if any(parse_version_id(one.rev) is None for one in chunk.entries):
        raise Invalid("A version is said to have a longer history than versions have.")
    for members in groups(chunk.entries):
        if len(members) > MOST_GROUP:
            raise Invalid(f"A group has more than {MOST_GROUP} versions. Send it in several.")
        if sum(len(one.parents) for one in members) > MOST_PARENTS:
            raise Invalid(
                f"A group's versions have more than {MOST_PARENTS} parents. Send it in several."
            )


def groups(entries: Sequence[Pushed]) -> Iterator[list[Pushed]]:
    for _, members in groupby(entries, key=lambda one: one.group):
        yield list(members)


async def answered(server: Server, chunk: Push, circumstances: Circumstances) -> words.Answer:
    told = await lives.heard(server, chunk)
    refused = await lives.refusal(server, told, chunk)
    if refused is None:
        refused = await _stored(Judging(server, circumstances), chunk, told.reached)
    return await _answer(server, chunk, refused)


async def _stored(judging: Judging, chunk: Push, reached: int) -> Refused | None:
    """One transaction after the other; while one is being written, the next is judged."""
    until = time.monotonic() + PATIENCE
    sending = storing.pushed(judging.server, chunk)
    waiting = [some for some in batches(chunk.entries) if some[-1][-1].number > reached]
    for some, after in zip_longest(waiting, waiting[1:], fillvalue=()):
        if time.monotonic() > until:
            break
        ahead = asyncio.create_task(judging.ahead(chain.from_iterable(after)))
        try:
            refused = await storing.store(judging, sending, some)
        finally:
            ahead.cancel()
        if refused is not None:
            return refused
    return None


def batches(entries: Sequence[Pushed]) -> Iterator[list[list[Pushed]]]:
    """Groups that are stored in one transaction, since each transaction takes its time."""
    some: list[list[Pushed]] = []
    for members in groups(entries):
        some.append(members)
        if sum(map(len, some)) >= AT_ONCE:
            yield some
            some = []
    if some:
        yield some


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
