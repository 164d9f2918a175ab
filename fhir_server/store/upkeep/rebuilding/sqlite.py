"""sqlite — the index of a database that is one file, made anew by the only process that writes.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from fhir_server.store.codec import Codec
from fhir_server.store.contract import NO_ROWS, Position
from fhir_server.store.dialect import SQLITE
from fhir_server.store.row import INDEX
from fhir_server.store.sqlite_connection import connect_writer, hold
from fhir_server.store.sqlite_group import insert_index, plan
from fhir_server.store.sqlite_stamp import KEEP, kept
from fhir_server.store.stamp import Stamp
from fhir_server.store.upkeep.rebuilding.batch import (
    RESOURCES,
    Batch,
    Index,
    Place,
    Progress,
    Reindexed,
    Row,
    as_new,
    moves,
    place_of,
    rows_of,
    taken,
)
from fhir_server.store.upkeep.rebuilding.parameters import settled

CACHE = "cache_size = -262144"  # rows go everywhere in the trees
LOG_LONG = 64 * 1024 * 1024  # bytes
NEXT = (
    f"SELECT {SQLITE.columns}, c.owner, c.main_lo, c.main_hi, c.keys FROM version v"
    " CROSS JOIN current c ON c.rid = v.rid AND c.seq = v.seq"
    " WHERE v.seq > ? ORDER BY v.seq LIMIT ?"
)
LIVED = (
    f"SELECT {SQLITE.columns} FROM version v WHERE v.rid = ? AND v.body IS NOT NULL"
    " ORDER BY v.seq DESC LIMIT 1"
)
PLACE = "UPDATE current SET owner = ?2, main_lo = ?3, main_hi = ?4, keys = ?5 WHERE rid = ?1"
COUNT = "SELECT count(*), count(*) FILTER (WHERE seq <= ?) FROM current"


def reindex(
    path: Path, index: Index, stamp: Stamp, progress: Progress, numbers: Sequence[int]
) -> Reindexed:
    """Raises DatabaseInUse where a server has the file."""
    with hold(path), closing(connect_writer(path)) as connection:
        connection.execute(f"PRAGMA {CACHE}")
        codec = Codec(dict(connection.execute("SELECT id, body FROM dictionary")))
        after = begin(connection, stamp)
        total, before = connection.execute(COUNT, (after.seq,)).fetchone()
        done = Reindexed(before)
        progress(done.resources, total)
        while (batch := taken(connection.execute(NEXT, (after.seq, RESOURCES)))).rows:
            after = batch.reached
            write(connection, batch, codec, index, done)
            connection.execute(KEEP, (stamp.reached(after).text,))
            connection.execute("COMMIT")
            checkpoint(connection, path)
            done.resources += len(batch.rows)
            progress(done.resources, total)
        connection.execute("BEGIN IMMEDIATE")
        for statement in settled(numbers):
            connection.execute(statement)
        connection.execute(KEEP, (stamp.text,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return done


def begin(connection: sqlite3.Connection, stamp: Stamp) -> Position:
    """Go on from where it was broken off, else with empty tables."""
    if (after := stamp.broken_off(kept(connection))) is not None:
        return after
    start = Position(0)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(KEEP, (stamp.reached(start).text,))
    for table in INDEX:
        connection.execute(f"DELETE FROM {table}")
    connection.execute("COMMIT")
    return start


def write(
    connection: sqlite3.Connection, batch: Batch, codec: Codec, index: Index, done: Reindexed
) -> None:
    """The rows of a batch, in a transaction that is left open."""
    added: dict[str, list[Row]] = {table: [] for table in INDEX}
    wanted: list[tuple[Row, Place]] = []
    for row in batch.rows:
        if row[11] is None:
            wanted.append((row, once(connection, row, codec, index, done)))
            continue
        rows = rows_of(row, codec, index, done)
        wanted.append((row, place_of(rows)))
        for table, some in plan(as_new(row, rows)).add.items():
            added[table].extend(some)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(PLACE, sorted(moves(wanted)))
    for table, all in added.items():
        insert_index(connection, table, all)


def once(
    connection: sqlite3.Connection, row: Row, codec: Codec, index: Index, done: Reindexed
) -> Place:
    """A deletion has the owner and the main date of what was deleted."""
    lived = connection.execute(LIVED, row[:1]).fetchone()
    rows = NO_ROWS if lived is None else rows_of(lived, codec, index, done)
    return (rows.owner, *rows.main, 0)


def checkpoint(connection: sqlite3.Connection, path: Path) -> None:
    if path.with_name(path.name + "-wal").stat().st_size >= LOG_LONG:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
