"""words — what a hub and its nodes say to each other, before it is a Bundle and after.

https://hl7.org/fhir/R4/bundle.html#history

A node sends a Push of numbered versions, and the hub says of each what became of it, in an Answer.
A node asks for a Page of what changed, from a cursor on. How they are written: `push`, `answer`
and `page` of this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Key, Resource
from fhir_server.sync.epochs import Epochs, Place
from fhir_server.sync.lineage import Parents, Rev

NEVER = Place(0, 0, 0)  # where nothing is stored


class Stubbed(NamedTuple):
    """A version of which no more is known than what it follows."""

    rev: Rev
    parents: Parents


class Pushed(NamedTuple):
    """A version a node sends. Its name is computed from what it says, so it is not sent.

    group: a number that the entries of one group have in common, and their neighbours have not.
    recorded: when it was stored at the node, by its clock, in milliseconds since 1970 UTC.
    body: the resource without meta.versionId and meta.lastUpdated; None: a deletion.
    """

    number: int
    group: int
    key: Key
    rev: Rev
    parents: Parents
    method: str  # POST | PUT | PATCH | DELETE
    recorded: int
    body: Resource | None
    stubs: tuple[Stubbed, ...] = ()


@dataclass(frozen=True, slots=True)
class Push:
    """A chunk: whole groups, numbered from `first` on without a gap.

    before: the version at the number before the first; empty: there is none. shown: the last
    receipt of the hub that the node holds, by which a hub that came back from a backup sees what it
    has lost; empty: none. sent: when, by the node's clock.
    """

    node: str
    incarnation: str
    first: int
    before: Rev
    entries: tuple[Pushed, ...]
    sent: int
    shown: str = ""


class Outcome(Enum):
    """What became of a version at the hub."""

    STORED = "stored"  # it is, or precedes, the only head
    WARNED = "warned"  # stored, and there is something to be said of it
    MERGED = "merged"  # stored, and followed by one that joins it with another
    CONFLICT = "conflict"  # stored as one of several heads
    PARKED = "parked"  # kept apart, until it is mended or what it waits for is there
    REFUSED = "refused"  # not kept


TAKEN = frozenset({Outcome.STORED, Outcome.WARNED, Outcome.MERGED, Outcome.CONFLICT})


class Receipt(NamedTuple):
    """What became of one number. place: of the row that told it first; NEVER: there is none."""

    number: int
    rev: Rev
    outcome: Outcome
    place: Place
    issues: tuple[Issue, ...] = ()


class Refused(Enum):
    """Why nothing of a chunk was looked at."""

    GAP = "gap"  # numbers before the first are missing: send from `reached` + 1
    REUSED = "reused"  # a number meant another version: begin a new incarnation
    RETIRED = "retired"  # the incarnation was given up: begin a new one


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub says to a chunk.

    reached: the last number it knows of this incarnation. said, signed: the receipts as they were
    signed, and the signature (see receipts); empty where there are none. now: the hub's clock.
    """

    receipts: tuple[Receipt, ...]
    reached: int
    epochs: Epochs
    now: int
    refused: Refused | None = None
    said: str = ""
    signed: str = ""


class Kind(Enum):
    """What a row of a Page tells."""

    VERSION = "version"
    ECHO = "echo"  # of what this node sent: it has the body
    LEFT_RECORD = "record"  # the patient, and all that is theirs, is no longer in the catchment
    LEFT_RESOURCE = "resource"  # this one is not, because it is another patient's now


class Row(NamedTuple):
    """A row of a Page.

    body: the resource as JSON, with its meta.versionId and meta.lastUpdated; None: a deletion, an
    ECHO or a LEFT. patient: whose compartment the resource was in at this place; empty: nobody's.
    stubs: what the node may not have of its past. of a LEFT: rev and parents are empty.
    """

    kind: Kind
    key: Key
    place: Place
    rev: Rev = ""
    parents: Parents = ()
    method: str = "PUT"
    updated: int = 0
    patient: str = ""
    body: bytes | None = None
    stubs: tuple[Stubbed, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A node asks what is new. named, parked: versions it holds as parked, with their resources and
    without; wait: seconds, where nothing
    is new. incarnation: whose own versions come back without their bodies. shown: see Push.
    waiting: how many versions it has still to send; None: it does not say."""

    cursor: str
    incarnation: str
    parked: tuple[Rev, ...] = ()
    wait: int = 0
    shown: str = ""
    waiting: int | None = None
    named: tuple[tuple[Key, Rev], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What is new, oldest first.

    cursor: the one this answers; next: the one to ask with. read: the last row the hub had when it
    answered. stored: those of the parked that are stored now. entering: a record, or everything, is
    being sent whole, and goes on with the next page. more: ask again at once.
    """

    rows: tuple[Row, ...]
    cursor: str
    next: str
    read: Place
    epochs: Epochs
    now: int
    stored: tuple[Rev, ...] = ()
    entering: bool = False
    more: bool = False
