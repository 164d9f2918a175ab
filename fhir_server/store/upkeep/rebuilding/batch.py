"""batch — some resources, and the rows they should have.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.resource import Key, Resource
from fhir_server.store.codec import Codec, Damaged, resource_of
from fhir_server.store.contract import NO_ROWS, IndexRows, NewVersion, Position
from fhir_server.store.row import bits, id_of, stored
from fhir_server.store.types import METHODS, NAMES

RESOURCES = 2000  # of one transaction
BYTES = 8 * 1024 * 1024  # of their bodies, as they lie
TOLD = 1000  # of what was refused, by name

Row = tuple[Any, ...]
Index = Callable[[Resource], IndexRows]
Progress = Callable[[int, int], None]  # resources done, resources there are
Place = tuple[int, int, int, int]  # owner, main_lo, main_hi, keys: of `current`


@dataclass(slots=True)
class Reindexed:
    """How many resources have new rows, and which could not be given any, with the reason."""

    resources: int = 0
    refused: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Rows as they come from the database: those of Dialect.columns, then a Place."""

    rows: list[Row]

    @property
    def reached(self) -> Position:
        return Position(*self.rows[-1][1:3])


def taken(rows: Iterable[Row]) -> Batch:
    """The first rows, as many as memory should hold at once."""
    found: list[Row] = []
    size = 0
    for row in rows:
        found.append(row)
        size += len(row[11] or b"")
        if size >= BYTES:
            break
    return Batch(found)


def rows_of(row: Row, codec: Codec, index: Index, done: Reindexed) -> IndexRows:
    """What a version that is no deletion is found by; nothing, and its name, where it cannot be."""
    try:
        return index(resource_of(stored(row, codec)))
    except FhirError as error:
        told = str(error)
    except (Damaged, ValueError, KeyError, msgspec.MsgspecError):
        told = "what is stored of it is damaged."  # and an error might quote it
    if len(done.refused) < TOLD:
        done.refused.append(f"`{key_of(row)}`: {told}")
    return NO_ROWS


def key_of(row: Row) -> Key:
    return Key(NAMES[row[7] - 1], id_of(row[10]))


def as_new(row: Row, rows: IndexRows) -> NewVersion:
    """The version as if it were written first, for the store's own way from it to rows.

    Its body is where it should be, and so is not part of it.
    """
    return NewVersion(key_of(row), row[6], bytes(16), METHODS[row[9] - 1], None, rows)


def place_of(rows: IndexRows) -> Place:
    return (rows.owner, *rows.main, bits(rows.keys))


def moves(wanted: Iterable[tuple[Row, Place]]) -> Iterator[Row]:
    """The rid and Place of those that stand elsewhere in `current`."""
    for row, place in wanted:
        if row[12:16] != place:
            yield (row[0], *place)
