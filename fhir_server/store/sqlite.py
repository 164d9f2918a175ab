"""sqlite — the store in one file: one writer with group commit, reads answered on the spot.

https://hl7.org/fhir/R4/http.html

A read takes some ten microseconds, less than handing it to a thread; so every question is asked
on the loop first, and one that turns out long is stopped and asked again in a thread.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TypeVar

from fhir_server.foundation.outcome import Unavailable
from fhir_server.foundation.resource import Key
from fhir_server.store import (
    sqlite_care,
    sqlite_history,
    sqlite_log,
    sqlite_read,
    sqlite_search,
    sqlite_stamp,
)
from fhir_server.store.codec import Codec
from fhir_server.store.contract import (
    NEWEST,
    AccessTable,
    AuditLog,
    Beneath,
    Committed,
    Feed,
    Health,
    History,
    KeyIs,
    Order,
    Page,
    ParameterTable,
    Place,
    Position,
    Remembered,
    Restriction,
    Select,
    Stored,
    TextIndex,
    Unit,
    UriStarts,
)
from fhir_server.store.contract.lineage import Known
from fhir_server.store.contract.log import Epoch, Log, Stirred
from fhir_server.store.contract.side import SideTables
from fhir_server.store.contract.watch import WATCH
from fhir_server.store.migrate import check, sqlite_schema
from fhir_server.store.paging import Wanted
from fhir_server.store.schema import DAY, KEEP_DAYS, SCHEMA
from fhir_server.store.sqlite_access import SqliteAccess
from fhir_server.store.sqlite_audit import SqliteAudit
from fhir_server.store.sqlite_connection import Reader, TooSlow, acquire, open_reader, too_costly
from fhir_server.store.sqlite_group import plan
from fhir_server.store.sqlite_parameters import SqliteParameters
from fhir_server.store.sqlite_side import SqliteSide
from fhir_server.store.sqlite_texts import SqliteTexts
from fhir_server.store.sqlite_writer import Writer
from fhir_server.store.stamp import Stamp, checked, difference

T = TypeVar("T")

INLINE = 0.02  # seconds a question may hold up everyone else
PATIENCE = 10.0  # seconds a question may take in a thread
THREADS = 2


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SqliteStore:
    """Implements contract.Store on one SQLite file."""

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        path: str | Path,
        *,
        codec: Codec | None = None,
        stamp: Stamp | None = None,
        clock: Callable[[], int] = clock_ms,
        wait_for_writer: float = 5.0,
        max_pages: int | None = None,
        inline: float = INLINE,
        patience: float = PATIENCE,
        keep_days: float = KEEP_DAYS,
    ) -> None:
        """keep_days: how long an answer under an Idempotency-Key is kept."""
        self._path = Path(path)
        self._given_codec = codec
        self._stamp = stamp
        self._clock = clock
        self._wait = wait_for_writer
        self._max_pages = max_pages
        self._keep = int(keep_days * DAY)
        self._inline_seconds = inline
        self._patience = patience
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sqlite-reader")
        self._spare: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        self._lock: sqlite3.Connection | None = None
        self._writer: Writer | None = None
        self._inline: Reader | None = None
        self._texts: SqliteTexts | None = None
        self._parameters: SqliteParameters | None = None
        self._audit: SqliteAudit | None = None
        self._codec = Codec({})

    async def open(self) -> None:
        """Connect. Raises SchemaUnknown, IndexDiffers, or DatabaseInUse where another writes."""
        check(str(self._path), sqlite_schema(self._path))
        self._lock = await asyncio.to_thread(acquire, self._path, self._wait)
        try:
            if self._stamp is not None:
                kept = sqlite_stamp.settle(self._path, self._stamp)
                checked(self._stamp, kept, str(self._path))
            sqlite_care.begin(self._path)
            self._inline = open_reader(self._path)
            known = self._inline.rows("SELECT id, body FROM dictionary")
            self._codec = self._given_codec or Codec(dict(known))
            self._writer = Writer(
                self._path, self._codec, self._clock, keep=self._keep, max_pages=self._max_pages
            )
            self._texts = SqliteTexts(self._path, self._codec, self._writer)
            self._parameters = SqliteParameters(self._codec, self._writer, self._ask)
            self._audit = SqliteAudit(self._writer, self._ask)
            for _ in range(THREADS):
                self._spare.put(open_reader(self._path))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was acknowledged, and let go."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.hand_over()
            await asyncio.to_thread(writer.close)
        await asyncio.to_thread(self._threads.shutdown)
        while not self._spare.empty():
            self._spare.get().close()
        if self._texts is not None:
            self._texts.close()
            self._texts = None
        if self._inline is not None:
            self._inline.close()
            self._inline = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # --- writing ---------------------------------------------------------------------------------

    async def commit(self, unit: Unit) -> Committed:
        if self._writer is None:
            raise Unavailable("The server is stopping. Send it again shortly.")
        planned = [plan(new) for new in unit.versions]
        return await self._writer.submit(unit, planned)

    # --- reading ---------------------------------------------------------------------------------

    async def newest(self, keys: Sequence[Key], restriction: Restriction) -> dict[Key, Stored]:
        return await self._ask(lambda r: sqlite_read.newest(r, self._codec, keys, restriction))

    async def at_version(
        self, key: Key, version_id: str, restriction: Restriction
    ) -> Stored | None:
        return await self._ask(
            lambda r: sqlite_read.at_version(r, self._codec, key, version_id, restriction)
        )

    async def at_versions(
        self, wanted: Sequence[tuple[Key, str]], restriction: Restriction
    ) -> Sequence[Stored]:
        return await self._ask(
            lambda r: sqlite_read.at_versions(r, self._codec, wanted, restriction)
        )

    async def search(
        self,
        select: Select,
        *,
        limit: int,
        order: Order = NEWEST,
        after: Place | None = None,
        bound: str | None = None,
        backward: bool = False,
    ) -> Page:
        wanted = Wanted(select, limit, order, after, bound, backward)
        return await self._ask(lambda r: sqlite_search.search(r, self._codec, wanted))

    async def find(self, select: Select, *, at_most: int) -> Sequence[int]:
        return await self._ask(lambda r: sqlite_read.find(r, select, at_most))

    async def keys_behind(
        self, condition: Beneath | UriStarts, restriction: Restriction, *, at_most: int
    ) -> Sequence[KeyIs] | None:
        return await self._ask(
            lambda r: sqlite_read.keys_behind(r, condition, restriction, at_most)
        )

    async def few(self, select: Select, *, at_most: int) -> Sequence[int] | None:
        return await self._ask(lambda r: sqlite_read.few(r, select, at_most))

    async def meeting(self, rids: Sequence[int], select: Select) -> Sequence[int]:
        return await self._ask(lambda r: sqlite_read.meeting(r, rids, select))

    async def count(
        self, select: Select, *, at_most: int | None = None, patience: float | None = None
    ) -> int:
        return await self._ask(lambda r: sqlite_read.count(r, select, at_most), patience)

    async def estimate(self, select: Select) -> int:
        return await self._ask(lambda r: sqlite_read.estimate(r, select))

    async def history(self, asked: History) -> Page:
        return await self._ask(lambda r: sqlite_history.history(r, self._codec, asked))

    async def count_history(self, asked: History) -> int:
        return await self._ask(lambda r: sqlite_history.count_history(r, asked))

    async def feed(
        self,
        cursor: str | None,
        *,
        types: Iterable[str] = (),
        restriction: Restriction,
        limit: int,
    ) -> Feed:
        wanted = tuple(types)
        return await self._ask(
            lambda r: sqlite_history.feed(r, self._codec, cursor, wanted, restriction, limit)
        )

    async def log(
        self, after: str | None, *, facility: int, everywhere: Sequence[str], limit: int
    ) -> Log:
        return await self._ask(
            lambda r: sqlite_log.read(r, self._codec, after, facility, everywhere, limit)
        )

    async def stirred(self, after: str, *, limit: int) -> Stirred:
        return await self._ask(lambda r: sqlite_log.stirred(r, after, limit))

    async def homes(
        self, patients: Sequence[int], facility: int | None = None, at: Position | None = None
    ) -> Mapping[tuple[int, int], bool]:
        return await self._ask(lambda r: sqlite_log.homes(r, patients, facility, at))

    async def compartments(
        self, patients: Sequence[int], after: int | None, *, limit: int
    ) -> Sequence[Stored]:
        return await self._ask(
            lambda r: sqlite_log.compartments(r, self._codec, patients, after, limit)
        )

    async def lineage(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Known]]:
        return await self._ask(lambda r: sqlite_log.known(r, keys))

    async def epochs(self) -> Sequence[Epoch]:
        return await self._ask(sqlite_log.told_epochs)

    async def whole(self) -> Position:
        return await self._ask(sqlite_log.whole)

    async def part(self, name: str, whole: Position) -> bool:
        if self._writer is None:
            raise Unavailable("The server is stopping. Send it again shortly.")
        done: list[bool] = []
        await self._writer.do(lambda one: done.append(sqlite_log.part(one, name, whole)))
        return done == [True]

    async def cared_by(self, patients: Sequence[int], moment: int) -> Mapping[int, frozenset[int]]:
        return await self._ask(lambda r: sqlite_read.cared_by(r, patients, moment))

    async def before(self, versions: Sequence[Stored]) -> Sequence[Stored]:
        return await self._ask(lambda r: sqlite_history.before(r, self._codec, versions))

    async def remembered(self, key: str) -> Remembered | None:
        return await self._ask(lambda r: sqlite_read.remembered(r, key))

    async def by_rid(self, rids: Sequence[int], restriction: Restriction) -> Sequence[Stored]:
        return await self._ask(lambda r: sqlite_read.by_rid(r, self._codec, rids, restriction))

    async def census(self) -> dict[str, int]:
        return await self._ask(sqlite_read.census)

    @property
    def texts(self) -> TextIndex:
        if self._texts is None:
            raise Unavailable("The server is stopping. Send it again shortly.")
        return self._texts

    @property
    def parameters(self) -> ParameterTable:
        if self._parameters is None or self._writer is None:
            raise Unavailable("The server is stopping. Send it again shortly.")
        return self._parameters

    @property
    def access(self) -> AccessTable:
        if self._writer is None:
            raise Unavailable("The server is stopping. Send it again shortly.")
        return SqliteAccess(self._writer, self._ask)

    @property
    def side(self) -> SideTables:
        return SqliteSide(self._ask)

    @property
    def audit(self) -> AuditLog:
        if self._audit is None:
            raise Unavailable("The server has not begun yet. Send it again shortly.")
        return self._audit

    async def _ask(self, question: Callable[[Reader], T], patience: float | None = None) -> T:
        """On the spot if it is short, else in a thread."""
        if self._inline is None:
            raise Unavailable("The server is stopping. Send it again shortly.")
        if WATCH.get() is not None:  # it asks everything thrice, which nobody else is to wait for
            return await self._aside(question, patience)
        # By hand what `within` does: its generator would be a sixth of a point read.
        self._inline.deadline = time.monotonic() + self._inline_seconds
        try:
            return question(self._inline)
        except TooSlow:
            return await self._aside(question, patience)

    async def _aside(self, question: Callable[[Reader], T], patience: float | None) -> T:
        """In a thread, which knows who watches."""
        ask = partial(copy_context().run, self._ask_aside, question, patience)
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def _ask_aside(self, question: Callable[[Reader], T], patience: float | None) -> T:
        patience = self._patience if patience is None else min(patience, self._patience)
        reader = self._spare.get()
        try:
            with reader.within(patience):
                return question(reader)
        except TooSlow:
            raise too_costly(patience) from None
        finally:
            self._spare.put(reader)

    # --- care ------------------------------------------------------------------------------------

    async def backup(self, target: str | Path) -> None:
        """A copy of everything acknowledged by now, whole or not there."""
        await asyncio.to_thread(sqlite_care.backup, self._path, Path(target))

    async def health(self) -> Health:
        try:
            schema = sqlite_schema(self._path)
            mode = await self._ask(lambda r: r.rows("PRAGMA journal_mode")[0][0])
            kept = await self._ask(lambda r: r.row(sqlite_stamp.KEPT))
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"`{self._path}` cannot be read.") from error
        notes = [] if mode == "wal" else [f"The journal mode is `{mode}`; it should be `wal`."]
        index = difference(self._stamp, None if kept is None else str(kept[0]))
        return Health("SQLite", sqlite3.sqlite_version, schema, SCHEMA, notes, index)
