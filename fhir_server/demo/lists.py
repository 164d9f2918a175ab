"""lists — the tables the records are made from: communes, diagnoses, drugs, kinds of encounter.

https://hl7.org/fhir/R4/terminologies.html

The diagnoses' order is how common they are. Their Vietnamese names and the drugs' doses are
written for these records; they are no source for care.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fhir_server.demo.draw import Weighted, zipf
from fhir_server.terminology.files import code_list, rows

TABLES = Path(__file__).parent / "tables"
CITY = "92"
CITY_NAME = "Thành phố Cần Thơ"
OLD_PROVINCES = {"Thành phố Cần Thơ": "92", "Tỉnh Hậu Giang": "93", "Tỉnh Sóc Trăng": "94"}
ON_PURPOSE = frozenset({"check", "screen"})  # nobody falls ill with these


class Commune(NamedTuple):
    """A commune of Can Tho since 2025-07-01, and the province code it had before."""

    code: str
    name: str
    before: str


class OldCommune(NamedTuple):
    """A commune as it was until 2025-06-30, with its district."""

    code: str
    name: str
    district: str
    province: str


class Diagnosis(NamedTuple):
    """A line of icd10-common.csv."""

    code: str
    name: str
    group: str
    sex: str  # male | female | '' for both
    from_age: int
    to_age: int
    chronic: bool
    bed: bool  # only for who stays in bed

    def fits(self, sex: str, age: int) -> bool:
        return self.from_age <= age <= self.to_age and self.sex in ("", sex)


class Drug(NamedTuple):
    """A line of drugs.csv: what is given, how, and how often."""

    name: str
    atc: str
    unit: str
    dose: int | Decimal
    per_day: int
    days: int
    route: str
    advice: str
    type: str  # N | H | C | T


class Kind(NamedTuple):
    """A kind of encounter (MA_LOAI_KCB)."""

    code: str
    name: str
    encounter_class: str
    since: str


@cache
def communes() -> tuple[Commune, ...]:
    """The 103 communes of Can Tho, in the order of their codes."""
    before: dict[str, str] = {}
    for row in code_list("communes-old-to-new-2025"):
        if row["new_province_code"] == CITY and row["old_province"] in OLD_PROVINCES:
            before.setdefault(row["new_code"], OLD_PROVINCES[row["old_province"]])
    return tuple(
        Commune(row["code"], row["name"], before[row["code"]])
        for row in code_list("communes-3321")
        if row["province_code"] == CITY
    )


@cache
def old_communes() -> dict[str, tuple[OldCommune, ...]]:
    """What each commune of Can Tho was made from, by its code."""
    found = defaultdict(list)
    for row in code_list("communes-old-to-new-2025"):
        if row["new_province_code"] == CITY and row["old_province"] in OLD_PROVINCES:
            old = OldCommune(
                row["old_code"], row["old_name"], row["old_district"], row["old_province"]
            )
            found[row["new_code"]].append(old)
    return {code: tuple(old) for code, old in found.items()}


@cache
def kinds() -> dict[str, Kind]:
    return {
        row["code"]: Kind(
            row["code"], row["name"], row["proposed_fhir_class"] or "AMB", row["since"][:10]
        )
        for row in code_list("encounter-type-ma-loai-kcb")
    }


@cache
def display(list_name: str) -> dict[str, str]:
    """The names of a code list by their codes."""
    return {row["code"]: row["name"] for row in code_list(list_name)}


@cache
def diagnoses() -> tuple[Diagnosis, ...]:
    sexes = {"m": "male", "f": "female", "": ""}
    return tuple(
        Diagnosis(
            row["code"],
            row["name"],
            row["class"],
            sexes[row["sex"]],
            int(row["from_age"] or 0),
            int(row["to_age"] or 130),
            bool(row["chronic"]),
            bool(row["bed"]),
        )
        for row in rows(TABLES / "icd10-common.csv")
    )


@cache
def common_diagnoses() -> Weighted[Diagnosis]:
    """By Zipf, flattened a little: the most common has a tenth of all, not a sixth."""
    return zipf([d for d in diagnoses() if d.group not in ON_PURPOSE], flattened_by=2)


@cache
def diagnoses_of(group: str) -> tuple[Diagnosis, ...]:
    return tuple(d for d in diagnoses() if d.group == group)


@cache
def chronic_diagnoses() -> Weighted[Diagnosis]:
    return zipf([d for d in diagnoses() if d.chronic], flattened_by=1)


@cache
def bed_diagnoses() -> Weighted[Diagnosis]:
    return zipf([d for d in diagnoses() if d.bed], flattened_by=4)


@cache
def drugs() -> dict[str, tuple[Drug, ...]]:
    """The drugs for each group of diagnoses."""
    found = defaultdict(list)
    for row in rows(TABLES / "drugs.csv"):
        dose = Decimal(row["dose"])
        drug = Drug(
            row["name"],
            row["atc"],
            row["unit"],
            int(dose) if dose == int(dose) else dose,
            int(row["per_day"]),
            int(row["days"]),
            row["route"],
            row["advice"],
            row["type"],
        )
        for group in row["classes"].split():
            found[group].append(drug)
    return {group: tuple(members) for group, members in found.items()}
