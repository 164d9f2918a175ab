"""audit — all that was written down of every access, read by a command at one moment.

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
from fhir_server.store.audit import COLUMNS, SUBJECT
from fhir_server.store.contract.audit import Before, Entered, Sought
from fhir_server.store.dialect import POSTGRESQL, SQLITE, Dialect
from fhir_server.store.row import id_of
from fhir_server.store.schema import SQLITE as FILE
from fhir_server.store.schema import dialect_of, sqlite_path
from fhir_server.store.sqlite_connection import READER, connect
from fhir_server.store.types import NAMES
from fhir_server.store.upkeep import postgresql

AT_ONCE = 5000  # entries
Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

NEXT = (
    f"select {COLUMNS} from audit a where (a.chain, a.number) > ({{0}}, {{0}})"
    f" order by a.chain, a.number limit {AT_ONCE}"
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


class Trail:
    """The audit of a database, as it is at one moment."""

    def __init__(self, ask: Ask, dialect: Dialect) -> None:
        self._ask = ask
        self._dialect = dialect

    def parts(self) -> Iterator[Sequence[Entered]]:
        """Every entry, by chain and number, some thousands at a time."""
        place = (0, 0)
        asked = NEXT.format(self._dialect.mark)
        while part := [audit.entered(row) for row in self._ask(asked, place)]:
            yield part
            place = part[-1][:2]

    def there(self, pointers: Sequence[tuple[int, int, int, int]]) -> int:
        """How many of these there are."""
        columns = list(map(list, zip(*pointers, strict=True)))
        values = columns if self._dialect.postgresql else [json.dumps(pointers)]
        return int(self._ask(THERE[self._dialect.mark], values)[0][0])

    def pointers(self) -> int:
        return int(self._ask(COUNT, ())[0][0])

    def found(self, sought: Sought) -> Iterator[Entered]:
        """All entries that are sought, newest first, however many."""
        sought = replace(sought, limit=AT_ONCE)
        while True:
            text, values = audit.sought_sql(sought, self._dialect)
            part = [audit.entered(row) for row in self._ask(text, values)]
            yield from part
            if len(part) < AT_ONCE:
                return
            last = part[-1]
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
