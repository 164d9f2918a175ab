"""sqlite_texts — the index of words in a database that is one file.

https://hl7.org/fhir/R4/search.html#text

An FTS5 table without contents, made when it is first fed: a database without it carries nothing of
it. A version's terms lie under its seq: 26 bytes a resource, since numbers that follow one another
take a byte each; 163 under the resource's own random number. A term is taken out of such a table
by telling it again, so what a version replaces is read and its terms are made anew.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fhir_server.store.codec import Codec
from fhir_server.store.condition import PROGRESS, text_rids
from fhir_server.store.contract import (
    COUNTED,
    EVERYTHING,
    EpochEnded,
    Position,
    Standing,
    Stored,
    Terms,
    TextHas,
    rid,
)
from fhir_server.store.dialect import SQLITE
from fhir_server.store.row import stored
from fhir_server.store.sqlite_connection import TooSlow, open_reader, too_costly
from fhir_server.store.sqlite_history import feed, position
from fhir_server.store.sqlite_read import last_seq
from fhir_server.store.sqlite_writer import Writer

PATIENCE = 5.0  # seconds a question may take
KEPT = f"SELECT value FROM setting WHERE name = '{PROGRESS}'"
KEEP = (
    f"INSERT INTO setting (name, value) VALUES ('{PROGRESS}', ?)"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
# `ascii` takes every character that is not ASCII for a letter: terms stay whole, in any script.
MAKE = (
    "DROP TABLE IF EXISTS index_text",
    "CREATE VIRTUAL TABLE index_text USING fts5"
    " (terms, content='', detail=none, columnsize=0, tokenize='ascii')",
)
ADD = "INSERT INTO index_text (rowid, terms) VALUES (?, ?)"
TAKE = "INSERT INTO index_text (index_text, rowid, terms) VALUES ('delete', ?, ?)"
REPLACED = (
    f"SELECT {SQLITE.columns} FROM version v WHERE v.seq ="
    " (SELECT max(o.seq) FROM version o WHERE o.rid = ? AND o.seq <= ?)"
)

Line = tuple[int, str]  # seq, terms


class Step(NamedTuple):
    """What a page of the change log changes. before: what was kept when it was read."""

    before: str | None
    after: str
    anew: bool
    versions: int
    taken: Sequence[Line]
    added: Sequence[Line]


class SqliteTexts:
    """Implements contract.TextIndex. Work for it is done in threads, not on the loop."""

    def __init__(self, path: Path, codec: Codec, writer: Writer) -> None:
        self._codec = codec
        self._writer = writer
        self._reader = open_reader(path)
        self._reading = threading.Lock()

    def close(self) -> None:
        with self._reading:
            self._reader.close()

    async def standing(self, edition: str) -> Standing:
        return await asyncio.to_thread(self._standing, edition)

    def _standing(self, edition: str) -> Standing:
        with self._reading, self._reader.snapshot():
            last = last_seq(self._reader)
            cursor, _ = self._progress(edition)
            reached = 0 if cursor is None else position(self._reader, cursor)
        made, behind = cursor is not None, min(last - reached, COUNTED)
        return Standing(made, Position(reached), Position(last), behind, reached, last)

    async def follow(self, edition: str, terms: Terms, *, limit: int) -> int | None:
        step = await asyncio.to_thread(self._step, edition, terms, limit)
        if step.versions or step.anew:
            await self._writer.do(lambda connection: _take(connection, step))
        return step.versions

    def _step(self, edition: str, terms: Terms, limit: int) -> Step:
        reader = self._reader
        with self._reading, reader.snapshot():
            cursor, kept = self._progress(edition)
            reached = 0 if cursor is None else position(reader, cursor)
            page = feed(reader, self._codec, cursor, (), EVERYTHING, limit)
            newest = {rid(version.key): version for version in page.rows}
            rows = [reader.row(REPLACED, (number, reached)) for number in newest]
            after = position(reader, page.next)
        replaced = [stored(row, self._codec) for row in rows if row is not None]
        return Step(
            before=kept,
            after=json.dumps({"edition": edition, "cursor": page.next, "reached": after}),
            anew=cursor is None,
            versions=len(page.rows),
            taken=list(_lines(replaced, terms)),
            added=list(_lines(newest.values(), terms)),
        )

    async def rids(self, asked: TextHas, *, at_most: int) -> Sequence[int]:
        return await asyncio.to_thread(self._rids, asked, at_most)

    def _rids(self, asked: TextHas, at_most: int) -> list[int]:
        told = text_rids(asked, SQLITE, at_most)
        try:
            with self._reading, self._reader.within(PATIENCE):
                return [row[0] for row in self._reader.rows(told.text, told.values)]
        except TooSlow:
            raise too_costly(PATIENCE) from None

    def _progress(self, edition: str) -> tuple[str | None, str | None]:
        """The cursor to go on from, None where the index is to be begun; and what is kept."""
        row = self._reader.row(KEPT)
        if row is None:
            return None, None
        told = json.loads(row[0])
        cursor = told["cursor"] if told["edition"] == edition else None
        try:
            if cursor is not None:
                position(self._reader, cursor)
        except EpochEnded:
            cursor = None
        return cursor, row[0]


def _lines(versions: Iterable[Stored], terms: Terms) -> Iterable[Line]:
    for version in versions:
        if not version.deleted and (told := terms(version)):
            yield version.position.seq, " ".join(told)


def _take(connection: sqlite3.Connection, step: Step) -> None:
    row = connection.execute(KEPT).fetchone()
    if (None if row is None else row[0]) != step.before:
        return  # somebody else was here; the next step goes on from there
    if step.anew:
        for statement in MAKE:
            connection.execute(statement)
    connection.executemany(TAKE, step.taken)
    connection.executemany(ADD, step.added)
    connection.execute(KEEP, (step.after,))
