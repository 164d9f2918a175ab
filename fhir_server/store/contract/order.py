"""order — the orders the matches of a search can come in, and where in one a page ended.

https://hl7.org/fhir/R4/search.html#sort

Every order is total: where two resources have the same value, their numbers decide. A resource
stands where it stood at the moment of the first page, whatever becomes of it meanwhile, and one
without a value comes last in both directions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fhir_server.store.contract.version import Stored

Value = int | float | str | None  # of one key; None: the resource has none
COLLECTED = 5000  # resources that are put in order in memory


class Place(NamedTuple):
    """A place in an order: the value there (of several keys, one each), and the resource's number.

    What the value is goes by the order; for who asks it is opaque, and made of JSON.
    """

    value: Value | tuple[Value, ...]
    rid: int


@dataclass(frozen=True, slots=True)
class ByMain:
    """By the type's main date. Descending is the order of a search that asks for none."""

    descending: bool = True


NEWEST = ByMain()


@dataclass(frozen=True, slots=True)
class ByUpdated:
    """By meta.lastUpdated."""

    descending: bool


@dataclass(frozen=True, slots=True)
class ByRow:
    """By the rows of a string, its smallest or, descending, its greatest value; or by those of a
    date of which no resource has more than one.

    key: the same value, told from a version's content (of what changed since the first page).
    """

    kind: Literal["string", "date"]
    numbers: tuple[int, ...]
    descending: bool
    key: Callable[[Stored], Value]


@dataclass(frozen=True, slots=True)
class Collected:
    """By whatever can be told from a version: all matches are read, and put in order in memory.

    Raises TooCostly beyond COLLECTED matches. descending: for each of the keys. bodies: whether
    the keys are told from the content; without, a version has no `tail`.
    """

    keys: Callable[[Stored], tuple[Value, ...]]
    descending: tuple[bool, ...]
    bodies: bool = True


Order = ByMain | ByUpdated | ByRow | Collected
