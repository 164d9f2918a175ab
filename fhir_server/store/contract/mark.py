"""mark — a row of the log that is no version.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from typing import NamedTuple

VERSION = 0  # the kind of a row that is one
HOME_IN = 1  # the patient `rid` is at home at the facility `whom` from here on
HOME_OUT = 2  # and no longer
HELD = 3  # a version of `rid` that came from the facility `whom` is kept apart; body: as it likes
OUTSIDE = 4  # the node `whom` (a hash of it) sent a version of what it does not see
OWNER = 5  # `rid` was the patient's `whom`, and is another's: `owner_of(body)`. The store's own.


class Mark(NamedTuple):
    """What a Unit puts into the log beside its versions, and after them, in this order."""

    kind: int
    rid: int
    whom: int
    body: bytes = b""


def owner_of(body: bytes) -> int:
    """Whose it is after an OWNER."""
    return int.from_bytes(body)


def owner_body(owner: int) -> bytes:
    return owner.to_bytes(8)
