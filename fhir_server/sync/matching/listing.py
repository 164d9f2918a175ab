"""listing — Patients that are, or may be, one person, for people to look at.

https://hl7.org/fhir/R4/patient.html#linking
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from enum import Enum
from itertools import combinations
from typing import NamedTuple

from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Server
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, AllOf, Select, hash128, rid
from fhir_server.store.contract.side import APART
from fhir_server.sync.matching.person import Person, is_likely, judged, person_of
from fhir_server.sync.matching.rules import Rules

PAGE = 500
CROWD = "people"  # more have the number than one person is registered
MOST_TOGETHER = 50  # Patients with one number, or alike, of whom each pair is looked at


class Standing(Enum):
    """What two Patients are to each other."""

    LINKED = "linked"
    ONE = "one"  # a rule finds them to be one person, and they are not linked yet
    NUMBER = "number"  # they have a number in common, and something speaks against it
    LIKELY = "likely"  # they have no number in common, and all else
    APART = "apart"  # somebody has said that they are two


class Pair(NamedTuple):
    """against: what speaks against it."""

    one: Person
    other: Person
    standing: Standing
    number: str = ""
    against: tuple[str, ...] = ()


async def pairs(server: Server, rules: Rules) -> AsyncIterator[Pair]:
    """Each pair once. It reads every Patient, and remembers of each some 100 bytes."""
    told: set[tuple[Key, Key]] = set()
    for group in (await _groups(server, rules)).values():
        stored = await server.store.by_rid(group[:MOST_TOGETHER], EVERYTHING)
        people = [person_of(rules, resource_of(one)) for one in stored]
        people.sort(key=lambda person: person.key)
        is_crowd = len(group) > rules.people
        for one, other in combinations(people, 2):
            if (one.key, other.key) not in told:
                told.add((one.key, other.key))
                found = await _standing(server, rules, one, other)
                if found is not None and found.standing is Standing.ONE and is_crowd:
                    found = found._replace(standing=Standing.NUMBER, against=(CROWD,))
                if found is not None:
                    yield found


async def _groups(server: Server, rules: Rules) -> dict[int, list[int]]:
    """The Patients that have something in common, by a hash of it."""
    first: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    async for person in everybody(server, rules):
        number = rid(person.key)
        for common in _in_common(rules, person):
            before = first.setdefault(common, number)
            if before != number:
                groups.setdefault(common, [before]).append(number)
    return groups


def _in_common(rules: Rules, person: Person) -> Iterator[int]:
    for number in person.numbers:
        yield hash128(f"{number.name}\n{number.value}") >> 65
    if rules.likely and person.birth:
        for name in person.names:
            yield hash128(f"{person.birth}\n{name}") >> 65


async def everybody(server: Server, rules: Rules) -> AsyncIterator[Person]:
    select, after, bound = Select(("Patient",), AllOf(), restriction=EVERYTHING), None, None
    more = True
    while more:
        page = await server.store.search(select, limit=PAGE, after=after, bound=bound)
        for stored in page.rows:
            yield person_of(rules, resource_of(stored))
        more, after, bound = page.more, page.edge, page.bound


async def _standing(server: Server, rules: Rules, one: Person, other: Person) -> Pair | None:
    if str(other.key) in one.links and str(one.key) in other.links:
        return Pair(one, other, Standing.LINKED)
    verdict = judged(rules, one, other)
    if verdict is None and not is_likely(rules, one, other):
        return None
    numbers = tuple(sorted((rid(one.key), rid(other.key))))
    if await server.store.side.rows(APART, (numbers,)):
        return Pair(one, other, Standing.APART)
    if verdict is None:
        return Pair(one, other, Standing.LIKELY)
    standing = Standing.ONE if verdict.is_one else Standing.NUMBER
    return Pair(one, other, standing, verdict.number, verdict.against)
