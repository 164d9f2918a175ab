"""text — what a store promises of the index of words, which runs behind the change log.

https://hl7.org/fhir/R4/search.html#text

The index is not part of a write. Whoever runs the server feeds it, in the order of the change log;
how far it has come is kept in the same transaction as what it holds, so that a process that is
killed leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from fhir_server.store.contract.index import TextHas
from fhir_server.store.contract.place import Position
from fhir_server.store.contract.version import Stored

COUNTED = 10_000  # versions that are still to be read are counted no further

# The terms of a version: words of letters and digits, each once.
Terms = Callable[[Stored], Sequence[str]]


class Standing(NamedTuple):
    """How far the index of words has come.

    made: it holds what this edition would make of this history. reached: the last version it has
    read. newest: the last there is. behind: how many it has not read, at most COUNTED. read: how
    many it has read. total: how many versions there are, about.
    """

    made: bool
    reached: Position
    newest: Position
    behind: int
    read: int
    total: int


class TextIndex(Protocol):
    """The index of words of a store. edition: of the rules by which terms are made."""

    async def standing(self, edition: str) -> Standing: ...

    async def follow(self, edition: str, terms: Terms, *, limit: int) -> int | None:
        """Read the next versions of the change log; how many there were.

        None: another process is at it. An index of another edition, or of a history that ended
        with a restore, is begun anew. `terms` is called in a thread.
        """

    async def rids(self, asked: TextHas, *, at_most: int) -> Sequence[int]:
        """Some of the resources that have these words, of whatever type, in no order."""
