"""copying — what the hub has not confirmed is kept a second time, before its writer is answered.

https://hl7.org/fhir/R4/http.html#history

The node's own log is followed, so that nothing is missed whoever wrote it. Writers that come
meanwhile are covered together. A folder that is away, full or slow holds nobody up: that it is so
is told, and what was missed is made up for.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import Server
from fhir_server.security.tokens.keys import Jwk
from fhir_server.store.contract import EVERYTHING, EpochEnded, Stale
from fhir_server.store.contract.side import PLACE, PlaceRow, Values
from fhir_server.sync.copy.hand import Hand, Slow
from fhir_server.sync.node import outbox, own, working
from fhir_server.sync.node.asking import settled
from fhir_server.sync.node.copy_before import copies_before, is_known, look_back, now, remember
from fhir_server.sync.node.copy_state import SEAL, CopyState, copy_state, kept, text_of
from fhir_server.sync.node.copy_writer import Sealing, TooLarge, Writer, removed
from fhir_server.sync.node.hub_key import hub_key
from fhir_server.sync.node.key import BadKey, NodeKey
from fhir_server.sync.node.life import OWN, PARKED, Life, Name, name_of, new_name
from fhir_server.sync.node.life import kept as kept_life
from fhir_server.sync.node.line import Refusal, client_of
from fhir_server.sync.node.own import Own

log = logging.getLogger(__name__)

PATIENCE = 0.5  # seconds that a writer waits for its copy
SLOW = 5.0  # seconds after which the folder is said to be slow
LOOK, SOON = 1.0, 5.0  # seconds between two looks: at the log, at a folder that fails
TENDED = 30.0  # seconds between two looks at what the hub has confirmed
HOUR, DAY = 3600.0, 86_400.0
PAGE = 500
MOST, LARGE = 200, 1024 * 1024  # versions, and bytes of them as text, of one piece
SPARE, TIMES = 5000, 4  # confirmed versions that a copy may hold: so many, and so often the others
NEEDED = OWN - {PARKED}  # what is parked the hub has, and shows
HOLDER = "copier"  # the row of the process that copies, where there are several
NO_KEY = (
    "The hub has given no key yet to seal a copy for: it is had with the first contact, from a hub"
    " of this version."
)


class Unready(Exception):
    """Nothing can be copied at the moment: why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """folder: where the copy is kept, on another disk."""

    folder: Path
    of_node: working.Settings


class Copying:
    """The copy of one process. `covered` is what writers wait for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.patience = PATIENCE
        self._writer: Writer | None = None
        self._last: Writer | None = None  # the same, also while it cannot be written to
        self._state = CopyState(str(settings.folder))
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._works = False
        self._me = secrets.token_hex(8)
        self._cursor: str | None = None
        self._epochs = ""
        self._large: set[Name] = set()
        self._own: set[str] = set()  # the copies that this process has begun
        self._started, self._has_looked = now(), False
        self._begun = ""  # a copy that was begun, and did not become whole
        self._sealing: Sealing | None = None
        self._sealed = self._tended = self._noted = 0.0

    async def covered(self) -> None:
        """Until what was written before is in the copy, or for a moment."""
        if not self._works:
            return
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waits)
        self._wake.set()
        try:
            async with asyncio.timeout(self.patience):
                await waits
        except TimeoutError:
            self._works = False  # nobody else is held up before it is known to work again

    async def work(self, server: Server) -> None:
        """Until it is cancelled."""
        self._hand = Hand(SLOW)
        asking = asyncio.create_task(self._ask(server))
        self._state = await copy_state(server.store.side) or self._state
        self._state = replace(self._state, folder=str(self.settings.folder))
        try:
            while True:
                self._wake.clear()
                waiters, self._waiters = self._waiters, []
                went = await self._tried(server)
                self._works = went
                for each in waiters:
                    if not each.done():
                        each.set_result(None)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK if went else SOON):
                        await self._wake.wait()
        finally:
            self._works = False
            asking.cancel()
            self._hand.end()

    async def _tried(self, server: Server) -> bool:
        try:
            of_node = self.settings.of_node
            if of_node.several and not await working.holds(server.store, self._me, HOLDER):
                return False
            if not self._has_looked:
                await look_back(server.store, self._started)
                self._has_looked = True
            await self._step(server)
        except Slow:
            await self._failed(server, f"It has not answered for {SLOW:g} seconds.")
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                self._writer = None  # another stick, or none
            await self._failed(server, error.strerror or type(error).__name__)
        except (Unready, BadKey, FhirError) as error:
            await self._failed(server, str(error))
        except Exception:  # whatever it was, the next time may do better
            log.warning("A step of the copy failed.", exc_info=True)
            self._writer = None
            await self._failed(server, "It failed; the log tells why.")
        else:
            return True
        return False

    # --- the steps ---

    async def _step(self, server: Server) -> None:
        life = (await settled(server, lambda: kept_life(server.store))).life
        sealing = await self._keys(server, life)
        if self._writer is None or life.epochs != self._epochs:
            await self._begin(server, sealing)
        try:
            await self._follow(server, sealing)
        except EpochEnded:  # this disk was set back
            self._writer = None
            return
        if time.monotonic() - self._tended > TENDED:
            await self._tend(server, sealing)
        await self._went(server)

    async def _begin(self, server: Server, sealing: Sealing) -> None:
        """A copy of everything that waits takes the place of the one before: what that one holds is
        not known, since nobody here can read it."""
        store, folder, node = server.store, self.settings.folder, self._key.client
        while await settled(server, lambda: outbox.notice(store)):
            pass
        life = (await settled(server, lambda: kept_life(store))).life
        mine = dict(await copies_before(store))
        self._writer = None
        if self._begun:
            await self._hand.do(lambda: removed(folder, node, self._begun))
        name = self._begun = new_name()
        writer = Writer(folder, node, name)
        if not folder.is_dir():
            raise FileNotFoundError(2, "The folder is not there")
        await remember(store, {**mine, name: None})
        self._own.add(name)
        await self._hand.do(writer.begin)
        self._large.clear()
        rows = await _waiting(server)
        for at in range(0, len(rows), PAGE):
            await self._copy(server, writer, rows[at : at + PAGE], sealing)
        if not writer.files:
            await self._hand.do(lambda: writer.add((), sealing))
        for old, known in mine.items():
            await self._let_go(folder / node, old, known)
        await remember(store, {name: None})
        self._writer = self._last = writer
        self._begun = ""
        self._cursor, self._epochs = life.low or None, life.epochs

    async def _let_go(self, folder: Path, old: str, known: int | None) -> None:
        """A copy before is removed, if nothing in it is there alone. Raises OSError, Slow."""
        path = folder / old
        if old in self._own or await self._hand.do(lambda: is_known(path, known or 0)):
            await self._hand.do(lambda: removed(folder.parent, folder.name, old))
        else:
            log.warning(
                "This database was set back: the copy in `%s` holds what it does not know. Bring it"
                " by `fhir-server sync rescue`.",
                path,
            )

    async def _follow(self, server: Server, sealing: Sealing) -> None:
        """Copy what was written since."""
        assert self._writer is not None, "it was begun"
        await self._hand.do(self._writer.settle)
        while True:
            page = await server.store.feed(self._cursor, restriction=EVERYTHING, limit=PAGE)
            names = [name_of(row.key, row.version_id) for row in page.rows if outbox.is_sent(row)]
            known = await server.store.side.rows(PLACE, names) if names else {}
            mine = [name for name in names if name not in known or known[name].state in NEEDED]
            await self._copy(server, self._writer, mine, sealing)
            self._cursor = page.next
            if len(page.rows) < PAGE:
                return

    async def _copy(
        self, server: Server, writer: Writer, names: Sequence[Name], sealing: Sealing
    ) -> None:
        new = [name for name in names if name not in writer.inside]
        if not new:
            return
        made = await own.read(server.store, new)
        for some in _pieces([made[name] for name in new if name in made]):
            try:
                await self._hand.do(lambda some=some: writer.add(some, sealing))  # type: ignore[misc] # as above
            except TooLarge:
                self._large.update(one.name for one in some)

    async def _tend(self, server: Server, sealing: Sealing) -> None:
        """What the hub has leaves the copy."""
        writer = self._writer
        assert writer is not None, "it was begun"
        self._tended = time.monotonic()
        many = 0
        for file in writer.files:
            if await _is_needed(server, file.names):
                break
            many += 1
        if any(file.names for file in writer.files[:many]):
            await self._hand.do(lambda: writer.let_go(many, sealing))
        waiting = await _count(server)
        if len(writer.inside) > TIMES * waiting + SPARE:
            self._writer = None  # most of what is in it is at the hub: it is made anew

    # --- the keys ---

    async def _keys(self, server: Server, life: Life) -> Sealing:
        """Looked up now and then: either may be followed by another. Raises Unready, BadKey."""
        if self._sealing is None or time.monotonic() - self._sealed > TENDED:
            self._key = working.enrolled(self.settings.of_node)
            _, to = await _hub_key(server, self._key)
            if not to:
                raise Unready(NO_KEY)
            self._sealing = Sealing(self._key.jwk, to)
            self._sealed = time.monotonic()
        return self._sealing._replace(offset=-life.offset)

    async def _ask(self, server: Server) -> None:
        """The hub for its key, each day, beside everything else: the line may be slow."""
        while True:
            wait = TENDED
            with suppress(BadKey, Unready, Refusal, FhirError, Stale):
                key = working.enrolled(self.settings.of_node)
                at, known = await _hub_key(server, key)
                if time.time() - at > DAY or not known:
                    await _asked(server, key)
                    self._sealing = None
                    self._wake.set()
                wait = HOUR
            await asyncio.sleep(wait)

    # --- how it stands ---

    async def _went(self, server: Server) -> None:
        writer = self._writer
        was = self._state
        found = replace(
            was, name=writer.name if writer else was.name, at=int(time.time() * 1000), failing=0,
            why="", missing=0, large=len(self._large),
        )  # fmt: skip
        if writer is not None:
            found = replace(found, versions=len(writer.inside), octets=writer.size)
        if was.failing:
            log.info("The copy in `%s` is whole again.", self.settings.folder)
        is_other = replace(found, at=0) != replace(was, at=0)
        if was.failing or not was.at or (is_other and time.monotonic() - self._noted > LOOK):
            await self._note(server, found)
        else:
            self._state = replace(found, versions=was.versions, octets=was.octets)

    async def _failed(self, server: Server, why: str) -> None:
        with suppress(FhirError, Stale):
            inside: Collection[Name] = self._last.inside if self._last else ()
            missing = sum(name not in inside for name in await _waiting(server))
            found = replace(
                self._state, failing=self._state.failing or int(time.time() * 1000),
                why=why[:500], missing=missing,
            )  # fmt: skip
            if not self._state.failing:
                log.warning("Nothing is copied to `%s`: %s", self.settings.folder, why)
            if found != self._state:
                await self._note(server, found)

    async def _note(self, server: Server, found: CopyState) -> None:
        self._noted = time.monotonic()
        self._state = found
        with suppress(FhirError, Stale):  # it is told the next time
            await server.store.commit(found.unit)


async def _waiting(server: Server) -> list[Name]:
    """What the hub is not known to have, as it was written."""
    rows: list[PlaceRow] = []
    for state in sorted(NEEDED):
        beyond: Values | None = None
        while True:
            page = await server.store.side.range(
                PLACE, "by_state", prefix=(state,), beyond=beyond, limit=PAGE
            )
            rows += page
            if len(page) < PAGE:
                break
            beyond = PLACE.place(page[-1], "by_state")[1:]
    rows.sort(key=lambda row: (row.at, row.generation))
    return [Name(row.rid, row.generation, row.digest) for row in rows]


async def _count(server: Server) -> int:
    side = server.store.side
    return sum([await side.count(PLACE, (state,), "by_state") for state in NEEDED])


async def _is_needed(server: Server, names: Sequence[Name]) -> bool:
    """Whether the hub is not known to have one of these."""
    for at in range(0, len(names), PAGE):
        some = names[at : at + PAGE]
        known = await server.store.side.rows(PLACE, list(some))
        if any(name not in known or known[name].state in NEEDED for name in some):
            return True
    return False


def _pieces(versions: Sequence[Own]) -> Iterator[list[Own]]:
    some: list[Own] = []
    size = 0
    for one in versions:
        if some and (len(some) == MOST or size > LARGE):
            yield some
            some, size = [], 0
        some.append(one)
        size += 0 if one.resource is None else len(render(one.resource))
    if some:
        yield some


async def _hub_key(server: Server, key: NodeKey) -> tuple[float, Jwk]:
    """When the hub was asked last, and its key, which is empty where it never told one."""
    told = orjson.loads(await text_of(server.store.side, SEAL) or b"{}")
    return (told["at"], told["key"]) if told.get("hub") == key.hub else (0.0, key.seal)


async def _asked(server: Server, key: NodeKey) -> None:
    """Raises Unready, Refusal."""
    async with client_of(key.hub) as asking:
        found = await hub_key(asking, key.hub)
    if found is None:
        raise Unready(NO_KEY)
    told = {"hub": key.hub, "key": dict(found), "at": time.time()}
    await server.store.commit(kept(SEAL, orjson.dumps(told).decode()))
