"""upkeep — what a person does to a database beside using it: make it ready, examine it, copy it.

https://hl7.org/fhir/R4/http.html#versioning

One function for each, whichever database the URL speaks of; every failure of the world is an
Unreachable, SchemaUnknown, BadBackup or FileExistsError, whose message says what to do. What one
database needs is loaded when it is that one: a driver and its helpers take 20 MB of a laptop.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from fhir_server.store import sqlite_care, sqlite_stamp
from fhir_server.store.contract import Parameterised
from fhir_server.store.migrate import SchemaUnknown, check, migrate, schema_of
from fhir_server.store.parameters import ALL, read
from fhir_server.store.schema import SCHEMA, SQLITE, dialect_of, sqlite_path
from fhir_server.store.sqlite_connection import READER, DatabaseInUse, connect
from fhir_server.store.stamp import REMEDY, IndexDiffers, Stamp, difference
from fhir_server.store.upkeep import sqlite, wiping
from fhir_server.store.upkeep.findings import BadBackup, Finding, Grade, shown
from fhir_server.store.upkeep.rebuilding.batch import Index, Progress, Reindexed
from fhir_server.store.upkeep.wiping import Wiped

__all__ = [
    "BadBackup",
    "Finding",
    "Grade",
    "IndexDiffers",
    "Reindexed",
    "SchemaUnknown",
    "Unreachable",
    "Wiped",
    "backup",
    "demand_schema",
    "examine",
    "indexed",
    "parameters",
    "ready",
    "reindex",
    "restore",
    "verify",
]


class Unreachable(Exception):
    """The database cannot be reached, or is in other hands."""


def ready(url: str, *, migrating: bool) -> list[str]:
    """Bring the schema up to date, or only see that it is. Tells which steps were taken. Raises
    Wiped."""
    with reaching(url):
        wiping.demand_none(url)
        if migrating:
            return migrate(url)
        check(shown(url), schema_of(url))
        return []


def examine(url: str) -> Sequence[Finding]:
    """What a person should know of the database: its settings, its disk, its clock."""
    with reaching(url):
        if dialect_of(url) == SQLITE:
            return sqlite.examine(sqlite_path(url))
        from fhir_server.store.upkeep import postgresql

        return postgresql.examine(url)


def demand_schema(url: str) -> None:
    """Raises SchemaUnknown unless the database has the schema this program knows."""
    with reaching(url):
        check(shown(url), schema_of(url))


def backup(url: str, file: Path) -> None:
    """Copy the database as it is at one moment, while it is in use. Never half a file."""
    with reaching(url):
        check(shown(url), schema_of(url))
        if dialect_of(url) == SQLITE:
            sqlite_care.backup(sqlite_path(url), file)
        else:
            from fhir_server.store.upkeep import archive

            archive.backup(url, file)


def restore(url: str, file: Path, *, replace: bool = False) -> None:
    """Put a backup in its place, and begin a new epoch for those who follow the changes."""
    if not file.is_file():
        raise BadBackup(f"There is no file `{file}`.")
    with reaching(url):
        wiping.demand_none(url)
        if dialect_of(url) == SQLITE:
            refuse_other(file)
            path = sqlite_path(url)
            if path.exists() and not replace:
                raise FileExistsError(f"`{path}` is there already. Say `--replace` to replace it.")
            sqlite_care.restore(file, path, replace=replace)
        else:
            from fhir_server.store.upkeep import archive

            archive.restore(url, file, replace=replace)


def verify(url: str) -> list[str]:
    """What is wrong with a database: every version is read, and its name computed again."""
    with reaching(url):
        if dialect_of(url) == SQLITE:
            return sqlite_care.verify(sqlite_path(url))
        from fhir_server.store.upkeep import postgresql

        return postgresql.verify(url)


def reindex(
    url: str, index: Index, stamp: Stamp, progress: Progress, numbers: Sequence[int] = ()
) -> Reindexed:
    """Make every row of the index anew, by the rules of this stamp, while no server writes.

    numbers: of the parameters beside R4's own that `index` makes rows of.
    """
    from fhir_server.store.upkeep import rebuilding

    with reaching(url):
        check(shown(url), schema_of(url))
        return rebuilding.reindex(url, index, stamp, progress, numbers)


def parameters(url: str) -> Parameterised:
    """The parameters beside R4's own."""
    with reaching(url):
        check(shown(url), schema_of(url))
        if dialect_of(url) == SQLITE:
            with closing(connect(sqlite_path(url), READER)) as file:
                return read(file.execute(ALL).fetchall())
        from fhir_server.store.upkeep import postgresql

        with postgresql.connect(url) as connection:
            return read(connection.execute(ALL.encode()).fetchall())


def indexed(url: str, stamp: Stamp) -> Finding:
    """Whether the index was made by these rules."""
    with reaching(url):
        if schema_of(url) != SCHEMA:
            return Finding("index", "there is none yet", Grade.NOTE, "Run `fhir-server migrate`.")
        if dialect_of(url) == SQLITE:
            kept, filled = sqlite_stamp.look(sqlite_path(url))
        else:
            from fhir_server.store.upkeep import postgresql

            kept, filled = postgresql.stamp(url)
    told = difference(stamp, kept) if filled else None
    if told is not None:
        return Finding("index", told, Grade.UNSAFE, REMEDY)
    return Finding("index", "made by this program's rules" if filled else "empty")


def refuse_other(file: Path) -> None:
    """Raise BadBackup for a file that cannot be one of SQLite's."""
    from fhir_server.store.upkeep import archive

    with file.open("rb") as opened:
        head = opened.read(len(archive.MAGIC))
    if head == archive.MAGIC:
        raise BadBackup(
            f"`{file}` is a backup of a PostgreSQL database: restore it to one, by"
            " `--database-url postgresql://...`."
        )
    if not head.startswith(b"SQLite format 3\0"):
        raise BadBackup(f"`{file}` is not a backup.")


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn what drivers raise into a sentence."""
    try:
        yield
    except DatabaseInUse as error:
        raise Unreachable(str(error)) from error
    except OSError as error:
        if isinstance(error, FileExistsError) and error.errno is None:
            raise  # our own: what is there is left as it is, and its sentence says so
        told = (
            f"`{error.filename}` cannot be used" if error.filename else "The disk does not answer"
        )
        raise Unreachable(f"{told}: {error.strerror or error}.") from error
    except Exception as error:
        cause = getattr(error, "orig", None) or error  # SQLAlchemy's wrap the driver's
        if not isinstance(cause, drivers_errors()):
            raise
        told = str(cause).strip() or type(cause).__name__
        raise Unreachable(
            f"The database `{shown(url)}` cannot be used: {told.splitlines()[0]}. "
            "Is it running, and is `FHIR_DATABASE_URL` right?"
        ) from error


def drivers_errors() -> tuple[type[Exception], ...]:
    """Of the drivers that are loaded: another has raised nothing."""
    if "psycopg" not in sys.modules:
        return (sqlite3.Error,)
    import psycopg

    return (sqlite3.Error, psycopg.Error)
