"""world — who comes where and when: the visits of three years, in order of time.

https://hl7.org/fhir/R4/encounter.html

Visits are a Poisson process of 1.2 a person and year, given that everyone comes at least once.
So the count of those already known on a day is all that has to be remembered, and the memory
needed does not grow with the number of people.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache

from fhir_server.demo.draw import Draw, Weighted, number
from fhir_server.demo.facility import ZONE, Facility, busiest, suited, with_beds, without_beds
from fhir_server.demo.identifier import BASE_36
from fhir_server.demo.person import HOURS, Person, person

FIRST_DAY, DAYS = date(2023, 11, 1), 1096
END = datetime.combine(FIRST_DAY + timedelta(days=DAYS), time(), ZONE)
A_YEAR = 1.2
BY_WEEKDAY = (1.36, 1.18, 1.12, 1.1, 1.08, 0.72, 0.44)  # Monday first; together seven
SIXTEEN_KINDS = date(2026, 8, 1)
FOUR_HOURS = timedelta(hours=4)  # lying in for less is a kind of its own

TEN = [
    ("01", 54.0), ("02", 4.0), ("03", 6.5), ("04", 1.2), ("05", 17.0), ("06", 0.8), ("07", 3.2),
    ("08", 11.5), ("09", 0.6), ("10", 0.9),
]  # fmt: skip
NEW = [("11", 2.0), ("12", 2.2), ("13", 5.0), ("14", 2.0), ("15", 7.0), ("16", 4.0)]
KINDS_BEFORE, KINDS_SINCE = Weighted(TEN), Weighted([("01", 32.1), *TEN[1:], *NEW])
NEED_BEDS = frozenset({"02", "03", "04", "08", "09"})
NEED_POST = frozenset({"06", "12", "13"})


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody comes to a facility."""

    count: int
    person: Person
    start: datetime
    first: bool
    kind: str  # MA_LOAI_KCB
    facility: Facility


class World:
    """A number of people and a seed: everything else follows from them."""

    def __init__(self, patients: int, seed: int) -> None:
        self.patients, self.seed = patients, seed
        self.key = f"{seed}/{patients}"
        self.person = lru_cache(maxsize=4096)(self._person)

    @cached_property
    def mark(self) -> str:
        """Four letters that tell this world's episodes from those of another."""
        value = number(self.key, "mark")
        return "".join(BASE_36[value // 36**place % 36] for place in range(4))

    def day_of(self, count: int) -> int:
        """The day somebody first comes: the quantile of an exponential cut off at the end."""
        rate = A_YEAR / 365.25
        share = (count + 0.5) / self.patients * -math.expm1(-rate * DAYS)
        return min(int(-math.log1p(-share) / rate), DAYS - 1)

    def visits(self) -> Iterator[Visit]:
        """Every visit, in order of its beginning."""
        known, visited, due = 0, 0, 0.0
        for day in range(DAYS):
            arrivals = known
            while arrivals < self.patients and self.day_of(arrivals) == day:
                arrivals += 1
            today = FIRST_DAY + timedelta(days=day)
            due += known * A_YEAR / 365.25 * BY_WEEKDAY[today.weekday()]
            new = range(known, arrivals)
            comers = [(self.person(count).registered, count, True) for count in new]
            comers += self._returning(today, int(due), known)
            due, known = due - int(due), arrivals
            for start, count, first in sorted(comers):
                visited += 1
                yield self._visit(visited, start, self.person(count), first=first)

    def _person(self, count: int) -> Person:
        day = FIRST_DAY + timedelta(days=self.day_of(count))
        return person(self.key, count, day, END)

    def _returning(self, today: date, many: int, known: int) -> list[tuple[datetime, int, bool]]:
        draw, found = Draw(self.key, "returning", today), []
        for _ in range(many):
            count, minute = draw.below(known), HOURS.pick(draw) * 60 + draw.below(60)
            start = datetime.combine(today, time(minute // 60, minute % 60), ZONE)
            who = self.person(count)
            alive = who.death is None or start < who.death
            if alive and who.standing != "unknown":
                found.append((start, count, False))
        return found

    def _visit(self, count: int, start: datetime, who: Person, *, first: bool) -> Visit:
        draw = Draw(self.key, "where", count)
        kinds = KINDS_SINCE if start.date() >= SIXTEEN_KINDS else KINDS_BEFORE
        kind, short = kinds.pick(draw), who.death is not None and who.death - start < FOUR_HOURS
        if first and (who.fatal or who.standing in ("newborn", "unknown")):
            return Visit(count, who, start, first, "09" if short else "03", who.home)
        if kind == "03" and short:
            kind = "09"
        age, facility = who.age(start), who.home
        if not first and not (facility.treats(who.sex, age) and draw.chance(0.72)):
            facility = suited(busiest(), draw, who.sex, age)
        if facility.beds is (kind in NEED_BEDS) or kind not in NEED_BEDS | NEED_POST:
            return Visit(count, who, start, first, kind, facility)
        if first:  # a first visit is where the file was opened
            return Visit(count, who, start, first, "01", facility)
        there = with_beds() if kind in NEED_BEDS else without_beds()
        return Visit(count, who, start, first, kind, suited(there, draw, who.sex, age))
