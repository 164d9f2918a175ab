"""Patients as registered at two posts."""

from __future__ import annotations

from fhir_server.terminology.site import OWN, SID

BORN, NAME = "1980-02-03", "Nguyễn Thị Ánh"
PERSONAL, INSURANCE, OLD = "092180004321", "9212345678", "361234567"


def identifier(key, value, **more):
    return {"system": SID[key], "value": value, **more}


def patient(id, *identifiers, birth=BORN, gender="female", name=NAME, commune=None, **more):
    told = {"resourceType": "Patient", "id": id}
    if identifiers:
        told["identifier"] = list(identifiers)
    if name:
        told["name"] = [{"text": name}]
    if gender:
        told["gender"] = gender
    if birth:
        told["birthDate"] = birth
    if commune:
        url = f"{OWN}/StructureDefinition/commune"
        coding = {"system": f"{OWN}/CodeSystem/commune", "code": commune}
        told["address"] = [{"extension": [{"url": url, "valueCoding": coding}], "city": "Cái Khế"}]
    return told | more


CCCD = identifier("cccd", PERSONAL)
AS_CARD = identifier("bhyt", PERSONAL)
CARD_15 = identifier("bhyt", f"GD492{INSURANCE}")
OTHER_CARD_15 = identifier("bhyt", f"HS492{INSURANCE}")
CARD_10 = identifier("bhyt", INSURANCE)
BHXH = identifier("bhxh", INSURANCE)
CMND = identifier("cmnd", OLD, use="old")
