"""rows — a Unit as the columns of one statement: versions, and the true differences of index rows.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_server.store.codec import Codec
from fhir_server.store.condition import LONGEST, storable
from fhir_server.store.contract import IndexRows, NewVersion, rid
from fhir_server.store.contract.parameter import without
from fhir_server.store.contract.version import numbers_of
from fhir_server.store.descent import owner_of
from fhir_server.store.dialect import Bigints
from fhir_server.store.postgresql.values import Bodies, Doubles, Texts
from fhir_server.store.row import SHARED, bits, halves, moves, packed_id
from fhir_server.store.types import METHOD_NUMBERS, NUMBERS

ABSENT = -1  # the seq and num of what has no version yet

# What each column of a row is bound as; the column named `rid` comes where the table has it.
COLUMNS: dict[str, tuple[type, ...]] = {
    "index_key": (Bigints, Bigints, Bigints, Bigints),
    "index_string": (Bigints, Texts, Bigints, Bigints),
    "index_date": (Bigints, Bigints, Bigints, Bigints),
    "index_quantity": (Bigints, Bigints, Doubles, Doubles, Bigints),
    "moved": (Bigints, Bigints),
    "uri": (Bigints, Texts, Bigints, Bigints),
}
Rows = list[tuple[Any, ...]]


def versions(new: Sequence[NewVersion], codec: Codec) -> tuple[Any, ...]:
    """The columns of `n` (see statement.py)."""
    rows = [
        _version(number, version, codec)
        for number, version in zip(numbers_of(new), new, strict=True)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * 17
    numbers = [Bigints(column) for column in columns[:15]]
    return (*numbers, Bodies(columns[15]), Bodies(columns[16]))


def _version(number: int, new: NewVersion, codec: Codec) -> tuple[Any, ...]:
    dictionary, body = (0, None) if new.tail is None else codec.pack(new.tail)
    before = new.follows.position if new.follows else (ABSENT, ABSENT)
    return (
        rid(new.key),
        number,
        *halves(new.digest),
        new.generation,
        NUMBERS[new.key.type],
        dictionary,
        METHOD_NUMBERS[new.method],
        owner_of(new),
        *new.rows.main,
        *before,
        bits(new.rows.keys),
        new.facility,
        packed_id(new.key.id),
        body,
    )


def cares(new: Sequence[NewVersion]) -> list[Bigints]:
    """What they say of care, as columns, and whose word on it is taken."""
    said = {rid(version.key): version.cares for version in new if version.cares is not None}
    rows = sorted({care for told in said.values() for care in told})
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return [*map(Bigints, columns), Bigints(said)]


def differences(new: Sequence[NewVersion]) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """The index rows to remove and to add, by table; tables without any are left out."""
    removed: dict[str, Rows] = {}
    added: dict[str, Rows] = {}
    for version in new:
        number = rid(version.key)
        if version.before is version.rows and not version.unsure:
            continue
        was, now = _by_table(version.before), _by_table(version.rows)
        there = _by_table(without(version.before, version.unsure)) if version.unsure else was
        for table in was:
            if table != SHARED and (gone := was[table] - now[table]):
                removed.setdefault(table, []).extend(_placed(table, gone, number))
            if come := now[table] - there[table]:
                added.setdefault(table, []).extend(_placed(table, come, number))
        if _has_moved(version):
            added.setdefault("moved", []).append((number, version.before.main[0]))
    return removed, added


def _has_moved(version: NewVersion) -> bool:
    alive = version.tail is not None and version.follows is not None and not version.follows.deleted
    return alive and moves(version.before, version.rows)


def _by_table(rows: IndexRows) -> dict[str, frozenset[tuple[Any, ...]]]:
    return {
        "index_key": _keys(rows),
        "index_string": _words(rows),
        "index_date": rows.dates,
        "index_quantity": rows.quantities,
        SHARED: frozenset(row for row in rows.uris if storable(row.uri)),
    }


def _keys(rows: IndexRows) -> frozenset[tuple[Any, ...]]:
    main = rows.main[0]
    return frozenset((key.v, main, key.w) for key in rows.keys if not key.dominant)


def _words(rows: IndexRows) -> frozenset[tuple[Any, ...]]:
    return frozenset(
        (row.param, row.word[:LONGEST], row.whole) for row in rows.strings if storable(row.word)
    )


def _placed(table: str, rows: Iterable[tuple[Any, ...]], number: int) -> Rows:
    """The rid stands before w in a key row, before `whole` in a string row, last in the others."""
    if table == SHARED:
        return list(rows)
    if table in ("index_key", "index_string"):
        return [(one, other, number, last) for one, other, last in rows]
    return [(*row, number) for row in rows]


def arrays(table: str, rows: Rows) -> list[Any]:
    """The rows as columns to be bound."""
    columns = zip(*rows, strict=True)
    return [kind(column) for kind, column in zip(COLUMNS[table], columns, strict=True)]
