"""sqlite_beside — what a group of units writes beside its versions, in a database that is one file.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fhir_server.store import side
from fhir_server.store.contract import Committed, Stale, Unit
from fhir_server.store.contract.log import Mark
from fhir_server.store.contract.side import HERE, Expect, Table
from fhir_server.store.descent import LineageRow
from fhir_server.store.dialect import SQLITE

MARKED = "INSERT INTO mark (seq, num, rid, kind, whom, body) VALUES (?,0,?,?,?,?)"
LINEAGE = (
    "INSERT OR IGNORE INTO lineage (rid, digest_hi, digest_lo, generation, parents)"
    " VALUES (?,?,?,?,?)"
)


class Beside:
    """What the units of a group write beside their versions, until it is written."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, int, int, int, bytes]] = []
        self._lineage: list[LineageRow] = []
        self._side: defaultdict[Table[Any], side.Final] = defaultdict(dict)

    def mark(self, seq: int, mark: Mark) -> None:
        self._marks.append((seq, mark.rid, mark.kind, mark.whom, mark.body))

    def descend(self, seq: int, rows: Sequence[LineageRow], left: Mark | None) -> None:
        self._lineage += rows
        if left is not None:
            self.mark(seq, left)

    def keep(self, unit: Unit, committed: Committed) -> None:
        for table, rows in side.final(unit).items():
            kept = self._side[table]
            for key, row in rows.items():
                kept[key] = None if row is None else _placed(table, row, committed)

    def write(self, connection: sqlite3.Connection) -> None:
        if self._marks:
            connection.executemany(MARKED, self._marks)
        if self._lineage:
            connection.executemany(LINEAGE, self._lineage)
        for table, rows in self._side.items():
            gone = [key for key, row in rows.items() if row is None]
            there = [row for row in rows.values() if row is not None]
            if gone:
                where = " AND ".join(f"{name} = ?" for name in table.key)
                connection.executemany(f"DELETE FROM {table.name} WHERE {where}", gone)
            if there:
                values = f"VALUES ({','.join('?' * len(table.columns))})"
                connection.executemany(f"INSERT OR REPLACE INTO {table.name} {values}", there)


def _placed(table: Table[Any], row: tuple[Any, ...], committed: Committed) -> tuple[Any, ...]:
    """The row with the place of the one it is about."""
    if "seq" not in table.columns:
        return row
    at = table.columns.index("seq")
    if row[at] != HERE:
        return row
    return (*row[:at], *committed.place(row[at + 1]), *row[at + 2 :])


def demand(connection: sqlite3.Connection, expects: Sequence[Expect]) -> None:
    """Raises Stale."""
    for expect in expects:
        there = expect.row is not None
        asked = f"SELECT {side.expected_sql(expect.table, SQLITE, there=there)}"
        if not connection.execute(asked, expect.row or expect.key).fetchone()[0]:
            raise Stale
