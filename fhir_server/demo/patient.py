"""patient — a person as the facility that first saw them writes them down.

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from typing import Any

from fhir_server.demo import systems
from fhir_server.demo.draw import Draw, Weighted, number
from fhir_server.demo.identifier import scattered
from fhir_server.demo.lists import CITY, CITY_NAME, OLD_PROVINCES, display, old_communes
from fhir_server.demo.names import FOREIGN
from fhir_server.demo.person import Person
from fhir_server.demo.systems import SID, coded_extension, coding, concept
from fhir_server.foundation.resource import Resource
from fhir_server.terminology.files import code_list

NEW_COMMUNES = date(2025, 7, 1)
CCCD_IS_CARD = date(2025, 8, 15)  # NĐ 188/2025: the personal number opens the insurance
ADULT_CARDS = Weighted(
    [("GD", 40.0), ("DN", 22.0), ("DT", 7.0), ("HT", 6.0), ("HN", 5.0), ("CN", 4.0), ("HC", 4.0),
     ("BT", 3.0), ("CB", 2.0), ("CC", 0.6), ("TN", 1.0), ("GB", 5.0), ("XK", 0.4)]
)  # fmt: skip
STREETS = [
    "30 tháng 4",
    "Nguyễn Văn Cừ",
    "Trần Hưng Đạo",
    "Mậu Thân",
    "Cách Mạng Tháng Tám",
    "Hùng Vương",
    "Lý Tự Trọng",
    "Nguyễn Trãi",
    "Lê Lợi",
    "Phạm Ngũ Lão",
    "Trần Phú",
    "Quang Trung",
    "Hai Bà Trưng",
    "Nguyễn Huệ",
    "Võ Văn Kiệt",
]
HAMLETS = ["An", "Bình", "Hòa", "Mỹ", "Phước", "Tân", "Thạnh", "Thới", "Trường", "Vĩnh"]
MOBILE = ("090", "091", "093", "094", "097", "098", "032", "034", "038", "070", "077", "086")


def patient(world: str, person: Person, *, alive: bool = False, moved: bool = False) -> Resource:
    """The Patient. alive: as it was before a death; moved: with the new telephone and address."""
    draw = Draw(world, "patient", person.count)
    resource: Resource = {"resourceType": "Patient", "id": person.id}
    resource["extension"] = list(_extensions(person))
    resource["identifier"] = _identifiers(world, person, draw)
    resource["active"] = True
    resource["name"] = [_name(person)]
    if person.standing != "unknown":
        resource |= _reachable(draw, person)
    resource["gender"] = person.sex
    if person.standing != "unknown":
        resource["birthDate"] = str(person.born.year) if person.year_only else str(person.born)
    if person.death and not alive:
        resource["deceasedDateTime"] = person.death.isoformat()
    if person.standing != "unknown":
        changed = Draw(world, "moved", person.count) if moved else draw
        resource["address"] = _addresses(changed, person)
    if guardian := _guardian(draw, person):
        resource["contact"] = [guardian]
    resource["managingOrganization"] = {"reference": f"Organization/{person.home.id}"}
    if moved:
        resource["telecom"] = [_phone(Draw(world, "moved", person.count))]
    return resource


def _extensions(person: Person) -> Iterator[dict[str, Any]]:
    """The ethnic group; and why there is no proof of identity, where there is none yet."""
    if person.standing != "unknown":
        name = display("ethnic-groups")[person.group]
        url = systems.EXT_ETHNICITY
        yield coded_extension(url, systems.ETHNIC_GROUP, person.group, name)
    if person.standing in ("unknown", "newborn"):
        url, system = systems.EXT_IDENTITY_REASON, systems.IDENTITY_REASON
        yield coded_extension(url, system, person.standing)


def _identifiers(world: str, person: Person, draw: Draw) -> list[dict[str, Any]]:
    system, value = person.identifier
    told: dict[str, Any] = {"system": system, "value": value}
    if system == SID["cccd"]:
        kind = concept(systems.VN_IDENTIFIER_TYPE, "CCCD")
        told = {"use": "official", "type": kind, **told}
    elif system == SID["temp"]:
        told = {"use": "temp", **told}
    elif system == SID["passport"]:
        told = {"use": "official", "type": concept(systems.IDENTIFIER_TYPE, "PPN"), **told}
    found = [told]
    if person.cccd and person.born.year < 2002 and draw.chance(0.12):
        kind = concept(systems.VN_IDENTIFIER_TYPE, "CMND")
        before = {"system": SID["cmnd"], "value": f"36{draw.digits(7)}"}
        found.append({"use": "old", "type": kind, **before})
    if person.insured:
        found.append({"system": SID["bhyt"], "value": _card(world, person, draw)})
    record = f"{person.registered:%y}{person.serial}"
    found.append(
        {
            "type": {"coding": [coding(systems.IDENTIFIER_TYPE, "MR")]},
            "system": systems.mrn_system(person.home.code),
            "value": record,
            "assigner": systems.facility(person.home.code),
        }
    )
    return found


def _card(world: str, person: Person, draw: Draw) -> str:
    """An insurance card in one of the three forms in use: 12, 10 or 15 characters."""
    at = draw.unit()
    if person.cccd and person.registered.date() >= CCCD_IS_CARD and at < 0.6:
        return person.cccd
    insurance = f"{person.province}{scattered(person.count, 8, number(world, 'card'))}"
    if at < 0.45:
        return insurance
    age = person.age(person.registered)
    held = "TE" if age < 6 else "HS" if age < 18 else ADULT_CARDS.pick(draw)
    return f"{held}{_benefits()[held]}{person.province}{insurance}"[:15]


@cache
def _benefits() -> dict[str, str]:
    return {row["code"]: row["benefit_level"] or "4" for row in code_list("bhyt-object-codes")}


def _name(person: Person) -> dict[str, Any]:
    told: dict[str, Any] = {"use": "official", "text": person.name.text}
    if person.standing == "unknown":
        return {"use": "temp", "text": person.name.text}
    if person.standing == "newborn":  # "CB" and the mother's name, until the birth is registered
        return {"use": "temp", "text": person.name.text, "family": person.name.given.split()[0]}
    told["family"] = person.name.family
    told["given"] = f"{person.name.middle} {person.name.given}".split()
    return told


def _phone(draw: Draw) -> dict[str, Any]:
    return {"system": "phone", "value": draw.pick(MOBILE) + draw.digits(7), "use": "mobile"}


def _reachable(draw: Draw, person: Person) -> Resource:
    if person.age(person.registered) < 14 or not draw.chance(0.83):
        return {}
    return {"telecom": [_phone(draw)]}


def _addresses(draw: Draw, person: Person) -> list[dict[str, Any]]:
    """In the two levels since July 2025; before it the one with a district, where the record is
    as old as that and the change was written down."""
    commune, units = person.commune, systems.units(person.commune.code, CITY)
    told: dict[str, Any] = {"city": commune.name, "state": CITY_NAME, "country": "VN"}
    if person.group == FOREIGN:
        return [{"extension": units, "use": "temp", **told}]
    urban = commune.name.startswith("Phường")
    line = (
        f"{draw.between(1, 480)} {draw.pick(STREETS)}"
        if urban
        else f"Ấp {draw.pick(HAMLETS)} {draw.pick(HAMLETS)}"
    )
    now = {"extension": units, "use": "home", "line": [line], **told}
    if person.registered.date() >= NEW_COMMUNES or not draw.chance(0.55):
        return [now]
    old = draw.pick(old_communes()[commune.code])
    before = {
        "extension": systems.units(old.code, OLD_PROVINCES[old.province]),
        "use": "home",
        "line": [line],
        "city": old.name,
        "district": old.district,
        "state": old.province,
        "country": "VN",
        "period": {"end": str(NEW_COMMUNES - timedelta(days=1))},
    }
    return [now | {"period": {"start": str(NEW_COMMUNES)}}, before]


def _guardian(draw: Draw, person: Person) -> dict[str, Any] | None:
    if person.age(person.registered) >= 6 or person.standing in ("unknown", "foreigner"):
        return None
    mother = person.name.given if person.standing == "newborn" else None
    if mother is None and not draw.chance(0.4):
        return None
    told: dict[str, Any] = {"relationship": [concept(systems.RELATION, "MTH")]}
    if mother:
        told["name"] = {"text": mother}
    return told | {"telecom": [_phone(draw)]}
