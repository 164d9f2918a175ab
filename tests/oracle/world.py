"""world — records drawn from small pools, so that every question finds some and misses some."""

from __future__ import annotations

import random
from typing import Any

from tests.oracle.dates import interval

Resource = dict[str, Any]

FAMILIES = ["Nguyễn", "Nguyên", "Trần", "Đặng", "Dang", "Lê", "Ngô", "O'Brien", "Âu Dương"]
GIVEN = ["Văn", "Đức", "Thị", "Hoà", "Hòa", "Anh", "Ánh", "Bảo-Châu", "An"]
TOWNS = ["Cần Thơ", "Sóc Trăng", "Phường Ninh Kiều", "Xã Hòa An", "Quận 1"]
LOINC, UCUM, LOCAL = "http://loinc.org", "http://unitsofmeasure.org", "urn:x:codes"
CODES = [("8867-4", "Heart rate"), ("8480-6", "Systolic"), ("8462-4", "Diastolic")]
ACTS = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
DATES = [
    "2023", "2023-12", "2023-12-31", "2024-01-01", "2024-02-29", "2024-02",
    "2024-01-05T00:30:00+07:00", "2024-01-04T17:30:00Z", "2024-01-04T23:59:59.999+07:00",
    "2024-01-05T12:00:00-05:00", "2024-03-10T08:00:00+07:00", "2024-03-10T08:00:30+07:00",
]  # fmt: skip
DAYS = ["1990", "1990-05", "1990-05-17", "1991-01-01", "2000-02-29", "1990-12-31"]


class World:
    """Records of nine types that refer to one another; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.records: list[Resource] = []
        self.of: dict[str, list[Resource]] = {}
        for type, number, make in (
            ("Organization", 8, self.organization),
            ("Location", 8, self.location),
            ("Practitioner", 6, self.practitioner),
            ("Patient", 30, self.patient),
            ("Encounter", 50, self.encounter),
            ("Condition", 25, self.condition),
            ("Observation", 70, self.observation),
            ("MedicationRequest", 50, self.medication_request),
            ("List", 12, self.listing),
        ):
            for count in range(number):
                one = {"resourceType": type, "id": f"{type.lower()}-{count}", **make()}
                self.records.append({k: v for k, v in one.items() if v not in (None, [], {})})
                self.of.setdefault(type, []).append(self.records[-1])

    # what things are made of

    def pick(self, values: Any) -> Any:
        return self.random.choice(list(values))

    def maybe(self, value: Any, chance: float = 0.6) -> Any:
        return value if self.random.random() < chance else None

    def some(self, make: Any, most: int = 2) -> list[Any]:
        return [make() for _ in range(self.random.randint(0, most))]

    def refers(self, *types: str) -> Resource | None:
        there = [one for type in types for one in self.of.get(type, ())]
        if not there:
            return None
        one = self.pick(there)
        reference: Resource = {"reference": f"{one['resourceType']}/{one['id']}"}
        if self.random.random() < 0.2:
            reference["identifier"] = {"system": "urn:x:ref", "value": one["id"][-1]}
        return reference

    def concept(self) -> Resource:
        code, display = self.pick(CODES)
        codings = [{"system": LOINC, "code": code, "display": display}]
        if self.random.random() < 0.4:
            codings.append({"system": LOCAL, "code": self.pick("abc")})
        if self.random.random() < 0.2:
            codings = [{"code": code}]
        return {"coding": codings}

    def identifier(self) -> Resource:
        found = {"system": self.pick(["urn:x:a", "urn:x:b"]), "value": str(self.pick(range(9)))}
        if self.random.random() < 0.3:
            found.pop("system")
        if self.random.random() < 0.4:
            kind = {"system": "urn:x:kind", "code": self.pick(["MR", "PP"])}
            found["type"] = {"coding": [kind]}
        return found

    def name(self) -> Resource:
        family, given = self.pick(FAMILIES), [self.pick(GIVEN) for _ in range(2)]
        name: Resource = {"family": family, "given": list(dict.fromkeys(given))}
        if self.random.random() < 0.5:
            name["text"] = " ".join([family, *given])
        return name

    def address(self) -> Resource:
        return {
            "use": self.pick(["home", "work"]),
            "line": [f"{self.pick(range(1, 99))} Đường {self.pick(GIVEN)}"],
            "city": self.pick(TOWNS),
            "country": "VN",
        }

    def period(self) -> Resource:
        ends = sorted([self.pick(DATES[6:]), self.pick(DATES[6:])], key=_moment)
        match self.random.randint(0, 3):
            case 0:
                return {"start": ends[0]}
            case 1:
                return {"end": ends[1]}
        return {"start": ends[0], "end": ends[1]}

    def quantity(self) -> Resource:
        value = self.pick([60, 72.0, 120, 120.5, 119.5, 0.004, 1000, -3])
        match self.random.randint(0, 2):
            case 0:
                return {"value": value, "unit": "beats/min", "system": UCUM, "code": "/min"}
            case 1:
                return {"value": value, "unit": "mm"}
        return {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}

    # the records

    def organization(self) -> Resource:
        return {
            "active": self.maybe(self.pick([True, False])),
            "identifier": [self.identifier()],
            "name": f"Bệnh viện {self.pick(TOWNS)}",
            "alias": self.some(lambda: f"BV {self.pick(GIVEN)}", 1),
            "partOf": self.maybe(self.refers("Organization"), 0.5),
        }

    def location(self) -> Resource:
        position = {"longitude": self.pick([105.7, 105.8, 179.9, -179.9]),
                    "latitude": self.pick([10.0, 10.03, 10.2, 89.9])}  # fmt: skip
        return {
            "status": self.maybe(self.pick(["active", "suspended"])),
            "name": f"Khoa {self.pick(GIVEN)}",
            "position": self.maybe(position),
            "partOf": self.maybe(self.refers("Location"), 0.6),
            "managingOrganization": self.maybe(self.refers("Organization")),
        }

    def practitioner(self) -> Resource:
        return {"name": [self.name()], "identifier": self.some(self.identifier, 1)}

    def patient(self) -> Resource:
        return {
            "identifier": self.some(self.identifier, 3),
            "active": self.maybe(self.pick([True, False])),
            "name": self.some(self.name),
            "telecom": self.maybe([{"system": "phone", "value": f"090{self.pick(range(5))}"}]),
            "gender": self.maybe(self.pick(["male", "female", "other"]), 0.8),
            "birthDate": self.maybe(self.pick(DAYS), 0.8),
            "address": self.some(self.address),
            "managingOrganization": self.maybe(self.refers("Organization")),
            "generalPractitioner": self.maybe([self.refers("Practitioner", "Organization")]),
        }

    def encounter(self) -> Resource:
        return {
            "status": self.pick(["finished", "in-progress", "planned"]),
            "class": {"system": ACTS, "code": self.pick(["AMB", "IMP", "EMER"])},
            "identifier": self.some(self.identifier),
            "type": self.some(self.concept),
            "subject": self.maybe(self.refers("Patient"), 0.9),
            "participant": self.maybe([{"individual": self.refers("Practitioner")}]),
            "period": self.maybe(self.period(), 0.9),
            "reasonCode": self.some(self.concept),
            "location": self.maybe([{"location": self.refers("Location")}]),
            "serviceProvider": self.maybe(self.refers("Organization")),
            "partOf": self.maybe(self.refers("Encounter"), 0.2),
        }

    def condition(self) -> Resource:
        return {
            "code": self.maybe(self.concept()),
            "subject": self.refers("Patient"),
            "encounter": self.maybe(self.refers("Encounter")),
            "recordedDate": self.maybe(self.pick(DATES)),
        }

    def observation(self) -> Resource:
        values = ("Quantity", self.quantity()), ("CodeableConcept", self.concept()), \
            ("String", self.pick(TOWNS)), ("DateTime", self.pick(DATES))  # fmt: skip
        kind, value = self.pick(values)
        parts = self.some(lambda: {"code": self.concept(), "valueQuantity": self.quantity()})
        code = self.concept()
        # R4 obs-7: no value where a component has the same code
        there = [coding for part in parts for coding in part["code"]["coding"]]
        free = not any(coding in there for coding in code["coding"])
        return {
            "status": self.pick(["final", "preliminary"]),
            "code": code,
            "subject": self.maybe(self.refers("Patient", "Location"), 0.9),
            "encounter": self.maybe(self.refers("Encounter")),
            "effectiveDateTime": self.maybe(self.pick(DATES)),
            "performer": self.maybe([self.refers("Practitioner", "Organization", "Patient")]),
            f"value{kind}": self.maybe(value, 0.9) if free else None,
            "component": parts,
        }

    def medication_request(self) -> Resource:
        return {
            "status": self.pick(["active", "completed"]),
            "intent": self.pick(["order", "plan"]),
            "medicationCodeableConcept": self.concept(),
            "subject": self.refers("Patient"),
            "encounter": self.maybe(self.refers("Encounter")),
            "authoredOn": self.maybe(self.pick(DATES), 0.9),
            "requester": self.maybe(self.refers("Practitioner", "Organization")),
        }

    def listing(self) -> Resource:
        types = "Patient", "Encounter", "Observation", "Organization", "Location"
        return {
            "status": self.pick(["current", "retired"]),
            "mode": "working",
            "title": f"Danh sách {self.pick(TOWNS)}",
            "date": self.maybe(self.pick(DATES[6:])),
            "subject": self.maybe(self.refers("Patient", "Location")),
            "entry": self.some(lambda: {"item": self.refers(*types)}, 6),
        }


def _moment(text: str) -> tuple[int, int]:
    return interval(text)
