"""log — the change log with all that stands in it: versions, and marks that are no version.

https://hl7.org/fhir/R4/http.html#history

A mark says of a resource what its versions do not: at which facility a patient is at home, that a
version is kept apart, that a record is another patient's now. It has its place among the versions,
so that who follows the log learns of each at the right moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.foundation.resource import Key
from fhir_server.store.contract.mark import (
    HELD,
    HOME_IN,
    HOME_OUT,
    OUTSIDE,
    OWNER,
    VERSION,
    Mark,
    owner_body,
    owner_of,
)
from fhir_server.store.contract.place import Position
from fhir_server.store.contract.version import Stored

__all__ = [
    "HELD",
    "HOME_IN",
    "HOME_OUT",
    "OUTSIDE",
    "OWNER",
    "VERSION",
    "Epoch",
    "Log",
    "LogRow",
    "Mark",
    "Stirred",
    "owner_body",
    "owner_of",
]


class LogRow(NamedTuple):
    """A row of the log.

    key: of `rid`; None: nothing is stored of it. owner: whose the resource is now. newest: whether
    this is its newest version, whose owner that is. Of a VERSION: stored. Of a mark: whom and body.
    """

    position: Position
    kind: int
    rid: int
    key: Key | None
    owner: int = 0
    stored: Stored | None = None
    newest: bool = False
    whom: int = 0
    body: bytes = b""

    @property
    def rev(self) -> str:
        """The version's name; empty: it is a mark."""
        return "" if self.stored is None else self.stored.version_id


@dataclass(frozen=True, slots=True)
class Log:
    """next: the cursor to go on with. more: there are rows beyond those looked at.
    reached: the last row looked at, or where the cursor stood. horizon: all
    before it is told, and nothing will come before it any more. last: the last place before it;
    end: the cursor there, for who begins with what comes next."""

    rows: Sequence[LogRow]
    next: str
    more: bool
    reached: Position
    horizon: Position
    last: Position
    end: str


@dataclass(frozen=True, slots=True)
class Stirred:
    """Whom rows of the log may concern.

    whom: the facilities where a patient of theirs ever was at home, and whoever marks name.
    everybody: something is no patient's, or another patient's than before. next, more: as of a Log.
    """

    whom: frozenset[int]
    everybody: bool
    next: str
    more: bool


class Epoch(NamedTuple):
    """A history of the database. end: all before it is there in the later ones too; None: it goes
    on."""

    name: str
    end: Position | None
