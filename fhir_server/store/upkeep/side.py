"""side — the tables of sync, for a command beside a server that is running.

https://hl7.org/fhir/R4/http.html#transaction

Only what is written by itself is written from here, and read by the server each time anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fhir_server.store import side
from fhir_server.store.asking import Asking
from fhir_server.store.contract.side import PRIMARY, Table, Values
from fhir_server.store.schema import SQLITE as FILE
from fhir_server.store.schema import dialect_of, sqlite_path
from fhir_server.store.select import Rendered
from fhir_server.store.sqlite_connection import DatabaseInUse, acquire
from fhir_server.store.upkeep.access import dialect_at, done

R = TypeVar("R", bound=tuple[Any, ...])
Rows = Sequence[Sequence[Any]]


class Beside:
    """Implements contract.side.SideTables; and writes one row at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._dialect = dialect_at(url)

    async def rows(self, table: Table[R], keys: Sequence[Values]) -> dict[Values, R]:
        found: list[R] = []
        for key in dict.fromkeys(keys):
            found += await self.range(table, prefix=key, limit=1)
        return side.by_key(table, found)

    async def range(
        self,
        table: Table[R],
        index: str = PRIMARY,
        *,
        prefix: Values = (),
        beyond: Values | None = None,
        limit: int,
    ) -> list[R]:
        asked = side.range_sql(table, index, prefix, beyond, limit, self._dialect)
        return [side.row_of(table, row) for row in done(self._url, _asked(asked))]

    async def ranges(
        self, table: Table[R], index: str, prefixes: Sequence[Values], *, limit: int
    ) -> list[R]:
        asked = dict.fromkeys(prefixes)
        found = [await self.range(table, index, prefix=one, limit=limit) for one in asked]
        return [row for some in found for row in some]

    async def count(self, table: Table[Any], prefix: Values = (), index: str = PRIMARY) -> int:
        asked = side.count_sql(table, prefix, index, self._dialect)
        return int(done(self._url, _asked(asked))[0][0])

    async def octets(
        self, table: Table[Any], columns: Sequence[str], prefix: Values = (), index: str = PRIMARY
    ) -> int:
        asked = side.octets_sql(table, columns, prefix, index, self._dialect)
        return int(done(self._url, _asked(asked))[0][0])

    def put(self, table: Table[R], row: R) -> None:
        """A row to be there, in the place of the one with its key."""
        mark, named = self._dialect.mark, ", ".join(table.columns)
        marks = ", ".join([mark] * len(table.columns))
        instead = ", ".join(f"{one} = excluded.{one}" for one in table.columns[table.keyed :])
        text = (
            f"insert into {table.name} ({named}) values ({marks})"
            f" on conflict ({', '.join(table.key)}) do update set {instead}"
        )
        done(self._url, _asked(Rendered(text, tuple(row))))

    def drop(self, table: Table[Any], key: Values) -> None:
        """A row to be gone."""
        where = " and ".join(f"{one} = {self._dialect.mark}" for one in table.key)
        done(self._url, _asked(Rendered(f"delete from {table.name} where {where}", key)))


def has_one_writer(url: str) -> bool:
    """Whether a server has such a database for itself."""
    return dialect_of(url) == FILE


def is_held(url: str) -> bool:
    """Whether a server has the database for itself now."""
    if not has_one_writer(url):
        return False
    try:
        acquire(sqlite_path(url)).close()
    except DatabaseInUse:
        return True
    return False


def _asked(asked: Rendered) -> Asking[Rows]:
    return (yield asked)
