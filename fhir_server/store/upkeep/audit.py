"""audit — all that was written down of every access, read by a command at one moment; and what a
command writes down itself.

https://hl7.org/fhir/R4/security.html#audit
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from fhir_server.foundation.resource import Key
from fhir_server.store import audit
from fhir_server.store.audit import COLUMNS, ENTRY, SUBJECT, Lane
from fhir_server.store.contract.audit import Before, Entered, Entry, Head, Sought
from fhir_server.store.dialect import POSTGRESQL, SQLITE, Dialect
from fhir_server.store.row import id_of
from fhir_server.store.schema import SQLITE as FILE
from fhir_server.store.schema import dialect_of, sqlite_path
from fhir_server.store.sqlite_connection import READER, WRITER, connect
from fhir_server.store.sqlite_late import late, place
from fhir_server.store.types import NAMES
from fhir_server.store.upkeep import postgresql

AT_ONCE = 5000  # entries
ROWS = 1000  # of the audit, each of which may hold many entries
END = (1 << 63, 0)
BEFORE = 2  # bits: a command's chain comes before every server's, and its entries are found by at
# once: what a server's are found by is written late, in the order of chains (see sqlite_late)
Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

NEXT = (
    f"select {COLUMNS} from audit a where (a.chain, a.number) > ({{0}}, {{0}})"
    f" order by a.chain, a.number limit {ROWS}"
)
COUNT = "select count(*) from audit_subject"
# Their planners would rather read the whole table than look for some thousands.
THERE = {
    SQLITE.mark: "select count(*) from json_each(?) j cross join audit_subject s where "
    + " and ".join(
        f"s.{name} = json_extract(j.value, '$[{place}]')" for place, name in enumerate(SUBJECT)
    ),
    POSTGRESQL.mark: "select count(*) from unnest(%s::bigint[], %s::bigint[], %s::bigint[],"
    f" %s::bigint[]) j({', '.join(SUBJECT)}) join audit_subject s using ({', '.join(SUBJECT)})",
}
MANY = {
    SQLITE.mark: "in (select value from json_each(?))",
    POSTGRESQL.mark: "= any(%s::bigint[])",
}
BY_INDEX = "set local enable_hashjoin = off; set local enable_mergejoin = off"
SNAPSHOT = "set transaction isolation level repeatable read, read only"


def begun(url: str) -> bool:
    """Whether anything was ever written down in this database."""
    asked = "select 1 from audit limit 1"
    if dialect_of(url) == FILE:
        with closing(connect(sqlite_path(url), READER)) as file:
            return file.execute(asked).fetchone() is not None
    with postgresql.connect(url) as connection:
        return connection.execute(asked.encode()).fetchone() is not None


def write(url: str, entries: Sequence[Entry]) -> Head:
    """Write them down as a chain of their own, beside a server that writes its own; its end."""
    rows, lane = Lane(Lane.begun().chain >> BEFORE).onward(entries)
    tables = (("audit", ENTRY, rows.entries), ("audit_subject", SUBJECT, rows.subjects))
    if dialect_of(url) == FILE:
        with closing(connect(sqlite_path(url), WRITER)) as file:
            file.execute("BEGIN IMMEDIATE")
            for table, columns, those in tables:
                file.executemany(insert(table, columns, SQLITE), those)
            file.execute("COMMIT")
    else:
        with (
            postgresql.connect(url) as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            for table, columns, those in tables:
                cursor.executemany(insert(table, columns, POSTGRESQL).encode(), those)
    return lane.head(ended=True)


def insert(table: str, columns: Sequence[str], dialect: Dialect) -> str:
    marks = ", ".join([dialect.mark] * len(columns))
    return f"insert into {table} ({', '.join(columns)}) values ({marks})"


class Trail:
    """The audit of a database, as it is at one moment."""

    def __init__(self, ask: Ask, dialect: Dialect) -> None:
        self._ask = ask
        self._dialect = dialect

    def parts(self) -> Iterator[Sequence[Entered]]:
        """Every row, by chain and number, many at a time."""
        last = (0, 0)
        asked = NEXT.format(self._dialect.mark)
        while part := [audit.entered(row) for row in self._ask(asked, last)]:
            yield part
            last = part[-1][:2]

    def there(self, pointers: Sequence[tuple[int, int, int, int]]) -> int:
        """How many of these there are."""
        columns = list(map(list, zip(*pointers, strict=True)))
        values = columns if self._dialect.postgresql else [json.dumps(pointers)]
        return int(self._ask(THERE[self._dialect.mark], values)[0][0])

    def place(self) -> tuple[int, int]:
        """The chain and the number up to which entries are to be found by whom they are about."""
        return END if self._dialect.postgresql else place(self._ask)

    def pointers(self) -> int:
        return int(self._ask(COUNT, ())[0][0])

    def found(self, sought: Sought) -> Iterator[Entered]:
        """All entries that are sought, however many: the late ones, then the newest first."""
        waiting: list[Entered] = []
        if sought.subjects and not self._dialect.postgresql:
            waiting = late(self._ask, sought)
        yield from waiting
        met = {one[:2] for one in waiting}
        sought = replace(sought, limit=ROWS)
        while True:
            asked = audit.sought_sql(sought, self._dialect)
            rows = [audit.entered(row) for row in self._ask(*asked)]
            found = audit.told(rows, sought.subjects)
            yield from (one for one in found if one[:2] not in met) if met else found
            if len(rows) < ROWS:
                return
            last = rows[-1]
            sought = replace(sought, before=Before(last.at, last.chain, last.number))

    def names(self, rids: Sequence[int]) -> dict[int, Key]:
        """The names behind the numbers of resources."""
        found: dict[int, Key] = {}
        which = MANY[self._dialect.mark]
        for start in range(0, len(rids), AT_ONCE):
            some = list(rids[start : start + AT_ONCE])
            value = some if self._dialect.postgresql else json.dumps(some)
            rows = self._ask(audit.names_sql(which), [value])
            found |= {rid: Key(NAMES[type - 1], id_of(bytes(id))) for rid, type, id in rows}
        return found


@contextmanager
def trail(url: str) -> Iterator[Trail]:
    """Beside a server that is running, too."""
    if dialect_of(url) == FILE:
        with closing(connect(sqlite_path(url), READER)) as file:
            file.execute("BEGIN")
            yield Trail(lambda text, values: file.execute(text, values).fetchall(), SQLITE)
        return
    with postgresql.connect(url) as connection, connection.transaction():
        connection.execute(SNAPSHOT)
        connection.execute(BY_INDEX)
        yield Trail(
            lambda text, values: connection.execute(text.encode(), values).fetchall(), POSTGRESQL
        )
