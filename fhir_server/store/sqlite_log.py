"""sqlite_log — the change log with its marks in a database that is one file.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from fhir_server.foundation.resource import Key
from fhir_server.store import lineage, log
from fhir_server.store.codec import Codec
from fhir_server.store.contract import Position, Stored, rid
from fhir_server.store.contract.lineage import Known
from fhir_server.store.contract.log import Epoch, Log, Stirred
from fhir_server.store.dialect import SQLITE
from fhir_server.store.row import stored
from fhir_server.store.sqlite_connection import Reader, Row
from fhir_server.store.stirring import read_stirred, stirred_sql

HORIZON = (
    "max(coalesce((select max(seq) from version), 0), coalesce((select max(seq) from mark), 0)) + 1"
)


def read(
    reader: Reader,
    codec: Codec,
    cursor: str | None,
    facility: int,
    everywhere: Sequence[str],
    limit: int,
) -> Log:
    with reader.snapshot():
        known = epochs(reader)
        after = log.edge_of(cursor, known)
        asked = log.log_sql(after, facility, everywhere, limit, SQLITE, HORIZON)
        rows = reader.rows(asked.text, asked.values)
    return log.read_log(rows, known, after, limit, codec)


def stirred(reader: Reader, cursor: str, limit: int) -> Stirred:
    with reader.snapshot():
        known = epochs(reader)
        after = log.edge_of(cursor, known)
        asked = stirred_sql(after, limit, SQLITE, HORIZON)
        rows = reader.rows(asked.text, asked.values)
    return read_stirred(rows, known, after, limit)


def epochs(reader: Reader) -> list[Row]:
    """(number, mark, start) of each history this database has had, oldest first."""
    return reader.rows(log.EPOCHS) or [(0, 0, 0)]


def told_epochs(reader: Reader) -> list[Epoch]:
    return log.told_epochs(epochs(reader))


def whole(reader: Reader) -> Position:
    """No copy of a file has a gap."""
    return Position(reader.rows(f"select {HORIZON}")[0][0])


def part(connection: sqlite3.Connection, name: str, whole: Position) -> bool:
    """See Store.part; in a transaction."""
    row = log.parted(connection.execute(log.EPOCHS).fetchall(), name, whole)
    if row is not None:
        connection.execute("INSERT INTO epoch (number, mark, start) VALUES (?,?,?)", row)
    return row is not None


def homes(
    reader: Reader, patients: Sequence[int], facility: int | None, at: Position | None
) -> Mapping[tuple[int, int], bool]:
    asked = log.homes_sql(patients, facility, at, SQLITE)
    return log.read_homes(reader.rows(asked.text, asked.values))


def compartments(
    reader: Reader, codec: Codec, patients: Sequence[int], after: int | None, limit: int
) -> list[Stored]:
    asked = log.compartments_sql(patients, after, limit, SQLITE)
    return [stored(row, codec, *row[12:]) for row in reader.rows(asked.text, asked.values)]


def known(reader: Reader, keys: Sequence[Key]) -> Mapping[Key, Sequence[Known]]:
    asked = lineage.known_sql([rid(key) for key in keys], SQLITE)
    return lineage.known(reader.rows(asked.text, asked.values), keys)
