"""sqlite_connection — connections as they were measured: one that writes, some that read.

https://hl7.org/fhir/R4/http.html#status-codes
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fhir_server.foundation.earth import distance
from fhir_server.foundation.outcome import FhirError, Invalid, OutOfSpace, TooCostly, Unavailable
from fhir_server.store.contract.watch import WATCH
from fhir_server.store.sqlite_watch import watched

INSTRUCTIONS = 10_000  # between two looks at the clock: costs nothing that could be measured
COMMON = ("cache_size = -65536", "mmap_size = 1073741824", "temp_store = memory")
WRITER = (
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    "busy_timeout = 5000",
    "secure_delete = FAST",
)
READER = ("query_only = on", "busy_timeout = 0")
Row = tuple[Any, ...]


class DatabaseInUse(Exception):
    """Another process writes to the same file."""


class TooSlow(Exception):
    """A question took longer than it was given."""


def connect(path: Path, pragmas: Sequence[str]) -> sqlite3.Connection:
    """A connection in autocommit: who writes says BEGIN."""
    connection = sqlite3.connect(
        path, isolation_level=None, cached_statements=512, check_same_thread=False
    )
    for pragma in (*COMMON, *pragmas):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("distance", 4, distance, deterministic=True)
    return connection


def connect_writer(path: Path, max_pages: int | None = None) -> sqlite3.Connection:
    connection = connect(path, WRITER)
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        connection.close()
        raise Unavailable(f"`{path}` cannot use a write-ahead log: put it on a local disk.")
    if max_pages is not None:
        connection.execute(f"PRAGMA max_page_count = {max_pages:d}")
    return connection


@contextmanager
def hold(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Be the only process that writes to this file; raise DatabaseInUse after `wait` seconds.

    The lock is an exclusive transaction on an empty database beside it, which every system lets
    go when the process dies, however it dies.
    """
    lock = acquire(path, wait)
    try:
        yield
    finally:
        lock.close()


def acquire(path: Path, wait: float = 0.0) -> sqlite3.Connection:
    """The lock of `hold`, kept until it is closed."""
    beside = path.with_name(path.name + "-writer")
    lock = sqlite3.connect(beside, isolation_level=None, check_same_thread=False, timeout=wait)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if primary_code(error) != sqlite3.SQLITE_BUSY:
            raise
        raise DatabaseInUse(
            f"Another process is writing to `{path}`. Stop it first, or give this one another "
            "database: SQLite has one writer; PostgreSQL serves several."
        ) from error
    return lock


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 where the error is not SQLite's own."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


def refusal(error: sqlite3.Error) -> FhirError | None:
    """What the world's state makes of an error: the request may come again. None: our fault."""
    again = {"Retry-After": "5"}
    match primary_code(error):
        case sqlite3.SQLITE_FULL:
            return OutOfSpace(
                "The database's disk is full: nothing was written. Make space, then send it again.",
                headers={"Retry-After": "60"},
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Unavailable("The database is busy. Send it again shortly.", headers=again)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
            return Unavailable(
                "The database's disk does not answer. Nothing was written.", headers=again
            )
        case sqlite3.SQLITE_ERROR if "parser stack" in str(error):
            return Invalid("The search asks for too much within what it asks. Nest it less deep.")
        case _:
            return None


def too_costly(seconds: float) -> FhirError:
    """A question that was stopped to protect the server."""
    told = (
        f"Answering this takes more than {seconds:g} seconds, so it was stopped. "
        "Ask for less: add a parameter that fewer resources meet."
    )
    return TooCostly(told)


class Reader:
    """A connection that only reads, and stops when its time is over."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.deadline = float("inf")
        connection.set_progress_handler(self._late, INSTRUCTIONS)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows. Raises TooSlow, or what the state of the database is called."""
        try:
            if (watch := WATCH.get()) is not None:
                return watched(self._connection, watch, sql, values, self._late, INSTRUCTIONS)
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if primary_code(error) == sqlite3.SQLITE_INTERRUPT:
                raise TooSlow from error
            if (known := refusal(error)) is not None:
                raise known from error
            raise

    def row(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        found = self.rows(sql, values)
        return found[0] if found else None

    @contextmanager
    def within(self, seconds: float) -> Iterator[Reader]:
        """Whatever is asked inside must be answered in this time."""
        self.deadline = time.monotonic() + seconds
        try:
            yield self
        finally:
            self.deadline = float("inf")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Every question inside sees the same moment."""
        if self._connection.in_transaction:  # the writer's: it sees its own
            yield
            return
        self._surely("BEGIN")
        try:
            yield
        finally:
            self._surely("ROLLBACK")

    def _surely(self, statement: str) -> None:
        """Not broken off when the time is over. SQLite counts the steps of a statement over all its
        runs, so that a ROLLBACK, too, looks at the clock now and then: one that is broken off
        leaves the snapshot open, and who reads by this connection in the past for ever."""
        deadline, self.deadline = self.deadline, float("inf")
        try:
            self._connection.execute(statement)
        finally:
            self.deadline = deadline

    def close(self) -> None:
        self._connection.close()

    def _late(self) -> int:
        return time.monotonic() > self.deadline


def open_reader(path: Path) -> Reader:
    return Reader(connect(path, READER))
