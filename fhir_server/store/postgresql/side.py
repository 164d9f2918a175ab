"""side — the tables beside the versions in a database that many processes share.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from fhir_server.store import side
from fhir_server.store.contract.side import HERE, PRIMARY, Table, Values
from fhir_server.store.dialect import POSTGRESQL, Bigints
from fhir_server.store.postgresql.connection import Pool, rows
from fhir_server.store.postgresql.values import Bodies, Texts

R = TypeVar("R", bound=tuple[Any, ...])
ARRAYS: dict[str, type[tuple[Any, ...]]] = {"int": Bigints, "str": Texts, "bytes": Bodies}


def arrays(table: Table[Any], many: Iterable[Sequence[Any]], width: int | None = None) -> list[Any]:
    """The first columns of rows, to be bound."""
    kinds = table.kinds[:width]
    columns = list(zip(*many, strict=True)) or [()] * len(kinds)
    return [ARRAYS[kind](column) for kind, column in zip(kinds, columns, strict=True)]


# --- parts of the statement that writes a unit (see statement) -----------------------------------


def put(table: Table[Any]) -> str:
    named = ", ".join(table.columns)
    here = f"case a.seq when {HERE} then s.seq else a.seq end"
    told = ", ".join(here if name == "seq" else f"a.{name}" for name in table.columns)
    rest = table.columns[table.keyed :]
    instead = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"{table.name}_put as (insert into {table.name} ({named}) select {told} from s,"
        f" unnest({_marks(len(table.columns))}) a({named}) on conflict ({', '.join(table.key)})"
        f" do {f'update set {instead}' if rest else 'nothing'})"
    )


def drop(table: Table[Any]) -> str:
    named = ", ".join(table.key)
    same = " and ".join(f"t.{name} = d.{name}" for name in table.key)
    return (
        f"{table.name}_dropped as (delete from {table.name} t using s,"
        f" unnest({_marks(table.keyed)}) d({named}) where {same})"
    )


def _marks(number: int) -> str:
    return ", ".join(["%s"] * number)


# --- reading -------------------------------------------------------------------------------------


class PostgresqlSide:
    """Implements contract.side.SideTables."""

    def __init__(self, readers: Pool) -> None:
        self._readers = readers

    async def rows(self, table: Table[R], keys: Sequence[Values]) -> dict[Values, R]:
        named = ", ".join(table.key)
        same = " and ".join(f"t.{name} = k.{name}" for name in table.key)
        text = (
            f"select {side.columns(table)} from unnest({_marks(table.keyed)}) k({named})"
            f" cross join lateral (select * from {table.name} t where {same} offset 0) t"
        )
        values = arrays(table, dict.fromkeys(keys), table.keyed)
        return side.by_key(table, await rows(self._readers, text, values))

    async def range(
        self,
        table: Table[R],
        index: str = PRIMARY,
        *,
        prefix: Values = (),
        beyond: Values | None = None,
        limit: int,
    ) -> list[R]:
        asked = side.range_sql(table, index, prefix, beyond, limit, POSTGRESQL)
        found = await rows(self._readers, asked.text, asked.values, prepare=False)
        return [side.row_of(table, row) for row in found]

    async def ranges(
        self, table: Table[R], index: str, prefixes: Sequence[Values], *, limit: int
    ) -> list[R]:
        if not prefixes:
            return []
        order = table.order(index)
        named = order[: len(prefixes[0])]
        same = " and ".join(f"t.{name} = k.{name}" for name in named)
        rest = ", ".join(f"t.{name}" for name in order[len(named) :] or order)
        text = (
            f"select {side.columns(table)} from unnest({_marks(len(named))}) k({', '.join(named)})"
            f" cross join lateral (select * from {table.name} t where {same} order by {rest}"
            f" limit {limit:d}) t"
        )
        kinds = dict(zip(table.columns, table.kinds, strict=True))
        columns = zip(*dict.fromkeys(prefixes), strict=True)
        values = [ARRAYS[kinds[name]](one) for name, one in zip(named, columns, strict=True)]
        return [side.row_of(table, row) for row in await rows(self._readers, text, values)]

    async def count(self, table: Table[Any], prefix: Values = (), index: str = PRIMARY) -> int:
        asked = side.count_sql(table, prefix, index, POSTGRESQL)
        return int((await rows(self._readers, asked.text, asked.values))[0][0])

    async def octets(
        self, table: Table[Any], columns: Sequence[str], prefix: Values = (), index: str = PRIMARY
    ) -> int:
        asked = side.octets_sql(table, columns, prefix, index, POSTGRESQL)
        return int((await rows(self._readers, asked.text, asked.values))[0][0])
