"""resolving — a search through links in two steps: first who is meant, then who is linked to them.

https://hl7.org/fhir/R4/search.html#chaining
https://hl7.org/fhir/R4/search.html#has

Where few are at the other end of a link, the search is driven from what refers to them, in the
order of the answer. Where many are, the search goes in its own order and asks of each whose it is,
or what it refers to (see stretches).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fhir_server.foundation.outcome import TooCostly
from fhir_server.interaction.context import Server
from fhir_server.interaction.holding import Holding, TooFar, parted
from fhir_server.interaction.referring import targets
from fhir_server.search.query import Query
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AllOf,
    AnyOf,
    Condition,
    KeyIs,
    Not,
    ReferredBy,
    Refers,
    Restriction,
    RidIn,
    Select,
    rid,
)

FEW = 1000  # resources at the other end of a link whose numbers are written into the search
OWNED = 2500  # the same where the store knows whose they are: it asks them, not who is meant
READ = 300  # resources that are read to see what they refer to
LINKING = ("_filter", "_has", "_list")


async def resolved(server: Server, select: Select) -> Select:
    """The same question, its links followed as far as they lead to few."""
    if not _linked(select.where):
        return select
    where = await _Resolving(server, select.restriction).of(select.where)
    return replace(select, where=where)


@contextmanager
def telling(query: Query) -> Iterator[None]:
    """Say of a search that took too long which criterion is to blame, where it is a link."""
    try:
        yield
    except TooCostly as refusal:
        names = [name for name, _ in query.used if _is_link(name)]
        if not names or refusal.issues[0].expression:  # a sort or a total is to blame
            raise
        told = ", ".join(f"`{name[:80]}`" for name in dict.fromkeys(names))
        why = f" {refusal}" if isinstance(refusal, TooFar) else ""
        raise TooCostly(
            f"{told} leads through too many resources to be answered in time.{why} Narrow what "
            "stands at its end, add a criterion on the type searched itself (a date, a patient), "
            "or search in two steps: first the resources at the end, then those linked to them."
        ) from refusal


def _is_link(name: str) -> bool:
    return "." in name or name.partition(":")[0] in LINKING


def _linked(condition: Condition) -> bool:
    match condition:
        case Refers() | ReferredBy():
            return True
        case AllOf(conditions) | AnyOf(conditions):
            return any(map(_linked, conditions))
        case Not(inner):
            return _linked(inner)
    return False


class _Resolving:
    """Follows links, the innermost first, within what a caller may reach."""

    def __init__(self, server: Server, restriction: Restriction) -> None:
        self.server = server
        self.restriction = restriction

    async def of(self, condition: Condition) -> Condition:
        match condition:
            case AllOf(conditions) if _linked(condition):
                return AllOf(tuple([await self.of(inner) for inner in conditions]))
            case AnyOf(conditions) if _linked(condition):
                return AnyOf(tuple([await self.of(inner) for inner in conditions]))
            case Not(inner):
                return Not(await self.of(inner))
            case Refers():
                return await self._refers(condition)
            case ReferredBy():
                return await self._referred_by(condition)
        return condition

    async def _refers(self, asked: Refers) -> Condition:
        where = await self.of(asked.where)
        most = FEW // len(asked.numbers)
        found = await self._found(asked.types, where, most, walks=True)
        if found is None:
            return replace(asked, where=where, many=True)
        return AnyOf(tuple(_names(number, rid) for number in asked.numbers for rid in found))

    async def _referred_by(self, asked: ReferredBy) -> Condition:
        where = await self.of(asked.where)
        found = await self._found(asked.types, where, OWNED if asked.owned else READ)
        if found is None:
            return replace(asked, where=where, many=True)
        if not found:
            return AnyOf()
        if asked.owned:  # the store knows whose they are
            return replace(asked, where=RidIn(found))
        return RidIn(await self._targets(asked.numbers, found))

    async def _found(
        self, types: tuple[str, ...], where: Condition, most: int, *, walks: bool = False
    ) -> tuple[int, ...] | None:
        """Those at the other end; None where they are more than `most`.

        walks: or where they may be, since what they are linked to would be asked of each.
        """
        if where == AnyOf():
            return ()
        ways = parted(where)
        found = await self._few(types, ways.found, most)
        if ways.asked is None:
            return found
        if found is not None:
            return tuple(await Holding(self.server, self.restriction).among(types, where, found))
        return None if walks else await self._few(types, where, most)

    async def _few(
        self, types: tuple[str, ...], where: Condition, most: int
    ) -> tuple[int, ...] | None:
        select = Select(types, where, restriction=self.restriction)
        found = await self.server.store.few(select, at_most=most)
        return None if found is None else tuple(found)

    async def _targets(self, numbers: tuple[int, ...], found: tuple[int, ...]) -> tuple[int, ...]:
        """What they refer to by these parameters."""
        rows = await self.server.store.by_rid(found, self.restriction)
        named = targets(self.server, numbers, {rid(stored.key): stored for stored in rows})
        return tuple(sorted(set[int]().union(*named.values())))


def _names(number: int, rid: int) -> KeyIs:
    return KeyIs(number << PARAM_SHIFT | rid & HASH_MASK, rid, mask=-1)
