"""write — a file of concepts made from the rows of a release, some thousands at a time.

https://hl7.org/fhir/R4/codesystem.html

What was taken from which part of the release is written in the same transaction as the rows
themselves. A run that was killed goes on behind the last of them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from fhir_server.foundation.folding import words
from fhir_server.store.concepts.layout import (
    ABOVE,
    ABSTRACT,
    FINISH,
    FORMAT,
    INACTIVE,
    TABLES,
    UNFINISHED,
    WORD,
    About,
    Damaged,
    Unwritable,
)

BATCH = 5_000  # rows of one transaction
MAX_ABOVE = 2_000  # ancestors of one concept: SNOMED CT has at most some hundreds


@dataclass(frozen=True, slots=True)
class Row:
    """A concept. A second one of the same code changes nothing."""

    code: str
    display: str | None = None
    definition: str | None = None
    abstract: bool = False
    inactive: bool = False
    since: str | None = None
    until: str | None = None
    names: tuple[tuple[str | None, str | None, str], ...] = ()  # language, use, value
    properties: tuple[tuple[str, Any], ...] = ()
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Name:
    """One more name of a concept. display: it becomes its display, where it has none."""

    code: str
    language: str | None
    use: str | None
    value: str
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    child: str
    parent: str


@dataclass(frozen=True, slots=True)
class Property:
    code: str
    name: str
    value: Any


Written = Row | Name | Parent | Property | None  # None: a line of the release that says nothing
Progress = Callable[[str, int], None]


class ConceptWriter:
    """Writes one file. Use it in a `with`; what is not finished stays beside, to go on with."""

    def __init__(self, file: Path, about: About, identity: str) -> None:
        """identity: of the release; a file begun from another is begun anew."""
        self.file = file
        self.unfinished = file.with_name(file.name + UNFINISHED)
        file.parent.mkdir(parents=True, exist_ok=True)
        wanted = {"format": str(FORMAT), "system": about.as_text(), "identity": identity}
        with _told(self.unfinished):
            if not self._is_of(wanted):
                self._remove()
            self._database = _opened(self.unfinished)
            self._begin(wanted)

    def _begin(self, wanted: dict[str, str]) -> None:
        if self._database.execute("PRAGMA table_list(about)").fetchone():
            return
        with self._transaction():
            for statement in TABLES.split(";"):
                self._database.execute(statement)
            self._database.executemany("INSERT INTO about VALUES (?, ?)", wanted.items())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def _is_of(self, wanted: dict[str, str]) -> bool:
        """Whether what was begun is of the same release, and can be gone on with."""
        if not self.unfinished.exists():
            return True
        database = _opened(self.unfinished)
        try:
            told = dict(database.execute("SELECT name, value FROM about").fetchall())
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise
            return False
        finally:
            database.close()
        return all(told.get(name) == value for name, value in wanted.items())

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            self.unfinished.with_name(self.unfinished.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    # --- rows ------------------------------------------------------------------------------------

    def done(self, part: str) -> int:
        """How many rows of a part of the release are in the file."""
        found = self._database.execute(
            "SELECT value FROM about WHERE name = ?", (f"done:{part}",)
        ).fetchone()
        return int(found[0]) if found else 0

    def take(self, part: str, rows: Iterable[Written], progress: Progress) -> None:
        """Take in the rows of a part, but for those that were taken already."""
        done = self.done(part)
        remaining = iter(rows)
        for _ in islice(remaining, done):
            pass
        progress(part, done)
        while batch := list(islice(remaining, BATCH)):
            with _told(self.unfinished), self._transaction():
                for row in batch:
                    self._take(row)
                done += len(batch)
                self._tell(f"done:{part}", str(done))
            progress(part, done)

    def _take(self, row: Written) -> None:
        match row:
            case Row():
                self._concept(row)
            case Name():
                self._name(row)
            case Parent():
                self._run("INSERT OR IGNORE INTO link VALUES (?, ?)", row.child, row.parent)
            case Property():
                number = self._number(row.code)
                if number is not None:
                    self._property(number, row.name, row.value)

    def _concept(self, row: Row) -> None:
        flags = ABSTRACT * row.abstract + INACTIVE * row.inactive
        taken = self._run(
            "INSERT OR IGNORE INTO concept (code, display, definition, flags, since, until)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            *(row.code, row.display, row.definition, flags, row.since, row.until),
        )
        number = taken.lastrowid
        if not taken.rowcount or number is None:
            return
        for place, (language, use, value) in enumerate(row.names):
            told = (number, place, language, use, value)
            self._run("INSERT INTO name VALUES (?, ?, ?, ?, ?)", *told)
        for name, value in row.properties:
            self._property(number, name, value)
        for parent in row.parents:
            self._run("INSERT OR IGNORE INTO link VALUES (?, ?)", row.code, parent)

    def _name(self, row: Name) -> None:
        number = self._number(row.code)
        if number is None:
            return
        self._run(
            "INSERT INTO name SELECT ?, coalesce(max(place), -1) + 1, ?, ?, ? FROM name"
            " WHERE number = ?",
            *(number, row.language, row.use, row.value, number),
        )
        if row.display is not None:
            self._run(
                "UPDATE concept SET display = ? WHERE number = ? AND display IS NULL",
                *(row.display, number),
            )

    def _property(self, number: int, name: str, value: Any) -> None:
        self._run(
            "INSERT INTO property SELECT ?, coalesce(max(place), -1) + 1, ?, ? FROM property"
            " WHERE number = ?",
            *(number, name, json.dumps(value, ensure_ascii=False), number),
        )

    def _number(self, code: str) -> int | None:
        found = self._run("SELECT number FROM concept WHERE code = ?", code).fetchone()
        return found[0] if found else None

    def _run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(statement, values)

    def _tell(self, name: str, value: str) -> None:
        self._run("INSERT OR REPLACE INTO about VALUES (?, ?)", name, value)

    # --- the end ---------------------------------------------------------------------------------

    def finish(self, progress: Progress) -> Path:
        """Make what questions need, and give the file its name. Raises Damaged for an empty one."""
        [count] = self._run("SELECT count(*) FROM concept").fetchone()
        if not count:
            raise Damaged("There is no concept in it.")
        with _told(self.unfinished):
            for name, table, filling in FINISH:
                progress(name, 0)
                self._once(name, table, partial(self._run, filling))
            self._once("above", ABOVE, lambda: self._fill_above(progress))
            self._once("words", WORD, lambda: self._fill_words(progress))
            self._close(count)
        self.unfinished.replace(self.file)
        return self.file

    def _close(self, count: int) -> None:
        self._tell("count", str(count))
        self._run("DROP TABLE IF EXISTS link")
        self._database.execute("PRAGMA journal_mode = DELETE")
        self._database.execute("ANALYZE")
        self._database.execute("VACUUM")
        self._database.execute("PRAGMA synchronous = FULL")
        self._tell("whole", "yes")
        self._database.close()

    def _once(self, name: str, table: str, fill: Callable[[], object]) -> None:
        if self.done(name):
            return
        with self._transaction():
            self._run(table)
            fill()
            self._tell(f"done:{name}", "1")

    def _fill_above(self, progress: Progress) -> None:
        parents: dict[int, list[int]] = {}
        for child, parent in self._run("SELECT child, parent FROM parent"):
            parents.setdefault(child, []).append(parent)
        self._run("CREATE TEMP TABLE pairs (ancestor INTEGER, descendant INTEGER)")
        pairs = _pairs(parents, lambda done: progress("above", done))
        self._database.executemany("INSERT INTO pairs VALUES (?, ?)", pairs)
        self._run("INSERT INTO above SELECT ancestor, descendant FROM pairs ORDER BY 1, 2")
        self._run("DROP TABLE pairs")

    def _fill_words(self, progress: Progress) -> None:
        self._run("CREATE TEMP TABLE found (word TEXT, number INTEGER)")
        texts = self._database.cursor().execute(
            "SELECT number, code || ' ' || coalesce(display, '') FROM concept"
            " UNION ALL SELECT number, value FROM name"
        )
        rows = _words(texts, lambda done: progress("words", done))
        self._database.executemany("INSERT INTO found VALUES (?, ?)", rows)
        self._run("INSERT OR IGNORE INTO word SELECT word, number FROM found ORDER BY 1, 2")
        self._run("DROP TABLE found")


def _pairs(
    parents: dict[int, list[int]], progress: Callable[[int], None]
) -> Iterator[tuple[int, int]]:
    """Every concept with each that is above it. A circle in the release ends where it began."""
    for done, child in enumerate(parents):
        if done % BATCH == 0:
            progress(done)
        seen = {child}
        waiting = [child]
        while waiting and len(seen) <= MAX_ABOVE:
            for each in parents.get(waiting.pop(), ()):
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
                    yield each, child


def _words(texts: sqlite3.Cursor, progress: Callable[[int], None]) -> Iterator[tuple[str, int]]:
    for done, (number, text) in enumerate(texts):
        if done % BATCH == 0:
            progress(done)
        for word in words(text):
            yield word, number


@contextmanager
def _told(file: Path) -> Iterator[None]:
    """Raise Unwritable for what the disk, or another run, is the reason of."""
    try:
        yield
    except sqlite3.OperationalError as error:
        why = "another run writes it" if "locked" in str(error) else str(error)
        raise Unwritable(f"`{file}` cannot be written: {why}.") from error


def _opened(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, isolation_level=None, cached_statements=64)
    # What was committed survives the program; a machine that loses its power begins anew.
    for pragma in (
        "locking_mode = EXCLUSIVE",
        "busy_timeout = 0",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "cache_size = -65536",
    ):
        database.execute(f"PRAGMA {pragma}")
    return database
