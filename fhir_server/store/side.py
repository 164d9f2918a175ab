"""side — the tables beside the versions: questions to either database, and what a unit does.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from fhir_server.store.contract import Unit, hash128
from fhir_server.store.contract.side import HERE, MARK, Put, Table, Values
from fhir_server.store.dialect import Dialect
from fhir_server.store.select import Rendered

R = TypeVar("R", bound=tuple[Any, ...])
Final = dict[Values, tuple[Any, ...] | None]  # by key: the row that is there in the end, if any


def final(unit: Unit) -> dict[Table[Any], Final]:
    """What the unit leaves behind in each table."""
    found: dict[Table[Any], Final] = {}
    for side in unit.side:
        if side.table is MARK:
            raise ValueError("Marks are written by `Unit.marks`, which gives them their place.")
        rows = found.setdefault(side.table, {})
        if isinstance(side, Put):
            rows.update({row[: side.table.keyed]: row for row in side.rows})
            _demand_places(unit, side)
        else:
            rows.update(dict.fromkeys(side.keys))
    return found


def _demand_places(unit: Unit, put: Put[Any]) -> None:
    """A place that no row of the log has would be another's after the next start."""
    if "seq" not in put.table.columns:
        return
    rows = len(unit.marks) + sum(1 + len(new.earlier) for new in unit.versions)
    for row in put.rows:
        if row.seq == HERE and not 0 <= row.num < rows:
            raise ValueError(f"This commit has {rows} rows in the log, and none is {row.num}.")


def locks(unit: Unit) -> tuple[set[int], set[int]]:
    """The numbers that whoever puts or drops takes alone, and whoever expects may share."""
    alone = {
        _lock(table, key) for table, rows in final(unit).items() if table.guarded for key in rows
    }
    return alone, {_lock(expect.table, expect.key) for expect in unit.expects}


def _lock(table: Table[Any], key: Values) -> int:
    return hash128(f"{table.name} {key!r}") >> 65


# --- reading -------------------------------------------------------------------------------------


def columns(table: Table[Any]) -> str:
    return ", ".join(f"t.{name}" for name in table.columns)


def range_sql(
    table: Table[Any],
    index: str,
    prefix: Values,
    beyond: Values | None,
    limit: int,
    dialect: Dialect,
) -> Rendered:
    order = table.order(index)
    where, values = _prefixed(order, prefix, dialect)
    if beyond:
        after = order[len(prefix) : len(prefix) + len(beyond)]
        named, marks = ", ".join(f"t.{one}" for one in after), _marks(len(after), dialect)
        where += f" and ({named}) > ({marks})"
        values = (*values, *beyond)
    ordered = ", ".join(f"t.{one}" for one in order[len(prefix) :] or order)
    text = f"select {columns(table)} from {table.name} t where {where} order by {ordered}"
    return Rendered(f"{text} limit {limit:d}", values)


def count_sql(table: Table[Any], prefix: Values, index: str, dialect: Dialect) -> Rendered:
    where, values = _prefixed(table.order(index), prefix, dialect)
    return Rendered(f"select count(*) from {table.name} t where {where}", values)


def octets_sql(
    table: Table[Any], columns: Sequence[str], prefix: Values, index: str, dialect: Dialect
) -> Rendered:
    """The lengths are known without reading what is so long."""
    if any(dict(zip(table.columns, table.kinds, strict=True))[one] != "bytes" for one in columns):
        raise ValueError(f"Of `{table.name}` only columns of bytes are measured.")
    counted = count_sql(table, prefix, index, dialect)
    lengths = " + ".join(f"length(t.{one})" for one in columns)
    text = counted.text.replace("count(*)", f"coalesce(sum({lengths}), 0)", 1)
    return Rendered(text, counted.values)


def expected_sql(table: Table[Any], dialect: Dialect, *, there: bool) -> str:
    """Whether a row is there just so; or whether there is none of this key."""
    named = table.columns if there else table.key
    where = " and ".join(f"t.{name} = {dialect.mark}" for name in named)
    return f"{'' if there else 'not '}exists (select 1 from {table.name} t where {where})"


def row_of(table: Table[R], row: Sequence[Any]) -> R:
    return table.row(*(bytes(one) if isinstance(one, memoryview) else one for one in row))


def by_key(table: Table[R], rows: Sequence[Sequence[Any]]) -> dict[Values, R]:
    made = [row_of(table, row) for row in rows]
    return {tuple(row[: table.keyed]): row for row in made}


def _prefixed(order: Sequence[str], prefix: Values, dialect: Dialect) -> tuple[str, Values]:
    named = order[: len(prefix)]
    return " and ".join([f"t.{one} = {dialect.mark}" for one in named] or ["true"]), prefix


def _marks(number: int, dialect: Dialect) -> str:
    return ", ".join([dialect.mark] * number)
