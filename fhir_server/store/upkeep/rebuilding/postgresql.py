"""postgresql — the index of a database that many share, made anew while one process has it alone.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg

from fhir_server.store.codec import Codec
from fhir_server.store.contract import NO_DATE, NewVersion, Position
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.postgresql.connection import WRITER, numbered
from fhir_server.store.postgresql.rows import arrays, differences
from fhir_server.store.postgresql.stamp import ALONE, KEEP, KEPT
from fhir_server.store.postgresql.statement import insertion
from fhir_server.store.postgresql.values import teach
from fhir_server.store.row import INDEX
from fhir_server.store.sqlite_connection import DatabaseInUse
from fhir_server.store.stamp import Stamp
from fhir_server.store.upkeep.findings import shown
from fhir_server.store.upkeep.postgresql import Connection, connect
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

WAIT = 5.0  # seconds for a server, or a killed reindex, to let go
AT_ONCE = 100  # rows a cursor brings
NEXT = (
    f"select {POSTGRESQL.columns}, c.owner, c.main_lo, c.main_hi, c.keys from version v"
    " join current c on c.rid = v.rid and c.seq = v.seq and c.num = v.num"
    " where v.seq >= %s and (v.seq, v.num) > (%s, %s) order by v.seq, v.num limit %s"
).encode()
LIVED = numbered(
    f"select distinct on (v.rid) {POSTGRESQL.columns} from version v"
    " where v.rid = any(%s) and v.body is not null order by v.rid, v.seq desc, v.num desc"
)
PLACE = numbered(
    "update current c set owner = n.owner, main_lo = n.main_lo, main_hi = n.main_hi, keys = n.keys"
    " from unnest(%s, %s, %s, %s, %s) n(rid, owner, main_lo, main_hi, keys) where c.rid = n.rid"
)
COUNT = b"select count(*), count(*) filter (where (seq, num) <= ($1, $2)) from current"
# A part that is lost with the machine is lost together with the place it reached.
SETTINGS = {**WRITER, "jit": "off", "lock_timeout": "60s", "synchronous_commit": "off"}


def reindex(
    url: str, index: Index, stamp: Stamp, progress: Progress, numbers: Sequence[int]
) -> Reindexed:
    """Raises DatabaseInUse while any process may write."""
    with connect(url) as connection:
        connection.cursor_factory = psycopg.RawCursor
        teach(connection)
        for name, value in SETTINGS.items():
            connection.execute(f"set {name} = '{value}'".encode())
        alone(connection, url)
        kept = connection.execute("select id, body from dictionary").fetchall()
        codec = Codec({number: bytes(body) for number, body in kept})
        after = begin(connection, stamp)
        total, before = one(connection, COUNT, after)
        done = Reindexed(before)
        progress(done.resources, total)
        while (batch := following(connection, after)).rows:
            after = batch.reached
            write(connection, batch, codec, index, done, stamp.reached(after))
            done.resources += len(batch.rows)
            progress(done.resources, total)
        connection.execute("set synchronous_commit = 'on'")
        with connection.transaction():
            for statement in settled(numbers):
                connection.execute(statement.encode())
            connection.execute(KEEP, (stamp.text,))
        connection.execute("analyze")
        return done


def alone(connection: Connection, url: str) -> None:
    """Hold what every connection that writes holds shared, until this connection ends."""
    until = time.monotonic() + WAIT
    while one(connection, ALONE) != (True,):
        if time.monotonic() > until:
            raise DatabaseInUse(
                f"A server, or another command, is using `{shown(url)}`. Stop it, on every machine,"
                " then reindex."
            )
        time.sleep(0.1)


def begin(connection: Connection, stamp: Stamp) -> Position:
    """Go on from where it was broken off, else with empty tables."""
    row = connection.execute(KEPT).fetchone()
    if (after := stamp.broken_off(None if row is None else row[0])) is not None:
        return after
    start = Position(0)
    with connection.transaction():
        connection.execute(KEEP, (stamp.reached(start).text,))
        connection.execute(f"truncate {', '.join(INDEX)}".encode())
    return start


def following(connection: Connection, after: Position) -> Batch:
    with connection.transaction(), connection.cursor("versions", binary=True) as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(NEXT, (after.seq, *after, RESOURCES))
        return taken(cursor)


def write(
    connection: Connection,
    batch: Batch,
    codec: Codec,
    index: Index,
    done: Reindexed,
    reached: Stamp,
) -> None:
    """The rows of a batch, and how far it came, in one transaction."""
    wanted: list[tuple[Row, Place]] = list(gone(connection, batch, codec, index, done))
    new: list[NewVersion] = []
    for row in batch.rows:
        if row[11] is not None:
            rows = rows_of(row, codec, index, done)
            wanted.append((row, place_of(rows)))
            new.append(as_new(row, rows))
    _, added = differences(new)
    with connection.transaction():
        if moved := sorted(moves(wanted)):
            connection.execute(PLACE, columns(moved))
        for table, all in added.items():
            connection.execute(insertion(table), arrays(table, sorted(all)))
        connection.execute(KEEP, (reached.text,))


def gone(
    connection: Connection, batch: Batch, codec: Codec, index: Index, done: Reindexed
) -> Iterator[tuple[Row, Place]]:
    """A deletion has the owner of what was deleted."""
    deleted = {row[0]: row for row in batch.rows if row[11] is None}
    if not deleted:
        return
    owners = dict.fromkeys(deleted, 0)
    cursor = connection.cursor(binary=True)
    for row in cursor.execute(LIVED, (Bigints(deleted),)):
        owners[row[0]] = rows_of(row, codec, index, done).owner
    for number, row in deleted.items():
        yield row, (owners[number], *NO_DATE, 0)


def columns(rows: Iterable[Row]) -> list[Bigints]:
    return [Bigints(column) for column in zip(*rows, strict=True)]


def one(connection: Connection, asked: bytes, values: tuple[Any, ...] = ()) -> Row:
    row = connection.execute(asked, values).fetchone()
    assert row is not None
    return row
