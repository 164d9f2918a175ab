"""person — who somebody is, as a pure function of the world and a count.

https://hl7.org/fhir/R4/patient.html

A person is worked out anew whenever they are met, so that nobody has to be remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from fhir_server.demo.draw import Draw, Weighted
from fhir_server.demo.facility import ZONE, Facility, busiest, suited, with_beds
from fhir_server.demo.identifier import cccd, scattered, uuid7
from fhir_server.demo.lists import Commune, Diagnosis, chronic_diagnoses, communes
from fhir_server.demo.names import (
    FOREIGN,
    FOREIGN_NAMES,
    UNKNOWN,
    Name,
    family_and_group,
    name,
)
from fhir_server.demo.systems import SID

# (youngest, oldest) in whole years, with their share of those who come to be treated
AGES = Weighted(
    [
        ((0, 0), 2.2),
        ((1, 4), 6.5),
        ((5, 14), 14.0),
        ((15, 24), 11.0),
        ((25, 34), 13.5),
        ((35, 44), 14.5),
        ((45, 54), 13.5),
        ((55, 64), 12.8),
        ((65, 74), 8.2),
        ((75, 84), 3.0),
        ((85, 99), 0.8),
    ]
)
# Old folk whose papers were lost in the wars know the year alone.
YEAR_ONLY_UNTIL, YEAR_ONLY = 1964, 0.14

HOURS = Weighted(list(zip(
    range(24),
    (2, 1, 1, 1, 2, 8, 40, 118, 142, 128, 96, 38, 20, 52, 62, 52, 36, 20, 14, 12, 9, 6, 4, 3),
    strict=True,
)))  # fmt: skip
CHRONIC = ((30, 0.03), (45, 0.18), (60, 0.42), (130, 0.66))  # share that has one, until this age

# two digits of the province where the birth was recorded, as before 2025
HERE = ("92", "93", "94")
ELSEWHERE = ("96", "95", "91", "89", "87", "86", "84", "83", "79", "38", "36", "42")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is treated in Can Tho."""

    count: int
    id: str
    registered: datetime  # when the first visit began
    sex: str
    name: Name
    group: str  # ethnic group, or foreigner or unknown
    born: date
    year_only: bool
    standing: str  # ordinary | newborn | unknown | foreigner
    home: Facility
    commune: Commune
    chronic: tuple[Diagnosis, ...]
    insured: bool
    death: datetime | None
    fatal: bool  # the first visit is the last
    province: str  # of the birth record, as before 2025
    serial: str  # six digits nobody else of this world has

    def age(self, at: datetime) -> int:
        """In whole years."""
        day = at.date()
        return day.year - self.born.year - ((day.month, day.day) < (self.born.month, self.born.day))

    @property
    def cccd(self) -> str | None:
        """The personal number; a newborn, a foreigner or someone unknown has none yet."""
        if self.standing != "ordinary":
            return None
        return cccd(self.province, self.sex, self.born, self.serial)

    @property
    def identifier(self) -> tuple[str, str]:
        """The system and value by which other facilities know this person."""
        match self.standing:
            case "ordinary":
                return SID["cccd"], self.cccd or ""
            case "newborn":
                year = self.registered.year % 100
                return SID["birth-cert"], f"{self.home.code}.GCS.{self.serial[1:]}.{year:02}"
            case "foreigner":
                return SID["passport"], f"{'EKMPX'[self.count % 5]}{self.serial}{self.count % 10}"
            case _:
                day = f"{self.registered:%Y%m%d}"
                return SID["temp"], f"VD-{self.home.code}-{day}-{int(self.serial)}"


def person(world: str, count: int, day: date, end: datetime) -> Person:
    """The count-th person of a world, who is first seen on this day."""
    draw = Draw(world, "person", count)
    minute = HOURS.pick(draw) * 60 + draw.below(60)
    registered = datetime.combine(day, time(minute // 60, minute % 60), ZONE)
    standing = _standing(draw)
    sex = "female" if draw.chance(0.535) else "male"
    born = _born(draw, registered, standing)
    age = (registered.date() - born).days // 365
    group, called = _called(draw, standing, sex, born)
    fatal = standing != "foreigner" and draw.chance(0.02 if age > 64 else 0.002)
    province = draw.pick(HERE if draw.chance(0.93) else ELSEWHERE)
    return Person(
        count=count,
        id=uuid7(registered, world, "Patient", count),
        registered=registered,
        sex=sex,
        name=called,
        group=group,
        born=born,
        year_only=born.year <= YEAR_ONLY_UNTIL and draw.chance(YEAR_ONLY),
        standing=standing,
        home=_home(draw, standing, sex, age, fatal=fatal),
        commune=draw.pick(communes()),
        chronic=_chronic(draw, sex, age),
        insured=standing in ("ordinary", "newborn") and draw.chance(0.94),
        death=_death(draw, registered, end, age, fatal=fatal),
        fatal=fatal,
        province=province,
        serial=scattered(count, 6, Draw(world).below(10**6)),
    )


def _standing(draw: Draw) -> str:
    at = draw.unit()
    if at < 0.012:
        return "newborn"
    if at < 0.016:
        return "unknown"
    return "foreigner" if at < 0.0195 else "ordinary"


def _born(draw: Draw, registered: datetime, standing: str) -> date:
    day = registered.date()
    if standing == "newborn":
        return day - timedelta(days=draw.below(4))
    youngest, oldest = (25, 64) if standing in ("unknown", "foreigner") else AGES.pick(draw)
    days = draw.between(youngest * 366, oldest * 365 + 364)
    return day - timedelta(days=max(days, 10))


def _called(draw: Draw, standing: str, sex: str, born: date) -> tuple[str, Name]:
    family, group = family_and_group(draw)
    called = name(draw, family, group, sex, born.year)
    match standing:
        case "unknown":
            return UNKNOWN, Name("", "", "Không rõ danh tính")
        case "foreigner":
            family, given, _ = draw.pick([who for who in FOREIGN_NAMES if who[2] == sex])
            return FOREIGN, Name(family, "", given)
        case "newborn":
            mother = name(draw, family, group, "female", born.year - 26)
            return group, Name("", "CB", mother.text)
    return group, called


def _home(draw: Draw, standing: str, sex: str, age: int, *, fatal: bool) -> Facility:
    """Where the file lies. Who was born, brought in or died there lay in a bed."""
    beds = fatal or standing in ("newborn", "unknown")
    return suited(with_beds() if beds else busiest(), draw, sex, age)


def _chronic(draw: Draw, sex: str, age: int) -> tuple[Diagnosis, ...]:
    share = next(share for until, share in CHRONIC if age <= until)
    if not draw.chance(share):
        return ()
    drawn = (chronic_diagnoses().pick(draw) for _ in range(3))
    return tuple(dict.fromkeys(found for found in drawn if found.fits(sex, age)))[:2]


def _death(
    draw: Draw, registered: datetime, end: datetime, age: int, *, fatal: bool
) -> datetime | None:
    if fatal:
        return min(end, registered + timedelta(minutes=draw.between(90, 6 * 24 * 60)))
    if not draw.chance(0.045 if age > 64 else 0.003):
        return None
    left = int((end - registered).total_seconds() // 60) - 60 * 24 * 3
    return registered + timedelta(minutes=60 * 24 * 3 + draw.below(left)) if left > 0 else None
