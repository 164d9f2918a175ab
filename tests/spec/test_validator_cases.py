"""test_validator_cases — our structural verdict is the reference validator's, where both can tell.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.conformance.xml import from_xml
from fhir_server.foundation import wire
from fhir_server.foundation.outcome import FhirError
from fhir_server.validation.structure import Validator

FOLDER = Path(__file__).parents[3] / "shared/testdata/validator-cases"
LISTED = FOLDER / "cases.json"
CASES: list[dict[str, Any]] = [
    case
    for case in (json.loads(LISTED.read_bytes()) if LISTED.exists() else [])
    if case["kind"] == "core"
]
R4 = load()
VALIDATOR = Validator(R4)

# What the reference validator refuses and structure alone does not tell, with the reason.
DIFFERENCES = {
    "attachment-with-wrong-size": "content",
    "bundle-duplicate-ids-not": "terminology",
    "bundle-id-3": "terminology",
    "bundle-id-4": "terminology",
    "ips-htmlrefs-backwards": "extension",
    "mr-covid-bnd1": "terminology",
    "obs-mz": "snapshot",
    "profile-default-value": "invariant",
    "profile-repeated-type": "invariant",
    "q-enablewhen-me-wrong": "invariant",
    "relative_reference_to_fullUrl.id_in_Composition": "resolution",
    "relative_reference_to_fullUrl.id_in_target_resource": "resolution",
    "relative_reference_to_fullUrl.no_ids.PROBLEM": "resolution",
}

pytestmark = pytest.mark.skipif(not CASES, reason=f"{FOLDER.name} is not beside this repository")


def is_refused(file: Path) -> bool:
    body = file.read_bytes()
    try:
        resource = from_xml(R4, body) if file.suffix == ".xml" else wire.parse(body)
    except FhirError:
        return True
    return any(issue.severity == "error" for issue in VALIDATOR.check(resource))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_verdict_is_that_of_the_reference_validator(case: dict[str, Any]) -> None:
    agrees = is_refused(FOLDER / "files" / case["file"]) == case["expectError"]
    assert agrees != (case["name"] in DIFFERENCES)  # a listed one that agrees is listed no more


def test_the_differences_are_of_cases_that_exist() -> None:
    assert set(DIFFERENCES) <= {case["name"] for case in CASES}
