"""records — the stream of resources that a world's visits leave behind.

https://hl7.org/fhir/R4/resource.html
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from fhir_server.demo.draw import Draw
from fhir_server.demo.encounter import Care, care, encounter
from fhir_server.demo.facility import organizations, people
from fhir_server.demo.medication_request import medication_requests
from fhir_server.demo.patient import patient
from fhir_server.demo.world import World
from fhir_server.foundation.resource import Resource

# How much is written again: of encounters, of patients, and of prescription lines taken back.
AMENDED, MOVED, DELETED = 0.03, 0.003, 0.0014
WITHIN_DAYS = 21


class What(Enum):
    """What happens to the records at one moment."""

    VISIT = "a visit"
    AMENDED = "the encounter is written again"
    MOVED = "the patient has a new address"
    DIED = "the patient has died"
    DELETED = "a prescription line written by mistake is deleted"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """A moment at which records are sent."""

    at: datetime
    count: int  # of the visit: puts events of one moment in order
    what: What = field(compare=False)
    care: Care = field(compare=False)


def generate(patients: int, seed: int, *, history: bool = False) -> Iterator[Resource]:
    """Every resource of a world, in order of time; the facilities and who works there first.

    With `history`, resources come again as they were written again: the last is the one that
    stands. What is deleted is only seen in `visits`, since no resource says it is gone.
    """
    yield from organizations()
    yield from people()
    world = World(patients, seed)
    for event in events(world, history=history):
        yield from resources(world, event, history=history)


def expected(patients: int) -> int:
    """About how many resources `generate` makes, to show how far it is."""
    return 472 + round(patients * 15.5)


def events(world: World, *, history: bool) -> Iterator[Event]:
    """Visits, and with `history` what is mended afterwards, in order of time."""
    coming: list[Event] = []
    for visit in world.visits():
        while coming and coming[0].at <= visit.start:
            yield heapq.heappop(coming)
        event = Event(visit.start, visit.count, What.VISIT, care(world.key, visit))
        yield event
        if history:
            for later in _afterwards(world, event.care):
                heapq.heappush(coming, later)
    while coming:
        yield heapq.heappop(coming)


def _afterwards(world: World, care: Care) -> Iterator[Event]:
    visit = care.visit
    draw = Draw(world.key, "afterwards", visit.count)
    for what, share in ((What.AMENDED, AMENDED), (What.DELETED, DELETED * 3)):
        if draw.chance(share):
            minutes = draw.between(60, WITHIN_DAYS * 24 * 60)
            yield Event(care.end + timedelta(minutes=minutes), visit.count, what, care)
    if not visit.first:
        return
    who = visit.person
    if who.death and not who.fatal:
        yield Event(who.death, visit.count, What.DIED, care)
    elif who.standing == "ordinary" and draw.chance(MOVED):
        minutes = draw.between(60, WITHIN_DAYS * 24 * 60)
        yield Event(care.end + timedelta(minutes=minutes), visit.count, What.MOVED, care)


def resources(world: World, event: Event, *, history: bool) -> Iterator[Resource]:
    """What is written at this moment: none where something is deleted."""
    visit = event.care.visit
    match event.what:
        case What.VISIT:
            if visit.first:
                alive = history and not visit.person.fatal
                yield patient(world.key, visit.person, alive=alive)
            yield encounter(world.key, world.mark, event.care)
            yield from medication_requests(world.key, event.care)
        case What.AMENDED:
            yield encounter(world.key, world.mark, event.care, amended=True)
        case What.MOVED:
            yield patient(world.key, visit.person, moved=True)
        case What.DIED:
            yield patient(world.key, visit.person)
