"""sqlite_care — a database's backup, its restoring, and whether everything in it is whole.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from fhir_server.store.audit import KEPT, carried
from fhir_server.store.codec import Codec, Damaged, digest_of, resource_of
from fhir_server.store.contract import Stored, rid, version_id
from fhir_server.store.contract.version import LEFT
from fhir_server.store.dialect import SQLITE
from fhir_server.store.migrate import check, sqlite_schema
from fhir_server.store.row import halves, id_of, revs_of, stored, whole_digest
from fhir_server.store.sqlite_connection import (
    Reader,
    Row,
    connect,
    connect_writer,
    hold,
    open_reader,
)

AT_ONCE = 500  # rows forgotten by one transaction
EARLIER = """INSERT OR REPLACE INTO audit_place (one, chain, number)
  SELECT 1, coalesce(max(chain), 0), coalesce(max(number), 0) FROM (SELECT chain, number
  FROM (SELECT (SELECT chain FROM audit_place) chain, (SELECT number FROM audit_place) number
  UNION ALL SELECT (SELECT chain FROM replaced.audit_place),
  (SELECT number FROM replaced.audit_place)) ORDER BY chain, number LIMIT 1)"""
COPIED = "copied"  # a setting of a backup: whoever opens it first begins a new epoch
BESIDE = ("-wal", "-shm")
LAST = (
    "SELECT max(coalesce((SELECT max(seq) FROM version), 0),"
    " coalesce((SELECT max(seq) FROM mark), 0))"
)


def begin(path: Path) -> None:
    """What is due when a database is opened for writing: an epoch."""
    with closing(connect_writer(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        copied = connection.execute("DELETE FROM setting WHERE name = ?", (COPIED,)).rowcount
        number = connection.execute("SELECT coalesce(max(number), 0) FROM epoch").fetchone()[0]
        if copied or not number:
            start = connection.execute(LAST).fetchone()[0]
            connection.execute(
                "INSERT INTO epoch (number, mark, start) VALUES (?,?,?)",
                (number + 1, secrets.randbits(62), start),
            )
        connection.execute("COMMIT")


FORGET = (
    "DELETE FROM idempotency WHERE key IN"
    " (SELECT key FROM idempotency WHERE at < ? ORDER BY at LIMIT ?)",
    "DELETE FROM moved WHERE seq IN (SELECT m.seq FROM"
    " (SELECT seq FROM moved ORDER BY seq LIMIT ?2) m"
    " CROSS JOIN version v ON v.seq = m.seq WHERE v.updated < ?1)",
)


def forget(connection: sqlite3.Connection, before: int) -> bool:
    """Answers kept under an Idempotency-Key, and moved rows, of before; whether there are more."""
    connection.execute("BEGIN IMMEDIATE")
    gone = [connection.execute(one, (before, AT_ONCE)).rowcount for one in FORGET]
    connection.execute("COMMIT")
    return AT_ONCE in gone


# --- backup and restore --------------------------------------------------------------------------


def backup(path: Path, target: Path) -> None:
    """Copy a database that may be in use: one snapshot, durable, and under its name only whole."""
    if target.exists():
        raise FileExistsError(f"`{target}` is there already. Choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    with closing(connect(path, ("busy_timeout = 5000",))) as connection:
        connection.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("INSERT OR REPLACE INTO setting VALUES (?, '1')", (COPIED,))
    _durable(part)
    part.rename(target)
    _durable(target.parent)


def restore(source: Path, path: Path, *, replace: bool = False) -> None:
    """Put a backup where a database is to be. What was there is kept beside it as `.replaced`."""
    check(str(source), sqlite_schema(source))
    if path.exists() and not replace:
        raise FileExistsError(f"`{path}` is there already. Say that it may be replaced.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    shutil.copyfile(source, part)
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO setting VALUES (?, '1')", (COPIED,))
    _durable(part)
    with hold(path):
        if path.exists():
            with closing(connect_writer(path)) as connection:  # takes in what its log still holds
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            carry_audit(path, part)
            path.rename(path.with_name(path.name + ".replaced"))
        for ending in BESIDE:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        part.rename(path)
        _durable(path.parent)


def carry_audit(before: Path, after: Path) -> None:
    """What was audited since the backup stays: who saw the records saw them, backup or not."""
    with closing(sqlite3.connect(after, isolation_level=None)) as connection:
        connection.execute("ATTACH DATABASE ? AS replaced", (str(before),))
        named = "SELECT 1 FROM replaced.sqlite_schema WHERE name = 'audit'"
        if connection.execute(named).fetchone() is None:
            return  # an older program's
        connection.execute("BEGIN IMMEDIATE")
        for table in KEPT:
            connection.execute(carried(table, f"replaced.{table}"))
        named = "SELECT 1 FROM replaced.sqlite_schema WHERE name = 'audit_place'"
        if connection.execute(named).fetchone() is not None:
            connection.execute(EARLIER)  # what could not be found there cannot be found here
        connection.execute("COMMIT")
    _durable(after)


def _durable(path: Path) -> None:
    """On the disk, and not only on its way there."""
    if path.is_dir() and os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


# --- verification --------------------------------------------------------------------------------


def verify(path: Path) -> list[str]:
    """What is wrong with a database: nothing, where the list is empty."""
    check(str(path), sqlite_schema(path))
    with closing(open_reader(path)) as reader:
        wrong = [row[0] for row in reader.rows("PRAGMA integrity_check") if row[0] != "ok"]
        if wrong:
            return wrong
        codec = Codec(dict(reader.rows("SELECT id, body FROM dictionary")))
        return [*_wrong_versions(reader, codec), *_wrong_pointers(reader)]


def _wrong_versions(reader: Reader, codec: Codec) -> Iterator[str]:
    """Each version's name is computed again from its content and its parent."""
    for row in _all_versions(reader):
        try:
            version = stored(row, codec)
        except Damaged as error:
            yield f"version {row[1]} of `{id_of(row[10])}`: {error}"
            continue
        if rid(version.key) != row[0]:
            yield f"version {row[1]} of `{version.key}` is kept under another's number"
        elif not _named_rightly(reader, version):
            yield f"version {row[1]} of `{version.key}` is not what its version id says"


def _all_versions(reader: Reader) -> Iterator[Row]:
    seq = 0
    asked = f"SELECT {SQLITE.columns} FROM version v WHERE v.seq > ? ORDER BY v.seq LIMIT 500"
    while rows := reader.rows(asked, (seq,)):
        yield from rows
        seq = rows[-1][1]


def _named_rightly(reader: Reader, version: Stored) -> bool:
    if version.method == LEFT:
        return True
    parents = _parents(reader, version)
    digest = digest_of(
        *version.key,
        parents,
        deleted=version.deleted,
        resource=None if version.deleted else resource_of(version),
    )
    return digest == version.digest


def _parents(reader: Reader, version: Stored) -> Sequence[str]:
    """As they were told, or else what its first row follows."""
    number = rid(version.key)
    name = (number, *halves(version.digest), version.generation)
    this = "rid = ? AND digest_hi = ? AND digest_lo = ? AND generation = ?"
    told = reader.rows(f"SELECT parents FROM lineage WHERE {this}", name)
    if told:
        return revs_of(told[0][0])
    before = reader.rows(
        "SELECT generation, digest_hi, digest_lo FROM version WHERE rid = ? AND seq <"
        f" (SELECT min(seq) FROM version WHERE {this}) ORDER BY seq DESC LIMIT 1",
        (number, *name),
    )
    return [version_id(generation, whole_digest(*digest)) for generation, *digest in before]


def _wrong_pointers(reader: Reader) -> Iterator[str]:
    lost = (
        "SELECT count(*) FROM current c LEFT JOIN version v ON v.seq = c.seq AND v.rid = c.rid"
        " WHERE v.seq IS NULL OR (v.body IS NULL) <> c.deleted"
        " OR EXISTS (SELECT 1 FROM version n WHERE n.rid = c.rid AND n.seq > c.seq)"
    )
    if wrong := reader.rows(lost)[0][0]:
        yield f"{wrong} resources do not point at their newest version"
    orphans = (
        "SELECT count(*) FROM version v WHERE NOT EXISTS"
        " (SELECT 1 FROM current c WHERE c.rid = v.rid)"
    )
    if wrong := reader.rows(orphans)[0][0]:
        yield f"{wrong} versions belong to no resource"
    counted = "SELECT type, count(*) FROM current WHERE NOT deleted GROUP BY type ORDER BY type"
    kept = "SELECT type, n FROM tally WHERE n <> 0 ORDER BY type"
    if reader.rows(counted) != reader.rows(kept):
        yield "the number of resources kept for each type is not their number"
