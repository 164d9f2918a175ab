"""working — a node looks after its hub by itself, beside the requests it answers.

https://hl7.org/fhir/R4/http.html

One loop sends, one asks. Neither is on the way of a local write. A hub that is away is asked again
within seconds, so that a line that comes back for a while is used; one that refuses, seldom.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fhir_server.foundation.outcome import FhirError
from fhir_server.interaction.context import Server
from fhir_server.store.contract import Stale, Store, Unit
from fhir_server.store.contract.side import STATE, Expect, Put, StateRow
from fhir_server.sync.node import wiping
from fhir_server.sync.node.asking import Asking
from fhir_server.sync.node.key import BadKey, NodeKey, read
from fhir_server.sync.node.life import asked_now, is_paused
from fhir_server.sync.node.line import Away, Line, Refusal
from fhir_server.sync.node.sending import LARGEST
from fhir_server.sync.node.standing import LineState, line_state
from fhir_server.sync.node.wiping import ToldToWipe

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between two looks at the own log
STILL = 2.0  # seconds between two looks whether it goes on, while it is paused
HOUR, DAY = 3600.0, 86_400.0  # seconds
WAIT = 20  # seconds the hub may wait for something new
SOON, LATER = 5.0, 60.0  # seconds after which a hub is asked again that is away, or refuses
SMALLEST = 16 * 1024  # bytes of a chunk on a bad line
WRITTEN = 30.0  # seconds between two notes of what goes over a line that works
HOLDER = "worker"  # the row of the process that does the work, where there are several
HELD = 60.0  # seconds it is that one's


@dataclass(frozen=True, slots=True)
class Settings:
    """hub: as the setting says; empty: whichever the key is for. several: processes."""

    hub: str
    key_file: Path
    several: bool = False
    key_days: int = 0  # after which it brings its hub another key; 0: never by itself
    database: str = ""  # its URL
    stop: Callable[[], None] = lambda: None  # ends the server


async def work(settings: Settings, server: Server) -> None:
    """Until it is cancelled. A node that is not enrolled yet begins once it is."""
    said = ""
    me = secrets.token_hex(8)
    while True:
        try:
            key = enrolled(settings)
            if not settings.several or await holds(server.store, me):
                await Working(server, key, settings, me if settings.several else "").run()
        except (BadKey, Refusal, FhirError) as error:
            if str(error) != said:  # once, and not each time
                said = str(error)
                log.warning("%s", error)
        except Exception:  # whatever it was, the next time may do better
            log.warning("The hub cannot be worked with.", exc_info=True)
        await asyncio.sleep(SOON)


def enrolled(settings: Settings) -> NodeKey:
    """The key, if it is the hub's that is meant. Raises BadKey."""
    key = read(settings.key_file)
    if settings.hub and key.hub != settings.hub:
        raise BadKey(
            f"This node is enrolled with `{key.hub}`, and `hub` is `{settings.hub}`. Run"
            " `fhir-server sync enrol` for that one."
        )
    return key


async def holds(store: Store, me: str, work: str = HOLDER) -> bool:
    """Whether this process is the one to do the work for a while."""
    row = (await store.side.rows(STATE, [(work,)])).get((work,))
    whose, _, until = row.value.partition(" ") if row else ("", "", "0")
    if whose not in ("", me) and float(until) > time.time():
        return False
    mine = StateRow(work, f"{me} {time.time() + HELD}")
    unit = Unit((), side=(Put(STATE, (mine,)),), expects=(Expect(STATE, (work,), row),))
    try:
        await store.commit(unit)
    except Stale:
        return False
    return True


class Working:
    """The loops of one process. me: its name, where several take turns."""

    def __init__(self, server: Server, key: NodeKey, settings: Settings, me: str = "") -> None:
        self.server = server
        self.settings = settings
        self.line = Line(key, settings.key_file)
        self.asking = Asking(server, self.line)
        self.state = LineState()
        self.at_most = LARGEST // 4
        self._me = me
        self._back = asyncio.Event()  # the hub has answered since it was away
        self._written = 0.0
        self._hurried = ""

    async def run(self) -> None:
        """Until it is cancelled, or another process does the work."""
        self.state = await line_state(self.server.store.side)
        try:
            async with asyncio.TaskGroup() as tasks:
                loops = [
                    tasks.create_task(self._again_and_again(self._push)),
                    tasks.create_task(self._again_and_again(self._pull)),
                    tasks.create_task(self._again_and_again(self._renew)),
                ]
                while not self._me or await holds(self.server.store, self._me):
                    await asyncio.sleep(HELD / 3)
                for loop in loops:
                    loop.cancel()
        finally:
            await self.line.close()

    async def _again_and_again(self, step: Callable[[], Awaitable[None]]) -> None:
        failed = 0
        while True:
            try:
                if await is_paused(self.server.store.side):
                    await asyncio.sleep(STILL)
                    continue
                await step()
            except Away as away:
                failed += 1
                await self._failed(str(away))
                await self._rest(away.after, at_least=True)
                await self._rest(_pause(failed, SOON))
            except ToldToWipe as told:
                await self._wipe(told)
                return
            except (Refusal, FhirError) as error:
                failed += 1
                await self._failed(str(error))
                await self._rest(_pause(failed, LATER), at_least=True)
            except Exception:
                failed += 1
                log.warning("A step with the hub failed.", exc_info=True)
                await self._rest(_pause(failed, LATER), at_least=True)
            else:
                failed = 0

    # --- the steps ---

    async def _push(self) -> None:
        while await self.asking.notice():
            pass
        before, began = self.line.up, time.monotonic()
        try:
            sent = await self.asking.push(self.at_most)
        except Away:
            self.at_most = max(SMALLEST, self.at_most // 2)
            raise
        except Refusal:
            self.at_most = 1  # one group at a time: the others need not wait for the bad one
            raise
        if not sent:
            await asyncio.sleep(LOOK)
            return
        self.at_most = min(LARGEST, max(SMALLEST, self.at_most * 2))
        self.state = self.state.sent(self.line.up - before, time.monotonic() - began, sent)
        await self._worked()

    async def _pull(self) -> None:
        while await self.asking.pull(0 if self.state.failing else WAIT):
            await self._worked()
        await self._worked()

    async def _renew(self) -> None:
        await self.renewed()
        await asyncio.sleep(HOUR)

    async def renewed(self) -> None:
        """Bring the hub another key, when this one is old. Raises Away."""
        age = time.time() - self.line.key.made
        if self.settings.key_days and age > self.settings.key_days * DAY:
            try:
                await self.line.rotate(self.settings.key_file)
                log.info("The hub knows this node by a new key, `%s`.", self.line.key.jwk["kid"])
            except (Refusal, OSError) as error:  # the key it has is good, and the line may work
                log.warning("This node's key is old, and was not followed by another: %s", error)

    async def _wipe(self, told: ToldToWipe) -> None:
        wiping.close(self.server)
        place = self.settings
        try:
            await wiping.begin(place.database, place.key_file, self.line.key, told.word)
        finally:
            place.stop()  # which is all there is left to do, written down or not

    # --- what is known of the line ---

    async def _worked(self) -> None:
        was_away = self.state.failing
        self.state = self.state.answered(self.line.up, self.line.down)
        self.line.up = self.line.down = 0
        self._back.set()
        if was_away or self._is_due(await self._asked()):
            await self._note()
        if was_away:
            log.info("The hub answers again.")

    def _is_due(self, asked: str) -> bool:
        """Whether what is known of the line is to be noted: now and then, and once somebody has
        asked."""
        is_new, self._hurried = asked != self._hurried, asked
        return is_new or time.monotonic() - self._written > WRITTEN

    async def _failed(self, why: str) -> None:
        is_new = not self.state.failing
        self.state = self.state.failed(why)
        self._back.clear()
        if is_new:
            log.warning("%s", why)
            await self._note()

    async def _note(self) -> None:
        self._written = time.monotonic()
        try:
            await self.server.store.commit(self.state.unit)
        except (FhirError, Stale):  # it is told the next time
            log.debug("What is known of the line could not be noted.")

    async def _rest(self, seconds: float, *, at_least: bool = False) -> None:
        """Until then, or a moment after the other loop has met the hub, or somebody has asked."""
        until = time.monotonic() + seconds
        before = await self._asked()
        while (left := until - time.monotonic()) > 0 and await self._asked() == before:
            try:
                async with asyncio.timeout(min(left, STILL)):
                    await (asyncio.sleep(STILL) if at_least else self._back.wait())
            except TimeoutError:
                continue
            if not at_least:
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - nothing secret
                return

    async def _asked(self) -> str:
        """When somebody asked it not to wait, as far as the database can tell."""
        try:
            return await asked_now(self.server.store.side)
        except FhirError:
            return ""


def _pause(failed: int, longest: float) -> float:
    """Twice as long each time, and never for everybody at once."""
    return min(longest, 2.0 ** min(failed - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - as above
