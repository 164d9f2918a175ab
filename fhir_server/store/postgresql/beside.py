"""beside — what a unit writes beside the version that stands for each resource, as columns.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fhir_server.store import side
from fhir_server.store.codec import Codec
from fhir_server.store.contract import NewVersion, Unit, rid
from fhir_server.store.contract.log import Mark
from fhir_server.store.contract.version import numbers_of
from fhir_server.store.descent import lineage_rows, owners_changed
from fhir_server.store.dialect import Bigints
from fhir_server.store.postgresql.side import arrays
from fhir_server.store.postgresql.statement import BARE, Parts
from fhir_server.store.postgresql.values import Bodies
from fhir_server.store.row import halves, packed_id
from fhir_server.store.types import METHOD_NUMBERS, NUMBERS


class Beside(NamedTuple):
    """Which parts the statement has for it, and their values: of the checks, and at the end."""

    parts: Parts = BARE
    expected: Sequence[Any] = ()
    values: Sequence[Any] = ()


NOTHING = Beside()


def beside(unit: Unit, codec: Codec, updated: int) -> Beside:
    rows, lineage, marks = _earlier(unit.versions, codec), _lineage(unit.versions), _marks(unit)
    final = side.final(unit)
    if not (rows or lineage or marks or final or unit.expects):
        return NOTHING
    put = {t: [row for row in some.values() if row is not None] for t, some in final.items()}
    gone = {t: [key for key, row in some.items() if row is None] for t, some in final.items()}
    put = {table: some for table, some in put.items() if some}
    gone = {table: some for table, some in gone.items() if some}
    values = [updated, *rows] if rows else []
    values += [*lineage, *marks]
    values += [column for table, some in put.items() for column in arrays(table, some)]
    for table, keys in gone.items():
        values += arrays(table, keys, table.keyed)
    return Beside(
        Parts(
            earlier=bool(rows),
            lineage=bool(lineage),
            marks=bool(marks),
            expects=tuple((one.table, one.row is not None) for one in unit.expects),
            put=tuple(put),
            dropped=tuple(gone),
        ),
        [value for one in unit.expects for value in (one.row or one.key)],
        values,
    )


def _earlier(new: Sequence[NewVersion], codec: Codec) -> list[Any]:
    """The rows that come before those of the versions, as columns."""
    told: list[tuple[Any, ...]] = []
    for own, version in zip(numbers_of(new), new, strict=True):
        for number, row in enumerate(version.earlier, start=own - len(version.earlier)):
            dictionary, body = (0, None) if row.tail is None else codec.pack(row.tail)
            named = (rid(version.key), number, *halves(row.digest), row.generation)
            kept = (NUMBERS[version.key.type], dictionary, METHOD_NUMBERS[row.method])
            told.append((*named, *kept, packed_id(version.key.id), body))
    return _columns(told, (*[Bigints] * 8, Bodies, Bodies))


def _lineage(new: Sequence[NewVersion]) -> list[Any]:
    told = [row for version in new for row in lineage_rows(version)]
    return _columns(told, (*[Bigints] * 4, Bodies))


def _marks(unit: Unit) -> list[Any]:
    """The number of each in the commit, and what it says."""
    numbers = unit.numbers
    told = owners_changed(unit.versions, numbers)
    told += enumerate(unit.marks, start=numbers[-1] + 1 if numbers else 0)
    return _columns([(n, *_ordered(mark)) for n, mark in told], (*[Bigints] * 4, Bodies))


def _ordered(mark: Mark) -> tuple[int, int, int, bytes]:
    return mark.rid, mark.kind, mark.whom, mark.body


def _columns(told: Iterable[Sequence[Any]], kinds: Sequence[type[tuple[Any, ...]]]) -> list[Any]:
    """None where there are no rows."""
    columns = list(zip(*told, strict=True))
    return [kind(column) for kind, column in zip(kinds, columns, strict=True)] if columns else []
