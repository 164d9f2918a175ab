"""medication_request — the prescriptions of a visit, line by line.

https://hl7.org/fhir/R4/medicationrequest.html

A narcotic, a psychotropic, a herbal and an ordinary drug go on four prescriptions (N, H, T, C),
each with a national code of its own, which the lines share as their groupIdentifier.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from fhir_server.demo import systems
from fhir_server.demo.draw import Draw, Weighted, number
from fhir_server.demo.encounter import Care
from fhir_server.demo.identifier import prescription, uuid7
from fhir_server.demo.lists import ON_PURPOSE, Drug, drugs
from fhir_server.demo.systems import SID, concept
from fhir_server.demo.world import END
from fhir_server.foundation.resource import Resource

TYPES = "CHNT"
LINES = Weighted(
    [(1, 2.0), (2, 37.0), (3, 34.0), (4, 20.0), (5, 3.2), (6, 1.6), (7, 0.9), (8, 0.5), (10, 0.4),
     (12, 0.25), (15, 0.15)]
)  # fmt: skip
ORDINARY = ("vitamin", "resp", "gastric", "msk")  # what is given beside the diagnosis's own drugs
FOR_LYING_IN = frozenset({"03", "04", "09"})
ONE_OF_THESE = frozenset({"A02", "C09", "C10", "H02", "J01", "M01", "N05", "R06"})
CURRENT = timedelta(days=30)
HERBAL_TYPE = date(2026, 3, 1)


class Slip(NamedTuple):
    """The prescription a line stands on, and the line's own id."""

    code: str
    authored: datetime
    id: str


def medication_requests(world: str, care: Care) -> Iterator[Resource]:
    """Every line of every prescription of a visit."""
    if care.cancelled or care.diagnoses[0].group in ON_PURPOSE:
        return
    draw = Draw(world, "drugs", care.visit.count)
    authored = care.visit.start + timedelta(minutes=draw.between(8, 18))
    offset = number(world, "prescription")
    for line, drug in enumerate(_chosen(draw, care), 1):
        type = _type(drug, authored)
        count = care.visit.count * len(TYPES) + TYPES.index(type)
        code = prescription(care.visit.facility.code, count, type, offset)
        id = uuid7(authored, world, "MedicationRequest", care.visit.count, line)
        yield _line(draw, care, drug, Slip(code, authored, id))


def _type(drug: Drug, authored: datetime) -> str:
    """A herbal prescription has a letter of its own since TT 55/2025."""
    return "C" if drug.type == "T" and authored.date() < HERBAL_TYPE else drug.type


def _chosen(draw: Draw, care: Care) -> list[Drug]:
    """So many drugs as were written, those of the diagnoses first; none twice."""
    facility, wanted = care.visit.facility, LINES.pick(draw)
    groups = [diagnosis.group for diagnosis in care.diagnoses]
    narcotic = facility.beds and draw.chance(0.4)
    found: dict[str, Drug] = {}
    if draw.chance(0.6 if facility.herbal else 0.025):
        found["herbal"] = draw.pick(_herbal(groups))
    for group in (*groups, *ORDINARY):
        left = [drug for drug in drugs()[group] if drug.type in ("CHN" if narcotic else "CH")]
        while left:
            if len(found) == wanted:
                return list(found.values())
            drug = left.pop(draw.below(len(left)))
            found.setdefault(_alike(drug), drug)
    return list(found.values())


def _alike(drug: Drug) -> str:
    """The ATC group of which nobody takes two drugs at once."""
    return drug.atc[:3] if drug.atc[:3] in ONE_OF_THESE else drug.atc[:5]


def _herbal(groups: list[str]) -> list[Drug]:
    """The herbal remedies for these diagnoses, or for tiredness, which is everyone's."""
    suited = [drug for group in groups for drug in drugs()[group] if drug.type == "T"]
    return suited or [drug for drug in drugs()["vitamin"] if drug.type == "T"]


def _line(draw: Draw, care: Care, drug: Drug, slip: Slip) -> Resource:
    resource: Resource = {"resourceType": "MedicationRequest", "id": slip.id}
    if drug.type != "T" and draw.chance(0.12):
        registered = f"VD-{draw.between(20000, 36999)}-{draw.between(14, 23)}"
        resource["extension"] = [{"url": systems.EXT_REGISTRATION, "valueString": registered}]
    stay = "inpatient" if care.visit.kind in FOR_LYING_IN else "outpatient"
    done = slip.authored < END - CURRENT
    medication: dict[str, object] = {"text": drug.name}
    if drug.atc:
        medication = {"coding": [{"system": systems.ATC, "code": drug.atc}], **medication}
    return resource | {
        "status": "stopped" if draw.chance(0.005) else "completed" if done else "active",
        "intent": "order",
        "category": [
            concept(systems.PRESCRIBED_FOR, stay),
            concept(systems.PRESCRIPTION_TYPE, slip.code[-1]),
        ],
        "medicationCodeableConcept": medication,
        "subject": {"reference": f"Patient/{care.visit.person.id}"},
        "encounter": {"reference": f"Encounter/{care.id}"},
        "authoredOn": slip.authored.isoformat(),
        "requester": {"reference": f"Practitioner/{care.practitioner.id}"},
        "groupIdentifier": {"system": SID["prescription"], "value": slip.code},
        **_dose(drug),
    }


def _dose(drug: Drug) -> Resource:
    """How it is taken, in words and to be reckoned with, and how much is handed out."""
    dose = str(drug.dose).replace(".", ",")
    text = (
        f"{drug.route} {dose} {drug.unit}, {drug.per_day} lần/ngày, {drug.advice}, {drug.days} ngày"
    )
    total = drug.dose * drug.per_day * drug.days
    whole = int(total) if total == int(total) else Decimal(total)
    return {
        "dosageInstruction": [
            {
                "text": text,
                "timing": {"repeat": {"frequency": drug.per_day, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": {"value": drug.dose, "unit": drug.unit}}],
            }
        ],
        "dispenseRequest": {
            "quantity": {"value": whole, "unit": drug.unit},
            "expectedSupplyDuration": {
                "value": drug.days,
                "unit": "ngày",
                "system": systems.UCUM,
                "code": "d",
            },
        },
    }
