"""sqlite_late — what the audit is found by, written beside the answers and in large parts.

https://hl7.org/fhir/R4/auditevent.html

A row of audit_subject lies somewhere in a large tree: to write it costs more than the entry it
leads to, and each commit would write many of its pages. So who asks waits for the entry alone, and
`audit_place` tells up to which chain and number it can be found; who looks for entries reads what
comes after that, too. It is never longer than some thousand entries.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from fhir_server.store import audit, block
from fhir_server.store.contract.audit import Entered, Sought
from fhir_server.store.dialect import SQLITE

MANY = 2000  # entries that may wait
AT_ONCE = 500  # rows of the audit in one transaction
PLACE = "select chain, number from audit_place"
PLACED = "insert or replace into audit_place (one, chain, number) values (1, ?, ?)"
LATE = (
    f"select {audit.COLUMNS} from audit a where (a.chain, a.number) > (?, ?)"
    " order by a.chain, a.number"
)
FOUND_BY = (
    f"insert or ignore into audit_subject ({', '.join(audit.SUBJECT)})"
    f" values ({', '.join('?' * len(audit.SUBJECT))})"
)
Rows = Callable[[str, Sequence[Any]], Sequence[Sequence[Any]]]

log = logging.getLogger(__name__)


class Late:
    """Belongs to the one thread that writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting = MANY  # what the process before this one left is not known

    def add(self, entries: int) -> None:
        self._waiting += entries

    def write_some(self) -> None:
        """Where many wait, a part of them."""
        if self._waiting >= MANY:
            self._waiting = MANY if self._write() else 0

    def write_all(self) -> None:
        while self._write():
            pass

    def _write(self) -> bool:
        """Whether there is more. What cannot be written stays where it is looked for."""
        try:
            asked = f"{LATE} limit {AT_ONCE}"
            rows = [audit.entered(row) for row in self._execute(asked, place(self._execute))]
            if rows:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(FOUND_BY, sorted(found_by(rows)))
                self._connection.execute(PLACED, rows[-1][:2])
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.warning("what the audit is found by waits: %s", error)
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            return False
        return len(rows) == AT_ONCE

    def _execute(self, text: str, values: Sequence[Any]) -> list[Any]:
        return self._connection.execute(text, values).fetchall()


def found_by(rows: Sequence[Entered]) -> set[tuple[int, int, int, int]]:
    """The rows of audit_subject of these rows of audit."""
    return {
        (subject, row.at, row.chain, row.number)
        for row in rows
        for subjects, _ in block.parts(row.body) or ()
        for subject in subjects
    }


def place(ask: Rows) -> tuple[int, int]:
    """The chain and the number up to which every row has its rows of audit_subject."""
    rows = ask(PLACE, ())
    return (rows[0][0], rows[0][1]) if rows else (0, 0)


def found(ask: Rows, sought: Sought) -> list[Entered]:
    """Entries newest first, those too that have no rows of audit_subject yet.

    These are read first: what gets its rows meanwhile is met twice, and not passed over.
    """
    waiting = late(ask, sought) if sought.subjects else []
    early = audit.asked(ask, sought, SQLITE)
    if not waiting:
        return early
    every = {one[:2]: one for one in (*waiting, *early)}
    return sorted(every.values(), key=when, reverse=True)[: sought.limit]


def late(ask: Rows, sought: Sought) -> list[Entered]:
    """Those that have no rows of audit_subject yet."""
    rows = [audit.entered(row) for row in ask(LATE, place(ask))]
    blocks = [row for row in rows if block.parts(row.body) is not None]
    return [one for one in audit.told(blocks, sought.subjects) if is_sought(one, sought)]


def is_sought(one: Entered, sought: Sought) -> bool:
    before = sought.before
    return sought.since <= one.at < sought.until and (before is None or when(one) < before)


def when(one: Entered) -> tuple[int, int, int]:
    return one.at, one.chain, one.number
