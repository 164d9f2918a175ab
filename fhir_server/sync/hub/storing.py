"""storing — groups of versions are committed, with their receipts and how far the node is heard.

https://hl7.org/fhir/R4/http.html#transaction

Several groups go into one transaction. Where something in it cannot be dealt with at all, each half
of them is tried by itself, down to a group, and then each version of it: what is to blame is kept
apart, and keeps no other waiting.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fhir_server.foundation.outcome import Conflict, FhirError, Issue, TooMany, TooSlow
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.store.contract import Stale, Unit, rid
from fhir_server.store.contract.side import ReceiptRow
from fhir_server.sync.hub import lives, waking
from fhir_server.sync.hub.judging import Judging
from fhir_server.sync.hub.taking import Sender, put, taken
from fhir_server.sync.words import Push, Pushed, Refused

log = logging.getLogger(__name__)

RENEWED = 8  # attempts between two looks at the rules

BROKEN = Issue(
    "error",
    "exception",
    "The hub could not deal with this version; who runs it finds the reason in its log.",
    vietnamese="Máy chủ tỉnh không xử lý được bản này; lý do có trong nhật ký của máy chủ.",
)


class Broken(Exception):
    """These versions cannot be taken together. issues: what is said of one that is alone."""

    def __init__(self, issues: Sequence[Issue]) -> None:
        super().__init__()
        self.issues = tuple(issues)


class Booked(NamedTuple):
    """Which of some versions are to be taken, and what is written with them."""

    new: list[Pushed]
    unit: Unit


@dataclass(frozen=True, slots=True)
class Sending:
    """Whose versions these are. book: looks up which of some were not taken yet; Refused: why
    nothing of them is looked at; None: all are taken."""

    sender: Sender
    book: Callable[[Sequence[Pushed]], Awaitable[Booked | Refused | None]]


def pushed(server: Server, chunk: Push) -> Sending:
    """Versions that a node sends as its own, numbered without a gap."""

    async def book(members: Sequence[Pushed]) -> Booked | Refused | None:
        told = await lives.heard(server, chunk)
        new = await _ahead(server, told, chunk, members)
        if not isinstance(new, list):
            return new
        # Read before it is written: whatever copy has the life as it will be is whole up to it.
        whole = (await server.store.whole()).seq
        return Booked(new, lives.moved(told, chunk, new[-1].number, whole=whole))

    offset = chunk.sent - time.time_ns() // 1_000_000
    return Sending(Sender(chunk.node, chunk.incarnation, offset), book)


async def store(
    judging: Judging, sending: Sending, groups: Sequence[Sequence[Pushed]]
) -> Refused | None:
    """Why they are not looked at: others have sent for the same life meanwhile. Raises Conflict."""
    members = [one for group in groups for one in group]
    try:
        return await _together(judging, sending, members)
    except Broken as broken:
        parts = groups if len(groups) > 1 else [[one] for one in members]
        if len(parts) == 1:
            return await _together(judging, sending, members, broken.issues)
    middle = len(parts) // 2
    for some in (parts[:middle], parts[middle:]):
        refused = await store(judging, sending, some)
        if refused is not None:
            return refused
    return None


async def _together(
    judging: Judging,
    sending: Sending,
    members: Sequence[Pushed],
    broken: Sequence[Issue] = (),
) -> Refused | None:
    """One transaction; others may be sending the same. Raises Conflict, Broken."""
    server, circumstances = judging.server, judging.circumstances
    for attempt in range(server.limits.attempts):
        booked = await sending.book(members)
        if not isinstance(booked, Booked):
            return booked
        try:
            taking = await taken(server, circumstances, sending.sender, booked.new, judging, broken)
            unit = _with(taking.unit, booked.unit, taking.receipts())
            await _commit(server, circumstances, unit)
        except Stale:
            if attempt % RENEWED == 1 and server.following.declaring is not None:
                await server.following.declaring.refresh()  # it may be the rules that moved
            await asyncio.sleep(random.uniform(0, 0.002) * min(attempt, 25))  # noqa: S311 - no secret
            continue
        except FhirError as error:
            if error.status >= 500 or isinstance(error, TooSlow | TooMany):
                raise  # nothing is wrong with what was sent
            raise Broken(error.issues) from error
        except OSError:
            raise
        except Exception as error:  # whatever it is in one version, the others are not to wait
            node = sending.sender.node
            log.warning("What the node `%s` sent could not be taken.", node, exc_info=True)
            raise Broken((BROKEN,)) from error
        await waking.wake(server, taking.stored)
        return None
    raise Conflict("Too many others are writing the same resources. Send it again in a moment.")


async def _ahead(
    server: Server, told: lives.Heard, chunk: Push, members: Sequence[Pushed]
) -> list[Pushed] | Refused | None:
    """Those that are to be taken; where others have sent the same numbers, they were the same
    versions. None: all are taken."""
    new = [one for one in members if one.number > told.reached]
    if len(new) < len(members):
        refused = await lives.refusal(server, told, chunk)
        if refused is not None or not new:
            return refused
    return new if new[0].number == told.reached + 1 else Refused.GAP


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
