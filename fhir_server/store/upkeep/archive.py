"""archive — a backup of a PostgreSQL database: one file, needing no other program.

https://hl7.org/fhir/R4/http.html#versioning

The file is a line of MAGIC and one zstd stream of records, each a letter, a length and bytes:

    H  {"schema", "server", "at"}       once, first
    T  {"table", "columns"}             then D ...: the rows as COPY writes them, as text
    E  {"rows", "sha256"}               after each table
    Z  {"tables"}                       once, last: without it the file is not whole

All tables are read in one snapshot, so a backup is the database at one moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import zstandard
from psycopg import sql

from fhir_server.store.audit import KEPT, carried
from fhir_server.store.migrate import SchemaUnknown, migrate, unknown
from fhir_server.store.postgresql.epoch import FORGET, LAST
from fhir_server.store.postgresql.horizon import NAME as NAME_OF_HORIZON
from fhir_server.store.schema import POSTGRESQL, SCHEMA
from fhir_server.store.tables import tables
from fhir_server.store.upkeep.findings import BadBackup, shown
from fhir_server.store.upkeep.postgresql import NAME, Connection, connect, one

WHOLE = (
    f"insert into setting (name, value) select '{NAME_OF_HORIZON}', (1 + {LAST})::text"
    " on conflict (name) do update set value = excluded.value"
    " where setting.value::bigint < excluded.value::bigint"
)
MAGIC = b"fhir-server backup 1\n"
HEAD = struct.Struct(">cI")
LARGEST = 256 * 1024 * 1024  # bytes of one record: more is damage
LEVEL = 3
BLOCK = 256 * 1024  # bytes of rows kept together
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


class Record(NamedTuple):
    letter: bytes
    body: bytes

    def told(self) -> dict[str, Any]:
        found = json.loads(self.body)
        if not isinstance(found, dict):
            raise BadBackup("The backup's records are damaged.")
        return found


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Sink(Protocol):
    def write(self, data: bytes, /) -> int: ...


# --- writing -------------------------------------------------------------------------------------


def backup(url: str, file: Path) -> None:
    """Write everything to a file that has its name only once it is whole and on the disk."""
    if file.exists():
        raise FileExistsError(f"`{file}` is there already. Choose another name.")
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    try:
        with connect(url) as connection, connect(url) as other, part.open("wb") as opened:
            opened.write(MAGIC)
            packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            with packer.stream_writer(opened, closefd=False) as stream:
                write_all(connection, other, stream)
            opened.flush()
            os.fsync(opened.fileno())
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    durable(file.parent)


def durable(folder: Path) -> None:
    """The folder's new name is on the disk, and not only on its way there."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def write_all(connection: Connection, other: Connection, stream: Sink) -> None:
    with connection.transaction():
        connection.execute(SNAPSHOT)
        with other.transaction():
            # The snapshot is taken while no write is open, so that the backup has no gap: a
            # follower's cursor that has passed a version finds that version restored.
            other.execute("LOCK TABLE version IN SHARE MODE")
            (server,) = one(connection, "SELECT current_setting('server_version')")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        write(stream, b"H", {"schema": SCHEMA, "server": server, "at": at})
        names = layout()
        for table, columns in names.items():
            write_table(connection, stream, table, columns)
        write(stream, b"Z", {"tables": len(names)})


def write(stream: Sink, letter: bytes, told: dict[str, Any]) -> None:
    body = json.dumps(told).encode()
    stream.write(HEAD.pack(letter, len(body)) + body)


def write_table(connection: Connection, stream: Sink, table: str, columns: list[str]) -> None:
    write(stream, b"T", {"table": table, "columns": columns})
    digest, rows = hashlib.sha256(), 0
    with connection.cursor() as cursor, cursor.copy(copying(table, columns, "TO STDOUT")) as copy:
        for data in gathered(copy):
            digest.update(data)
            rows += data.count(b"\n")
            stream.write(HEAD.pack(b"D", len(data)) + data)
    write(stream, b"E", {"rows": rows, "sha256": digest.hexdigest()})


def gathered(blocks: Iterable[bytes | memoryview | bytearray]) -> Iterator[bytes]:
    """The same bytes in fewer blocks: a row by itself is a small one."""
    waiting = bytearray()
    for block in blocks:
        waiting += block
        if len(waiting) >= BLOCK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def layout() -> dict[str, list[str]]:
    """Every table and its columns, in an order that is always the same."""
    known = tables(POSTGRESQL).tables
    return {name: [column.name for column in known[name].columns] for name in sorted(known)}


def copying(table: str, columns: list[str], way: str) -> sql.Composed:
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) {}").format(sql.Identifier(table), listed, sql.SQL(way))


# --- reading -------------------------------------------------------------------------------------


def restore(url: str, file: Path, *, replace: bool = False) -> None:
    """Fill the database from a file, wholly or not at all. Raises BadBackup, SchemaUnknown."""
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise BadBackup(f"`{file}` is not a backup of a PostgreSQL database.")
        stream = Records(opened)
        check_header(stream.next(), file)
        migrate(url)
        with connect(url) as connection:
            refuse_use(connection, url)
            with connection.transaction():
                empty(connection, url, replace=replace)
                read_tables(connection, stream)
                # The next start begins a new epoch, as for a database that came from elsewhere.
                connection.execute(FORGET)
                # No write was open when it was taken: it has all up to its last row.
                connection.execute(WHOLE.encode())
            connection.execute("ANALYZE")


@dataclass(slots=True)
class Records:
    """The records of a file, one after the other. Raises BadBackup where it is damaged."""

    stream: Source

    def __init__(self, opened: BinaryIO) -> None:
        self.stream = zstandard.ZstdDecompressor().stream_reader(opened, closefd=False)

    def next(self) -> Record:
        letter, length = HEAD.unpack(self._exactly(HEAD.size))
        if length > LARGEST:
            raise BadBackup("The backup's records are damaged.")
        return Record(letter, self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        read = b""
        while len(read) < size:
            try:
                more = self.stream.read(size - len(read))
            except zstandard.ZstdError as error:
                raise BadBackup(f"The backup is damaged: {error}.") from error
            if not more:
                raise BadBackup("The backup ends before its end: it was cut short.")
            read += more
        return read


def check_header(record: Record, file: Path) -> None:
    schema = record.told().get("schema") if record.letter == b"H" else None
    if not isinstance(schema, str):
        raise BadBackup(f"`{file}` does not begin as a backup does.")
    if schema != SCHEMA:
        raise SchemaUnknown(unknown(str(file), schema))


def refuse_use(connection: Connection, url: str) -> None:
    others = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE 'fhir-server%%' AND application_name <> %s",
        (NAME,),
    ).fetchone()
    if others and others[0]:
        raise FileExistsError(f"A server is using `{shown(url)}`. Stop it, then restore.")


def empty(connection: Connection, url: str, *, replace: bool) -> None:
    tables = layout()
    names = sql.SQL(", ").join(map(sql.Identifier, tables))
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
    if not replace and one(connection, "SELECT EXISTS (SELECT 1 FROM version)")[0]:
        raise FileExistsError(
            f"`{shown(url)}` holds records already. Say `--replace` to lose them, or give an empty"
            " database."
        )
    lost = sql.SQL(", ").join(map(sql.Identifier, tables.keys() - KEPT.keys()))
    connection.execute(sql.SQL("TRUNCATE {}").format(lost))


def read_tables(connection: Connection, stream: Records) -> None:
    wanted = layout()
    while (record := stream.next()).letter == b"T":
        told = record.told()
        table, columns = told.get("table"), told.get("columns")
        if table not in wanted or columns != wanted[table]:
            raise BadBackup(f"The backup's table `{table}` is not one this program knows.")
        read_table(connection, stream, table, columns)
        del wanted[table]
    if record.letter != b"Z" or wanted:
        raise BadBackup(f"The backup lacks the tables {', '.join(sorted(wanted)) or 'at its end'}.")


def read_table(connection: Connection, stream: Records, table: str, columns: list[str]) -> None:
    digest, rows = hashlib.sha256(), 0
    into = beside(connection, table)
    with connection.cursor() as cursor:
        with cursor.copy(copying(into, columns, "FROM STDIN")) as copy:
            while (record := stream.next()).letter == b"D":
                digest.update(record.body)
                rows += record.body.count(b"\n")
                copy.write(record.body)
        if record.letter != b"E" or record.told() != {"rows": rows, "sha256": digest.hexdigest()}:
            raise BadBackup(f"The backup's table `{table}` is damaged: its checksum differs.")
        if cursor.rowcount != rows:
            raise BadBackup(f"The table `{table}` took {cursor.rowcount} of {rows} rows.")
    if into != table:
        connection.execute(carried(table, into).encode())


def beside(connection: Connection, table: str) -> str:
    """Where a table's rows are read into: what was audited since the backup stays where it is, and
    is joined by what the backup has."""
    if table not in KEPT:
        return table
    into = f"restored_{table}"
    made = "CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP"
    named = map(sql.Identifier, (into, table))
    connection.execute(sql.SQL(made).format(*named))
    return into
