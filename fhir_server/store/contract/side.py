"""side — what sync keeps beside the versions: small tables, written in the same transaction.

https://hl7.org/fhir/R4/http.html#transaction

A receipt is true because it is written with what it is about. So the rows of these tables come
with a Unit: put, dropped, or expected to be as they were when they were looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, get_type_hints

HERE = -(1 << 63)  # for a `seq`: this commit's; `num` is then the number of a row in it (see Unit)
PRIMARY = "primary"
Value = int | str | bytes
Values = tuple[Value, ...]
R = TypeVar("R", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Table(Generic[R]):
    """A table: its rows, how many of their first columns are the key, and its other indexes.

    guarded: what is put or dropped is locked, so that it can be expected.
    """

    name: str
    row: type[R]
    keyed: int
    indexes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    guarded: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        found: tuple[str, ...] = self.row._fields  # type: ignore[attr-defined] # NamedTuples only
        return found

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each column holds: `int`, `str` or `bytes`."""
        return tuple(kind.__name__ for kind in get_type_hints(self.row).values())

    @property
    def key(self) -> tuple[str, ...]:
        return self.columns[: self.keyed]

    def order(self, index: str = PRIMARY) -> tuple[str, ...]:
        """The columns that rows are in the order of: those of the index, then of the key."""
        first = () if index == PRIMARY else self.indexes[index]
        return (*first, *(column for column in self.key if column not in first))

    def place(self, row: R, index: str = PRIMARY) -> Values:
        """Where a row stands in that order: what the next page is asked for beyond."""
        told = dict(zip(self.columns, row, strict=True))
        return tuple(told[column] for column in self.order(index))


class MarkRow(NamedTuple):
    """A mark of the log (contract/log.py), written by Unit.marks alone."""

    seq: int
    num: int
    rid: int
    kind: int
    whom: int
    body: bytes


class LifeRow(NamedTuple):
    """At a hub: one life of a node's disk. reached: the last number that is known of it."""

    node: str
    incarnation: str
    reached: int
    retired: int
    facts: str


class ReceiptRow(NamedTuple):
    """At a hub: what became of a number."""

    node: str
    incarnation: str
    number: int
    rid: int
    generation: int
    digest: bytes
    outcome: str
    seq: int
    num: int
    at: int
    facts: str


class HeldRow(NamedTuple):
    """At a hub: a version that is kept apart. id, parents, body, issues, waits: as who keeps them
    writes them."""

    rid: int
    generation: int
    digest: bytes
    type: str
    id: str
    parents: bytes
    body: bytes
    issues: bytes
    waits: bytes
    node: str
    incarnation: str
    number: int
    at: int


class WaitingRow(NamedTuple):
    """At a hub: what is kept apart until something of `rid_for` is stored."""

    rid_for: int
    rid: int
    generation: int
    digest: bytes


class ConflictRow(NamedTuple):
    """A resource with several heads, and the Task that tells of it."""

    rid: int
    since: int
    task: str
    facts: str


class PlaceRow(NamedTuple):
    """At a node: what the hub said of a version, and its place at the hub."""

    rid: int
    generation: int
    digest: bytes
    state: str
    epoch: int
    seq: int
    num: int
    incarnation: str
    number: int
    at: int
    facts: bytes


class PackedRow(NamedTuple):
    """At a node: the number that a version has been given."""

    incarnation: str
    number: int
    rid: int
    generation: int
    digest: bytes
    grp: int
    sent: int


class WhoseRow(NamedTuple):
    """At a node: whose record the hub said that a resource is."""

    rid: int
    patient: int


class StateRow(NamedTuple):
    """What a keeper or a node remembers under a name."""

    name: str
    value: str


class ApartRow(NamedTuple):
    """Two Patients are not the same person, as somebody has said."""

    one: int
    other: int
    at: int
    facts: str


VERSION = ("rid", "generation", "digest")
BY_VERSION = {"by_version": VERSION}
MARK = Table(
    "mark",
    MarkRow,
    3,
    {"by_whom": ("whom", "rid", "seq", "num"), "by_rid": ("rid", "kind", "seq", "num")},
)
LIFE = Table("life", LifeRow, 2, guarded=True)
RECEIPT = Table("receipt", ReceiptRow, 3, BY_VERSION)
HELD = Table("held", HeldRow, 3, {"by_node": ("node", "at")}, guarded=True)
WAITING = Table("waiting", WaitingRow, 4)
CONFLICT = Table("conflict", ConflictRow, 1, guarded=True)
PLACE = Table(
    "place", PlaceRow, 3, {"by_hub": ("epoch", "seq", "num"), "by_state": ("state", "at")}
)
PACKED = Table("packed", PackedRow, 2, BY_VERSION)
WHOSE = Table("whose", WhoseRow, 1, {"by_patient": ("patient",)})
STATE = Table("node_state", StateRow, 1, guarded=True)
APART = Table("apart", ApartRow, 2, guarded=True)
TABLES: tuple[Table[Any], ...] = (
    MARK, LIFE, RECEIPT, HELD, WAITING, CONFLICT, PLACE, PACKED, WHOSE, STATE, APART,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Put(Generic[R]):
    """Rows to be there, in the place of those with the same keys."""

    table: Table[R]
    rows: tuple[R, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """Rows to be gone, by their keys."""

    table: Table[Any]
    keys: tuple[Values, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """A row as it must still be; None: there must be none. Of a guarded table."""

    table: Table[Any]
    key: Values
    row: tuple[Any, ...] | None

    def __post_init__(self) -> None:
        if not self.table.guarded:
            raise ValueError(f"`{self.table.name}` is not guarded, so nothing is expected of it.")
        if self.row is not None and tuple(self.row[: self.table.keyed]) != tuple(self.key):
            raise ValueError(f"The row of `{self.table.name}` is not of the key {self.key!r}.")


Side = Put[Any] | Drop


class SideTables(Protocol):
    """Reading what is kept."""

    async def rows(self, table: Table[R], keys: Sequence[Values]) -> dict[Values, R]:
        """Those of these keys that there are."""

    async def range(
        self,
        table: Table[R],
        index: str = PRIMARY,
        *,
        prefix: Values = (),
        beyond: Values | None = None,
        limit: int,
    ) -> list[R]:
        """Rows in the order of an index (Table.order) whose first columns are `prefix`.

        beyond: values of the columns that follow the prefix in that order, the first of them or
        all; only rows that come after these."""

    async def ranges(
        self, table: Table[R], index: str, prefixes: Sequence[Values], *, limit: int
    ) -> list[R]:
        """The first rows of each of several prefixes, which are of one length."""

    async def count(self, table: Table[Any], prefix: Values = (), index: str = PRIMARY) -> int:
        """How many rows have these values in the first columns of an index."""

    async def octets(
        self, table: Table[Any], columns: Sequence[str], prefix: Values = (), index: str = PRIMARY
    ) -> int:
        """How many bytes those rows hold in columns of bytes."""
