"""holding — of which of some resources a condition holds that leads on to very many others.

https://hl7.org/fhir/R4/search.html#chaining

What a resource refers to stands in no index. It is read from the resource, and one question tells
which of all that these refer to are meant; where the link goes on from there, so does this.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from time import monotonic
from typing import NamedTuple

from fhir_server.foundation.outcome import TooCostly
from fhir_server.interaction.context import Server
from fhir_server.interaction.referring import targets
from fhir_server.store.condition import every
from fhir_server.store.contract import (
    AllOf,
    AnyOf,
    Condition,
    Not,
    Refers,
    Restriction,
    Select,
    Stored,
    rid,
)

AT_ONCE = 500  # resources of one question
PATIENCE = 3.0  # seconds


class TooFar(TooCostly):
    """So much was looked at that no more will be."""


class Parted(NamedTuple):
    """What must all hold: what the store finds, and what is asked of each that it finds."""

    found: Condition
    asked: Condition | None


def parted(condition: Condition) -> Parted:
    asked = [one for one in every(condition) if leads_to_many(one)]
    if not asked:
        return Parted(condition, None)
    rest = [one for one in every(condition) if one not in asked]
    return Parted(_all(rest), _all(asked))


def leads_to_many(condition: Condition) -> bool:
    """Whether it is a link, or made of links, that the store follows only from its far end, where
    there are many."""
    match condition:
        case Refers(where=where, owned=owned, many=many):
            return many and (not owned or leads_to_many(where))
        case AllOf(conditions) | AnyOf(conditions):
            return any(map(leads_to_many, conditions))
        case Not(inner):
            return leads_to_many(inner)
    return False


def ends(condition: Condition) -> Iterable[Refers]:
    """The links that it leads through to many."""
    match condition:
        case Refers():
            if leads_to_many(condition):
                yield condition
        case AllOf(conditions) | AnyOf(conditions):
            for inner in conditions:
                yield from ends(inner)
        case Not(inner):
            yield from ends(inner)


class Holding:
    """Asks within what a caller may reach, and no longer than is to be borne."""

    def __init__(self, server: Server, restriction: Restriction) -> None:
        self.server = server
        self.restriction = restriction
        self._until = monotonic() + PATIENCE
        self._known: dict[Refers, dict[int, bool]] = {}

    async def of(
        self, types: tuple[str, ...], condition: Condition, rows: Mapping[int, Stored]
    ) -> set[int]:
        """Those of these resources of which it holds. Raises TooCostly."""
        if not rows:
            return set()
        if not leads_to_many(condition):
            return await self._meeting(types, condition, rows)
        match condition:
            case AllOf(conditions):
                return await self._all_of(types, conditions, rows)
            case AnyOf(conditions):
                return await self._any_of(types, conditions, rows)
            case Not(inner):
                return set(rows) - await self.of(types, inner, rows)
            case Refers():
                return await self._refers(condition, rows)
        raise AssertionError(f"{type(condition).__name__} leads to nobody")

    async def among(
        self, types: tuple[str, ...], condition: Condition, rids: Collection[int]
    ) -> set[int]:
        """Those of these numbers, of these types, of which it holds. Raises TooCostly."""
        found, asked = parted(condition)
        met = await self._meeting(types, found, rids)
        if asked is None or not met:
            return met
        rows = await self.server.store.by_rid(tuple(met), self.restriction)
        return await self.of(types, asked, {rid(stored.key): stored for stored in rows})

    async def _all_of(
        self, types: tuple[str, ...], conditions: Iterable[Condition], rows: Mapping[int, Stored]
    ) -> set[int]:
        for condition in sorted(conditions, key=leads_to_many):
            met = await self.of(types, condition, rows)
            rows = {number: rows[number] for number in met}
        return set(rows)

    async def _any_of(
        self, types: tuple[str, ...], conditions: Iterable[Condition], rows: Mapping[int, Stored]
    ) -> set[int]:
        found: set[int] = set()
        plain = tuple(one for one in conditions if not leads_to_many(one))
        for condition in (AnyOf(plain), *(one for one in conditions if leads_to_many(one))):
            rest = {number: stored for number, stored in rows.items() if number not in found}
            found |= await self.of(types, condition, rest)
        return found

    async def _refers(self, asked: Refers, rows: Mapping[int, Stored]) -> set[int]:
        known = self._known.setdefault(asked, {})
        named = targets(self.server, asked.numbers, rows)
        new = {number for numbers in named.values() for number in numbers} - known.keys()
        for some in _parts(new):
            met = await self.among(asked.types, asked.where, some)
            known.update((number, number in met) for number in some)
        return {number for number, there in named.items() if any(known[one] for one in there)}

    async def _meeting(
        self, types: tuple[str, ...], where: Condition, rids: Collection[int]
    ) -> set[int]:
        if where == AnyOf():
            return set()
        select, found = Select(types, where, restriction=self.restriction), set[int]()
        for some in _parts(rids):
            if monotonic() > self._until:
                raise TooFar(f"It was followed for {PATIENCE:g} seconds.")
            found.update(await self.server.store.meeting(some, select))
        return found


def _parts(rids: Collection[int]) -> Iterable[list[int]]:
    whole = list(rids)
    return (whole[start : start + AT_ONCE] for start in range(0, len(whole), AT_ONCE))


def _all(conditions: list[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))
