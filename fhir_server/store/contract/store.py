"""store — what every database is asked, and what it answers with.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.foundation.resource import Key
from fhir_server.store.contract.access import AccessTable
from fhir_server.store.contract.audit import AuditLog
from fhir_server.store.contract.index import Beneath, KeyIs, UriStarts
from fhir_server.store.contract.lineage import Known
from fhir_server.store.contract.log import Epoch, Log, Stirred
from fhir_server.store.contract.order import NEWEST, Order, Place
from fhir_server.store.contract.parameter import ParameterTable
from fhir_server.store.contract.place import Position
from fhir_server.store.contract.reach import Restriction, Select
from fhir_server.store.contract.side import SideTables
from fhir_server.store.contract.text import TextIndex
from fhir_server.store.contract.version import Committed, Remembered, Stored, Unit


@dataclass(frozen=True, slots=True)
class Page:
    """A page of versions; `more` tells whether another follows; `bound` pins later pages.

    edge: of a search, where the page that follows begins (`after`), if there is more. places: of
    a search, where each of the rows stands.
    """

    rows: Sequence[Stored]
    more: bool
    bound: str
    edge: Place | None = None
    places: Sequence[Place] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Which versions, newest first unless `ascending`.

    key: one resource; else types (empty: all). since: updated >= it. at: versions that were
    current at some moment of [lo, hi). after: the position the page before ended at.
    """

    key: Key | None = None
    types: tuple[str, ...] = ()
    restriction: Restriction = field(kw_only=True)
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

    @property
    def texts(self) -> TextIndex:
        """The index of words; nothing is in it until somebody feeds it."""

    @property
    def parameters(self) -> ParameterTable:
        """The parameters that are not R4's own."""

    @property
    def access(self) -> AccessTable:
        """The clients that are registered, and their tokens."""

    @property
    def audit(self) -> AuditLog:
        """What was written down of every access."""

    @property
    def side(self) -> SideTables:
        """What sync keeps beside the versions; it is written by `commit`."""

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

    async def at_versions(
        self, wanted: Sequence[tuple[Key, str]], restriction: Restriction
    ) -> Sequence[Stored]:
        """Those of these versions that there are, in no order."""

    async def search(
        self,
        select: Select,
        *,
        limit: int,
        order: Order = NEWEST,
        after: Place | None = None,
        bound: str | None = None,
        backward: bool = False,
    ) -> Page:
        """Current versions that meet `select`, in `order`, of what was there at `bound`.

        Those beyond `after`; or, backward, the last ones up to it, in the same order: then `more`
        tells of what comes before them. A page's `edge` parts it from the page that follows, read
        in either direction."""

    async def find(self, select: Select, *, at_most: int) -> Sequence[int]:
        """The rids that meet `select`, smallest first, for a conditional interaction."""

    async def keys_behind(
        self, condition: Beneath | UriStarts, restriction: Restriction, *, at_most: int
    ) -> Sequence[KeyIs] | None:
        """The keys of which one is met where `condition` is; None where they are more."""

    async def few(self, select: Select, *, at_most: int) -> Sequence[int] | None:
        """The rids that meet `select`, in no order; None where they are more than `at_most`, or
        nearly so many that it is not worth knowing."""

    async def meeting(self, rids: Sequence[int], select: Select) -> Sequence[int]:
        """Those of these numbers that meet `select`, in no order."""

    async def count(
        self, select: Select, *, at_most: int | None = None, patience: float | None = None
    ) -> int:
        """How many meet `select`, counted no further than `at_most`.

        Raises TooCostly where it takes longer than `patience` seconds."""

    async def estimate(self, select: Select) -> int:
        """About how many meet `select`, told from a sample."""

    async def history(self, asked: History) -> Page: ...

    async def count_history(self, asked: History) -> int: ...

    async def feed(
        self,
        cursor: str | None,
        *,
        types: Iterable[str] = (),
        restriction: Restriction,
        limit: int,
    ) -> Feed:
        """Every version after the cursor, in order, none skipped while others commit late.

        None starts at the beginning. Raises EpochEnded."""

    async def log(
        self, after: str | None, *, facility: int, everywhere: Sequence[str], limit: int
    ) -> Log:
        """What of the next `limit` rows after the cursor may concern a facility, in order, up to
        the oldest transaction that is still open: versions of what the facility ever had a home
        of, or of the types that are known everywhere and are no patient's; marks that name the
        facility; and every OWNER and OUTSIDE. None starts at the beginning. Raises EpochEnded."""

    async def stirred(self, after: str, *, limit: int) -> Stirred:
        """Whom the next `limit` rows of the log after the cursor may concern. Raises EpochEnded."""

    async def homes(
        self, patients: Sequence[int], facility: int | None = None, at: Position | None = None
    ) -> Mapping[tuple[int, int], bool]:
        """Whether patients are at home at facilities, by the last mark up to a place and with it
        (None: by the last); who never was is left out."""

    async def compartments(
        self, patients: Sequence[int], after: int | None, *, limit: int
    ) -> Sequence[Stored]:
        """The newest versions of what is some patients', deletions included, by patient and rid;
        of the first patient from beyond `after` on. patients: in the order of their numbers."""

    async def lineage(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Known]]:
        """Every version known of each that is known at all, in the order they came; those of which
        only the parents are known come last."""

    async def epochs(self) -> Sequence[Epoch]:
        """The histories this database has had, the first one first; the last one goes on."""

    async def whole(self) -> Position:
        """Before it any copy of this database is whole that has what is written from now on."""

    async def part(self, name: str, whole: Position) -> bool:
        """End the history of this name at a place before which all is here, or where it began, and
        begin another; False where it is not, or no longer, the last."""

    async def commit(self, unit: Unit) -> Committed:
        """Write it all, durably, or nothing. Raises Stale; Unavailable, OutOfSpace, Conflict."""

    async def remembered(self, key: str) -> Remembered | None: ...

    async def cared_by(self, patients: Sequence[int], moment: int) -> Mapping[int, frozenset[int]]:
        """For each of these patients the facilities that have them in their care at the moment
        (see Facts)."""

    async def before(self, versions: Sequence[Stored]) -> Sequence[Stored]:
        """The row of the log that was each one's resource's before it, of those that have one; in
        no order."""

    async def by_rid(self, rids: Sequence[int], restriction: Restriction) -> Sequence[Stored]:
        """The newest versions of these numbers, deletions left out."""

    async def census(self) -> dict[str, int]:
        """How many current resources there are of each type."""

    async def health(self) -> Health: ...
