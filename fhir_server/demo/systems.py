"""systems — the URLs by which identifiers, codes and extensions are told apart.

https://hl7.org/fhir/R4/identifier-registry.html

What VN Core names is taken as it names it; the rest is ours (fhir_server/terminology/site.py).
"""

from __future__ import annotations

from fhir_server.terminology.site import OWN, SID, VN_CORE, mrn_system

__all__ = [
    "OWN",
    "SID",
    "VN_CORE",
    "coded_extension",
    "coding",
    "concept",
    "facility",
    "mrn_system",
    "units",
]

ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ATC = "http://www.whocc.no/atc"
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
PRESCRIBED_FOR = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"
DISCHARGE = "http://terminology.hl7.org/CodeSystem/discharge-disposition"
RELATION = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"

UCUM = "http://unitsofmeasure.org"

VN_DISCHARGE = f"{VN_CORE}/CodeSystem/vn-discharge-disposition-cs"
VN_ENCOUNTER_TYPE = f"{VN_CORE}/CodeSystem/vn-encounter-type-cs"
VN_IDENTIFIER_TYPE = f"{VN_CORE}/CodeSystem/vn-identifier-type-cs"
VN_INSURANCE_VISIT = f"{VN_CORE}/CodeSystem/vn-insurance-visit-type-cs"
VN_LEVEL = f"{VN_CORE}/CodeSystem/vn-healthcare-level-cs"
VN_ORGANIZATION_TYPE = f"{VN_CORE}/CodeSystem/vn-organization-type-cs"
VN_OUTCOME = f"{VN_CORE}/CodeSystem/vn-treatment-outcome-cs"
VN_RANK = f"{VN_CORE}/CodeSystem/vn-hospital-rank-cs"
VN_CARE_LEVEL = f"{VN_CORE}/CodeSystem/vn-facility-care-level-cs"

COMMUNE = f"{OWN}/CodeSystem/commune"
ETHNIC_GROUP = f"{OWN}/CodeSystem/ethnic-group"
IDENTITY_REASON = f"{OWN}/CodeSystem/identity-reason"
PRESCRIPTION_TYPE = f"{OWN}/CodeSystem/prescription-type"
PROVINCE = f"{OWN}/CodeSystem/province"
TRANSFER_REASON = f"{OWN}/CodeSystem/transfer-reason"
VISIT_OBJECT = f"{OWN}/CodeSystem/visit-object"

EXT_ETHNICITY = f"{VN_CORE}/StructureDefinition/vn-ext-ethnicity"
EXT_INSURANCE_VISIT = f"{VN_CORE}/StructureDefinition/vn-ext-insurance-visit-type"
EXT_OUTCOME = f"{VN_CORE}/StructureDefinition/vn-ext-treatment-outcome"
EXT_PROVINCE = f"{VN_CORE}/StructureDefinition/vn-ext-province"
EXT_REGISTRATION = f"{VN_CORE}/StructureDefinition/vn-ext-med-registration-number"
EXT_ORGANIZATION_TYPE = f"{VN_CORE}/StructureDefinition/vn-ext-org-type"
EXT_ORGANIZATION_LEVEL = f"{VN_CORE}/StructureDefinition/vn-ext-org-level"
EXT_COMMUNE = f"{OWN}/StructureDefinition/commune"
EXT_CARE_LEVEL = f"{OWN}/StructureDefinition/facility-care-level"
EXT_IDENTITY_REASON = f"{OWN}/StructureDefinition/identity-reason"
EXT_RANK = f"{OWN}/StructureDefinition/organization-rank"
EXT_TRANSFER_REASON = f"{OWN}/StructureDefinition/transfer-reason"
EXT_VISIT_OBJECT = f"{OWN}/StructureDefinition/visit-object"


def facility(code: str) -> dict[str, object]:
    """A facility as a reference names it: by its code, whatever id a server gave it."""
    return {"identifier": {"system": SID["ma-cskcb"], "value": code}}


def coding(system: str, code: str, display: str | None = None) -> dict[str, str]:
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(system: str, code: str, display: str | None = None) -> dict[str, object]:
    return {"coding": [coding(system, code, display)]}


def coded_extension(
    url: str, system: str, code: str, display: str | None = None
) -> dict[str, object]:
    return {"url": url, "valueCodeableConcept": concept(system, code, display)}


def units(commune: str, province: str) -> list[dict[str, object]]:
    """The codes of an address: its commune's and its province's."""
    return [
        {"url": EXT_COMMUNE, "valueCoding": coding(COMMUNE, commune)},
        coded_extension(EXT_PROVINCE, PROVINCE, province),
    ]
