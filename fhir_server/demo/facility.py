"""facility — the 151 public facilities of Can Tho, 13 clinics, and who works there.

https://hl7.org/fhir/R4/organization.html
https://hl7.org/fhir/R4/practitioner.html

48 hospitals and medical centres and one health post in each of the 103 communes are the 151; the
13 family-doctor clinics come on top. Their names say what there is in such a place; their codes
are invented. They are the same whatever the seed, so that two loads share them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache

from fhir_server.demo import systems
from fhir_server.demo.draw import Draw, Weighted, zipf
from fhir_server.demo.identifier import gln, uuid7
from fhir_server.demo.lists import CITY, CITY_NAME, Commune, communes, display
from fhir_server.demo.names import KINH, family_and_group, name
from fhir_server.demo.systems import SID, coded_extension, concept
from fhir_server.foundation.resource import Resource

ZONE = timezone(timedelta(hours=7))
OPENED = datetime(2023, 11, 1, tzinfo=ZONE)

# province code before 2025, rank, what its name ends with
HOSPITALS = (
    ("92", "I", "Đa khoa Cần Thơ"),
    ("92", "I", "Đa khoa khu vực Tây Đô"),
    ("92", "I", "Nhi đồng Cần Thơ"),
    ("92", "I", "Phụ sản Cần Thơ"),
    ("94", "I", "Đa khoa Sóc Trăng"),
    ("93", "II", "Đa khoa Hậu Giang"),
    ("92", "II", "Tim mạch Cần Thơ"),
    ("92", "II", "Ung bướu Cần Thơ"),
    ("92", "II", "Mắt - Răng Hàm Mặt Cần Thơ"),
    ("92", "II", "Tai Mũi Họng Cần Thơ"),
    ("92", "II", "Da liễu Cần Thơ"),
    ("92", "II", "Y học cổ truyền Cần Thơ"),
    ("92", "II", "Tâm thần Cần Thơ"),
    ("94", "II", "Sản - Nhi Sóc Trăng"),
    ("93", "II", "Sản - Nhi Hậu Giang"),
    ("94", "III", "Y học cổ truyền Sóc Trăng"),
    ("93", "III", "Phổi Hậu Giang"),
    ("94", "III", "Chuyên khoa 27 tháng 2 Sóc Trăng"),
    ("94", "III", "Quân dân y Sóc Trăng"),
    ("93", "III", "Tâm thần và Da liễu Hậu Giang"),
)
CENTRES = {
    "92": "Ninh Kiều,Bình Thủy,Cái Răng,Ô Môn,Thốt Nốt,Phong Điền,Cờ Đỏ,Thới Lai,Vĩnh Thạnh",
    "93": "Vị Thanh,Ngã Bảy,Long Mỹ,Vĩnh Viễn,Châu Thành,Thạnh Xuân,Phụng Hiệp,Vị Thủy",
    "94": "Sóc Trăng,Phú Tâm,Cù Lao Dung,Kế Sách,Long Phú,Mỹ Tú,Mỹ Xuyên,Ngã Năm,Phú Lộc,Trần Đề,"
    "Vĩnh Châu",
}
CLINICS = {  # by the province code before 2025
    "92": "Minh Tâm,Phước An,Hoàn Hảo,An Bình,Vạn Phước,Hưng Lợi,Thốt Nốt",
    "93": "Ngã Bảy,Vị Thanh,Tân Hòa",
    "94": "Phú Lợi,Bình An,Vĩnh Phước",
}


@dataclass(frozen=True, slots=True)
class Facility:
    """A place where people are treated."""

    code: str  # five characters
    gln: str
    name: str
    type: str  # BV | TTYT | TYT | PK
    level: str  # TINH | XA | '' where private
    rank: str  # I | II | III | ''
    care_level: str
    commune: Commune
    above: str  # the code of the centre a post belongs to, or ''

    @property
    def beds(self) -> bool:
        return self.type in ("BV", "TTYT")

    @property
    def herbal(self) -> bool:
        return "cổ truyền" in self.name

    def treats(self, sex: str, age: int) -> bool:
        """A children's hospital takes children, a maternity hospital women and newborns."""
        if "Nhi" in self.name:
            return age < 16 or ("Sản" in self.name and sex == "female")
        return sex == "female" or age < 1 or "Phụ sản" not in self.name

    @property
    def id(self) -> str:
        return organization_id(self.code)


@dataclass(frozen=True, slots=True)
class Practitioner:
    """Someone who treats people in one facility."""

    id: str
    licence: str
    family: str
    given: str
    gender: str
    facility: str

    @property
    def text(self) -> str:
        return f"{self.family} {self.given}"


@cache
def organization_id(code: str) -> str:
    return uuid7(OPENED, "Organization", code)


@cache
def facilities() -> tuple[Facility, ...]:
    """All 164: hospitals, centres, clinics and posts, the busiest first."""
    busy = [*_hospitals(), *_centres()]
    posts = list(_posts({(f.commune.before, f.name): f.code for f in busy if f.type == "TTYT"}))
    return (*busy, *_clinics(), *sorted(posts, key=lambda post: post.gln[::-1]))


def suited(table: Weighted[Facility], draw: Draw, sex: str, age: int) -> Facility:
    """One of these that treats such a person; the first hospital treats everyone."""
    for _ in range(20):
        if (found := table.pick(draw)).treats(sex, age):
            return found
    return facilities()[0]


@cache
def busiest() -> Weighted[Facility]:
    return zipf(facilities())


@cache
def with_beds() -> Weighted[Facility]:
    return zipf([facility for facility in facilities() if facility.beds])


@cache
def without_beds() -> Weighted[Facility]:
    return zipf([facility for facility in facilities() if not facility.beds])


@cache
def practitioners(facility: str) -> tuple[Practitioner, ...]:
    """Four in a hospital or centre, one elsewhere."""
    beds = int(facility[2:]) < 100
    return tuple(_practitioner(facility, number) for number in range(1, 5 if beds else 2))


def organizations() -> Iterator[Resource]:
    """Whole before part, so that a reference never points at what is yet to come."""
    for facility in facilities():
        yield _organization(facility)


def people() -> Iterator[Resource]:
    for facility in facilities():
        for practitioner in practitioners(facility.code):
            yield _practitioner_resource(practitioner)


def _commune(before: str, near: str, nth: int) -> Commune:
    """The commune called so, or the nth of that province."""
    there = [commune for commune in communes() if commune.before == before]
    return next((c for c in there if c.name.endswith(f" {near}")), there[nth % len(there)])


def _hospitals() -> Iterator[Facility]:
    for nth, (before, rank, what) in enumerate(HOSPITALS, 1):
        care = "CHUYEN_SAU" if rank == "I" else "CO_BAN"
        where = _commune(before, "", nth)
        yield Facility(
            f"{before}{nth:03}", gln(nth), f"Bệnh viện {what}", "BV", "TINH", rank, care, where, ""
        )


def _centres() -> Iterator[Facility]:
    nth = len(HOSPITALS)
    for before, places in CENTRES.items():
        for place in places.split(","):
            nth += 1
            where = _commune(before, place, nth)
            called = f"Trung tâm Y tế khu vực {place}"
            rank = "II" if nth % 3 == 0 else "III"
            yield Facility(
                f"{before}{nth:03}", gln(nth), called, "TTYT", "TINH", rank, "CO_BAN", where, ""
            )


def _clinics() -> Iterator[Facility]:
    nth = 0
    for before, places in CLINICS.items():
        for called in places.split(","):
            nth += 1
            where, code = _commune(before, called, nth), f"{before}{900 + nth}"
            title = f"Phòng khám bác sĩ gia đình {called}"
            yield Facility(code, gln(900 + nth), title, "PK", "", "", "BAN_DAU", where, "")


def _posts(centres: dict[tuple[str, str], str]) -> Iterator[Facility]:
    for nth, commune in enumerate(communes(), 1):
        above = [code for (before, _), code in centres.items() if before == commune.before]
        yield Facility(
            f"{commune.before}{100 + nth}",
            gln(100 + nth),
            f"Trạm Y tế {commune.name}",
            "TYT",
            "XA",
            "",
            "BAN_DAU",
            commune,
            above[nth * len(above) // (len(communes()) + 1)],
        )


def _practitioner(facility: str, number: int) -> Practitioner:
    draw = Draw("practitioner", facility, number)
    gender = "male" if draw.chance(0.55) else "female"
    family, _ = family_and_group(draw)
    called = name(draw, family, KINH, gender, draw.between(1962, 1996))
    licence = f"{facility[2:]}{number:03}/CT-GPHN"
    given = f"{called.middle} {called.given}".strip()
    id = uuid7(OPENED, "Practitioner", facility, number)
    return Practitioner(id, licence, family, given, gender, facility)


def _organization(facility: Facility) -> Resource:
    resource: Resource = {
        "resourceType": "Organization",
        "id": facility.id,
        "extension": _organization_extensions(facility),
        "identifier": [
            {"system": SID["ma-cskcb"], "value": facility.code},
            {"system": SID["gln13"], "value": facility.gln},
        ],
        "active": True,
        "type": [
            concept(
                systems.VN_ORGANIZATION_TYPE,
                facility.type,
                display("organization-type-vncore")[facility.type],
            )
        ],
        "name": facility.name,
        "telecom": [{"system": "phone", "value": f"0292{int(facility.gln[4:]):07}"[:11]}],
        "address": [
            {
                "extension": systems.units(facility.commune.code, CITY),
                "use": "work",
                "city": facility.commune.name,
                "state": CITY_NAME,
                "country": "VN",
            }
        ],
    }
    if facility.above:
        above = organization_id(facility.above)
        resource["partOf"] = {"reference": f"Organization/{above}"}
    return resource


def _organization_extensions(facility: Facility) -> list[dict[str, object]]:
    told = (
        (systems.EXT_ORGANIZATION_TYPE, systems.VN_ORGANIZATION_TYPE, facility.type),
        (systems.EXT_ORGANIZATION_LEVEL, systems.VN_LEVEL, facility.level),
        (systems.EXT_RANK, systems.VN_RANK, facility.rank),
        (systems.EXT_CARE_LEVEL, systems.VN_CARE_LEVEL, facility.care_level),
    )
    return [coded_extension(url, system, code) for url, system, code in told if code]


def _practitioner_resource(practitioner: Practitioner) -> Resource:
    assigner = organization_id(practitioner.facility)
    return {
        "resourceType": "Practitioner",
        "id": practitioner.id,
        "identifier": [
            {
                "system": SID["cchn"],
                "value": practitioner.licence,
                "assigner": {"reference": f"Organization/{assigner}"},
            }
        ],
        "active": True,
        "name": [
            {
                "use": "official",
                "text": practitioner.text,
                "family": practitioner.family,
                "given": practitioner.given.split(),
            }
        ],
        "gender": practitioner.gender,
    }
