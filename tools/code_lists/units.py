"""units — provinces and communes, before and since 2025-07-01.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

from collections.abc import Iterator

from code_lists.resource import Json, Told, code_system, concept, value_set
from fhir_server.terminology.files import code_list
from fhir_server.terminology.site import OWN

BEFORE, SINCE = "2025-06-30", "2025-07-01"  # versions: the last day of one, the first of the other
LAW = "NQ 202/2025/QH15, QĐ 19/2025/QĐ-TTg (unverified). "
DERIVED = (
    "Derived from vietnamadminunits 1.0.4 (MIT, © its authors), compared with a second list: 3,321"
    " codes, none different."
)
SAME_CODE = "A code may mean another place in the other version: judge it at a date."
PROVINCE, COMMUNE = f"{OWN}/CodeSystem/province", f"{OWN}/CodeSystem/commune"
PROVINCES_BEFORE = Told(
    "province", "Tỉnh, thành phố (63, đến 30/06/2025)", "The 63 provinces until 2025-06-30",
    f"{LAW}{DERIVED}", version=BEFORE, until=BEFORE, description=SAME_CODE,
)  # fmt: skip
PROVINCES = Told(
    "province", "Tỉnh, thành phố (34, từ 01/07/2025)", "The 34 provinces since 2025-07-01",
    f"{LAW}{DERIVED}", version=SINCE, since=SINCE,
    description="Named as on 2026-09-20; an earlier name is a designation. " + SAME_CODE,
)  # fmt: skip
COMMUNES_BEFORE = Told(
    "commune", "Xã, phường, thị trấn (10.035, đến 30/06/2025)",
    "The 10,035 communes until 2025-06-30", f"{LAW}{DERIVED}", version=BEFORE, until=BEFORE,
    description=SAME_CODE,
)  # fmt: skip
COMMUNES = Told(
    "commune", "Xã, phường, đặc khu (3.321, từ 01/07/2025)", "The 3,321 communes since 2025-07-01",
    f"{LAW}{DERIVED}", version=SINCE, since=SINCE,
    description="Changes between xã and phường of October 2026 are not here. " + SAME_CODE,
)  # fmt: skip


def resources() -> Iterator[Json]:
    yield named(code_system(PROVINCES_BEFORE, provinces_before()))
    yield named(code_system(PROVINCES, provinces()))
    yield named(code_system(COMMUNES_BEFORE, communes_before()))
    yield named(code_system(COMMUNES, communes()))
    for system, told in ((PROVINCE, PROVINCES), (COMMUNE, COMMUNES)):
        kind = told.title.partition(" (")[0]
        every = Told(told.id, kind, f"Every {told.id}, judged at a date", told.source)
        yield value_set(every)
        for id, version, words in (
            (f"{told.id}-before-2025-07-01", BEFORE, "đến 30/06/2025"),
            (f"{told.id}-since-2025-07-01", SINCE, "từ 01/07/2025"),
        ):
            include = [{"system": system, "version": version}]
            one = Told(id, f"{kind} ({words})", f"Every {told.id} of one time", told.source)
            yield value_set(one, include=include)


def named(resource: Json) -> Json:
    """Two versions of one URL are two resources, each with an id of its own."""
    ending = "before-2025-07-01" if resource["version"] == BEFORE else "since-2025-07-01"
    name = f"{resource['name']}{'Before' if resource['version'] == BEFORE else 'Since'}20250701"
    return {**resource, "id": f"{resource['id']}-{ending}", "name": name}


def provinces_before() -> list[Json]:
    return [concept(row["old_code"], row["old_name"]) for row in code_list("provinces-63-to-34")]


def provinces() -> list[Json]:
    found = []
    for row in code_list("provinces-34"):
        told = concept(row["code"], row["name_2026_09_20"])
        if row["name_2025_07_01"] != row["name_2026_09_20"]:
            told["designation"] = [{"language": "vi", "value": row["name_2025_07_01"]}]
        found.append(told)
    return found


def old_provinces() -> dict[str, str]:
    return {row["old_name"]: row["old_code"] for row in code_list("provinces-63-to-34")}


def communes_before() -> list[Json]:
    codes = old_provinces()
    once = {row["old_code"]: row for row in code_list("communes-old-to-new-2025")}
    return [
        concept(
            code,
            row["old_name"],
            province=codes[row["old_province"]],
            district=row["old_district"],
        )
        for code, row in sorted(once.items())
    ]


def communes() -> list[Json]:
    return [
        concept(row["code"], row["name"], province=row["province_code"])
        for row in code_list("communes-3321")
    ]
