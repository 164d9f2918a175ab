"""linking — Patients that a rule finds to be one person come to name each other.

https://hl7.org/fhir/R4/patient-definitions.html#Patient.link

Whoever stores Patients on a hub asks, before the commit, for the versions that link them: of those
that are about to be stored, and of those that are there already. A second Patient with the number
that comes at the same moment is not missed: what was found is assumed, under a lock of the number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.writing import as_stored, new_version, with_id, written_id
from fhir_server.search.kinds import token
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import (
    EVERYTHING,
    AnyOf,
    Assumption,
    NewVersion,
    Select,
    Stored,
    hash128,
    rid,
)
from fhir_server.store.contract.lineage import Earlier
from fhir_server.store.contract.side import APART, CONFLICT, Expect
from fhir_server.sync.matching.person import Number, Person, judged, person_of
from fhir_server.sync.matching.rules import Rules

SEEALSO = "seealso"
Pair = tuple[int, int]  # the numbers of two Patients, the smaller first


@dataclass(frozen=True, slots=True)
class Linked:
    """versions: all that were given, in their order, and those of Patients that were there already.
    A Patient that was given and is linked is its linked version, with what was given before it."""

    versions: tuple[NewVersion, ...]
    assumptions: tuple[Assumption, ...] = ()
    expects: tuple[Expect, ...] = ()


async def linked(
    server: Server,
    rules: Rules,
    circumstances: Circumstances,
    versions: Sequence[NewVersion],
    conflicting: frozenset[int] = frozenset(),
) -> Linked:
    """What is to be written with these versions, so that nobody in them is two people.

    conflicting: Patients of them that come into a conflict, and are not to be changed now.
    """
    given = {rid(new.key): new for new in versions if _is_patient(new)}
    if not given:
        return Linked(tuple(versions))
    people = {number: _said(rules, new) for number, new in given.items()}
    found = await _sharing(server, rules, people.values())
    if not found.rids - people.keys() and len(people) < 2:
        return Linked(tuple(versions), found.assumptions)
    stored = {
        rid(one.key): one
        for one in await server.store.by_rid(sorted(found.rids - people.keys()), EVERYTHING)
    }
    people |= {number: person_of(rules, resource_of(one)) for number, one in stored.items()}
    pairs = _pairs(rules, given, people, found.crowded)
    apart, busy = await _kept_apart(server, pairs, stored)
    wanted = _wanted([pair for pair in pairs if pair not in apart], people, busy | conflicting)
    expects = tuple(Expect(APART, pair, None) for pair in pairs if pair not in apart)
    own = [
        _with_links(server, circumstances, stored[number], links)
        for number, links in wanted.items()
        if number in stored
    ]
    told = [
        _relinked(server, circumstances, new, wanted[rid(new.key)])
        if rid(new.key) in wanted and rid(new.key) in given
        else new
        for new in versions
    ]
    return Linked((*told, *own), found.assumptions, expects)


def _is_patient(new: NewVersion) -> bool:
    return new.key.type == "Patient" and new.tail is not None


def _said(rules: Rules, new: NewVersion) -> Person:
    return person_of(rules, resource_of(as_stored(new, 0)))


# --- who shares a number -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sharing:
    """The Patients that have one of some numbers. crowded: numbers that too many have."""

    rids: frozenset[int]
    assumptions: tuple[Assumption, ...]
    crowded: frozenset[Number]


async def _sharing(server: Server, rules: Rules, people: Iterable[Person]) -> Sharing:
    """All numbers are asked for at once; only where very many have one, each by itself."""
    numbers = tuple(sorted({number for person in people for number in person.numbers}))
    if not numbers:
        return Sharing(frozenset(), (), frozenset())
    together = await _asked(server, rules, numbers)
    if len(together.found) <= rules.people:
        return Sharing(frozenset(together.found), (together,), frozenset())
    each = {number: await _asked(server, rules, (number,)) for number in numbers}
    crowded = {number for number, one in each.items() if len(one.found) > rules.people}
    found = {rid for number, one in each.items() if number not in crowded for rid in one.found}
    return Sharing(frozenset(found), tuple(each.values()), frozenset(crowded))


async def _asked(server: Server, rules: Rules, numbers: Sequence[Number]) -> Assumption:
    """Who has one of these numbers, under locks that whoever asks for one of them meets."""
    select, at_most = having(server, rules, numbers), rules.people + 1
    found = tuple(await server.store.find(select, at_most=at_most))
    locks = {hash128(f"one person\n{each.name}\n{each.value}") >> 65 for each in numbers}
    return Assumption(select, found, at_most, tuple(sorted(locks)))


def having(server: Server, rules: Rules, numbers: Sequence[Number]) -> Select:
    """Whoever has one of the numbers, in whatever form."""
    parameter = server.parameters.of("Patient")["identifier"]
    asked = [
        token.cards_of(parameter, number.value)
        if form.card
        else token.where(parameter, f"{escaped(form.system)}|{number.value}", None)
        for number in numbers
        for form in rules.forms
        if form.number == number.name
    ]
    return Select(("Patient",), AnyOf(tuple(asked)), restriction=EVERYTHING)


def escaped(system: str) -> str:
    r"""R4 search#escaping: `\`, `,`, `$` and `|` within a value."""
    return "".join(f"\\{sign}" if sign in "\\,$|" else sign for sign in system)


def _pairs(
    rules: Rules,
    given: Iterable[int],
    people: Mapping[int, Person],
    crowded: frozenset[Number],
) -> list[Pair]:
    """Those of whom one was given, and whom a rule finds to be one person."""
    counted = {
        number: replace(person, numbers=person.numbers - crowded)
        for number, person in people.items()
    }
    found: set[Pair] = set()
    for one in given:
        for other, person in counted.items():
            if other != one:
                verdict = judged(rules, counted[one], person)
                if verdict is not None and verdict.is_one:
                    found.add((min(one, other), max(one, other)))
    return sorted(found)


async def _kept_apart(
    server: Server, pairs: Sequence[Pair], stored: Mapping[int, Stored]
) -> tuple[set[Pair], set[int]]:
    """The pairs of whom somebody has said that they are two; and the Patients that are in a
    conflict, which are linked when that is over."""
    if not pairs:
        return set(), set()
    apart = await server.store.side.rows(APART, pairs)
    busy = await server.store.side.rows(CONFLICT, [(number,) for number in stored])
    return {(one, other) for one, other in pairs if (one, other) in apart}, {
        number for number in stored if (number,) in busy
    }


# --- what they come to say -----------------------------------------------------------------------


def _wanted(
    pairs: Sequence[Pair], people: Mapping[int, Person], busy: set[int]
) -> dict[int, list[Key]]:
    """Which Patients are to name which others, and do not yet."""
    found: dict[int, list[Key]] = {}
    for pair in pairs:
        for one, other in (pair, pair[::-1]):
            if one not in busy and str(people[other].key) not in people[one].links:
                found.setdefault(one, []).append(people[other].key)
    return found


def with_links(patient: Resource, others: Iterable[Key]) -> Resource:
    """The Patient, naming these as the same person."""
    links = [{"other": {"reference": str(other)}, "type": SEEALSO} for other in others]
    return {**patient, "link": [*patient.get("link", ()), *links]}


def without_link(patient: Resource, other: Key) -> Resource:
    """The Patient, not naming the other any more."""
    left = [
        link
        for link in patient.get("link", ())
        if link.get("other", {}).get("reference") != str(other) or link.get("type") != SEEALSO
    ]
    rest = {name: value for name, value in patient.items() if name != "link"}
    return {**rest, "link": left} if left else rest


def _with_links(
    server: Server, circumstances: Circumstances, stored: Stored, others: Sequence[Key]
) -> NewVersion:
    told = with_links(with_id(resource_of(stored), stored.key.id), others)
    return new_version(server, circumstances, told, "PUT", stored)


def _relinked(
    server: Server, circumstances: Circumstances, new: NewVersion, others: Sequence[Key]
) -> NewVersion:
    """The version that links, written right after the one that was given."""
    told = with_links(with_id(resource_of(as_stored(new, 0)), new.key.id), others)
    made = new_version(server, circumstances, told, "PUT", new.follows, (written_id(new),))
    before = Earlier(new.generation, new.digest, new.method, new.tail, new.parents)
    return replace(
        made,
        facility=new.facility,
        parents=None,  # the row before it
        earlier=(*new.earlier, before),
        stubs=new.stubs,
    )
