"""lineage — which versions a version was made from, where that is not the one before it.

https://hl7.org/fhir/R4/http.html#versioning

What was written in one place follows the version before it, and no more need be said. What comes
from elsewhere names its parents. Of some versions only those are known: they are stubs.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from fhir_server.store.contract.place import Position

State = Literal["alive", "deleted", "stub"]


class Earlier(NamedTuple):
    """A row of the same resource that stands before the NewVersion in its commit.

    parents: version ids; None: the row before. tail: None is a deletion.
    """

    generation: int
    digest: bytes
    method: str
    tail: bytes | None
    parents: tuple[str, ...] | None = None


class Stub(NamedTuple):
    """A version whose parents are known, and whose content is not."""

    generation: int
    digest: bytes
    parents: tuple[str, ...]


class Known(NamedTuple):
    """What is known of a version here. position: of its first row; None: it is a stub."""

    rev: str
    parents: tuple[str, ...]
    state: State
    position: Position | None
