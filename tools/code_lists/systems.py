"""systems — code systems whose lists are short, their value sets, and the systems of identifiers.

https://hl7.org/fhir/R4/codesystem.html
https://hl7.org/fhir/R4/namingsystem.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from code_lists.resource import (
    AS_OF,
    VN_CORE_GUIDE,
    Json,
    Told,
    code_system,
    concept,
    frame,
    value_set,
)
from fhir_server.terminology.files import code_list, identifier_systems
from fhir_server.terminology.site import OWN, SID, VN_CORE

Row = dict[str, str]
VN = f"{VN_CORE}/CodeSystem"
SIXTEEN, TWENTY_SEVEN, HERBAL = "2026-08-01", "2025-10-17", "2026-03-01"
LAW = "A fact of law. "
PARTLY = (
    "The guide tells of more codes than could be seen: a code that is not here may still be one."
)


def _plain(row: Row) -> Json:
    return concept(row["code"], row["name"], row.get("en", ""), note=row.get("note", ""))


def _visit_kind(row: Row) -> Json:
    since = row["since"] if row["since"] == SIXTEEN else ""
    told = {"class": row["proposed_fhir_class"], "effectiveDate": since, "note": row["note"]}
    return concept(row["code"], row["name"], **told)


def _visit_object(row: Row) -> Json:
    return concept(row["code"], row["name"], priority=int(row["priority"]), note=row["note"])


def _prescription(row: Row) -> Json:
    since = HERBAL if row["code"] == "T" else ""
    return concept(row["code"], row["name"], effectiveDate=since, note=row["rule"])


def _ethnic(row: Row) -> Json:
    return concept(row["code"], row["name"], others=row["other_names"])


def _insured(row: Row) -> Json:
    return concept(row["code"], row["name"], benefitLevel=row["benefit_level"])


def _benefit(row: Row) -> Json:
    return concept(row["code"], row["name"], percent=int(row["rate_percent"]))


def _level(row: Row) -> Json:
    retired = "2025-07-01" if row["status"].startswith("deprecated") else ""
    return concept(row["code"], row["name"], retirementDate=retired)


# the list, how a row becomes a concept, what is said of it
LISTS: tuple[tuple[str, Callable[[Row], Json], Told], ...] = (
    (
        "encounter-type-ma-loai-kcb",
        _visit_kind,
        Told(
            "vn-encounter-type-cs", "Loại khám bệnh, chữa bệnh (MA_LOAI_KCB)",
            "The 16 kinds of visit", f"{LAW}QĐ 824/QĐ-BYT (01-10), QĐ 1804/QĐ-BYT 2026 (01-16).",
            url=f"{VN}/vn-encounter-type-cs", version=SIXTEEN,
            description="The codes 11 to 16 are in force from 2026-08-01. The system is named by VN"
            " Core, whose own list had ten codes when it was last seen.",
        ),
    ),
    (
        "visit-object-ma-doituong-kcb",
        _visit_object,
        Told(
            "visit-object", "Đối tượng đến khám bệnh, chữa bệnh (MA_DOITUONG_KCB)",
            "The 27 objects of an insured visit, in the order of their priority",
            f"{LAW}QĐ 3276/QĐ-BYT 17/10/2025, PL1.", version=TWENTY_SEVEN, since=TWENTY_SEVEN,
        ),
    ),
    (
        "treatment-outcome-ket-qua-dtri",
        _plain,
        Told(
            "vn-treatment-outcome-cs", "Kết quả điều trị (KET_QUA_DTRI)", "Outcome of a treatment",
            f"{LAW}QĐ 130, 4750, 3176/QĐ-BYT, Bảng 1. System: {VN_CORE_GUIDE}.",
            url=f"{VN}/vn-treatment-outcome-cs", complete=False, description=PARTLY,
        ),
    ),
    (
        "discharge-type-ma-loai-rv",
        _plain,
        Told(
            "vn-discharge-disposition-cs", "Loại ra viện (MA_LOAI_RV)", "How a patient left",
            f"{LAW}QĐ 130, 4750, 3176/QĐ-BYT, Bảng 1. System: {VN_CORE_GUIDE}.",
            url=f"{VN}/vn-discharge-disposition-cs",
        ),
    ),
    (
        "transfer-reason-ma-lydo-ct",
        _plain,
        Told(
            "transfer-reason", "Lý do chuyển cơ sở (MA_LYDO_CT)", "Why a patient was transferred",
            f"{LAW}QĐ 4750/QĐ-BYT, Bảng 13.",
        ),
    ),
    (
        "prescription-types",
        _prescription,
        Told(
            "prescription-type", "Loại đơn thuốc", "The last letter of a prescription's code",
            f"{LAW}TT 26/2025/TT-BYT PL I; TT 55/2025/TT-BYT PL I.",
            description="T is in force from 2026-03-01.",
        ),
    ),
    (
        "gender-gioi-tinh",
        _plain,
        Told(
            "gender", "Giới tính (GIOI_TINH)", "Gender as the insurance's tables write it",
            f"{LAW}QĐ 130/QĐ-BYT Bảng 1; QĐ 697/2026 PL III.1.",
        ),
    ),
    (
        "ethnic-groups",
        _ethnic,
        Told(
            "ethnic-group", "Dân tộc (MA_DANTOC)", "54 ethnic groups, 55 foreigner, 99 unknown",
            f"{LAW}The statistics office's list, in its order.",
            description="VN Core's URL for this list was not to be seen; a mapping can be added.",
        ),
    ),
    (
        "occupations-qd4069-2001-legacy",
        _plain,
        Told(
            "occupation-2001", "Nghề nghiệp (QĐ 4069/2001, cũ)", "Occupations for old records",
            f"{LAW}QĐ 4069/2001/QĐ-BYT.",
            description="Today's codes have five digits (QĐ 34/2020/QĐ-TTg) and are not here.",
        ),
    ),
    (
        "living-area-ma-khuvuc",
        _plain,
        Told(
            "living-area", "Khu vực sinh sống (MA_KHUVUC)", "Living area of an insured person",
            f"{LAW}QĐ 130/QĐ-BYT, Bảng 1.",
        ),
    ),
    (
        "bhyt-object-codes",
        _insured,
        Told(
            "insured-group", "Mã đối tượng trên thẻ BHYT",
            "The first two letters of a card of 15 characters",
            f"{LAW}QĐ 1351/QĐ-BHXH 2015, read second-hand: unverified.", complete=False,
            description="Newer codes may exist.",
        ),
    ),
    (
        "bhyt-benefit-levels",
        _benefit,
        Told(
            "benefit-level", "Mức hưởng BHYT", "The third character of a card of 15 characters",
            f"{LAW}QĐ 1351/QĐ-BHXH 2015, read second-hand: unverified.", complete=False,
        ),
    ),
    (
        "insurance-visit-type-malydo-vncore",
        _plain,
        Told(
            "vn-insurance-visit-type-cs", "Lý do vào viện BHYT (MALYDO, cũ)",
            "Insurance's kinds of visit before MA_DOITUONG_KCB", f"{VN_CORE_GUIDE}.",
            url=f"{VN}/vn-insurance-visit-type-cs",
        ),
    ),
    (
        "admin-health-level",
        _level,
        Told(
            "vn-healthcare-level-cs", "Cấp hành chính của cơ sở", "Administrative level",
            f"{VN_CORE_GUIDE}.", url=f"{VN}/vn-healthcare-level-cs",
            description="The district level is for records from before 2025-07-01; the spelling of"
            " its code is unverified.",
        ),
    ),
    (
        "organization-type-vncore",
        _plain,
        Told(
            "vn-organization-type-cs", "Loại cơ sở", "Type of a facility", f"{VN_CORE_GUIDE}.",
            url=f"{VN}/vn-organization-type-cs", complete=False, description=PARTLY,
        ),
    ),
    (
        "hospital-rank",
        _plain,
        Told(
            "vn-hospital-rank-cs", "Hạng bệnh viện", "Rank of a hospital",
            f"TT 06/2024/TT-BYT. {VN_CORE_GUIDE}.", url=f"{VN}/vn-hospital-rank-cs",
        ),
    ),
    (
        "organization-rank-status",
        _plain,
        Told(
            "vn-organization-rank-status-cs", "Tình trạng xếp hạng", "Whether there is a rank",
            f"{VN_CORE_GUIDE}.", url=f"{VN}/vn-organization-rank-status-cs",
        ),
    ),
    (
        "facility-care-level",
        _plain,
        Told(
            "vn-facility-care-level-cs", "Cấp chuyên môn kỹ thuật", "Level of care of a facility",
            f"Luật KCB 2023, NĐ 96/2023. {VN_CORE_GUIDE}.", url=f"{VN}/vn-facility-care-level-cs",
        ),
    ),
)  # fmt: skip
REASONS = (
    ("unknown", "Chưa xác định được danh tính", "Identity is not known yet"),
    ("newborn", "Trẻ sơ sinh chưa có số định danh", "Newborn without a personal number yet"),
    ("foreigner", "Người nước ngoài chưa có số định danh", "Foreigner without a personal number"),
    ("no-papers", "Không có hoặc không mang theo giấy tờ", "Has or brings no papers"),
)
IDENTITY_REASON = Told(
    "identity-reason", "Lý do chưa có giấy tờ định danh", "Why a patient has no proof of identity",
    "Ours. Luật Khám bệnh, chữa bệnh Điều 72-73 asks that such patients be admitted.",
)  # fmt: skip


def resources() -> Iterator[Json]:
    for name, made, told in LISTS:
        yield from _both(told, [made(row) for row in code_list(name)])
    yield from _both(IDENTITY_REASON, [concept(*reason) for reason in REASONS])
    yield _identifier_types()
    for row in identifier_systems():
        yield naming_system(row)


def _both(told: Told, concepts: list[Json]) -> Iterator[Json]:
    yield code_system(told, concepts)
    yield value_set(told, id=told.id.removesuffix("-cs"))


def _identifier_types() -> Json:
    """VN Core's types; those of HL7 are in HL7's own code system."""
    rows = [row for row in code_list("identifier-type-codes") if "v2-0203" not in row["system"]]
    told = Told(
        "vn-identifier-type-cs", "Loại định danh", "Types of identifiers", f"{VN_CORE_GUIDE}.",
        url=f"{VN}/vn-identifier-type-cs", complete=False, description=PARTLY,
    )  # fmt: skip
    return code_system(told, [_plain(row) for row in rows])


def naming_system(row: dict[str, str]) -> Json:
    """How one kind of identifier is told apart; NamingSystem has no URL of its own in R4."""
    key, pattern = row["key"], row.get("regex")
    told = Told(f"sid-{key}", row["name"], row["name"], "")
    whole = frame("NamingSystem", told)
    kept = ("resourceType", "id", "name", "status", "date", "publisher", "jurisdiction")
    resource = {name: whole[name] for name in kept}
    note = [row.get("note") or "", f"Form: {pattern}" if pattern else ""]
    if SID[key].startswith(OWN):
        note.append("The URI is ours: no other is known for certain.")
    resource |= {
        "kind": "identifier",
        "description": " ".join([f"{row['name']}.", *filter(None, note)]),
    }
    resource["status"] = "retired" if key in ("vneid", "cmnd") else "active"
    resource["date"] = AS_OF
    return resource | {"uniqueId": [{"type": "uri", "value": SID[key], "preferred": True}]}
