"""pulling — `$sync-pull`: a node is told what changed for it since its cursor.

https://hl7.org/fhir/R4/operations.html
https://hl7.org/fhir/R4/bundle.html#history

What may be told is decided here, by the marks of homes and by what the node's role may read; the
node's cursor says no more than how far it has been told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from fhir_server.foundation.outcome import Gone, Invalid
from fhir_server.foundation.resource import Key, literal
from fhir_server.interaction import feeding
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.operation.call import Call, Operation
from fhir_server.store.contract import EpochEnded, Position, parse_version_id, rid, version_id
from fhir_server.store.contract.side import HELD, LIFE, RECEIPT, Values
from fhir_server.sync import words
from fhir_server.sync.hub import homes, nodes, noticing
from fhir_server.sync.hub.gathering import Gathering
from fhir_server.sync.hub.outside import number_of
from fhir_server.sync.hub.page import EVERYWHERE, TAKEN_WORDS, Filling
from fhir_server.sync.hub.places import epochs_of, place_of
from fhir_server.sync.hub.quarantine import version_key
from fhir_server.sync.hub.standing import Standing, opened
from fhir_server.sync.lineage import Rev
from fhir_server.sync.words import Asked, Kind
from fhir_server.sync.words import page as said

NAME = "sync-pull"
DEFINITION = "https://fhir-server.example/OperationDefinition/sync-pull"
MOST_PARKED = 1000
LONGEST = 30  # seconds of waiting
READ = 1000  # rows read at once
READS = 10  # times, of receipts: the last of a life
WORD = 64  # letters of an incarnation
LONG = 256  # of a version with its resource
RECEIPTS = 20  # of one version: a node has as many as it had lives when it sent it

ENDED = (
    "This `cursor` is of a time before the hub was restored from a backup. Begin again without it, "
    "and compare the epochs of the answer with yours.",
    "`cursor` này thuộc về thời gian trước khi máy chủ tỉnh được khôi phục. Hãy bắt đầu lại, không"
    " gửi `cursor`, và so các `epochs` trong câu trả lời với của bạn.",
)


async def pull(server: Server, call: Call, circumstances: Circumstances) -> Answer:
    """Raises Forbidden for who is no node; Invalid; Gone for a cursor of an epoch that ended."""
    nodes.demand_node(circumstances, NAME)
    asked = asked_of(call)
    await homes.begin(server)
    await noticing.look(server, asked.shown, circumstances.caller.client)
    # Who shows a receipt may be about to be told of another epoch.
    wait = 0.0 if asked.shown else max(float(asked.wait), circumstances.wait)
    since = await server.stirring.moment(server.store) if wait > 0 else 0
    try:
        page = await _page(server, circumstances, asked)

        async def look() -> bool:
            nonlocal page, since
            if not await _is_stirred(server, circumstances, asked, page.next, since):
                return False
            since = await server.stirring.moment(server.store)
            begins = page.cursor if page.rows else page.next  # what was not told is told then
            again = replace(asked, cursor=begins)
            page = replace(await _page(server, circumstances, again), cursor=asked.cursor)
            return _is_news(page)

        if not _is_news(page) and wait > 0:
            await server.waiting.until(look, min(wait, LONGEST))
    except EpochEnded:
        english, vietnamese = ENDED
        raise Gone(english, expression="http.cursor", vietnamese=vietnamese) from None
    await nodes.pulled(server, circumstances.caller.client, page, asked.waiting)
    body = said.written(
        page,
        self_url=_url(circumstances, asked.cursor),
        next_url=_url(circumstances, page.next),
    )
    return Answer(200, body)


async def _is_stirred(
    server: Server, circumstances: Circumstances, asked: Asked, cursor: str, since: int
) -> bool:
    """Whether anything that may concern the node was written since. What it holds as parked may be
    anybody's: then whether anything was written at all."""
    caller = circumstances.caller
    if not asked.parked and not asked.named:
        whom = (rid(Key("Organization", caller.facility)), number_of(caller.client))
        return await server.stirring.concerns(server.store, whom, since)
    standing = opened(feeding.lasting(server), cursor, to=caller.identity)
    log = await server.store.log(standing.log, facility=0, everywhere=(), limit=1)
    return log.more


def _is_news(page: words.Page) -> bool:
    """Whether who waits is to be answered now. That what it sent is stored it has been told by its
    receipts: echoes wait for company, so that each visit is not one more answer over the line."""
    others = any(row.kind is not Kind.ECHO for row in page.rows)
    return others or bool(page.stored or page.more or page.entering)


def _url(circumstances: Circumstances, cursor: str) -> str:
    return f"{circumstances.base}/${NAME}?cursor={quote(cursor, safe='')}"


# --- a page ---------------------------------------------------------------------------------------


async def _page(server: Server, circumstances: Circumstances, asked: Asked) -> words.Page:
    """Raises EpochEnded."""
    caller = circumstances.caller
    facility = rid(Key("Organization", caller.facility))
    secret = feeding.lasting(server)
    epochs = await server.store.epochs()
    standing = (
        opened(secret, asked.cursor, to=caller.identity)
        if asked.cursor
        else await _beginning(server, facility)
    )
    filling = Filling(
        server,
        Gathering(server, circumstances, facility, epochs),
        standing,
        node=caller.client,
        facility=facility,
        incarnation=asked.incarnation,
    )
    more = await filling.fill()
    read = max(filling.newest, await _horizon(server, filling.standing, facility))
    return words.Page(
        rows=tuple(filling.rows),
        cursor=asked.cursor,
        next=filling.standing.sealed(secret, to=caller.identity),
        read=place_of(epochs, read),
        epochs=epochs_of(epochs),
        now=time.time_ns() // 1_000_000,
        stored=await _stored(server, caller.client, asked),
        entering=filling.standing.entering,
        more=more,
    )


async def _beginning(server: Server, facility: int) -> Standing:
    """Everything is sent once, and the log from where it is now."""
    log = await server.store.log(None, facility=facility, everywhere=EVERYWHERE, limit=0)
    return Standing(log=log.end, seq=log.last.seq, num=log.last.num)


async def _horizon(server: Server, standing: Standing, facility: int) -> Position:
    log = await server.store.log(standing.log, facility=facility, everywhere=(), limit=0)
    return log.horizon


async def _stored(server: Server, node: str, asked: Asked) -> tuple[Rev, ...]:
    """Those of the versions the node holds as parked that are stored now. Most are parked still."""
    named = await _named(server, node, asked.named)
    return tuple(dict.fromkeys((*named, *await _unnamed(server, node, asked))))


async def _named(server: Server, node: str, asked: Sequence[tuple[Key, Rev]]) -> list[Rev]:
    """Those of them that were taken, in whichever life of the node they were sent."""
    prefixes: list[Values] = [version_key(key, rev) for key, rev in asked]
    rows = await server.store.side.ranges(RECEIPT, "by_version", prefixes, limit=RECEIPTS)
    taken = {
        (row.rid, row.generation, row.digest)
        for row in rows
        if row.node == node and row.outcome in TAKEN_WORDS
    }
    return [rev for key, rev in asked if version_key(key, rev) in taken]


async def _unnamed(server: Server, node: str, asked: Asked) -> list[Rev]:
    """Of versions without their resources, as far as they stand in the last of this life."""
    wanted = set(asked.parked)
    if not wanted:
        return []
    held = await server.store.side.range(HELD, "by_node", prefix=(node,), limit=READ)
    wanted -= {version_id(one.generation, one.digest) for one in held}
    if not wanted:
        return []
    found: list[Rev] = []
    prefix = (node, asked.incarnation)
    life = (await server.store.side.rows(LIFE, [prefix])).get(prefix)
    beyond = (max(0, life.reached - READS * READ) if life else 0,)
    for _ in range(READS):
        rows = await server.store.side.range(RECEIPT, prefix=prefix, beyond=beyond, limit=READ)
        revs = (
            version_id(row.generation, row.digest) for row in rows if row.outcome in TAKEN_WORDS
        )
        found += (rev for rev in revs if rev in wanted)
        if len(rows) < READ:
            break
        beyond = (rows[-1].number,)
    return found


# --- what is asked --------------------------------------------------------------------------------


def asked_of(call: Call) -> Asked:
    """Raises Invalid."""
    told = _text(call, "parked", MOST_PARKED * LONG).split(",") if call.one("parked") else []
    incarnation = _text(call, "incarnation", WORD)
    if len(told) > MOST_PARKED:
        raise Invalid(
            f"More than {MOST_PARKED} versions are `parked`. Name them in several pulls.",
            expression="http.parked",
        )
    named, parked = _versions(told)
    wait = _text(call, "wait", 9) or "0"
    if not wait.isascii() or not wait.isdecimal():
        raise Invalid(f"`wait={wait}` is not a number of seconds.", expression="http.wait")
    waiting = _text(call, "waiting", 9)
    if waiting and not (waiting.isascii() and waiting.isdecimal()):
        raise Invalid(f"`waiting={waiting}` is not a number.", expression="http.waiting")
    return Asked(
        cursor=_text(call, "cursor", 1 << 16),
        incarnation=incarnation,
        parked=parked,
        named=named,
        wait=min(int(wait), LONGEST),
        shown=_text(call, "shown", noticing.LONGEST),
        waiting=int(waiting) if waiting else None,
    )


def _versions(told: Sequence[str]) -> tuple[tuple[tuple[Key, Rev], ...], tuple[Rev, ...]]:
    """Those with their resources, as `Patient/an/_history/2-k5f…`, and those without. Raises
    Invalid."""
    named: list[tuple[Key, Rev]] = []
    alone: list[Rev] = []
    for text in told:
        found = literal(text) if "/" in text else None
        rev = text if found is None else found.version or ""
        if parse_version_id(rev) is None or (found is not None and found.base):
            raise Invalid(
                f"`{text[:80]}` is neither a version id nor a reference as"
                " `[type]/[id]/_history/[version]`.",
                expression="http.parked",
            )
        if found is None:
            alone.append(rev)
        else:
            named.append((found.key, rev))
    return tuple(named), tuple(alone)


def _text(call: Call, name: str, longest: int) -> str:
    found = call.one(name)
    value = "" if found is None else found.value
    if not isinstance(value, str) or len(value) > longest:
        raise Invalid(
            f"`{name}` must be a text of at most {longest} letters.", expression=f"http.{name}"
        )
    return value


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name=NAME,
        definition=DEFINITION,
        levels=frozenset({"system"}),
        types=None,
        parameters=frozenset({"cursor", "incarnation", "parked", "wait", "shown", "waiting"}),
        perform=pull,
    ),
)
