"""contract — what a store is told and what it is asked, the same on every database.

The store knows versions, index rows and conditions on them. It does not know FHIR: search turns
a query into a Condition, an interaction turns a match into an answer.

Writing is optimistic. A Unit says what it assumed (which version each new one follows, what each
conditional query found); the store checks that inside the write transaction, under locks that
every writer of the same things meets, and raises Stale where it no longer holds. The interaction
then looks again and makes another Unit.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Protocol

from fhir_server.foundation.resource import Key

MISSING = -(2**62)  # a bound that is not there: an interval's open beginning or end
PARAM_SHIFT = 50  # a KeyRow.v is the parameter's number above 50 bits of hash
HASH_MASK = (1 << PARAM_SHIFT) - 1


@lru_cache(maxsize=1 << 16)
def hash128(text: str) -> int:
    """128 bits of a text. Keyed rows and ids are told apart by these, so a strong hash."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest)


@lru_cache(maxsize=1 << 16)
def rid(key: Key) -> int:
    """The resource's number: 63 bits of a hash of `Type/id`, so never negative.

    Known without asking, so references need no look-up and no place kept for a target that is
    not here yet. The store refuses the second of two ids with one number (Conflict).
    """
    return hash128(f"{key.type}/{key.id}") >> 65


# --- index rows: what search will find a resource by ---------------------------------------------


class KeyRow(NamedTuple):
    """A token, reference or uri, as two integers.

    v: parameter number << 50 | 50 bits of the value's hash. A reference: 50 low bits of its rid.
    w: token: 32 bits of the system's hash (0: no system) << 32 | 32 more bits of the code's hash,
       as a signed 64-bit integer. Reference: the target's whole rid. Uri: 63 more bits.
    dominant: 0, or so common a value (status=finished) that the store keeps it as a bit beside
       the resource instead of in the index: 1 + the number of that bit, below 62. What a bit
       means goes by the resource's type.
    """

    v: int
    w: int
    dominant: int = 0


class StringRow(NamedTuple):
    """One word of a string, folded (no marks, no case); `param` is the parameter's number."""

    param: int
    word: str


class DateRow(NamedTuple):
    """An interval in milliseconds since 1970 UTC: lo <= t < hi; MISSING/-MISSING where open."""

    param: int
    lo: int
    hi: int


class QuantityRow(NamedTuple):
    """A number or quantity; unit: 0 for a number, else 63 bits of a hash of system|code.

    A quantity with a coded unit and a display unit has a row for each way to ask.
    """

    param: int
    unit: int
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class IndexRows:
    """All rows of one resource. `main` is the type's main date (Encounter.date), (0, 0) if none.

    The main date's own rows are not in `dates` but in `main`, where it is a single interval.
    `owner` is the rid of the patient whose compartment holds the resource, or 0.
    """

    keys: frozenset[KeyRow] = frozenset()
    strings: frozenset[StringRow] = frozenset()
    dates: frozenset[DateRow] = frozenset()
    quantities: frozenset[QuantityRow] = frozenset()
    main: tuple[int, int] = (0, 0)
    owner: int = 0


NO_ROWS = IndexRows()


# --- conditions: what can be asked of the index --------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyIs:
    """A key row with this v and, under `mask`, this w (mask 0: any w).

    dominant: as the row has it, or 0. A dominant row is met only by a condition that says so, and
    that is about the whole row (mask -1) of resources of the type `of`, whose bit it is.
    """

    v: int
    w: int = 0
    mask: int = 0  # -1: all of w; the low or high half for a code or a system alone
    dominant: int = 0
    of: str = ""


@dataclass(frozen=True, slots=True)
class KeyBetween:
    """A key row with lo <= v < hi (any value of one parameter) and, under `mask`, this w.

    It meets no dominant row: who wants them asks for each.
    """

    lo: int
    hi: int
    w: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class WordStarts:
    """A string row whose word begins with `prefix` (already folded).

    It is of the parameter, or of one of those in `also`, under which some of its words stand.
    """

    param: int
    prefix: str
    also: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """A row whose lo and hi lie within these half-open bounds; None: unbounded.

    lo_from <= lo < lo_to and hi_from <= hi < hi_to.
    param None: the main date; else index_date, or index_quantity where `unit` is not None
    (unit -1: any unit).
    """

    param: int | None
    lo_from: float | None = None
    lo_to: float | None = None
    hi_from: float | None = None
    hi_to: float | None = None
    unit: int | None = None


@dataclass(frozen=True, slots=True)
class UpdatedWithin:
    """meta.lastUpdated from <= t < to, in milliseconds since 1970 UTC."""

    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class RidIn:
    """One of these resources."""

    rids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of these; an empty AllOf is true of every resource."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of these; an empty AnyOf is true of none."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    condition: Condition


Condition = KeyIs | KeyBetween | WordStarts | Interval | UpdatedWithin | RidIn | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a caller may reach; part of every query and every write. None: without limit."""

    types: frozenset[str] | None = None
    owners: frozenset[int] | None = None  # rids of patients; 0: what belongs to no patient

    def allows(self, type: str, owner: int) -> bool:
        return (self.types is None or type in self.types) and (
            self.owners is None or owner in self.owners
        )


EVERYTHING = Restriction()


@dataclass(frozen=True, slots=True)
class Select:
    """Which current, undeleted resources. An empty `types` means every type."""

    types: tuple[str, ...]
    where: Condition = AllOf()
    restriction: Restriction = EVERYTHING


class Place(NamedTuple):
    """Where a page of a search ended. Order: main date descending, then rid descending."""

    main: int
    rid: int


# --- versions ------------------------------------------------------------------------------------


class Position(NamedTuple):
    """A version's place in the one total order of versions."""

    seq: int
    num: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one resource, as it lies in the store. `tail` is None for a deletion."""

    key: Key
    position: Position
    generation: int
    digest: bytes  # 16 bytes
    updated: int  # milliseconds since 1970 UTC: meta.lastUpdated
    method: str  # POST | PUT | PATCH | DELETE
    tail: bytes | None  # see codec: the JSON after meta.lastUpdated
    main: int = 0  # of the current version; 0 where the version was not read as current

    @property
    def version_id(self) -> str:
        return version_id(self.generation, self.digest)

    @property
    def deleted(self) -> bool:
        return self.tail is None


@lru_cache(maxsize=1 << 12)
def version_id(generation: int, digest: bytes) -> str:
    """`<generation>-<26 letters of base32>`: R4 allows 64 of [A-Za-z0-9.-]."""
    return f"{generation}-{base64.b32encode(digest).decode().rstrip('=').lower()}"


def parse_version_id(text: str) -> tuple[int, bytes] | None:
    """The generation and digest a version id names, or None if it is not one of ours."""
    generation, dash, letters = text.partition("-")
    if not dash or not generation.isdecimal() or not generation.isascii() or len(generation) > 9:
        return None
    if len(letters) != 26 or not letters.isascii() or not letters.islower():
        letters = letters if letters.isascii() and letters == letters.lower() else ""
    try:
        digest = base64.b32decode(letters.upper() + "======")
    except ValueError:
        return None
    return (int(generation), digest) if len(digest) == 16 else None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be written, with the true differences of its index rows."""

    key: Key
    generation: int
    digest: bytes
    method: str
    tail: bytes | None
    rows: IndexRows = NO_ROWS  # all rows of this version (main and owner are taken from here)
    before: IndexRows = NO_ROWS  # all rows of the version it follows
    follows: Stored | None = None  # the newest version when looked at; None: never existed


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a conditional query found when it was looked at: the rids, at most `at_most`, sorted.

    locks: numbers every writer deciding on the same question has in common (hash of the
    identifier, or of the criteria); the store holds them until the commit.
    """

    select: Select
    found: tuple[int, ...]
    at_most: int
    locks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A resource the answer speaks of without writing it: it must still be at this version."""

    key: Key
    position: Position


@dataclass(frozen=True, slots=True)
class Remember:
    """An answer to be kept under an Idempotency-Key, written in the same transaction."""

    key: str
    digest: bytes  # of the request, so that the same key with another body can be refused
    answer: Callable[[int], bytes]  # given the commit's `updated`


@dataclass(frozen=True, slots=True)
class Unit:
    """What is written together, or not at all."""

    versions: tuple[NewVersion, ...]
    assumptions: tuple[Assumption, ...] = ()
    unchanged: tuple[Unchanged, ...] = ()
    remember: Remember | None = None


class Committed(NamedTuple):
    """One time for the whole unit, never before that of a version it follows."""

    updated: int
    positions: Sequence[Position]


class Remembered(NamedTuple):
    digest: bytes
    answer: bytes


class Stale(Exception):
    """Something the Unit assumed is no longer so. Look again, and make another Unit."""


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page of versions; `more` tells whether another follows; `bound` pins later pages."""

    rows: Sequence[Stored]
    more: bool
    bound: str


@dataclass(frozen=True, slots=True)
class History:
    """Which versions, newest first unless `ascending`.

    key: one resource; else types (empty: all). since: updated >= it. at: versions that were
    current at some moment of [lo, hi). after: the position the page before ended at.
    """

    key: Key | None = None
    types: tuple[str, ...] = ()
    restriction: Restriction = EVERYTHING
    since: int | None = None
    at: tuple[int, int] | None = None
    after: Position | None = None
    bound: str | None = None
    ascending: bool = False
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Feed:
    """A page of the change log, oldest first, and where to go on from."""

    rows: Sequence[Stored]
    next: str  # opaque: epoch and position


@dataclass(frozen=True, slots=True)
class Health:
    """What a store says of itself."""

    product: str
    version: str
    schema: str | None
    schema_wanted: str
    notes: Sequence[str] = field(default=())
    index: str | None = None  # what is wrong with the stamp of its index (see stamp), if anything


class EpochEnded(Exception):
    """A feed cursor from before a restore: what it saw may not be here. Start again."""


class Store(Protocol):
    """What every database promises (tests/store/test_promise.py tries to break it)."""

    async def open(self) -> None:
        """Connect. Raises SchemaUnknown where the schema is not the one this program knows, and
        IndexDiffers where the index was made by other rules than this server's."""

    async def close(self) -> None:
        """Finish what was acknowledged, and let go."""

    async def newest(self, keys: Sequence[Key], restriction: Restriction) -> dict[Key, Stored]:
        """The newest version of each that exists, deletions included."""

    async def at_version(
        self, key: Key, version_id: str, restriction: Restriction
    ) -> Stored | None: ...

    async def search(
        self, select: Select, *, limit: int, after: Place | None = None, bound: str | None = None
    ) -> Page:
        """Current versions that meet `select`, in order of Place, of what was there at `bound`."""

    async def find(self, select: Select, *, at_most: int) -> Sequence[int]:
        """The rids that meet `select`, smallest first, for a conditional interaction."""

    async def count(self, select: Select, *, at_most: int | None = None) -> int: ...

    async def history(self, asked: History) -> Page: ...

    async def count_history(self, asked: History) -> int: ...

    async def feed(self, cursor: str | None, *, types: Iterable[str] = (), limit: int) -> Feed:
        """Every version after the cursor, in order, none skipped while others commit late.

        None starts at the beginning. Raises EpochEnded."""

    async def commit(self, unit: Unit) -> Committed:
        """Write it all, durably, or nothing. Raises Stale; Unavailable, OutOfSpace, Conflict."""

    async def remembered(self, key: str) -> Remembered | None: ...

    async def by_rid(self, rids: Sequence[int], restriction: Restriction) -> Sequence[Stored]:
        """The newest versions of these numbers, deletions left out."""

    async def census(self) -> dict[str, int]:
        """How many current resources there are of each type."""

    async def health(self) -> Health: ...
