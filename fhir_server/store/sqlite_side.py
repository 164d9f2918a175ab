"""sqlite_side — reading the tables beside the versions in a database that is one file.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fhir_server.store import side
from fhir_server.store.contract.side import PRIMARY, Table, Values
from fhir_server.store.dialect import SQLITE
from fhir_server.store.sqlite_connection import Reader
from fhir_server.store.sqlite_parameters import Ask

R = TypeVar("R", bound=tuple[Any, ...])
AT_ONCE = 500  # keys looked up by one statement


class SqliteSide:
    """Implements contract.side.SideTables."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def rows(self, table: Table[R], keys: Sequence[Values]) -> dict[Values, R]:
        return side.by_key(table, await self._ask(lambda reader: _rows(reader, table, keys)))

    async def range(
        self,
        table: Table[R],
        index: str = PRIMARY,
        *,
        prefix: Values = (),
        beyond: Values | None = None,
        limit: int,
    ) -> list[R]:
        asked = side.range_sql(table, index, prefix, beyond, limit, SQLITE)
        found = await self._ask(lambda reader: reader.rows(asked.text, asked.values))
        return [side.row_of(table, row) for row in found]

    async def ranges(
        self, table: Table[R], index: str, prefixes: Sequence[Values], *, limit: int
    ) -> list[R]:
        asked = [
            side.range_sql(table, index, prefix, None, limit, SQLITE)
            for prefix in dict.fromkeys(prefixes)
        ]
        found = await self._ask(
            lambda reader: [row for one in asked for row in reader.rows(one.text, one.values)]
        )
        return [side.row_of(table, row) for row in found]

    async def count(self, table: Table[Any], prefix: Values = (), index: str = PRIMARY) -> int:
        asked = side.count_sql(table, prefix, index, SQLITE)
        return int((await self._ask(lambda reader: reader.rows(asked.text, asked.values)))[0][0])

    async def octets(
        self, table: Table[Any], columns: Sequence[str], prefix: Values = (), index: str = PRIMARY
    ) -> int:
        asked = side.octets_sql(table, columns, prefix, index, SQLITE)
        return int((await self._ask(lambda reader: reader.rows(asked.text, asked.values)))[0][0])


def _rows(reader: Reader, table: Table[Any], keys: Sequence[Values]) -> list[Sequence[Any]]:
    found: list[Sequence[Any]] = []
    named = table.key
    on = " AND ".join(f"t.{name} = k.{name}" for name in named)
    one = f"({','.join('?' * len(named))})"
    unique = list(dict.fromkeys(keys))
    for start in range(0, len(unique), AT_ONCE):
        some = unique[start : start + AT_ONCE]
        text = (
            f"WITH k({', '.join(named)}) AS (VALUES {','.join([one] * len(some))})"
            f" SELECT {side.columns(table)} FROM k CROSS JOIN {table.name} t ON {on}"
        )
        found += reader.rows(text, [value for key in some for value in key])
    return found
