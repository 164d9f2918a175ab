"""sqlite_parameters — the parameters that are not R4's own, in a database that is one file.

https://hl7.org/fhir/R4/searchparameter.html

All that is changed is changed by the one writer, between two groups of units, so that a unit is
made either by the rules before or by those after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from fhir_server.store import parameters
from fhir_server.store.asking import answered
from fhir_server.store.codec import Codec
from fhir_server.store.contract import PARAM_SHIFT, WHOLE_TEXT, Position, Stored
from fhir_server.store.contract.parameter import Declaration, Filling, Parameterised, Reached
from fhir_server.store.dialect import SQLITE
from fhir_server.store.row import stored
from fhir_server.store.select import Rendered
from fhir_server.store.sqlite_connection import Reader, Row
from fhir_server.store.sqlite_group import insert_index, plan
from fhir_server.store.sqlite_writer import Writer
from fhir_server.store.types import NUMBERS

T = TypeVar("T")


class Ask(Protocol):
    """The store's way to put a question to a reader."""

    async def __call__(self, question: Callable[[Reader], T], /) -> T: ...


HORIZON = "SELECT coalesce(max(seq), 0) FROM version"
NEXT = (
    f"SELECT {SQLITE.columns} FROM version v CROSS JOIN current c ON c.rid = v.rid AND c.seq ="
    " v.seq WHERE v.type = ? AND v.seq > ? AND v.seq <= ? AND v.body IS NOT NULL"
    " ORDER BY v.seq LIMIT ?"
)
SWEEP = (
    "DELETE FROM index_key WHERE (v, main, rid, w) IN"
    " (SELECT v, main, rid, w FROM index_key WHERE v >= :from AND v < :to LIMIT :many)",
    "DELETE FROM index_string WHERE (param, word, rid, whole) IN (SELECT param, word, rid, whole"
    " FROM index_string WHERE param = :number LIMIT :many)",
    "DELETE FROM index_string WHERE (param, word, rid, whole) IN (SELECT param, word, rid, whole"
    " FROM index_string WHERE param = :whole LIMIT :many)",
    "DELETE FROM index_date WHERE (param, lo, hi, rid) IN"
    " (SELECT param, lo, hi, rid FROM index_date WHERE param = :number LIMIT :many)",
    "DELETE FROM index_quantity WHERE (param, unit, lo, hi, rid) IN"
    " (SELECT param, unit, lo, hi, rid FROM index_quantity WHERE param = :number LIMIT :many)",
    "DELETE FROM uri WHERE param = :number",
)


class SqliteParameters:
    """Implements contract.ParameterTable."""

    def __init__(self, codec: Codec, writer: Writer, ask: Ask) -> None:
        self._codec = codec
        self._writer = writer
        self._ask = ask

    async def all(self) -> Parameterised:
        return await self._ask(lambda reader: parameters.read(reader.rows(parameters.ALL)))

    async def declare(
        self, source: str, generation: int | None, wanted: Sequence[Declaration]
    ) -> bool:
        asking = parameters.declare(source, generation, wanted, SQLITE, HORIZON)
        return await self._do(lambda connection: answered(asking, partial(rows, connection)))

    async def ask(self, numbers: Sequence[int], *, began: int, total: int) -> None:
        await self._say(parameters.ask(numbers, began, total, SQLITE))

    async def cancel(self, numbers: Sequence[int]) -> None:
        await self._say(parameters.cancel(numbers, SQLITE))

    async def finish(self, numbers: Sequence[int], before: Reached) -> None:
        await self._say(parameters.finish(numbers, before, SQLITE))

    async def following(
        self, type: str, after: Position, until: int, *, limit: int
    ) -> Sequence[Stored]:
        values = (NUMBERS[type], after.seq, until, limit)
        return await self._ask(
            lambda reader: [stored(row, self._codec) for row in reader.rows(NEXT, values)]
        )

    async def fill(self, filling: Filling) -> bool:
        try:
            await self._writer.do(lambda connection: fill(connection, filling))
        except parameters.Elsewhere:
            return False
        return True

    async def sweep(self, number: int) -> bool:
        return await self._do(lambda connection: sweep(connection, number))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """The process that has the file open to write is always alone."""
        yield True

    async def _say(self, told: Rendered) -> None:
        await self._do(lambda connection: rows(connection, told))

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        told: list[T] = []
        await self._writer.do(lambda connection: told.append(work(connection)))
        return told[0]


def rows(connection: sqlite3.Connection, asked: Rendered) -> list[Row]:
    return connection.execute(asked.text, asked.values).fetchall()


def fill(connection: sqlite3.Connection, filling: Filling) -> None:
    """Raises Elsewhere."""
    added: dict[str, list[Row]] = {}
    for new in answered(parameters.fill(filling, SQLITE), partial(rows, connection)):
        for table, some in plan(new).add.items():
            added.setdefault(table, []).extend(some)
    for table, all in added.items():
        insert_index(connection, table, all)


def sweep(connection: sqlite3.Connection, number: int) -> bool:
    told = {
        "number": number,
        "whole": number + WHOLE_TEXT,
        "from": number << PARAM_SHIFT,
        "to": number + 1 << PARAM_SHIFT,
        "many": parameters.SWEPT,
    }
    taken = sum(
        connection.execute(
            statement, {n: v for n, v in told.items() if f":{n}" in statement}
        ).rowcount
        for statement in SWEEP
    )
    if not taken:
        rows(connection, parameters.remove(number, SQLITE))
    return taken > 0
