"""version — the versions of resources, and what is written together or not at all.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from fhir_server.foundation.resource import Key
from fhir_server.store.contract.audit import Entry
from fhir_server.store.contract.index import NO_ROWS, IndexRows
from fhir_server.store.contract.lineage import Earlier, Stub
from fhir_server.store.contract.mark import Mark
from fhir_server.store.contract.place import Position
from fhir_server.store.contract.reach import Care, Select
from fhir_server.store.contract.side import Expect, Side

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # RFC 4648 6, in lower case
PAIRS = tuple(one + other for one in LETTERS for other in LETTERS)
SHIFTS = tuple(range(120, -1, -10))  # 128 bits and two more are 13 pairs of letters
VERSION_ID = re.compile(r"([1-9][0-9]{0,8})-([a-z2-7]{26})")
LEFT = "LEFT"  # a method that is none of HTTP's (see NewVersion)
NOWHERE = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of one resource, as it lies in the store. `tail` is None for a deletion."""

    key: Key
    position: Position
    generation: int
    digest: bytes  # 16 bytes
    updated: int  # milliseconds since 1970 UTC: meta.lastUpdated
    method: str  # POST | PUT | PATCH | DELETE | LEFT
    tail: bytes | None  # see codec: the JSON after meta.lastUpdated
    main: int = 0  # of the current version; 0 where the version was not read as current
    owner: int = 0  # of the current version: whose record it is, which the audit tells

    @property
    def version_id(self) -> str:
        return version_id(self.generation, self.digest)

    @property
    def deleted(self) -> bool:
        return self.tail is None


@lru_cache(maxsize=1 << 13)
def version_id(generation: int, digest: bytes) -> str:
    """`<generation>-<26 letters of base32>`: R4 allows 64 of [A-Za-z0-9.-]."""
    bits = int.from_bytes(digest) << 2
    return f"{generation}-{''.join([PAIRS[bits >> shift & 1023] for shift in SHIFTS])}"


def parse_version_id(text: str) -> tuple[int, bytes] | None:
    """The generation and digest a version id names, or None if it is not one of ours."""
    found = VERSION_ID.fullmatch(text)
    return None if found is None else _parsed(text, int(found[1]), found[2])


@lru_cache(maxsize=1 << 13)
def _parsed(text: str, generation: int, letters: str) -> tuple[int, bytes] | None:
    digest = base64.b32decode(letters.upper() + "======")
    # 26 letters hold two bits more than the digest: only one spelling is the version's name.
    return (generation, digest) if version_id(generation, digest) == text else None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to be written, with the true differences of its index rows.

    It is what stands for the resource from then on. It may repeat one that is there, which is told
    again so. method LEFT: the resource left what is kept here, and is as if it were deleted; its
    name is that of the version that stood for it, which stays what it is.
    parents: of which versions it was made, where that is not the row before; its generation and
    digest say so already. earlier: rows of the same resource that come before it. stubs: what else
    is known of its past.
    """

    key: Key
    generation: int
    digest: bytes
    method: str
    tail: bytes | None
    rows: IndexRows = NO_ROWS  # all rows of this version (main and owner are taken from here)
    before: IndexRows = NO_ROWS  # all rows of the version it follows
    follows: Stored | None = None  # the newest version when looked at; None: never existed
    unsure: frozenset[int] = frozenset()  # parameters whose rows of `before` may not be there
    facility: int = 0  # rid of the Organization whose record it is; 0: as the version before
    cares: tuple[Care, ...] | None = None  # in whose care it says that whom is; None: nothing
    parents: tuple[str, ...] | None = None  # version ids
    earlier: tuple[Earlier, ...] = ()
    stubs: tuple[Stub, ...] = ()


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
    """What is written together, or not at all.

    rules: the count of changes (contract/parameter.py) by which its index rows were made.
    audit: what is written down of it (contract/audit.py), or of what was only read.
    marks, side, expects: see contract/log.py and contract/side.py.

    Its rows in the log are numbered from 0: of each version its earlier ones and then itself, after
    all of them the marks. Committed.place tells where each came to stand.
    """

    versions: tuple[NewVersion, ...]
    assumptions: tuple[Assumption, ...] = ()
    unchanged: tuple[Unchanged, ...] = ()
    remember: Remember | None = None
    rules: int = 0
    audit: tuple[Entry, ...] = ()
    marks: tuple[Mark, ...] = ()
    side: tuple[Side, ...] = ()
    expects: tuple[Expect, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The number of each version's own row; those of its earlier ones come just before."""
        return numbers_of(self.versions)

    @property
    def only_tells(self) -> bool:
        """Whether it changes and assumes nothing, and only writes down what was done."""
        return bool(self.audit) and not (
            self.versions
            or self.assumptions
            or self.unchanged
            or self.remember
            or self.marks
            or self.side
            or self.expects
        )


def numbers_of(versions: Sequence[NewVersion]) -> tuple[int, ...]:
    """See Unit.numbers."""
    return tuple(accumulate((1 + len(new.earlier) for new in versions), initial=-1))[1:]


class Committed(NamedTuple):
    """One time for the whole unit, never before that of a version it follows.

    positions: of the versions. first: of the row with the number 0; apart: each row has a `seq` of
    its own.
    """

    updated: int
    positions: Sequence[Position]
    first: Position = NOWHERE
    apart: bool = False

    def place(self, number: int) -> Position:
        """Where a row of the unit came to stand (see Unit)."""
        seq, num = self.first
        return Position(seq + number, num) if self.apart else Position(seq, num + number)


class Remembered(NamedTuple):
    digest: bytes
    answer: bytes


class Stale(Exception):
    """Something the Unit assumed is no longer so. Look again, and make another Unit."""
