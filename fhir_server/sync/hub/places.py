"""places — the store's positions as hub and nodes speak of them: with the epoch before.

https://hl7.org/fhir/R4/http.html#history

Positions begin again where a database is loaded into another, so a place says of which history it
is. What stands at the end of an epoch, or beyond, is of the next one, even if it was written in
the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.store.contract import Position
from fhir_server.store.contract.log import Epoch as Stored
from fhir_server.sync.epochs import Epoch, Epochs, Place


def epochs_of(stored: Sequence[Stored]) -> Epochs:
    """The histories as they travel."""
    found: list[Epoch] = []
    for one in stored:
        found.append(Epoch(one.name, None if one.end is None else _end_of(stored, one.end)))
    return tuple(found)


def place_of(stored: Sequence[Stored], position: Position) -> Place:
    """In the first epoch that was not over there."""
    for number, one in enumerate(stored, 1):
        if one.end is None or position < one.end:
            return Place(number, *position)
    return Place(max(1, len(stored)), *position)


def _end_of(stored: Sequence[Stored], end: Position) -> Place:
    """In the first epoch that did not end before."""
    number = next(n for n, one in enumerate(stored, 1) if one.end is None or end <= one.end)
    return Place(number, *end)
