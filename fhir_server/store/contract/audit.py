"""audit — what is written down of every access: entries that are added, and never changed.

https://hl7.org/fhir/R4/auditevent.html

An entry is kept with the Unit it is about (Unit.audit), or by a Unit of its own where nothing else
is written. Entries stand in chains: what one transaction writes is sealed with a hash of itself
and of the seal before it, so that none can be changed, taken away or moved without the seals after
it saying so. A chain has one writer, who writes one transaction after the other: nobody waits for
anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fhir_server.foundation.resource import Key


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written down (security/audit/said.py knows what a body says).

    subjects: the numbers it is found by: whose records, which client, which person.
    """

    at: int  # milliseconds since 1970 UTC
    subjects: tuple[int, ...]
    body: bytes


class Entered(NamedTuple):
    """An entry as it lies in its chain, where numbers count from 1; or all that one transaction
    wrote, as one row by the number of its last entry (store/block.py)."""

    chain: int
    number: int
    at: int
    seal: bytes  # 32 bytes; that of the row
    body: bytes


class Head(NamedTuple):
    """The last entry of a chain. ended: its writer has stopped, so that none may come after."""

    chain: int
    number: int
    seal: bytes
    ended: bool = False


class Before(NamedTuple):
    """Where a page of entries goes on."""

    at: int
    chain: int
    number: int


@dataclass(frozen=True, slots=True)
class Sought:
    """Which entries, newest first: those of all these subjects, of since <= at < until."""

    subjects: tuple[int, ...] = ()  # none: of everybody
    since: int = 0
    until: int = 1 << 62
    before: Before | None = None
    limit: int = 50


class AuditLog(Protocol):
    """Reading what was written down; it is written by Store.commit."""

    def heads(self) -> Sequence[Head]:
        """Of the chains this process writes, or wrote."""

    async def entered(self, chain: int, number: int) -> Entered | None: ...

    async def found(self, sought: Sought) -> Sequence[Entered]: ...

    async def keys(self, rids: Sequence[int]) -> Mapping[int, Key]:
        """The names behind the numbers of resources, also of those that were deleted."""
