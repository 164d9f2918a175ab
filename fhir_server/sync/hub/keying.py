"""keying — how old each node's key is, and what became of one that is revoked and to be wiped.

https://hl7.org/fhir/R4/security.html#authentication
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhir_server.security.tokens import client
from fhir_server.security.tokens.client import SINCE, UNTIL, Client
from fhir_server.store.contract.access import Registered
from fhir_server.sync.hub.nodes import NODE


@dataclass(frozen=True, slots=True)
class Keyed:
    """Times are in milliseconds since 1970 UTC, 0: never, or not known.

    key: when the newest key was brought. before: until when the one it follows is good too.
    revoked: since when. wipe: when it was ordered to wipe its disk; word: when it was first told;
    wiped: when somebody who has its key said that it is done.
    """

    node: str
    key: int = 0
    before: int = 0
    revoked: int = 0
    wipe: int = 0
    word: int = 0
    wiped: int = 0


def of(rows: Iterable[Registered]) -> dict[str, Keyed]:
    """Of all who are nodes and have a key, by name."""
    found = (client.of(row) for row in rows)
    return {one.id: _keyed(one) for one in found if NODE in one.roles and one.keys}


def _keyed(one: Client) -> Keyed:
    return Keyed(
        node=one.id,
        key=max((key.get(SINCE, 0) for key in one.keys if UNTIL not in key), default=0),
        before=max((key.get(UNTIL, 0) for key in one.keys), default=0),
        revoked=one.revoked,
        wipe=one.wipe,
        word=one.word,
        wiped=one.wiped,
    )
