"""bringing — a piece of a node's copy is opened, and what is in it taken as that node's push.

https://hl7.org/fhir/R4/bundle.html#history

Who brings it has no part in it: it cannot be read by them, nor changed. It is judged by what the
node that wrote it may; a piece that was brought before is answered from what was kept then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from fhir_server.foundation import wire
from fhir_server.foundation.outcome import Forbidden, Invalid, Issue
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.security.audit.record import Record
from fhir_server.security.scope import BadScope
from fhir_server.security.tokens import client as clients
from fhir_server.security.tokens.client import Client
from fhir_server.security.tokens.keys import Jwk
from fhir_server.security.tokens.recognising import caller_of
from fhir_server.security.tokens.ring import Ring
from fhir_server.store.codec import DEEPEST
from fhir_server.store.contract import Unit, version_id
from fhir_server.store.contract.side import RECEIPT, ReceiptRow, Values
from fhir_server.sync.copy import piece as pieces
from fhir_server.sync.copy.piece import BadPiece, Head, Why
from fhir_server.sync.hub import receiving, storing
from fhir_server.sync.hub.facts import facts_of
from fhir_server.sync.hub.judging import Judging
from fhir_server.sync.hub.nodes import NODE
from fhir_server.sync.hub.quarantine import version_key
from fhir_server.sync.hub.storing import Booked, Sending
from fhir_server.sync.hub.taking import Sender
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Outcome, Push, Pushed, Refused
from fhir_server.sync.words import push as reading

MANY = 250  # versions of one transaction


class Became(NamedTuple):
    """What became of a version."""

    key: Key
    rev: Rev
    outcome: Outcome
    issues: tuple[Issue, ...]


class Brought(NamedTuple):
    """What became of a piece. refused: why nothing of it was taken. by: whose versions they are,
    as far as that is proven."""

    head: Head | None
    versions: tuple[Became, ...] = ()
    refused: Issue | None = None


def elsewhere(kid: str) -> Why:
    return Why(
        f"The piece was sealed for the key `{kid[:64]}`, which is none of this hub's: it is of"
        " another hub, or this one came back with another secret.",
        "Mảnh này được niêm phong cho một máy chủ tỉnh khác.",
    )


def unknown(node: str) -> Why:
    return Why(
        f"The piece is of `{node}`, which is no node of this hub.",
        f"Mảnh này là của `{node}`, không phải là máy trạm của máy chủ này.",
        "security",
    )


def anothers(node: str) -> Why:
    return Why(
        f"The piece is of `{node}`, a node of another facility. A node of that facility may bring"
        " it, or who runs the hub: `fhir-server rescue FOLDER`.",
        f"Mảnh này là của `{node}` thuộc cơ sở khác; hãy để cơ sở đó, hoặc người quản trị máy chủ"
        " tỉnh, đưa lên.",
        "forbidden",
    )


def revoked(node: str) -> Why:
    return Why(
        f"`{node}` is revoked, and whoever has its disk could have signed the piece since. Who runs"
        " the hub decides: `fhir-server rescue FOLDER --revoked`.",
        f"`{node}` đã bị thu hồi; người quản trị máy chủ tỉnh quyết định có nhận hay không.",
        "security",
    )


UNLIKE = Why(
    "The piece says outside that it holds other versions than it does.",
    "Mảnh này ghi bên ngoài khác với nội dung bên trong.",
)
REUSED = Why(
    "Its numbers meant other versions in a piece that came before.",
    "Các số của mảnh này đã được dùng cho bản khác.",
    "conflict",
)


async def brought(
    server: Server,
    line: str,
    circumstances: Circumstances,
    *,
    by_operator: bool,
    also_revoked: bool,
) -> Brought:
    """Take one piece. circumstances: of who brings it. Raises what a push may be refused with that
    is nobody's fault: Conflict, TooMany, TooSlow."""
    head = None
    try:
        head, kid = pieces.head_of(line)
        one = await _opened(server, kid, line)
        whose = await _whose(server, head.node)
        _demand_right(whose, circumstances, by_operator=by_operator, also_revoked=also_revoked)
        chunk = await asyncio.to_thread(_read, one, _keys(whose))
        if not chunk:
            return Brought(head)
        judged = await _as_node(server, whose, circumstances)
        return Brought(head, await _taken(server, chunk, head, judged))
    except BadPiece as bad:
        why = bad.why
        issue = Issue("error", why.code, why.english, vietnamese=why.vietnamese)
        return Brought(head, refused=issue)
    except (Invalid, Forbidden) as refusal:
        return Brought(head, refused=refusal.issues[0])


async def _opened(server: Server, kid: str, line: str) -> pieces.Opened:
    ring = Ring(server.store, server.lasting_secret, pieces.KEYS)
    key = await ring.by_kid(kid, time.time_ns() // 1_000_000)
    if key is None:
        raise BadPiece(elsewhere(kid))
    return await asyncio.to_thread(pieces.opened, line, key)  # it may be large


async def _whose(server: Server, node: str) -> Client:
    row = await server.store.access.client(node)
    whose = clients.of(row) if row is not None else None
    if whose is None or NODE not in whose.roles or not whose.facility:
        raise BadPiece(unknown(node))
    return whose


def _demand_right(
    whose: Client, circumstances: Circumstances, *, by_operator: bool, also_revoked: bool
) -> None:
    """Raises BadPiece."""
    if not by_operator and circumstances.caller.facility != whose.facility:
        raise BadPiece(anothers(whose.id))
    if whose.revoked and not also_revoked:
        raise BadPiece(revoked(whose.id))


def _keys(whose: Client) -> Sequence[Jwk]:
    """All it ever had: a copy is older than the key that followed."""
    found: list[Jwk] = []
    for key in (*whose.keys, *whose.former):
        bare = {name: value for name, value in key.items() if name != clients.UNTIL}
        if bare not in found:
            found.append(bare)
    return found


def _read(one: pieces.Opened, keys: Sequence[Jwk]) -> Push | None:
    """None: it says only how things stand. Raises BadPiece, Invalid."""
    head, body = one.head, pieces.verified(one, keys)
    if not head.count:
        return None
    chunk = reading.read(wire.parse(body, max_depth=DEEPEST))
    told = (chunk.node, chunk.incarnation, chunk.first, len(chunk.entries))
    if told != (head.node, head.copy, head.first, head.count):
        raise BadPiece(UNLIKE)
    receiving.demand_groups(chunk)
    return chunk


async def _as_node(server: Server, whose: Client, circumstances: Circumstances) -> Circumstances:
    """With the rights that the node would have, if it came itself. Raises Forbidden."""
    facts = {"purpose": clients.purpose(whose, None)}
    try:
        caller, access = await server.gate.admitted_again(caller_of(whose, facts, whose.scopes))
    except BadScope as error:
        raise Invalid(str(error)) from None
    by = f"From its copy, brought by `{circumstances.caller.client}`."
    record = circumstances.record
    if record is not None:  # that of the request tells of who brings it
        record = Record(record.interaction, record.url, record.request, address=record.address)
    return replace(circumstances, caller=replace(caller, reason=by), access=access, record=record)


async def _taken(
    server: Server, chunk: Push, head: Head, circumstances: Circumstances
) -> tuple[Became, ...]:
    async def book(members: Sequence[Pushed]) -> Booked | Refused | None:
        known = {row.number: row for row in await _receipts(server, chunk, members)}
        if any(not _is_same(one, known[one.number]) for one in members if one.number in known):
            return Refused.REUSED
        new = [one for one in members if one.number not in known]
        return Booked(new, Unit(())) if new else None

    judging = Judging(server, circumstances)
    sending = Sending(Sender(chunk.node, chunk.incarnation, head.offset), book)
    for at in count(0, MANY):
        groups = [[one] for one in chunk.entries[at : at + MANY]]
        if not groups:
            break
        if await storing.store(judging, sending, groups) is not None:
            raise BadPiece(REUSED)
    rows = {row.number: row for row in await _receipts(server, chunk, chunk.entries)}
    return tuple(_became(one, rows[one.number]) for one in chunk.entries)


async def _receipts(server: Server, chunk: Push, members: Sequence[Pushed]) -> list[ReceiptRow]:
    names: list[Values] = [(chunk.node, chunk.incarnation, one.number) for one in members]
    return list((await server.store.side.rows(RECEIPT, names)).values())


def _is_same(one: Pushed, row: ReceiptRow) -> bool:
    return version_key(one.key, one.rev) == (row.rid, row.generation, row.digest)


def _became(one: Pushed, row: ReceiptRow) -> Became:
    assert version_id(row.generation, row.digest) == one.rev, "it was looked at before"
    return Became(one.key, one.rev, Outcome(row.outcome), facts_of(row).issues)
