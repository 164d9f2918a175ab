"""purpose — why someone asks: the codes of v3-PurposeOfUse, and which of them is a kind of which.

https://hl7.org/fhir/R4/v3/PurposeOfUse/vs.html
"""

from __future__ import annotations

SYSTEM = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

BREAK_GLASS = "BTG"  # below ETREAT below TREAT: who lets TREAT through has not let this through
RESEARCH = "HRESCH"

_BELOW = {
    "TREAT": "ETREAT",
    "ETREAT": "BTG",
    "HPAYMT": "CLMATTCH COVAUTH COVERAGE REMITADV",
    "COVERAGE": "ELIGDTRM ELIGVER ENROLLM",
    "HOPERAT": (
        "CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HLEGAL HOUTCOMS HPRGRP HQUALIMP "
        "HSYSADMIN MEMADMIN MILCDM PATADMIN PATSFTY PERFMSR RECORDMGT TRAIN"
    ),
    "HSYSADMIN": "LABELING METAMGT",
    "HMARKT": "",
    "HRESCH": "BIORCH CLINTRCH",
    "PATRQT": "FAMRQT PWATRNY SUPNWK",
    "PUBHLTH": "DISASTER THREAT",
}
ABOVE = {code: whole for whole, codes in _BELOW.items() for code in codes.split()}
CODES = frozenset(_BELOW) | frozenset(ABOVE)


def is_a(code: str, whole: str) -> bool:
    """Whether the purpose is `whole` or a kind of it: BTG is an ETREAT, and a TREAT."""
    at: str | None = code
    while at is not None and at != whole:
        at = ABOVE.get(at)
    return at is not None
