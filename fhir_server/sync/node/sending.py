"""sending — the next chunk of what has numbers, and what the hub's answer to it changes.

https://hl7.org/fhir/R4/http.html#transaction

The same chunk may be sent any number of times, and its answers may come late, or twice: an answer
is taken for the numbers that are still without one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import orjson

from fhir_server.foundation.outcome import Invalid, Issue, operation_outcome
from fhir_server.foundation.wire import render
from fhir_server.store.contract import Store, Unit
from fhir_server.store.contract.side import PACKED as NUMBERS
from fhir_server.store.contract.side import (
    PLACE,
    RECEIPT,
    Drop,
    PackedRow,
    PlaceRow,
    Put,
    ReceiptRow,
    Side,
)
from fhir_server.sync import wire
from fhir_server.sync.lineage import Rev
from fhir_server.sync.node import journal, own
from fhir_server.sync.node.forgetting import adopted, reborn
from fhir_server.sync.node.life import (
    CONFIRMED,
    MENDED,
    PARKED,
    REFUSED,
    WITH_HUB,
    Kept,
    Life,
    Name,
    kept,
    name_of,
)
from fhir_server.sync.words import (
    NEVER,
    TAKEN,
    Answer,
    Outcome,
    Push,
    Pushed,
    Receipt,
    Refused,
)
from fhir_server.sync.words import push as push_words

MOST = 1000  # versions of a chunk
LARGEST = 256 * 1024  # bytes of a chunk as it is sent; one group alone may be more
RATIO = 16  # by which text is compressed, at best
STATE_OF = {Outcome.PARKED: PARKED, Outcome.REFUSED: REFUSED}
SILENT = frozenset({Outcome.STORED})
WHY = {
    Refused.REUSED: "a number had meant another version: this disk was set back, or copied",
    Refused.RETIRED: "the hub has given the incarnation up",
    Refused.GAP: "the hub does not know all the numbers before",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is sent: the message, and what its numbers mean. small: the body as it goes first."""

    push: Push
    packed: tuple[PackedRow, ...]
    body: bytes
    small: bytes

    @property
    def revs(self) -> dict[int, Rev]:
        return {one.number: one.rev for one in self.push.entries}

    @property
    def groups(self) -> frozenset[int]:
        return frozenset(row.grp for row in self.packed)


async def chunk(
    store: Store, node: str, *, at_most: int = LARGEST, shown: str = ""
) -> Chunk | None:
    """The next one, of at most so many bytes where it has several groups; None: nothing has a
    number and no answer. shown: a receipt that goes with it. Raises Stale."""
    now = await kept(store)
    life = now.life
    rows = await store.side.range(
        NUMBERS, prefix=(life.incarnation,), beyond=(life.acked,), limit=MOST + 1
    )
    if not rows:
        return None
    read = await own.read(store, [_name(row) for row in rows])
    if any(_name(row) not in read for row in rows):
        await store.commit(await reborn(store, now, "what had a number cannot be read any more"))
        return None
    together = [list(members) for _, members in groupby(rows, key=lambda row: row.grp)]
    if len(rows) > MOST and len(together) > 1:
        together.pop()  # its end may not have been read
    together = _short(together, read, at_most * RATIO)
    while True:
        taken = [row for members in together for row in members]
        push = _push(life, node, taken, [read[_name(row)] for row in taken])
        push = replace(push, shown=shown)
        body = push_words.written(push)
        # Some megabytes take seconds, and users of this node are answered meanwhile.
        small = await asyncio.to_thread(wire.packed, body, wire.SMALL)
        size = len(small)
        if size <= at_most or len(together) == 1:
            return Chunk(push, tuple(taken), body, small)
        fewer = len(together) * at_most // (size + 1)
        together = together[: max(1, min(len(together) - 1, fewer))]


def _short(
    together: Sequence[list[PackedRow]], read: Mapping[Name, own.Own], most: int
) -> list[list[PackedRow]]:
    """The first groups, of about so many bytes as text; one at least. What is not sent now is not
    compressed now."""
    size = 0
    for count, members in enumerate(together):
        bodies = (read[_name(row)].resource for row in members)
        size += sum(len(render(body)) for body in bodies if body is not None)
        if size > most:
            return list(together[: max(1, count)])
    return list(together)


def _push(life: Life, node: str, rows: Sequence[PackedRow], read: Sequence[own.Own]) -> Push:
    entries = tuple(
        Pushed(
            number=row.number,
            group=row.grp,
            key=one.key,
            rev=one.rev,
            parents=one.parents,
            method=one.method,
            recorded=one.recorded,
            body=one.resource,
            stubs=one.stubs,
        )
        for row, one in zip(rows, read, strict=True)
    )
    return Push(
        node=node,
        incarnation=life.incarnation,
        first=rows[0].number,
        before=life.before,
        entries=entries,
        sent=int(time.time() * 1000),
    )


# --- the answer ----------------------------------------------------------------------------------


async def answered(store: Store, sent: Chunk, answer: Answer) -> bool:
    """Take an answer; whether it told anything new. A gap begins a new incarnation where the hub
    has lost numbers that were answered, since nobody knows any more what they meant. Raises Stale,
    Invalid."""
    now = await kept(store)
    parted = await adopted(store, now, answer.epochs)
    if parted is not None:
        await store.commit(parted)
        now = await kept(store)
    if now.life.incarnation != sent.push.incarnation or now.life.acked + 1 != sent.push.first:
        return parted is not None
    if answer.refused is Refused.GAP and answer.reached >= now.life.acked:
        raise Invalid("The hub lacks no number before those that were sent: they are sent again.")
    if answer.refused is not None:
        await store.commit(await reborn(store, now, WHY[answer.refused]))
        return True
    new = _in_order(now.life, sent, answer.receipts)
    if not new:
        raise Invalid("The hub's answer tells of none of the versions that were sent.")
    await store.commit(await _taken(store, now, sent, answer, new))
    return True


async def refused(store: Store, sent: Chunk, issues: Sequence[Issue]) -> None:
    """The hub takes no chunk with these in it: they are kept here, with its reason, and what comes
    after them begins a new life, since their numbers are never reached. Raises Stale."""
    now = await kept(store)
    if now.life.incarnation != sent.push.incarnation or now.life.acked + 1 != sent.push.first:
        return
    at = int(time.time() * 1000)
    rows = tuple(
        _placed(
            now.life,
            _name(row),
            Receipt(row.number, entry.rev, Outcome.REFUSED, NEVER, tuple(issues)),
            f"{entry.key}",
            at,
        )
        for row, entry in zip(sent.packed, sent.push.entries, strict=True)
    )
    await store.commit(now.unit(now.life, Put(PLACE, rows)))
    why = "the hub takes no chunk with some of these versions in it"
    await store.commit(await reborn(store, await kept(store), why))


def _in_order(life: Life, sent: Chunk, receipts: Iterable[Receipt]) -> list[Receipt]:
    """The receipts of the numbers that come next, without a gap."""
    told = {one.number: one for one in receipts}
    found: list[Receipt] = []
    for row in sent.packed:
        receipt = told.get(row.number)
        if receipt is None or row.number != life.acked + 1 + len(found):
            break
        found.append(receipt)
    return found


async def _taken(
    store: Store, now: Kept, sent: Chunk, answer: Answer, receipts: Sequence[Receipt]
) -> Unit:
    names = [_name(row) for row in sent.packed[: len(receipts)]]
    known = await store.side.rows(PLACE, names)
    at = int(time.time() * 1000)
    rows = []
    for name, receipt, entry in zip(names, receipts, sent.push.entries, strict=False):
        before = known.get(name)
        if before is None or before.state not in WITH_HUB:  # else it came back meanwhile
            rows.append(_placed(now.life, name, receipt, f"{entry.key}", at))
    taken = {name for name, one in zip(names, receipts, strict=True) if one.outcome in TAKEN}
    dropped = Drop(
        NUMBERS, tuple((row.incarnation, row.number) for row in sent.packed[: len(names)])
    )
    life, line = journal.noted(
        replace(
            now.life,
            acked=receipts[-1].number,
            before=receipts[-1].rev,
            offset=answer.now - (sent.push.sent + at) // 2,
        ),
        "sent",
        **_counted(receipts),
    )
    side: list[Side] = [Put(PLACE, tuple(rows)), dropped, line]
    side.append(Put(PLACE, await _mended(store, sent, taken)))
    if answer.said:
        life = replace(life, receipt=f"{sent.push.incarnation} {sent.push.first}")
        side.append(Put(RECEIPT, (_receipt(sent, answer, at),)))
    return now.unit(life, *side)


def _placed(life: Life, name: Name, receipt: Receipt, key: str, at: int) -> PlaceRow:
    """What is kept of an outcome. at: of what is at the hub the round of the pull."""
    facts = b""
    if receipt.outcome not in SILENT:
        told = {"key": key, "outcome": receipt.outcome.value}
        issues = operation_outcome(receipt.issues)["issue"] if receipt.issues else []
        facts = orjson.dumps({**told, "issue": issues})
    state = STATE_OF.get(receipt.outcome, CONFIRMED)
    when = life.round if state == CONFIRMED else at
    return PlaceRow(*name, state, *receipt.place, life.incarnation, receipt.number, when, facts)


def _counted(receipts: Iterable[Receipt]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for one in receipts:
        found[one.outcome.value] = found.get(one.outcome.value, 0) + 1
    return found


async def _mended(store: Store, sent: Chunk, taken: set[Name]) -> tuple[PlaceRow, ...]:
    """What was kept apart and is followed by what was taken now."""
    keys = {entry.key for entry in sent.push.entries if name_of(entry.key, entry.rev) in taken}
    found: list[PlaceRow] = []
    lineages = await store.lineage(sorted(keys))
    for key, known in lineages.items():
        parents = {one.rev: one.parents for one in known}
        ahead = [one.rev for one in known if name_of(key, one.rev) in taken]
        past: set[Rev] = set()
        while ahead:
            for parent in parents.get(ahead.pop(), ()):
                if parent not in past:
                    past.add(parent)
                    ahead.append(parent)
        if past:
            rows = await store.side.rows(PLACE, [name_of(key, rev) for rev in sorted(past)])
            found += [
                row._replace(state=MENDED)
                for row in rows.values()
                if row.state in STATE_OF.values()
            ]
    return tuple(found)


def _receipt(sent: Chunk, answer: Answer, at: int) -> ReceiptRow:
    """The receipts of a chunk as they were signed, by its first number, with what was sent under
    each number: so they can be verified by whoever has the hub's keys, and nothing else."""
    push = sent.push
    numbers = [(one.number, str(one.key), one.rev) for one in push.entries]
    told = orjson.dumps({"said": answer.said, "signed": answer.signed, "sent": numbers}).decode()
    return ReceiptRow(push.node, push.incarnation, push.first, 0, 0, b"", "signed", 0, 0, at, told)


def _name(row: PackedRow) -> Name:
    return Name(row.rid, row.generation, row.digest)
