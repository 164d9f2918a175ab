"""access — the clients of a database, for a command beside a server that is running.

https://hl7.org/fhir/R4/security.html#authentication

No lock is needed: the one writer of a file waits for these few rows as for any other writer, and
what it keeps in its memory is not about them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from fhir_server.store import access
from fhir_server.store.asking import Asking, answered
from fhir_server.store.contract.access import Issued, Registered
from fhir_server.store.dialect import POSTGRESQL, SQLITE, Dialect
from fhir_server.store.schema import SQLITE as FILE
from fhir_server.store.schema import dialect_of, sqlite_path
from fhir_server.store.select import Rendered
from fhir_server.store.sqlite_connection import WRITER, connect
from fhir_server.store.sqlite_parameters import rows

if TYPE_CHECKING:
    from fhir_server.store.upkeep.postgresql import Connection, Row

T = TypeVar("T")


def clients(url: str) -> Sequence[Registered]:
    """All of them, by id."""
    return [access.registered(row) for row in done(url, _all())]


def client(url: str, id: str) -> Registered | None:
    found = done(url, _one(access.ONE, (id,), dialect_at(url)))
    return access.registered(found[0]) if found else None


def register(url: str, new: Registered, *, replaces: int = 0) -> bool:
    """See AccessTable.register."""
    return done(url, access.register(new, replaces, dialect_at(url)))


def issue(url: str, new: Issued) -> bool:
    """See AccessTable.issue."""
    return done(url, access.issue(new, None, dialect_at(url)))


def withdraw(url: str, client: str) -> int:
    """See AccessTable.withdraw."""
    return len(done(url, _one(access.WITHDRAW, (client,), dialect_at(url))))


def of_client(url: str, client: str, kind: str) -> Sequence[Issued]:
    """The client's tokens of a kind, the oldest first."""
    found = done(url, _one(access.OF_CLIENT, (client, kind), dialect_at(url)))
    return [access.issued(row) for row in found]


def take(url: str, digest: bytes, kind: str) -> bool:
    """Whether there was such a token; it is gone now."""
    return bool(done(url, _one(access.TAKE, (digest, kind), dialect_at(url))))


def dialect_at(url: str) -> Dialect:
    return SQLITE if dialect_of(url) == FILE else POSTGRESQL


def _all() -> Asking[Sequence[Sequence[object]]]:
    return (yield Rendered(access.CLIENTS, ()))


def _one(
    text: str, values: tuple[object, ...], dialect: Dialect
) -> Asking[Sequence[Sequence[object]]]:
    return (yield access.asked(text, values, dialect))


def done(url: str, asking: Asking[T]) -> T:
    """All of it in one transaction."""
    if dialect_of(url) != FILE:
        from fhir_server.store.upkeep import postgresql

        with postgresql.connect(url) as connection, connection.transaction():
            return answered(asking, partial(_rows, connection))
    with closing(connect(sqlite_path(url), WRITER)) as file:
        file.execute("BEGIN IMMEDIATE")
        try:
            told = answered(asking, partial(rows, file))
        except sqlite3.Error:
            file.execute("ROLLBACK")
            raise
        file.execute("COMMIT")
    return told


def _rows(connection: Connection, asked: Rendered) -> list[Row]:
    cursor = connection.execute(asked.text.encode(), asked.values)
    return cursor.fetchall() if cursor.description else []
