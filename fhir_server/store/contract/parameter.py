"""parameter — the SearchParameters that are not R4's own, and how far their index has come.

https://hl7.org/fhir/R4/searchparameter.html

Each has a number for each base type, which stands in the rows of the index and is never given to
another. `change` counts what writers have to know: a unit says which change its rows were made by,
and is refused (Stale) where the store has another, so that no row is written by rules of before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fhir_server.foundation.resource import Key
from fhir_server.store.contract.index import WHOLE_TEXT, IndexRows
from fhir_server.store.contract.number import PARAM_SHIFT
from fhir_server.store.contract.place import Position
from fhir_server.store.contract.version import Stored

FIRST_CUSTOM, LAST_CUSTOM = 4096, 8191  # a KeyRow.v holds 13 bits of a number

# building: every write since the number was given has its rows, what is older may not.
# gone: nobody writes its rows any more. removed: and those there were are taken away.
BUILDING, READY, GONE, REMOVED = "building", "ready", "gone", "removed"


class Reached(NamedTuple):
    """Where a walk through the current versions stands: by type, then in the order of versions."""

    type: int = 0
    seq: int = 0
    num: int = -1


NOWHERE = Reached()


@dataclass(frozen=True, slots=True)
class Declaration:
    """A parameter as a definition gives it to one base type.

    facts: as of definitions.search_parameters, as JSON; types: the resource types that have it.
    """

    base: str
    code: str
    facts: str
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter as the store has it.

    source: the resource that declares it, `SearchParameter/x`, or the URL of a definition beside
    the store. horizon: what was written after this seq has its rows. began: when its index was
    asked for, in milliseconds since 1970 UTC; 0: it was not. done, total, refused: resources.
    rate: resources a second.
    """

    number: int
    source: str
    base: str
    code: str
    facts: str
    state: str
    change: int
    horizon: int
    reached: Reached = NOWHERE
    done: int = 0
    total: int = 0
    refused: int = 0
    began: int = 0
    rate: float = 0.0


class Parameterised(NamedTuple):
    """All parameters there are or were, and the count of changes that writers have to know."""

    change: int = 0
    rows: tuple[Declared, ...] = ()


@dataclass(frozen=True, slots=True)
class Filling:
    """Rows of some parameters for versions that were current when they were read.

    numbers: of parameters that stand at `before`, and then at `reached`.
    """

    numbers: tuple[int, ...]
    before: Reached
    reached: Reached
    versions: Sequence[tuple[Stored, IndexRows]]
    refused: int
    rate: float


class ParameterTable(Protocol):
    """The parameters of a store that are not R4's own, and their way into its index."""

    async def all(self) -> Parameterised: ...

    async def declare(
        self, source: str, generation: int | None, wanted: Sequence[Declaration]
    ) -> bool:
        """Let `source` declare just these from now on; whether that changes anything.

        generation: of the version that says so; nothing is done where it is not the newest (None:
        the definition is not in the store). When it comes back no unit made by rules of before
        can be written any more. What no resource has is ready at once.
        """

    async def ask(self, numbers: Sequence[int], *, began: int, total: int) -> None:
        """Let the index of these be filled, where that is not asked for already."""

    async def cancel(self, numbers: Sequence[int]) -> None:
        """Let them wait; what was done is kept."""

    async def following(
        self, type: str, after: Position, until: int, *, limit: int
    ) -> Sequence[Stored]:
        """Current versions of a type, in the order of versions, up to the seq `until`."""

    async def fill(self, filling: Filling) -> bool:
        """Add the rows of the versions that still are current. False: nothing was done, because
        the parameters stand elsewhere, are gone, or nobody asks any more."""

    async def finish(self, numbers: Sequence[int], before: Reached) -> None:
        """Their index is whole: they are ready."""

    async def sweep(self, number: int) -> bool:
        """Take away some rows of a parameter that is gone; whether there may be more."""

    def alone(self) -> AbstractAsyncContextManager[bool]:
        """Whether this process, and no other of this database, fills and sweeps."""


class Changes(NamedTuple):
    """What a declaration changes: numbers that are gone, and parameters with new ones."""

    gone: tuple[int, ...]
    new: tuple[tuple[int, Declaration], ...]


def changes(rows: Sequence[Declared], source: str, wanted: Sequence[Declaration]) -> Changes:
    """Which numbers are gone and which are given, where `source` declares just `wanted`.

    What another source declares under the same code is left to it. Where no number is left, none
    is given; who checks a definition before it is stored says so.
    """
    alive = [row for row in rows if row.state in (BUILDING, READY)]
    asked = {(one.base, one.code, one.facts) for one in wanted}
    had = {(row.base, row.code, row.facts) for row in alive if row.source == source}
    taken = {(row.base, row.code) for row in alive if row.source != source}
    gone = tuple(
        row.number
        for row in alive
        if row.source == source and (row.base, row.code, row.facts) not in asked
    )
    used = {row.number for row in rows}
    free = (number for number in range(FIRST_CUSTOM, LAST_CUSTOM + 1) if number not in used)
    new = [
        one
        for one in wanted
        if (one.base, one.code, one.facts) not in had and (one.base, one.code) not in taken
    ]
    return Changes(gone, tuple(zip(free, new, strict=False)))


def source_key(source: str) -> Key | None:
    """The resource that declares it; None where it is no resource of the store."""
    type, slash, id = source.partition("/")
    return Key(type, id) if slash and type == "SearchParameter" and "/" not in id else None


# --- rows by their parameter ---------------------------------------------------------------------


def only(rows: IndexRows, numbers: frozenset[int]) -> IndexRows:
    """The rows of these parameters alone."""
    return _chosen(rows, numbers, wanted=True)


def without(rows: IndexRows, numbers: frozenset[int]) -> IndexRows:
    """The rows of all other parameters."""
    return _chosen(rows, numbers, wanted=False)


def _chosen(rows: IndexRows, numbers: frozenset[int], *, wanted: bool) -> IndexRows:
    return IndexRows(
        keys=frozenset(r for r in rows.keys if (r.v >> PARAM_SHIFT in numbers) is wanted),
        strings=frozenset(
            r for r in rows.strings if (r.param & (WHOLE_TEXT - 1) in numbers) is wanted
        ),
        dates=frozenset(r for r in rows.dates if (r.param in numbers) is wanted),
        quantities=frozenset(r for r in rows.quantities if (r.param in numbers) is wanted),
        main=rows.main,
        owner=rows.owner,
        uris=frozenset(r for r in rows.uris if (r.param in numbers) is wanted),
    )
