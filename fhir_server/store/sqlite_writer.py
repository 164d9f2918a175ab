"""sqlite_writer — the one thread that writes: whatever waits together is committed together.

https://hl7.org/fhir/R4/http.html#transaction

While one commit runs, the next group gathers. What comes in one turn of the loop, and in the turns
right after it, is handed over together and answered together: each commit costs as much as two
reads, however many it is for, and so does each change between two threads. Who comes alone waits
for a turn that brings nobody. Checkpoints are made by a thread of their own, and by the writer
between two groups once the log is long: under steady writing the thread alone would never let the
log begin again.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhir_server.foundation.outcome import FhirError
from fhir_server.store.audit import Lane
from fhir_server.store.codec import Codec
from fhir_server.store.contract import Committed, Stale, Unit
from fhir_server.store.contract.audit import Head
from fhir_server.store.schema import HOUR
from fhir_server.store.sqlite_care import forget
from fhir_server.store.sqlite_connection import (
    WRITER,
    Reader,
    Row,
    TooSlow,
    connect,
    connect_writer,
    refusal,
    too_costly,
)
from fhir_server.store.sqlite_group import LOOK, Group, Planned, told, touches
from fhir_server.store.sqlite_late import Late

UNITS, VERSIONS = 128, 600  # of one group
LOG_LONG = 64 * 1024 * 1024  # bytes: the writer itself makes a checkpoint
LOG_SHORT = 4 * 1024 * 1024  # bytes: less is not worth a checkpoint
LINGER = 0.002  # seconds: a commit costs as much as two reads, however many it is for
PAUSE = 0.1  # seconds between two looks at the log
CHAIN = "SELECT coalesce(max(chain), 0) FROM audit"
TAKEN = "audit.chain"  # in what SQLite says where somebody else wrote to the chain
KNOWN = 100_000  # texts of uris that are remembered to be there

log = logging.getLogger(__name__)
Answer = Committed | BaseException


@dataclass(frozen=True, slots=True)
class Work:
    """A unit on its way, and who waits for it."""

    unit: Unit
    planned: Sequence[Planned]
    future: asyncio.Future[Committed]


@dataclass(frozen=True, slots=True)
class Job:
    """Something else to be written, in a transaction of its own, and who waits for it."""

    do: Callable[[sqlite3.Connection], None]
    future: asyncio.Future[None]


class Writer:
    """Owns the writing connection; `submit` from the loop, answers come back to the loop."""

    def __init__(
        self,
        path: Path,
        codec: Codec,
        clock: Callable[[], int],
        *,
        keep: int,
        max_pages: int | None,
    ) -> None:
        self._codec = codec
        self._log_path = path.with_name(path.name + "-wal")
        self._connection = connect_writer(path, max_pages)
        self._reader = Reader(self._connection)
        self._clock = clock
        self._keep = keep
        self._look = 0.0  # when the log is next looked at
        self._due = 0  # when old rows are next forgotten
        self._loop = asyncio.get_running_loop()
        self._gathered: list[Work] = []  # on the loop
        self._size = 0  # how many versions they are
        self._since = 0.0  # when the first of them came
        self._queue: queue.SimpleQueue[list[Work] | Job | None] = queue.SimpleQueue()
        self._held: list[Work] | Job | None = None
        self._closing = False
        self._seq = self._updated = self._rules = 0
        self._known: set[Row] = set()
        self._lane = Lane.begun(self._connection.execute(CHAIN).fetchone()[0])
        self._late = Late(self._connection)
        self._left: list[Lane] = []
        self._count()
        self._checkpoints = Checkpoints(path, self._log_path)
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def submit(self, unit: Unit, planned: Sequence[Planned]) -> asyncio.Future[Committed]:
        future: asyncio.Future[Committed] = self._loop.create_future()
        if self._size + len(planned) > VERSIONS:
            self.hand_over()
        if not self._gathered:
            self._since = self._loop.time()
            self._loop.call_soon(self._look_round, self._gathered, 0)
        self._gathered.append(Work(unit, planned, future))
        self._size += len(planned)
        return future

    def _look_round(self, gathered: list[Work], before: int) -> None:
        """Once in each turn of the loop, until a turn has brought nobody."""
        if gathered is not self._gathered:
            return  # they are on their way
        is_growing = before < len(gathered) < UNITS
        if is_growing and self._loop.time() < self._since + LINGER:
            self._loop.call_soon(self._look_round, gathered, len(gathered))
        else:
            self.hand_over()

    def hand_over(self) -> None:
        """To the thread, what has gathered."""
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered, self._size = [], 0

    def do(self, work: Callable[[sqlite3.Connection], None]) -> asyncio.Future[None]:
        """Write something that is no unit, between two groups of units."""
        future: asyncio.Future[None] = self._loop.create_future()
        self.hand_over()
        self._queue.put(Job(work, future))
        return future

    def heads(self) -> list[Head]:
        """The ends of the chains of this process; the last one goes on until it is closed."""
        heads = [lane.head() for lane in self._left]
        heads.append(self._lane.head(ended=not self._thread.is_alive()))
        return [head for head in heads if head.number]

    def close(self) -> None:
        """Write what was submitted, then stop. Not on the loop: it waits for the thread."""
        self._queue.put(None)
        self._thread.join()
        self._late.write_all()
        self._checkpoints.close()
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while group := self._gather():
            answers = [(group, self._job(group))] if isinstance(group, Job) else self._write(group)
            with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
                self._loop.call_soon_threadsafe(_resolve, answers)
            self._tidy()

    def _gather(self) -> list[Work] | Job:
        """Those that wait first, and who else does; empty at the end."""
        first = self._held
        self._held = None
        if first is None and not self._closing:
            first = self._queue.get()
        if first is None:
            return []
        if isinstance(first, Job):
            return first
        group, size = first, versions(first)
        while not self._closing:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._closing = True
            elif isinstance(more, Job) or not fit(len(group + more), size + versions(more)):
                self._held = more
                break
            else:
                group = group + more
                size += versions(more)
        return group

    def _write(self, group: list[Work]) -> list[tuple[Work, Answer]]:
        try:
            return self._commit(group)
        except Exception as error:
            self._undo()
            if isinstance(error, sqlite3.Error) and refusal(error) is not None:
                log.warning("nothing was written: %s", error)
                return [(work, refusal(error) or error) for work in group]
            if isinstance(error, sqlite3.IntegrityError) and TAKEN in str(error):
                return self._write(group)  # `_undo` has begun another chain
            if len(group) == 1:
                return [(group[0], error)]
        return [answer for work in group for answer in self._write([work])]

    def _commit(self, group: list[Work]) -> list[tuple[Work, Answer]]:
        if all(work.unit.only_tells for work in group):
            return self._tell(group)
        self._connection.execute("BEGIN IMMEDIATE")
        now = max(self._clock(), self._updated)
        open_group = Group(
            self._connection,
            self._reader,
            self._codec,
            seq=self._seq,
            now=now,
            rules=self._rules,
            known=self._known,
            lane=self._lane,
        )
        open_group.look(set().union(*(touches(work.unit, work.planned) for work in group)))
        answers: list[tuple[Work, Answer]] = []
        for work in group:
            try:
                answers.append((work, open_group.take(work.unit, work.planned)))
            except (Stale, FhirError) as refused:
                answers.append((work, refused))
            except TooSlow:
                answers.append((work, too_costly(LOOK)))
        open_group.flush()
        entries = open_group.tell()
        self._connection.execute("COMMIT")
        self._late.add(entries)
        self._seq, self._updated, self._lane = open_group.seq, now, open_group.lane
        if len(self._known) > KNOWN:
            self._known.clear()
        self._known |= open_group.shared
        return answers

    def _tell(self, group: list[Work]) -> list[tuple[Work, Answer]]:
        """One statement, which is a transaction: each lets go of the interpreter's lock."""
        entries = [entry for work in group for entry in work.unit.audit]
        self._lane = told(self._connection, self._lane, entries)
        self._late.add(len(entries))
        answer = Committed(max(self._clock(), self._updated), ())
        return [(work, answer) for work in group]

    def _job(self, job: Job) -> BaseException | None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            job.do(self._connection)
            self._connection.execute("COMMIT")
            self._count()
        except Exception as error:
            self._undo()
            known = refusal(error) if isinstance(error, sqlite3.Error) else None
            return known or error
        return None

    def _undo(self) -> None:
        """Nothing of the group is left; what is in the database tells where to go on.

        Where a commit itself failed that is not quite sure, so the audit goes on in another chain.
        """
        if self._lane.number:
            self._left.append(self._lane)
        self._lane = Lane.begun(self._lane.chain)
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._count()

    def _count(self) -> None:
        newest = "SELECT seq, updated FROM version ORDER BY seq DESC LIMIT 1"
        seq, self._updated = self._connection.execute(newest).fetchone() or (0, 0)
        marked = "SELECT coalesce(max(seq), 0) FROM mark"
        self._seq = max(seq, self._connection.execute(marked).fetchone()[0])
        changed = "SELECT coalesce(max(change), 0) FROM parameter"
        self._rules = self._connection.execute(changed).fetchone()[0]
        self._known.clear()

    def _tidy(self) -> None:
        self._checkpoints.wake()
        self._late.write_some()
        now = time.monotonic()
        if now >= self._look:
            self._look = now + PAUSE
            with suppress(OSError, sqlite3.Error):
                if self._log_path.stat().st_size >= LOG_LONG:
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if self._updated >= self._due:
            self._due = self._updated + HOUR
            self._forget(self._updated - self._keep)

    def _forget(self, before: int) -> None:
        try:
            if forget(self._connection, before):
                self._due = 0  # the rest after the next group
        except sqlite3.Error as error:
            log.warning("old rows were not forgotten: %s", error)
            self._undo()


def versions(group: Iterable[Work]) -> int:
    return sum(len(work.planned) for work in group)


def fit(units: int, versions: int) -> bool:
    """Whether so many go together."""
    return units <= UNITS and versions <= VERSIONS


def _resolve(answers: Sequence[tuple[Work | Job, Any]]) -> None:
    for work, answer in answers:
        if work.future.done():  # whoever waited has gone away
            continue
        if isinstance(answer, BaseException):
            work.future.set_exception(answer)
        else:
            work.future.set_result(answer)


class Checkpoints:
    """A thread that brings the log into the database while others write."""

    def __init__(self, path: Path, log_path: Path) -> None:
        self._log_path = log_path
        self._connection = connect(path, WRITER)
        self._written = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sqlite-checkpoints", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        if not self._written.is_set():
            self._written.set()

    def close(self) -> None:
        self._stopped.set()
        self._written.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            self._written.wait()
            self._written.clear()  # before asking: what `close` sets afterwards is not lost
            if self._stopped.wait(PAUSE):
                return
            with suppress(OSError, sqlite3.Error):
                if self._log_path.stat().st_size >= LOG_SHORT:
                    self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
