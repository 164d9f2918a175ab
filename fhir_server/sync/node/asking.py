"""asking — one step with the hub each: a chunk sent and its answer taken, a page asked and stored.

https://hl7.org/fhir/R4/operations.html

An answer is taken as it is told, not as it was asked for: what no longer fits is dropped, and asked
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import orjson

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction.context import Server
from fhir_server.store.contract import Stale, version_id
from fhir_server.store.contract.side import PLACE, PlaceRow, Values
from fhir_server.sync import receipts
from fhir_server.sync.node import journal, outbox, pulling, sending
from fhir_server.sync.node.life import PARKED, Life, kept
from fhir_server.sync.node.line import Away, Line, Refusal, Told
from fhir_server.sync.node.sending import Chunk
from fhir_server.sync.node.showing import Showing, shown
from fhir_server.sync.node.standing import standing
from fhir_server.sync.words import Answer, extension
from fhir_server.sync.words import answer as answer_words
from fhir_server.sync.words import page as page_words
from fhir_server.sync.words.extension import Parts

log = logging.getLogger(__name__)

T = TypeVar("T")
ATTEMPTS = 32
GONE = 410  # a cursor of an epoch that ended
MANY = 50  # parked versions asked about at once


async def settled(server: Server, step: Callable[[], Awaitable[T]]) -> T:
    """Look again where something has moved meanwhile. Raises Stale where it goes on moving."""
    for attempt in range(ATTEMPTS):
        try:
            return await step()
        except Stale:
            if attempt % 8 == 1 and server.following.declaring is not None:
                await server.following.declaring.refresh()  # it may be the rules that moved
            await asyncio.sleep(0.002 * attempt)
    return await step()


class Asking:
    """The steps of a node."""

    def __init__(self, server: Server, line: Line) -> None:
        self.server = server
        self.line = line
        self._taking = asyncio.Lock()  # push and pull of one process do not meet
        self._parked: Values | None = None  # where the parked are asked about next
        self._showing = Showing()

    async def notice(self) -> bool:
        """Look through a page of the own log; whether there may be more."""
        async with self._taking:
            return await settled(self.server, lambda: outbox.notice(self.server.store))

    async def push(self, at_most: int) -> int:
        """Send a chunk and take its answer; how many versions: none where nothing waits. Raises
        Away, Refusal, Invalid."""
        due = self._showing.due
        chunk = await self._chunk(at_most, shows=bool(due))
        if chunk is None:
            return 0
        try:
            told = await self.line.push(chunk.body, chunk.small)
        except Away:
            self._showing.again()
            raise
        except Refusal as refusal:
            if not refusal.is_of_what_was_sent:
                raise
            return await self._alone(chunk, refusal)
        self._showing.done(due)
        answer = answer_words.read(told.bundle, chunk.revs, trusted(told.bundle, chunk))
        if answer.refused is not None:
            self._showing.again()
        if answer.said:
            await self._verify(answer)
        async with self._taking:
            await settled(self.server, lambda: sending.answered(self.server.store, chunk, answer))
        return len(chunk.packed)

    async def _verify(self, answer: Answer) -> None:
        """The hub's receipt is signed by it, where it says by which keys. Raises Invalid."""
        keys = await self.line.receipt_keys()
        if not keys:
            return
        try:
            receipts.verified(answer.said, answer.signed, keys)
        except Invalid:  # there may be a newer key
            keys = await self.line.receipt_keys(anew=True)
            receipts.verified(answer.said, answer.signed, keys)
        await self.line.pin(keys)

    async def _alone(self, chunk: Chunk, refusal: Refusal) -> int:
        """The hub takes nothing of a chunk. Of several groups the first is sent alone; one that is
        refused alone is kept here with the reason, and keeps no other from being sent."""
        if len(chunk.groups) > 1:
            return await self.push(1)
        log.warning("%s", refusal)
        async with self._taking:
            store, issues = self.server.store, refusal.issues
            await settled(self.server, lambda: sending.refused(store, chunk, issues))
        return len(chunk.packed)

    async def _chunk(self, at_most: int, *, shows: bool) -> Chunk | None:
        async with self._taking:
            await settled(self.server, lambda: outbox.pack(self.server))
            store, node = self.server.store, self.line.key.client
            receipt = await self._receipt((await kept(store)).life) if shows else ""
            return await settled(
                self.server, lambda: sending.chunk(store, node, at_most=at_most, shown=receipt)
            )

    async def _receipt(self, life: Life) -> str:
        return await shown(self.server.store.side, self.line.key.client, life)

    async def pull(self, wait: int) -> bool:
        """Ask for a page and store it; whether to ask again at once. wait: seconds that the hub
        may wait for something new. Raises Away, Refusal, Invalid."""
        life = (await settled(self.server, lambda: kept(self.server.store))).life
        parked = await self._some_parked()
        names = await self.server.store.audit.keys([row.rid for row in parked])
        versions = ",".join(
            f"{names[row.rid]}/_history/{version_id(row.generation, row.digest)}"
            for row in parked
            if row.rid in names
        )
        asked = {
            "cursor": life.cursor,
            "incarnation": life.incarnation,
            "parked": versions,
            "wait": str(wait) if wait and not life.whole else "",
            "waiting": str(await self._waiting()),
        }
        try:
            told = await self._pulled(asked, life)
        except Refusal as refusal:
            if refusal.status != GONE or not life.cursor:
                raise
            async with self._taking:  # the hub came back from a backup: its epochs come with a page
                await settled(self.server, lambda: self._begin_again(life))
            return True
        page, said = await asyncio.to_thread(page_words.heard, told.bundle)
        if page.read < life.reached and page.epochs == life.told:
            self._showing.again()
        async with self._taking:
            moved = await settled(
                self.server, lambda: pulling.take(self.server, page, life.incarnation, parked, said)
            )
        return page.more or page.entering or (moved and bool(page.rows))

    async def _pulled(self, asked: Mapping[str, str], life: Life) -> Told:
        """With the receipt, where that is due. Raises Away, Refusal."""
        due = self._showing.due
        try:
            shown = await self._receipt(life) if due else ""
            told = await self.line.pull({**asked, "shown": shown})
        except (Away, Refusal):
            self._showing.again()
            raise
        self._showing.done(due)
        return told

    async def _waiting(self) -> int:
        """How many versions are still to be sent, for the hub to show."""
        found = await standing(self.server.store.side)
        return found.waiting if found else 0

    async def _begin_again(self, life: Life) -> None:
        store = self.server.store
        now = await kept(store)
        if now.life.cursor == life.cursor:
            becomes, line = journal.noted(now.life.pulled_anew(), "everything is fetched anew")
            await store.commit(now.unit(becomes, line))

    async def _some_parked(self) -> list[PlaceRow]:
        """Some of those that are kept apart, others each time."""
        rows = await self.server.store.side.range(
            PLACE, "by_state", prefix=(PARKED,), beyond=self._parked, limit=MANY
        )
        self._parked = PLACE.place(rows[-1], "by_state")[1:] if len(rows) == MANY else None
        return rows


def trusted(bundle: object, chunk: Chunk) -> str:
    """The receipts of an answer, once they are known to be of what was sent. Raises Invalid."""
    meta = bundle.get("meta") if isinstance(bundle, dict) else None
    text = Parts(meta, extension.ANSWER, where="Bundle.meta").text("said", "")
    if not text:
        return ""
    try:
        said = orjson.loads(text)
        told = {name: said[name] for name in receipts.WORDS}
    except (ValueError, KeyError, TypeError):
        raise Invalid("What the hub signed is no receipt.") from None
    if not all(isinstance(value, str) for value in told.values()):
        raise Invalid("What the hub signed is no receipt.")
    numbers = [word.partition(" ")[0] for word in told["receipts"].split(",")]
    sent = [(one.number, one.rev) for one in chunk.push.entries if str(one.number) in set(numbers)]
    if (told["node"], told["incarnation"], told["revs"]) != (
        chunk.push.node,
        chunk.push.incarnation,
        receipts.revs_of(sent),
    ):
        raise Invalid("The hub's receipt is not for what was sent.")
    return str(told["receipts"])
