"""resource — the frame every terminology resource of ours has: name, origin, period in force.

https://hl7.org/fhir/R4/codesystem.html
https://hl7.org/fhir/R4/valueset.html
https://hl7.org/fhir/R4/conceptmap.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.terminology.site import OWN, site

Json = dict[str, Any]
AS_OF = "2026-11-22"  # the day the lists were last compared with their sources
PERIOD = "http://hl7.org/fhir/StructureDefinition/resource-effectivePeriod"
PROPERTIES = "http://hl7.org/fhir/concept-properties"
DECLARED = {  # property -> type, what it is
    "effectiveDate": ("dateTime", "In force from this day"),
    "retirementDate": ("dateTime", "In force until the day before this one"),
    "province": ("code", "Mã tỉnh, thành phố"),
    "district": ("string", "Huyện, quận (bỏ từ 01/07/2025)"),
    "kind": ("string", "Loại đơn vị"),
    "class": ("code", "Encounter.class (v3-ActCode) that fits; our proposal"),
    "priority": ("integer", "Thứ tự ưu tiên: số nhỏ được chọn trước"),
    "note": ("string", "Ghi chú"),
    "benefitLevel": ("code", "Mức hưởng BHYT; unverified"),
    "percent": ("integer", "Tỷ lệ thanh toán; unverified"),
}
DATED = ("effectiveDate", "retirementDate")
VN_CORE_GUIDE = (
    "VN Core FHIR Implementation Guide v0.6.0 - Omi HealthTech / VN Core FHIR Community Initiative"
    " - https://hl7.org.vn - CC-BY-4.0"
)


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a list beside its codes."""

    id: str
    title: str
    english: str
    source: str
    url: str = ""  # ours, unless another named it
    version: str = AS_OF
    since: str | None = None
    until: str | None = None
    complete: bool = True
    description: str = ""


def frame(type: str, told: Told, *, id: str = "", title: str = "", url: str = "") -> Json:
    """What all of them begin with."""
    id = id or told.id
    resource: Json = {"resourceType": type, "id": id}
    if told.since or told.until:
        period = {
            name: day
            for name, day in (("start", told.since), ("end", told.until))
            if day is not None
        }
        resource["extension"] = [{"url": PERIOD, "valuePeriod": period}]
    description = " ".join(part for part in (f"{told.english}.", told.description) if part)
    return resource | {
        "url": url or f"{OWN}/{type}/{id}",
        "version": told.version,
        "name": "".join(part.capitalize() for part in id.split("-")),
        "title": title or told.title,
        "status": "active",
        "experimental": False,
        "date": AS_OF,
        "publisher": site()["publisher"],
        "description": description,
        "jurisdiction": [
            {"coding": [{"system": "urn:iso:std:iso:3166", "code": site()["jurisdiction"]}]}
        ],
        "copyright": told.source,
    }


def code_system(told: Told, concepts: Sequence[Json]) -> Json:
    used = {p["code"] for concept in concepts for p in concept.get("property", ())}
    resource = frame("CodeSystem", told, url=told.url)
    resource |= {"caseSensitive": True, "content": "complete" if told.complete else "fragment"}
    resource |= {"language": "vi", "count": len(concepts)}
    if used:
        resource["property"] = [declared(code) for code in DECLARED if code in used]
    order = ["resourceType", "id", "language"]
    return {name: resource[name] for name in order} | resource | {"concept": list(concepts)}


def declared(code: str) -> Json:
    type, description = DECLARED[code]
    told = {"code": code, "description": description, "type": type}
    return {"uri": f"{PROPERTIES}#{code}", **told} if code in DATED else told


def value_set(told: Told, *, id: str = "", title: str = "", include: Iterable[Json] = ()) -> Json:
    """All of the code system, whatever its version; or what is included."""
    resource = frame("ValueSet", told, id=id, title=title)
    system = told.url or f"{OWN}/CodeSystem/{told.id}"
    return resource | {"compose": {"include": list(include) or [{"system": system}]}}


def concept(
    code: str, display: str, english: str = "", others: str = "", **properties: Any
) -> Json:
    """A concept; properties by their names, those that are empty left out."""
    found: Json = {"code": code, "display": display}
    designations = [{"language": "en", "value": english}] if english else []
    designations += [
        {"language": "vi", "value": other.strip()} for other in others.split(",") if other.strip()
    ]
    if designations:
        found["designation"] = designations
    given = [
        {"code": name, f"value{_type(name)}": value}
        for name, value in properties.items()
        if value not in ("", None)
    ]
    return found | ({"property": given} if given else {})


def _type(name: str) -> str:
    type = DECLARED[name][0]
    return type[0].upper() + type[1:]
