"""access — who may ask: the clients that are registered, and the tokens they were given.

https://hl7.org/fhir/R4/security.html#authentication

A token is kept by the digest of it, so that who reads the database, or a backup of it, can use
none. What is taken out or spent is so once, whoever else asks for it at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Registered:
    """A client. facts: what else is known of it, in JSON that the store does not look into."""

    id: str
    facts: str
    changed: int  # milliseconds since 1970 UTC, as all times here
    revoked: int = 0  # since when; 0: it is not


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, or a code that is good for one: whose, for what, until when."""

    digest: bytes
    kind: str
    client: str
    facts: str  # in JSON
    issued: int
    expires: int


class Spent(NamedTuple):
    """What may be used once: the digest of it, and how long that must be remembered."""

    digest: bytes
    until: int


class AccessTable(Protocol):
    """The clients and tokens of a database; the same for all its processes."""

    async def clients(self) -> Sequence[Registered]:
        """All of them, by id."""

    async def client(self, id: str) -> Registered | None: ...

    async def register(self, client: Registered, *, replaces: int = 0) -> bool:
        """Keep a client; False where it is not, or no longer, as it was thought to be.

        replaces: when the one that is there was changed last; 0: there is none. All tokens of a
        client that is revoked end with it."""

    async def issue(self, new: Issued, spent: Spent | None = None) -> bool:
        """Keep a token, together with what it was given for; False where that was spent before.

        Tokens that ended before this one was issued are forgotten by and by."""

    async def spend(self, spent: Spent) -> bool:
        """Whether it was not spent before; it is now."""

    async def issued(self, digest: bytes) -> tuple[Issued, Registered] | None:
        """A token and whose it is."""

    async def take(self, digest: bytes, kind: str) -> Issued | None:
        """A token of this kind, which is gone then."""

    async def exchange(self, old: Issued, becomes: Issued, also: Sequence[Issued]) -> bool:
        """Other facts for a token, and tokens beside it, in one step; False where it is no longer
        as it was thought to be. becomes: of the same digest."""

    async def withdraw(self, client: str) -> int:
        """End all tokens of a client; how many there were."""

    async def keep(self, name: str, value: str, *, replaces: str = "") -> str:
        """What all processes keep under a name: this value, or what another kept before.

        replaces: the value that is thought to be there; empty: none."""
