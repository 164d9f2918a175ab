"""sqlite_watch — a statement of SQLite that somebody watches: its plan, and what it took.

https://hl7.org/fhir/R4/search.html

SQLite counts no rows it looks at; it can tell the steps of its virtual machine, some ten for each
row of an index.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from fhir_server.store.contract.watch import Statement, Watch, types_of

FINE = 100  # steps between two looks while they are counted


def watched(
    connection: sqlite3.Connection,
    watch: Watch,
    text: str,
    values: Sequence[Any],
    late: Callable[[], int],
    usual: int,
) -> list[tuple[Any, ...]]:
    """The rows. late: whether its time is over, asked every `usual` steps when nobody watches."""
    start = perf_counter()
    rows = connection.execute(text, values).fetchall()
    took = perf_counter() - start
    looks = 0

    def counted() -> int:
        nonlocal looks
        looks += 1
        return late()

    connection.set_progress_handler(counted, FINE)
    try:
        connection.execute(text, values).fetchall()
    finally:
        connection.set_progress_handler(late, usual)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
    uses = tuple(dict.fromkeys(str(line[3]) for line in plan if _tells(str(line[3]))))
    told = Statement(
        " ".join(text.split()), types_of(values), took * 1000, len(rows), None, looks * FINE, uses
    )
    watch.add(told)
    watch.spent += perf_counter() - start - took
    return rows


def _tells(line: str) -> bool:
    return line.startswith(("SEARCH", "SCAN", "USE TEMP"))
