"""maps — what became of provinces and communes, and what our codes are in HL7's.

https://hl7.org/fhir/R4/conceptmap.html
https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html

R4's equivalence tells of the target: `wider` means that more is in it than in the source. A commune
that became a part of a larger one is mapped `wider`; one that is alone in its successor
`equivalent`; one that was divided, to each of its successors, `narrower` where nothing else came
into that one and `inexact` where something did. Of several, the first and the only one with the
comment `default` is where most of it went; the others say `part`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from code_lists.resource import Json, Told, frame
from code_lists.units import BEFORE, COMMUNE, PROVINCE, SINCE
from fhir_server.terminology.files import code_list
from fhir_server.terminology.site import OWN, VN_CORE

HL7 = "http://terminology.hl7.org/CodeSystem"
GENDER = "http://hl7.org/fhir/administrative-gender"
OURS = "Our proposal; no authority has told it."


def resources() -> Iterator[Json]:
    yield units("province", PROVINCE, provinces())
    yield units("commune", COMMUNE, communes())
    yield from proposed()


def units(kind: str, system: str, elements: list[Json]) -> Json:
    told = Told(
        f"{kind}-2025", f"Đơn vị hành chính trước và sau 01/07/2025: {kind}",
        f"What each {kind} before 2025-07-01 became", "As of the code systems.", version=SINCE,
    )  # fmt: skip
    group = {
        "source": system, "sourceVersion": BEFORE, "target": system, "targetVersion": SINCE,
        "element": elements,
    }  # fmt: skip
    sides = (f"{kind}-before-2025-07-01", f"{kind}-since-2025-07-01")
    return mapped(told, sides, group)


def mapped(told: Told, sides: tuple[str, str], group: Json) -> Json:
    source, target = (side if "://" in side else f"{OWN}/ValueSet/{side}" for side in sides)
    ends = {"sourceCanonical": source, "targetCanonical": target}
    return frame("ConceptMap", told) | ends | {"group": [group]}


def provinces() -> list[Json]:
    rows = code_list("provinces-63-to-34")
    into = Counter(row["new_code"] for row in rows)
    return [
        element(
            row["old_code"], [target(row["new_code"], whole=True, alone=into[row["new_code"]] == 1)]
        )
        for row in rows
    ]


def communes() -> list[Json]:
    rows = code_list("communes-old-to-new-2025")
    into = Counter(row["new_code"] for row in rows)
    found: dict[str, list[Json]] = {}
    for row in sorted(rows, key=lambda row: (row["old_code"], row["is_default"] != "1")):
        whole, alone = row["how"] == "whole", into[row["new_code"]] == 1
        to = target(row["new_code"], whole=whole, alone=alone)
        if not whole:  # R4 cmd-1: what is narrower or inexact has a comment
            to["comment"] = "default" if row["is_default"] == "1" else "part"
        found.setdefault(row["old_code"], []).append(to)
    return [element(code, targets) for code, targets in found.items()]


def target(code: str, *, whole: bool, alone: bool) -> Json:
    """What a unit became: the whole of it, or a part; and whether anything else came in."""
    equivalence = {
        (True, True): "equivalent",
        (True, False): "wider",
        (False, True): "narrower",
        (False, False): "inexact",
    }[whole, alone]
    return {"code": code, "equivalence": equivalence}


def element(code: str, targets: list[Json]) -> Json:
    return {"code": code, "target": targets}


def proposed() -> Iterator[Json]:
    """From our codes to HL7's."""
    kinds = [
        (row["code"], row["proposed_fhir_class"]) for row in code_list("encounter-type-ma-loai-kcb")
    ]
    yield to_hl7(
        Told("visit-kind-to-class", "Loại KCB sang Encounter.class", "Visits to classes", OURS),
        f"{VN_CORE}/CodeSystem/vn-encounter-type-cs", "vn-encounter-type", f"{HL7}/v3-ActCode",
        "http://terminology.hl7.org/ValueSet/v3-ActEncounterCode", kinds,
    )  # fmt: skip
    left = [
        (row["code"], row["proposed_fhir_discharge_disposition"])
        for row in code_list("discharge-type-ma-loai-rv")
    ]
    yield to_hl7(
        Told("discharge-to-hl7", "Loại ra viện sang HL7", "Ways of leaving to HL7's", OURS),
        f"{VN_CORE}/CodeSystem/vn-discharge-disposition-cs", "vn-discharge-disposition",
        f"{HL7}/discharge-disposition",
        "http://hl7.org/fhir/ValueSet/encounter-discharge-disposition", left,
    )  # fmt: skip
    genders = [
        (row["code"], row["fhir_gender"].partition(" ")[0]) for row in code_list("gender-gioi-tinh")
    ]
    yield to_hl7(
        Told("gender-to-fhir", "Giới tính sang FHIR", "Genders to FHIR's", OURS),
        f"{OWN}/CodeSystem/gender", "gender", GENDER,
        "http://hl7.org/fhir/ValueSet/administrative-gender", genders, exact=True,
    )  # fmt: skip


def to_hl7(
    told: Told,
    source: str,
    value_set: str,
    target: str,
    targets: str,
    pairs: list[tuple[str, str]],
    *,
    exact: bool = False,
) -> Json:
    """Several codes go into one of HL7's, which is then wider; one that fits none is unmatched."""
    named = {"equivalence": "equivalent" if exact else "wider"}
    elements = [
        element(code, [{"code": to, **named} if to else {"equivalence": "unmatched"}])
        for code, to in pairs
    ]
    group = {"source": source, "target": target, "element": elements}
    return mapped(told, (value_set, targets), group)
