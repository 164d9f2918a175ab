"""noticing — a hub that was set back, and not told so, sees it by a receipt that a node shows.

https://hl7.org/fhir/R4/signatures.html

A receipt of the epoch that goes on names numbers that this hub has taken. Where it does not know
them, or knows them at other places, what took them is lost. The epoch ends where surely nothing
was: where any copy is whole that has the node's life as it is here.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction.context import Server
from fhir_server.security.tokens.ring import Ring
from fhir_server.store.contract import Position, Unit
from fhir_server.store.contract.log import Epoch
from fhir_server.store.contract.side import LIFE, RECEIPT, STATE, Put, StateRow, Values
from fhir_server.sync import receipts
from fhir_server.sync.hub import nodes
from fhir_server.sync.hub.places import place_of
from fhir_server.sync.receipts import Said
from fhir_server.sync.words import TAKEN, Receipt
from fhir_server.sync.words.answer import receipts_of

log = logging.getLogger(__name__)

LONGEST = 1 << 17  # letters of what is shown


class Shown(NamedTuple):
    """A receipt that a node shows, verified."""

    said: Said
    receipts: tuple[Receipt, ...]


class UnknownKey(Exception):
    """The receipt names a key that is not here."""


async def look(server: Server, shown: str, node: str) -> None:
    """Begin another epoch where what a node shows was lost. What is no receipt of this hub for this
    node, or an old one, changes nothing."""
    if not shown:
        return
    try:
        found = await _verified(server, shown)
    except UnknownKey as error:
        await _doubt(server, node, str(error))
        return
    except Invalid as error:
        log.warning("The node `%s` shows what is no receipt of this hub: %s", node, error)
        return
    if found.said.node != node:
        log.warning("The node `%s` shows a receipt of `%s`.", node, found.said.node)
        return
    epochs = await server.store.epochs()
    whole = await _lost(server, epochs, found) if _counts(epochs, found) else None
    if whole is not None and await server.store.part(epochs[-1].name, whole):
        log.warning(
            "This database was set back without the restore command: the node `%s` shows a receipt"
            " for its number %d of `%s`, which is not here. A new epoch begins, and the nodes send"
            " again what they had sent since %s.",
            node,
            found.receipts[-1].number,
            found.said.incarnation,
            place_of(await server.store.epochs(), whole),
        )


async def _verified(server: Server, shown: str) -> Shown:
    """Raises Invalid, UnknownKey."""
    head, _, rest = shown.partition(".")
    payload, _, signature = rest.partition(".")
    ring = Ring(server.store, server.lasting_secret, receipts.KEYS)
    keys = (await ring.published(time.time_ns() // 1_000_000))["keys"]
    try:
        kid = orjson.loads(_plain(head)).get("kid")
        text = _plain(payload).decode()
    except (ValueError, AttributeError):
        raise Invalid("It is not as `[header].[payload].[signature]`.") from None
    if isinstance(kid, str) and all(key["kid"] != kid for key in keys):
        raise UnknownKey(kid[:64])
    said = receipts.verified(text, f"{head}..{signature}", keys)
    numbers = (word.partition(" ")[0] for word in said.receipts.split(",") if word)
    told = receipts_of(said.receipts, {int(number): "" for number in numbers})
    if not told:
        raise Invalid("It is for no number.")
    return Shown(said, told)


def _counts(epochs: Sequence[Epoch], shown: Shown) -> bool:
    """Whether it is of the epoch that goes on; or of one that comes after it, which is not known.
    An unknown one of before was lost by what the present one began with."""
    if shown.said.epoch == epochs[-1].name:
        return True
    known = {epoch.name for epoch in epochs}
    newest = max(one.place.epoch for one in shown.receipts)
    return shown.said.epoch not in known and newest > len(epochs)


async def _lost(server: Server, epochs: Sequence[Epoch], shown: Shown) -> Position | None:
    """Before which place surely nothing is, if anything is."""
    last = shown.receipts[-1]
    life: Values = (shown.said.node, shown.said.incarnation)
    row = (await server.store.side.rows(LIFE, [life])).get(life)
    if row is None:
        return Position(0)
    if row.reached < last.number:
        facts = orjson.loads(row.facts)
        whole = Position(facts.get("whole", 0))
        # Else the life has gone on since it was set back, and says nothing of when that was.
        is_of_before = whole <= last.place[1:] and facts.get("at", 0) <= shown.said.now
        return whole if is_of_before else Position(0)
    key: Values = (*life, last.number)
    taken = (await server.store.side.rows(RECEIPT, [key])).get(key)
    here = None if taken is None else place_of(epochs, Position(taken.seq, taken.num))
    # What is kept apart is given another place when it is stored.
    if last.outcome in TAKEN and here != last.place:
        return Position(0)  # it was taken anew: since when is not known
    return None


async def _doubt(server: Server, node: str, kid: str) -> None:
    """A forged receipt; or a true one, by a key that was made after the copy was."""
    log.warning(
        "The node `%s` shows a receipt by the key `%s`, which this hub does not have. Either it is"
        " forged, or this database is a copy from before the key was made: then bring that copy"
        " back once more, by `fhir-server restore`, so that the nodes send again what is lost.",
        node,
        kid,
    )
    told = {"at": time.time_ns() // 1_000_000, "kid": kid}
    row = StateRow(nodes.DOUBT + node, orjson.dumps(told).decode())
    await server.store.commit(Unit((), side=(Put(STATE, (row,)),)))


def _plain(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
