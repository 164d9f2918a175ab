"""R4's own value sets, every one."""

from __future__ import annotations

import pytest

from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.foundation.outcome import FhirError, NotFound, TooCostly, Unprocessable
from fhir_server.terminology.terms import Standing, Terms
from tests.terminology.known import TODAY

HL7 = "http://hl7.org/fhir/ValueSet/"
V3 = "http://terminology.hl7.org/ValueSet/v3-"


@pytest.fixture(scope="module")
def r4():
    return Terms(canonicals_of_r4(), today=lambda: TODAY)


# value set                              system        code          how it stands
TABLE = [
    (HL7 + "administrative-gender", None, "male", "member"),
    (HL7 + "administrative-gender", None, "nam", "not-member"),
    (HL7 + "administrative-gender|4.0.1", None, "male", "member"),
    (HL7 + "administrative-gender|3.0.0", None, "male", "unknown"),
    (V3 + "ActEncounterCode", "http://terminology.hl7.org/CodeSystem/v3-ActCode", "IMP", "member"),
    (
        V3 + "ActEncounterCode",
        "http://terminology.hl7.org/CodeSystem/v3-ActCode",
        "DG",
        "not-member",
    ),
    (HL7 + "condition-code", "http://snomed.info/sct", "386661006", "unknown"),
    (HL7 + "condition-code", "http://example.org", "x", "not-member"),
    (HL7 + "units-of-time", None, "h", "member"),
    (HL7 + "all-time-units", None, "mo", "member"),
    (HL7 + "all-time-units", None, "km", "not-member"),
    (HL7 + "all-languages", None, "vi-VN", "member"),
    (HL7 + "languages", None, "vi", "not-member"),
    (HL7 + "mimetypes", None, "application/pdf", "member"),
    (HL7 + "currencies", None, "VND", "member"),
    (HL7 + "iso3166-1-3", None, "VNM", "member"),
    (HL7 + "iso3166-1-3", None, "VN", "not-member"),
    (HL7 + "identifier-type", None, "MR", "member"),
    (HL7 + "nowhere", None, "x", "unknown"),
    ("http://snomed.info/sct?fhir_vs=isa/404684003", None, "1", "unknown"),
    ("http://snomed.info/sct?fhir_vs=everything", None, "1", "unknown"),
    ("http://loinc.org/vs", "http://loinc.org", "1", "unknown"),
]


@pytest.mark.parametrize(("value_set", "system", "code", "standing"), TABLE)
def test_a_code_stands_as_r4_says(r4, value_set, system, code, standing) -> None:
    assert r4.standing(value_set, code, system).standing.value == standing


def test_every_value_set_of_r4_is_expanded_or_refused_with_its_reason(r4) -> None:
    expanded, refused = 0, {}
    for entry in r4.canonicals.of_type("ValueSet"):
        try:
            found = r4.expand(entry.url)
        except FhirError as refusal:
            refused.setdefault(type(refusal), []).append(entry.url)
            continue
        expanded += 1
        certain = r4.fast(entry.url) or frozenset()
        assert certain <= {(each.system, each.code) for each in found.contains}, entry.url
        for each in found.contains[:3]:
            verdict = r4.standing(entry.url, each.code, each.system)
            assert verdict.standing is Standing.MEMBER, (entry.url, each.code)
    assert expanded > 1200
    assert set(refused) == {NotFound, TooCostly, Unprocessable}
    assert len(refused[Unprocessable]) == 1  # example-filter: the filter has no definition
    assert len(refused[TooCostly]) < 10  # codes made by rules
