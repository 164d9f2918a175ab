"""copy_state — how the copy of what the hub has not confirmed stands, as everybody may look it up.

https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import orjson

from fhir_server.store.contract import Unit
from fhir_server.store.contract.side import STATE, Put, SideTables, StateRow

COPY = "copy"  # the row of how it stands
MINE = "copy mine"  # the row of the names of this disk's own copies: no other is ever removed
SEAL = "copy key"  # the row of the hub's key they are sealed for


@dataclass(frozen=True, slots=True)
class CopyState:
    """at: when it was whole last, in milliseconds since 1970 UTC; 0: never. failing: since when it
    cannot be written, and why. versions and octets: in it. missing: versions that are here alone.
    large: that are too large for a copy."""

    folder: str
    name: str = ""
    at: int = 0
    failing: int = 0
    why: str = ""
    versions: int = 0
    octets: int = 0
    missing: int = 0
    large: int = 0

    @property
    def unit(self) -> Unit:
        return kept(COPY, orjson.dumps(asdict(self)).decode())


def kept(name: str, value: str) -> Unit:
    """That keeps a text under a name."""
    return Unit((), side=(Put(STATE, (StateRow(name, value),)),))


async def text_of(side: SideTables, name: str) -> str:
    """Empty: there is none."""
    row = (await side.rows(STATE, [(name,)])).get((name,))
    return "" if row is None else row.value


async def copy_state(side: SideTables) -> CopyState | None:
    """None: no copy was ever kept."""
    text = await text_of(side, COPY)
    if not text:
        return None
    known = {each.name for each in fields(CopyState)}
    return CopyState(**{n: value for n, value in orjson.loads(text).items() if n in known})
