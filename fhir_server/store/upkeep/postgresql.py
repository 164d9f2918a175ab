"""postgresql — what a person should know of a database server, and whether its versions are whole.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import Codec, Damaged, digest_of, resource_of
from fhir_server.store.contract import Stored
from fhir_server.store.contract.version import LEFT
from fhir_server.store.dialect import POSTGRESQL
from fhir_server.store.migrate import schema_of
from fhir_server.store.postgresql.stamp import FILLED, KEPT
from fhir_server.store.row import id_of, revs_of, stored
from fhir_server.store.schema import SCHEMA
from fhir_server.store.upkeep.findings import Finding, Grade, clock, compare, shown

Row = tuple[Any, ...]
Connection = psycopg.Connection[Row]

OLDEST, NEWEST = 14, 18
AT_ONCE = 500  # rows a cursor brings at once
LATELY = 15.0  # seconds a connection may take
NAME = "fhir-server upkeep"

# Each: the setting, what is good, why the others are not, and what to do.
SETTINGS = (
    (
        "fsync",
        ("on",),
        "a power cut damages the whole database",
        "Set `fsync = on` and restart it.",
    ),
    (
        "full_page_writes",
        ("on",),
        "a power cut may leave half a page",
        "Set `full_page_writes = on`.",
    ),
    (
        "synchronous_commit",
        ("on", "remote_apply", "remote_write"),
        "a power cut loses what was acknowledged (the server's own writes ask for `on`)",
        "Set `synchronous_commit = on`.",
    ),
    ("autovacuum", ("on",), "tables grow and plans go wrong", "Set `autovacuum = on`."),
    ("server_encoding", ("UTF8",), "names lose letters", "Make the database with encoding UTF8."),
)


def connect(url: str) -> Connection:
    """A connection for upkeep: no time limit on a statement, but one on connecting."""
    connection: Connection = psycopg.connect(
        url.replace("+psycopg", "", 1),
        autocommit=True,
        connect_timeout=int(LATELY),
        application_name=NAME,
    )
    connection.execute("SET statement_timeout = 0")
    connection.execute("SET idle_in_transaction_session_timeout = 0")
    return connection


def examine(url: str) -> list[Finding]:
    """Findings on the server's settings, its version, its clock and its room."""
    schema = schema_of(url)
    with connect(url) as connection:
        (size,) = one(connection, "SELECT pg_database_size(current_database())")
        known = Finding("database", f"`{shown(url)}`, schema {schema}, {size:,} bytes")
        if schema != SCHEMA:
            told = f"`{shown(url)}` " + (f"has schema {schema}" if schema else "is empty")
            advice = "Run `fhir-server migrate`."
            known = Finding("database", told, Grade.UNSAFE if schema else Grade.NOTE, advice)
        (now,) = one(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
        return [
            known,
            release(connection),
            *(
                compare(name, setting(connection, name), good=good, why=why, advice=advice)
                for name, good, why, advice in SETTINGS
            ),
            room(connection),
            role(connection),
            clock(now),
        ]


def stamp(url: str) -> tuple[str | None, bool]:
    """The stamp of the index that is kept, and whether the database holds anything."""
    with connect(url) as connection:
        row = connection.execute(KEPT).fetchone()
        (filled,) = one(connection, FILLED.decode())
        return None if row is None else str(row[0]), bool(filled)


def one(connection: Connection, asked: str) -> Row:
    row = connection.execute(asked.encode()).fetchone()
    assert row is not None
    return row


def setting(connection: Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def release(connection: Connection) -> Finding:
    number = connection.info.server_version
    told = setting(connection, "server_version")
    if OLDEST <= number // 10_000 <= NEWEST:
        return Finding("PostgreSQL", told)
    grade = Grade.UNSAFE if number // 10_000 < OLDEST else Grade.NOTE
    advice = f"This program is tested with PostgreSQL {OLDEST} to {NEWEST}."
    return Finding("PostgreSQL", told, grade, advice)


def room(connection: Connection) -> Finding:
    """Whether there are connections for the workers' pools."""
    most = int(setting(connection, "max_connections"))
    (used,) = one(connection, "SELECT count(*) FROM pg_stat_activity WHERE datname IS NOT NULL")
    told = f"{used} of {most} are used"
    if most - used >= 20:
        return Finding("connections", told)
    advice = "Raise `max_connections`, or lower FHIR_POOL_SIZE (workers hold twice as many each)."
    return Finding("connections", told, Grade.NOTE, advice)


def role(connection: Connection) -> Finding:
    name, super = one(
        connection, "SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    if not super:
        return Finding("role", f"`{name}`, not a superuser")
    advice = "Give the server a role of its own, which owns its database and nothing else."
    return Finding("role", f"`{name}` is a superuser", Grade.NOTE, advice)


# --- verification --------------------------------------------------------------------------------


def verify(url: str) -> list[str]:
    """What is wrong with a database: nothing, where the list is empty."""
    with connect(url) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        kept = connection.execute("SELECT id, body FROM dictionary").fetchall()
        codec = Codec({number: bytes(body) for number, body in kept})
        return [*wrong_versions(connection, codec), *wrong_pointers(connection)]


def wrong_versions(connection: Connection, codec: Codec) -> Iterator[str]:
    """Each version's name is computed again from its content and the version it follows."""
    descent = Descent()
    with connection.cursor("versions", binary=True) as cursor:
        cursor.itersize = AT_ONCE
        cursor.execute(
            f"SELECT {POSTGRESQL.columns}, l.parents FROM version v LEFT JOIN lineage l"
            " ON l.rid = v.rid AND l.generation = v.generation AND l.digest_hi = v.digest_hi"
            " AND l.digest_lo = v.digest_lo ORDER BY v.rid, v.seq, v.num".encode()
        )
        for row in cursor:
            try:
                version = stored(row, codec)
                told = None if row[12] is None else revs_of(bytes(row[12]))
                good = version.method == LEFT or version.digest == digest(
                    version, descent.parents(version, told)
                )
            except (Damaged, ValueError, msgspec.MsgspecError) as error:
                yield f"the version at {row[1]}.{row[2]} of `{id_of(row[10])}` is damaged: {error}"
                continue
            if not good:
                yield f"`{version.key}` {version.version_id} is not what its version id says"
            descent.passed(version)


@dataclass(slots=True)
class Descent:
    """Who follows whom among the versions of one resource, which come in their order."""

    key: Key | None = None
    before: tuple[str, ...] = ()
    seen: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def parents(self, version: Stored, told: tuple[str, ...] | None) -> tuple[str, ...]:
        """Those of its first row, where it is told again."""
        if version.key != self.key:
            self.key, self.before, self.seen = version.key, (), {}
        found = self.before if told is None else told
        return self.seen.setdefault(version.version_id, found)

    def passed(self, version: Stored) -> None:
        self.before = (version.version_id,)


def digest(version: Stored, parents: Sequence[str]) -> bytes:
    return digest_of(
        *version.key,
        parents,
        deleted=version.deleted,
        resource=None if version.deleted else resource_of(version),
    )


POINTERS = (
    (
        "resources do not point at their newest version",
        "SELECT count(*) FROM current c WHERE NOT EXISTS (SELECT 1 FROM version v"
        " WHERE v.rid = c.rid AND v.seq = c.seq AND v.num = c.num"
        " AND (v.body IS NULL) = c.deleted) OR EXISTS (SELECT 1 FROM version n"
        " WHERE n.rid = c.rid AND (n.seq, n.num) > (c.seq, c.num))",
    ),
    (
        "versions belong to no resource",
        "SELECT count(*) FROM version v"
        " WHERE NOT EXISTS (SELECT 1 FROM current c WHERE c.rid = v.rid)",
    ),
)


def wrong_pointers(connection: Connection) -> Iterator[str]:
    for told, asked in POINTERS:
        (wrong,) = one(connection, asked)
        if wrong:
            yield f"{wrong} {told}"
