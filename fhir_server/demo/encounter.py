"""encounter — what a visit was: its kind, its time, its reason, how it ended.

https://hl7.org/fhir/R4/encounter.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from fhir_server.demo import systems
from fhir_server.demo.draw import Draw, Weighted
from fhir_server.demo.facility import (
    Practitioner,
    facilities,
    practitioners,
    suited,
    without_beds,
)
from fhir_server.demo.identifier import uuid7
from fhir_server.demo.lists import (
    Diagnosis,
    bed_diagnoses,
    common_diagnoses,
    diagnoses_of,
    display,
    kinds,
)
from fhir_server.demo.systems import SID, coded_extension, coding, concept
from fhir_server.demo.world import END, Visit
from fhir_server.foundation.resource import Resource

VISIT_OBJECTS = date(2025, 10, 17)  # QĐ 3276: the 27 objects take the five visit types' place
HOUR, DAY = 60, 24 * 60
LENGTH = {  # minutes, from and to; every kind not named: an examination
    "02": (DAY, 9 * DAY),
    "03": (2 * DAY, 9 * DAY),
    "04": (5 * HOUR, 9 * HOUR),
    "06": (6 * HOUR, 30 * HOUR),
    "09": (80, 230),
    "11": (10, 30),
    "14": (10, 35),
}
EXAMINATION = (20, 150)
STAYS = frozenset({"02", "03", "04", "06", "09"})
LONG_TERM = frozenset({"05", "07", "08"})
VISIT_TYPES = Weighted([("1", 52.0), ("4", 24.0), ("5", 16.0), ("3", 8.0)])
OBJECTS = Weighted(
    [("1.1", 46.0), ("1.2", 14.0), ("1.3", 9.0), ("1.5", 14.0), ("1.11", 7.0), ("1.12", 5.0),
     ("1.15", 2.0), ("3.1", 1.0), ("3.3", 2.0)]
)  # fmt: skip
OUTCOMES = Weighted([("1", 34.0), ("2", 58.0), ("3", 6.0), ("4", 1.0), ("6", 0.4), ("7", 0.6)])
DISCHARGES = Weighted([("1", 91.0), ("2", 4.0), ("3", 0.4), ("4", 3.4), ("5", 1.2)])
REFERRED = "1.3"
TRANSFERS = {"2": "1", "5": "3"}  # way of leaving -> reason of the transfer
DISCHARGED_TO = {"1": "home", "2": "other-hcf", "3": "oth", "4": "aadvice", "5": "other-hcf"}


@dataclass(frozen=True, slots=True)
class Care:
    """What was found and decided in a visit; the Encounter and the prescriptions follow from it."""

    visit: Visit
    id: str
    end: datetime
    diagnoses: tuple[Diagnosis, ...]
    emergency: bool
    cancelled: bool
    practitioner: Practitioner

    @property
    def ma_lk(self) -> str:
        """The episode's link code, which is never used again."""
        return f"{self.visit.facility.code}{self.visit.start:%y%m%d}{self.visit.count:07}"

    @property
    def open(self) -> bool:
        return self.end > END


def care(world: str, visit: Visit) -> Care:
    """How a visit went."""
    draw = Draw(world, "care", visit.count)
    start, who = visit.start, visit.person
    last = who.fatal and who.death is not None
    lying = visit.kind == "03"
    end = start + timedelta(minutes=draw.between(*LENGTH.get(visit.kind, EXAMINATION)))
    emergency = last or who.standing == "unknown" or draw.chance(0.3 if lying else 0.035)
    return Care(
        visit=visit,
        id=uuid7(start, world, "Encounter", visit.count),
        end=who.death if who.death and (last or who.death < end) else end,
        diagnoses=_diagnoses(draw, visit),
        emergency=emergency,
        cancelled=not visit.first and draw.chance(0.006),
        practitioner=draw.pick(practitioners(visit.facility.code)),
    )


def encounter(world: str, mark: str, care: Care, *, amended: bool = False) -> Resource:
    """The Encounter. amended: as it was written again, with what had been left out."""
    visit = care.visit
    draw = Draw(world, "encounter", visit.count)
    extensions = _extensions(draw, care, amended=amended)
    kind = kinds()[visit.kind]
    told = "EMER" if care.emergency and kind.encounter_class == "AMB" else kind.encounter_class
    resource: Resource = {"resourceType": "Encounter", "id": care.id}
    if extensions:
        resource["extension"] = extensions
    period = {"start": visit.start.isoformat(), "end": care.end.isoformat()}
    if care.open:
        del period["end"]
    resource |= {
        "identifier": [{"system": SID["ma-lk"], "value": f"{care.ma_lk}{mark}"}],
        "status": _status(care),
        "class": coding(systems.ACT_CODE, told),
        "type": [concept(systems.VN_ENCOUNTER_TYPE, kind.code, kind.name)],
        "subject": {"reference": f"Patient/{visit.person.id}"},
        "period": period,
        "reasonCode": _reasons(draw, care, amended=amended),
    }
    if hospitalization := _hospitalization(draw, care, resource):
        resource["hospitalization"] = hospitalization
    resource["serviceProvider"] = {"reference": f"Organization/{visit.facility.id}"}
    return resource


def _status(care: Care) -> str:
    if care.cancelled:
        return "cancelled"
    return "in-progress" if care.open else "finished"


def _diagnoses(draw: Draw, visit: Visit) -> tuple[Diagnosis, ...]:
    who, age = visit.person, visit.person.age(visit.start)
    if visit.kind in ("15", "16"):
        return (_purpose(draw, visit.kind, who.sex, age),)
    if who.standing == "newborn" and visit.first:
        return (draw.pick(diagnoses_of("newborn")),)
    found: list[Diagnosis] = []
    if who.chronic and draw.chance(0.93 if visit.kind in LONG_TERM else 0.5):
        found.extend(who.chronic)
    elif visit.kind == "03" and draw.chance(0.5):
        found.append(_fitting(draw, who.sex, age, bed=True))
    else:
        found.append(_fitting(draw, who.sex, age, bed=False))
    if draw.chance(0.22):
        found.append(_fitting(draw, who.sex, age, bed=False))
    return tuple(dict.fromkeys(found))


def _fitting(draw: Draw, sex: str, age: int, *, bed: bool) -> Diagnosis:
    """One that somebody of this sex and age may have; a cold, where chance finds none."""
    table = bed_diagnoses() if bed else common_diagnoses()
    for _ in range(60):
        found = table.pick(draw)
        if found.fits(sex, age) and (bed or not found.bed):
            return found
    return diagnoses_of("resp")[0]


def _purpose(draw: Draw, kind: str, sex: str, age: int) -> Diagnosis:
    listed = diagnoses_of("check" if kind == "15" else "screen")
    return draw.pick([found for found in listed if found.fits(sex, age)] or diagnoses_of("check"))


def _reasons(draw: Draw, care: Care, *, amended: bool) -> list[dict[str, Any]]:
    """The main diagnosis first. Who codes in haste leaves the name out, or a second one."""
    told = care.diagnoses
    if not amended and len(told) > 1 and draw.chance(0.1):
        told = told[:1]
    return [concept(systems.ICD_10, found.code, found.name) for found in told]


def _extensions(draw: Draw, care: Care, *, amended: bool) -> list[dict[str, object]]:
    visit = care.visit
    found: list[dict[str, object]] = []
    if care.end.date() < VISIT_OBJECTS:
        if visit.person.insured:
            code = "2" if care.emergency else VISIT_TYPES.pick(draw)
            url, system = systems.EXT_INSURANCE_VISIT, systems.VN_INSURANCE_VISIT
            found.append(coded_extension(url, system, code))
    else:
        url, system = systems.EXT_VISIT_OBJECT, systems.VISIT_OBJECT
        found.append(coded_extension(url, system, _object(draw, care)))
    outcome = _outcome(draw, care)
    if (
        not care.open
        and not care.cancelled
        and (amended or visit.kind in STAYS or draw.chance(0.3))
    ):
        name = display("treatment-outcome-ket-qua-dtri")[outcome]
        found.append(coded_extension(systems.EXT_OUTCOME, systems.VN_OUTCOME, outcome, name))
    return found


def _object(draw: Draw, care: Care) -> str:
    """MA_DOITUONG_KCB."""
    if not care.visit.person.insured:
        return "9"
    if care.visit.kind == "07":
        return "10"
    if care.visit.person.standing == "newborn" and care.visit.first:
        return "1.7"
    return "2" if care.emergency else OBJECTS.pick(draw)


def _outcome(draw: Draw, care: Care) -> str:
    death, drawn = care.visit.person.death, OUTCOMES.pick(draw)
    return "5" if death and death <= care.end else drawn


def _hospitalization(draw: Draw, care: Care, told: Resource) -> Resource:
    """Where somebody came from with a referral, how they left, and where they were sent."""
    found: Resource = {}
    visit, other = care.visit, Draw(care.id, "other facility")
    objects = (
        each for each in told.get("extension", ()) if each["url"] == systems.EXT_VISIT_OBJECT
    )
    if any(each["valueCodeableConcept"]["coding"][0]["code"] == REFERRED for each in objects):
        found["origin"] = systems.facility(suited(without_beds(), other, "female", 30).code)
    if visit.kind in STAYS and not care.open and not care.cancelled:
        disposition = _disposition(draw, care)
        code = disposition["coding"][0]["code"]
        if reason := TRANSFERS.get(code):
            names = display("transfer-reason-ma-lydo-ct")
            url, system = systems.EXT_TRANSFER_REASON, systems.TRANSFER_REASON
            found["extension"] = [coded_extension(url, system, reason, names[reason])]
            found["destination"] = systems.facility(facilities()[other.below(6)].code)
        found["dischargeDisposition"] = disposition
    return found


def _disposition(draw: Draw, care: Care) -> dict[str, Any]:
    code = DISCHARGES.pick(draw)
    died = care.visit.person.death == care.end
    to = "exp" if died else DISCHARGED_TO[code]
    code = "1" if died else code
    name = display("discharge-type-ma-loai-rv")[code]
    return {"coding": [coding(systems.VN_DISCHARGE, code, name), coding(systems.DISCHARGE, to)]}
