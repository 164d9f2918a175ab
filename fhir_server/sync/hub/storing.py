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
from collections.abc import Sequence
from dataclasses import replace

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


async def store(
    judging: Judging, chunk: Push, groups: Sequence[Sequence[Pushed]]
) -> Refused | None:
    """Why they are not looked at: others have sent for the same life meanwhile. Raises Conflict."""
    members = [one for group in groups for one in group]
    try:
        return await _together(judging, chunk, members)
    except Broken as broken:
        parts = groups if len(groups) > 1 else [[one] for one in members]
        if len(parts) == 1:
            return await _together(judging, chunk, members, broken.issues)
    middle = len(parts) // 2
    for some in (parts[:middle], parts[middle:]):
        refused = await store(judging, chunk, some)
        if refused is not None:
            return refused
    return None


async def _together(
    judging: Judging,
    chunk: Push,
    members: Sequence[Pushed],
    broken: Sequence[Issue] = (),
) -> Refused | None:
    """One transaction; others may be sending the same. Raises Conflict, Broken."""
    server, circumstances = judging.server, judging.circumstances
    offset = chunk.sent - time.time_ns() // 1_000_000
    sender = Sender(chunk.node, chunk.incarnation, offset)
    for attempt in range(server.limits.attempts):
        told = await lives.heard(server, chunk)
        new = await _ahead(server, told, chunk, members)
        if not isinstance(new, list):
            return new
        try:
            taking = await taken(server, circumstances, sender, new, judging, broken)
            # Read before it is written: whatever copy has the life as it will be is whole up to it.
            whole = (await server.store.whole()).seq
            life = lives.moved(told, chunk, new[-1].number, whole=whole)
            await _commit(server, circumstances, _with(taking.unit, life, taking.receipts()))
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
            log.warning("What the node `%s` sent could not be taken.", chunk.node, exc_info=True)
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
