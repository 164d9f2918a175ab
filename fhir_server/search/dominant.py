"""dominant — values so common that a bit beside the resource tells them, and no row of the index.

https://hl7.org/fhir/R4/terminologies-valuesets.html

A value that half of all records of a type have makes no search short: it is checked for each
resource that another condition or the order of the type finds. As a row it would take 130 bytes
on PostgreSQL and 43 on SQLite for each resource; as a bit it takes none. But a value that turns
out rare is looked for in the whole type, so the table is kept small: what R4's workflow makes
common everywhere (done, active, final), and what most of a province's records say (people live
at home; half of all visits are examinations, nine tenths outpatients', and so are prescriptions).
The next bits of a type say of which kinds the targets of its references are (parameters.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MOST = 62  # bits of one type: a signed 64-bit integer holds them

V2 = "http://terminology.hl7.org/CodeSystem/"
VN = "http://fhir.hl7.org.vn/core/CodeSystem/"
EVENT, REQUEST = "http://hl7.org/fhir/event-status", "http://hl7.org/fhir/request-status"

# Types, the parameter's code, the system, codes. A type's bits are numbered in the order in which
# its values stand here, so that what is new comes last, in a line of its own.
TABLE: tuple[tuple[str, str, str, str], ...] = (
    ("HealthcareService Organization OrganizationAffiliation Patient Practitioner PractitionerRole"
     " RelatedPerson Schedule", "active", "", "true"),
    ("Patient Person Practitioner RelatedPerson", "gender",
     "http://hl7.org/fhir/administrative-gender", "male female"),
    ("Patient", "deceased", "", "false"),
    ("Patient Person RelatedPerson", "address-use", "http://hl7.org/fhir/address-use", "home"),
    ("Encounter", "status", "http://hl7.org/fhir/encounter-status", "finished"),
    ("Encounter", "class", f"{V2}v3-ActCode", "AMB"),
    ("Encounter", "type", f"{VN}vn-encounter-type-cs", "01"),
    ("MedicationRequest", "status", "http://hl7.org/fhir/CodeSystem/medicationrequest-status",
     "active completed"),
    ("MedicationRequest", "intent", "http://hl7.org/fhir/CodeSystem/medicationrequest-intent",
     "order"),
    ("MedicationRequest", "category", f"{V2}medicationrequest-category", "outpatient"),
    ("MedicationStatement", "status", "http://hl7.org/fhir/CodeSystem/medication-statement-status",
     "active completed"),
    ("MedicationAdministration", "status", f"{V2}medication-admin-status", "completed"),
    ("MedicationDispense", "status", f"{V2}medicationdispense-status", "completed"),
    ("ImmunizationEvaluation", "status", f"{V2}medication-admin-status", "completed"),
    ("Condition", "category", f"{V2}condition-category", "encounter-diagnosis"),
    ("AllergyIntolerance Condition", "clinical-status", f"{V2}condition-clinical", "active"),
    ("AllergyIntolerance Condition", "verification-status", f"{V2}condition-ver-status",
     "confirmed"),
    ("Observation", "status", "http://hl7.org/fhir/observation-status", "final"),
    ("DiagnosticReport", "status", "http://hl7.org/fhir/diagnostic-report-status", "final"),
    ("Composition", "status", "http://hl7.org/fhir/composition-status", "final"),
    ("ClinicalImpression Communication Immunization Media Procedure", "status", EVENT,
     "completed"),
    ("CarePlan CommunicationRequest DeviceRequest NutritionOrder RequestGroup ServiceRequest",
     "status", REQUEST, "active completed"),
    ("CarePlan DeviceRequest RequestGroup ServiceRequest", "intent",
     "http://hl7.org/fhir/request-intent", "order"),
    ("Claim ClaimResponse Coverage CoverageEligibilityRequest CoverageEligibilityResponse"
     " EnrollmentRequest EnrollmentResponse PaymentNotice PaymentReconciliation"
     " VisionPrescription", "status", "http://hl7.org/fhir/fm-status", "active"),
    ("ExplanationOfBenefit", "status", "http://hl7.org/fhir/explanationofbenefit-status",
     "active"),
)  # fmt: skip

Bits = Mapping[tuple[str, str], int]  # (system, code) -> 1 + its bit
NONE: Bits = MappingProxyType({})


def _numbered() -> dict[tuple[str, str], dict[tuple[str, str], int]]:
    found: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
    given: dict[str, int] = {}
    for types, parameter, system, codes in TABLE:
        for type in types.split():
            for code in codes.split():
                given[type] = given.get(type, 0) + 1
                found.setdefault((type, parameter), {})[system, code] = given[type]
    assert max(given.values()) <= MOST
    return found


DOMINANT: Mapping[tuple[str, str], Bits] = _numbered()  # (type, code of the parameter) -> its bits


def free(type: str) -> int:
    """1 + the first bit of the type that no value has."""
    given = (max(bits.values()) for (of, _), bits in DOMINANT.items() if of == type)
    return max(given, default=0) + 1


def dominant(type: str, parameter: str) -> Bits:
    """The dominant values of a type's parameter, each with 1 + its bit."""
    return DOMINANT.get((type, parameter), NONE)
