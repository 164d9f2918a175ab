"""visits — of a health post, as a line carries them: the same for a seed.

https://hl7.org/fhir/R4/encounter.html

The demo's Patient, Encounter and first MedicationRequest, which all profiles allow, as of one
facility; and beside them two Observations and a Condition.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from fhir_server.demo.records import What, events, resources
from fhir_server.demo.world import World

Resource = dict[str, Any]
PLACES = ("managingOrganization", "serviceProvider")
LOINC, UNITS = "http://loinc.org", "http://unitsofmeasure.org"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
ICD = "http://hl7.org/fhir/sid/icd-10"
DIAGNOSES = (
    ("J06.9", "Nhiễm khuẩn hô hấp trên"), ("I10", "Tăng huyết áp"), ("E11.9", "Đái tháo đường"),
    ("K29.7", "Viêm dạ dày"), ("M54.5", "Đau thắt lưng"), ("A09", "Tiêu chảy"),
)  # fmt: skip


def visits(facility: str, seed: int, patients: int = 3000) -> Iterator[list[Resource]]:
    """All that is written at each, in the order of time."""
    draw = random.Random(seed)
    world = World(patients, seed)
    here = {"reference": f"Organization/{facility}"}
    for event in events(world, history=False):
        if event.what is not What.VISIT:
            continue
        written: dict[str, Resource] = {}
        for one in resources(world, event, history=False):
            moved = {name: here for name in PLACES if name in one}
            written.setdefault(one["resourceType"], {**one, **moved})
        if "MedicationRequest" in written:
            yield [*written.values(), *beside(written["Encounter"], draw)]


def beside(visit: Resource, draw: random.Random) -> Iterator[Resource]:
    about = {
        "subject": visit["subject"],
        "encounter": {"reference": f"Encounter/{visit['id']}"},
    }
    at = {"effectiveDateTime": visit["period"]["start"]}
    yield measured(f"{visit['id']}-m", PULSE, draw.randrange(55, 110)) | about | at
    yield measured(f"{visit['id']}-t", WARMTH, draw.randrange(360, 400) / 10) | about | at
    code, text = draw.choice(DIAGNOSES)
    yield {
        "resourceType": "Condition", "id": f"{visit['id']}-c", **about,
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
        "code": {"coding": [{"system": ICD, "code": code}], "text": text},
        "recordedDate": visit["period"]["start"],
    }  # fmt: skip


PULSE, WARMTH = ("8867-4", "Mạch", "/min"), ("8310-5", "Nhiệt độ", "Cel")


def measured(id: str, what: tuple[str, str, str], value: float) -> Resource:
    code, text, unit = what
    return {
        "resourceType": "Observation", "id": id, "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}], "text": text},
        "valueQuantity": {"value": value, "unit": unit, "system": UNITS, "code": unit},
    }  # fmt: skip


def bundle(written: list[Resource]) -> Resource:
    return {
        "resourceType": "Bundle", "type": "transaction",
        "entry": [
            {"resource": one,
             "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in written
        ],
    }  # fmt: skip
