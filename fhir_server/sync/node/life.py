"""life — what a node remembers of its talk with the hub, in one row.

https://hl7.org/fhir/R4/http.html#transaction

Whatever the node writes of the talk, it writes together with this row, and only where the row is
still the one it looked at: two processes, or a command beside a server, cannot both go on from one
place.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, fields, replace
from typing import NamedTuple

import orjson

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import Store, Unit, parse_version_id, rid
from fhir_server.store.contract.side import STATE, Expect, Put, Side, SideTables, StateRow, Values
from fhir_server.sync import epochs
from fhir_server.sync.epochs import START, Epochs, Place
from fhir_server.sync.lineage import Rev

NAME = "node"
PAUSED = "paused"  # a row that is there while a person has the node stand still
NOW = "now"  # a row that says when a person asked it not to wait

# What the hub has said of a version, or what is to be done with it. URGENT is UNSENT too.
URGENT, UNSENT, PACKED = "urgent", "unsent", "packed"
CONFIRMED, CAME = "confirmed", "came"
PARKED, REFUSED, MENDED = "parked", "refused", "mended"
IS_URGENT = b'{"urgent":true}'  # the facts of what is PACKED, and was URGENT before
OWN = frozenset({URGENT, UNSENT, PACKED, PARKED, REFUSED})  # not at the hub, as far as is known
WITH_HUB = frozenset({CONFIRMED, CAME})


class Name(NamedTuple):
    """A version as the side tables know it."""

    rid: int
    generation: int
    digest: bytes

    @property
    def key(self) -> Values:
        return tuple(self)


def name_of(key: Key | int, rev: Rev) -> Name:
    """Raises ValueError for what is no version id."""
    parsed = parse_version_id(rev)
    if parsed is None:
        raise ValueError(f"`{rev[:64]}` is not a version id.")
    return Name(key if isinstance(key, int) else rid(key), *parsed)


@dataclass(frozen=True, slots=True)
class Life:
    """incarnation: of this disk. numbered: the last number given; acked: the last one answered,
    and before: its version. group: the last one's. cursor: where the pull stands; read: the last
    row the hub had when it answered. low: up to where the own log was looked through. whole: all
    is being sent anew, for the `round`th time. offset: how far the hub's
    clock is ahead of this one, in milliseconds. logged: how many lines the log has had. receipt:
    the incarnation and first number of the chunk that was signed for last."""

    incarnation: str
    numbered: int = 0
    acked: int = 0
    before: Rev = ""
    group: int = 0
    cursor: str = ""
    read: str = str(START)
    epochs: str = ""
    low: str = ""
    whole: bool = True
    round: int = 1
    offset: int = 0
    logged: int = 0
    receipt: str = ""

    @property
    def told(self) -> Epochs:
        """The hub's epochs, as far as they are known."""
        return epochs.read(self.epochs) if self.epochs else ()

    @property
    def reached(self) -> Place:
        return epochs.place(self.read)

    def born_again(self) -> Life:
        """Numbers begin anew under a new name."""
        return replace(self, incarnation=new_name(), numbered=0, acked=0, before="", group=0)

    def pulled_anew(self) -> Life:
        """Everything is asked for once more."""
        return replace(self, cursor="", read=str(START), whole=True, round=self.round + 1)


def new_name() -> str:
    """Nobody can have had it before."""
    return secrets.token_hex(8)


class Kept(NamedTuple):
    """A Life, and the row it was read from; None: it is not written down yet."""

    life: Life
    row: StateRow | None

    def unit(self, becomes: Life, *side: Side, versions: Unit | None = None) -> Unit:
        """A Unit that changes it, with all that is to be written together with that."""
        unit = versions or Unit(())
        row = StateRow(NAME, orjson.dumps(asdict(becomes)).decode())
        return replace(
            unit,
            side=(*unit.side, *side, Put(STATE, (row,))),
            expects=(*unit.expects, Expect(STATE, (NAME,), self.row)),
        )


async def looked_up(side: SideTables) -> Kept | None:
    """The node's Life; None: it has never been one."""
    row = (await side.rows(STATE, [(NAME,)])).get((NAME,))
    if row is None:
        return None
    told = orjson.loads(row.value)
    known = {each.name for each in fields(Life)}
    return Kept(Life(**{name: value for name, value in told.items() if name in known}), row)


async def kept(store: Store) -> Kept:
    """The node's Life, which begins where there is none. Raises Stale where it begins elsewhere at
    this moment."""
    found = await looked_up(store.side)
    if found is None:
        life = Life(new_name())
        await store.commit(Kept(life, None).unit(life))
        found = await looked_up(store.side)
        assert found is not None, "it was just written"
    return found


async def is_paused(side: SideTables) -> bool:
    return bool(await side.rows(STATE, [(PAUSED,)]))


async def asked_now(side: SideTables) -> str:
    """When somebody asked it not to wait; empty: never."""
    row = (await side.rows(STATE, [(NOW,)])).get((NOW,))
    return "" if row is None else row.value
