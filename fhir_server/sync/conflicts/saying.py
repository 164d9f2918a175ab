"""saying — what stands in a resource, as a nurse reads it: names of places, and values.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson

from fhir_server.sync.merging import ABSENT, UNKNOWN, Value

MOST = 200  # characters of a value
MANY = 20  # items of a list

TYPES = {
    "AllergyIntolerance": "Dị ứng",
    "Appointment": "Lịch hẹn",
    "CarePlan": "Kế hoạch chăm sóc",
    "Condition": "Chẩn đoán",
    "Consent": "Sự đồng ý của người bệnh",
    "Coverage": "Thẻ bảo hiểm y tế",
    "DiagnosticReport": "Phiếu kết quả",
    "DocumentReference": "Tài liệu",
    "Encounter": "Lượt khám",
    "EpisodeOfCare": "Đợt điều trị",
    "Immunization": "Mũi tiêm chủng",
    "Location": "Địa điểm",
    "MedicationAdministration": "Lần dùng thuốc",
    "MedicationDispense": "Lần cấp thuốc",
    "MedicationRequest": "Đơn thuốc",
    "MedicationStatement": "Thuốc đang dùng",
    "Observation": "Kết quả đo, xét nghiệm",
    "Organization": "Cơ sở y tế",
    "Patient": "Hồ sơ người bệnh",
    "Practitioner": "Người hành nghề",
    "PractitionerRole": "Vai trò người hành nghề",
    "Procedure": "Thủ thuật, phẫu thuật",
    "RelatedPerson": "Người thân",
    "ServiceRequest": "Chỉ định, chuyển tuyến",
    "Specimen": "Mẫu bệnh phẩm",
}
ELEMENTS = {
    "abatementDateTime": "ngày khỏi",
    "active": "còn sử dụng",
    "address": "địa chỉ",
    "authoredOn": "ngày kê",
    "birthDate": "ngày sinh",
    "bodySite": "vị trí",
    "category": "loại",
    "class": "hình thức khám",
    "clinicalStatus": "tình trạng",
    "code": "mã và tên",
    "communication": "ngôn ngữ",
    "component": "thành phần",
    "contact": "người liên hệ",
    "contained": "phần kèm theo",
    "criticality": "mức nguy hiểm",
    "deceasedBoolean": "đã mất",
    "deceasedDateTime": "ngày mất",
    "diagnosis": "chẩn đoán",
    "dispenseRequest": "số lượng cấp",
    "dosageInstruction": "cách dùng",
    "effectiveDateTime": "ngày giờ đo",
    "encounter": "lượt khám",
    "extension": "thông tin thêm",
    "gender": "giới tính",
    "generalPractitioner": "bác sĩ theo dõi",
    "hospitalization": "nhập, ra viện",
    "identifier": "số giấy tờ",
    "intent": "mục đích",
    "interpretation": "nhận định",
    "link": "hồ sơ liên quan",
    "location": "địa điểm",
    "managingOrganization": "cơ sở quản lý",
    "maritalStatus": "tình trạng hôn nhân",
    "medicationCodeableConcept": "thuốc",
    "medicationReference": "thuốc",
    "meta": "nhãn",
    "name": "họ tên",
    "note": "ghi chú",
    "onsetDateTime": "ngày bắt đầu",
    "participant": "người tham gia",
    "performer": "người thực hiện",
    "period": "thời gian",
    "photo": "ảnh",
    "priority": "mức khẩn",
    "profile": "quy chuẩn",
    "reaction": "phản ứng",
    "reasonCode": "lý do",
    "reasonReference": "lý do",
    "recordedDate": "ngày ghi",
    "referenceRange": "khoảng bình thường",
    "requester": "người chỉ định",
    "security": "nhãn bảo mật",
    "serviceProvider": "cơ sở khám",
    "severity": "mức độ",
    "status": "trạng thái",
    "subject": "người bệnh",
    "substitution": "thay thuốc",
    "tag": "nhãn",
    "telecom": "điện thoại, thư",
    "text": "phần tóm tắt",
    "type": "loại",
    "valueBoolean": "kết quả",
    "valueCodeableConcept": "kết quả",
    "valueDateTime": "kết quả",
    "valueInteger": "kết quả",
    "valueQuantity": "kết quả",
    "valueString": "kết quả",
    "verificationStatus": "mức chắc chắn",
}


def type_said(type: str) -> str:
    """A type of resource in Vietnamese; its own name where we have none."""
    return TYPES.get(type, type)


def place_said(path: str) -> str:
    """A place in Vietnamese: `Patient.telecom.where(phone|0901)` is `điện thoại, thư (phone|0901)`.

    What we have no word for keeps R4's name.
    """
    plain, where, key = path.partition(".where(")
    words = [ELEMENTS.get(name, name) for name in plain.split(".")[1:]]
    told = " › ".join(words)
    return printable(f"{told} ({key.removesuffix(')').rpartition('/')[2]})" if where else told)


def printable(text: str) -> str:
    """The text without what neither XML nor a FHIR string may hold."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def value_said(value: Value, *, absent: str = "(không có)", unknown: str = "(không rõ)") -> str:
    """A value as a person reads it, cut where it is long."""
    if value is ABSENT:
        return absent
    if value is UNKNOWN:
        return unknown
    told = printable(_said(value))
    return told if len(told) <= MOST else f"{told[: MOST - 1]}…"


def _said(value: Any) -> str:
    match value:
        case bool():
            return "có" if value else "không"
        case str() | int() | Decimal():
            return str(value)
        case list():
            more = "; …" if len(value) > MANY else ""
            return "; ".join(_said(item) for item in value[:MANY]) + more
        case dict():
            return _known(value) or _raw(value)
    return _raw(value)


def _known(value: dict[str, Any]) -> str:
    """A datatype that people know, told by what it has; empty: it is none."""
    return next((say(value) for names, say in KNOWN if not names.isdisjoint(value)), "")


def _name(value: dict[str, Any]) -> str:
    return _joined(" ", (value.get("family"), *value.get("given", ())))


def _address(value: dict[str, Any]) -> str:
    parts = (value.get(name) for name in ("district", "city", "state"))
    return _joined(", ", (*value.get("line", ()), *parts))


def _amount(value: dict[str, Any]) -> str:
    unit = value.get("unit") or value.get("code")
    return _joined(" ", (value.get("comparator"), value.get("value"), unit))


def _named(value: dict[str, Any]) -> str:
    return _joined(" ", (value.get("display"), value.get("reference") or value.get("code")))


def _joined(by: str, parts: Iterable[Any]) -> str:
    return by.join(str(part) for part in parts if part is not None)


def _raw(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()


# What any of these members makes known, the first that does.
KNOWN: tuple[tuple[frozenset[str], Callable[[dict[str, Any]], str]], ...] = (
    (frozenset({"text"}), lambda value: _said(value["text"])),
    (frozenset({"coding"}), lambda value: _said(value["coding"])),
    (frozenset({"family", "given"}), _name),
    (frozenset({"line", "city"}), _address),
    (
        frozenset({"start", "end"}),
        lambda value: f"{value.get('start', '…')} – {value.get('end', '…')}",
    ),
    (frozenset({"reference", "display"}), _named),
    (frozenset({"value"}), _amount),
    (frozenset({"code"}), lambda value: _said(value["code"])),
)
