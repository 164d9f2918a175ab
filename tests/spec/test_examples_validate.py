"""test_examples_validate — HL7's own examples are valid R4, but for the few that are not.

https://hl7.org/fhir/R4/examples.html
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation import wire
from fhir_server.validation.structure import Validator

FOLDER = Path(__file__).parents[3] / "shared/testdata/r4-examples"
EXAMPLES = sorted(FOLDER.glob("*.json"))
VALIDATOR = Validator(load())

# Examples that break R4's own rules: the rule and the place.
VIOLATIONS = {
    "DiagnosticReport-example-pgx": ("attachment-hash", "DiagnosticReport.presentedForm[0].hash"),
    "DeviceMetric-example": ("reference-type", "DeviceMetric.parent.reference"),
    "DeviceUseStatement-example": (
        "reference-type",
        "DeviceUseStatement.reasonReference[0].reference",
    ),
    "Observation-clinical-gender": ("reference-type", "Observation.performer[0].reference"),
    "EventDefinition-example": ("txt-2", "EventDefinition.text.div"),
    "Questionnaire-zika-virus-exposure-assessment": ("txt-2", "Questionnaire.text.div"),
}

pytestmark = pytest.mark.skipif(not EXAMPLES, reason=f"{FOLDER.name} is not beside this repository")


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_is_valid_or_a_known_violation(example: Path) -> None:
    issues = [
        issue
        for issue in VALIDATOR.check(wire.parse(example.read_bytes()))
        if issue.severity == "error"
    ]
    known = VIOLATIONS.get(example.stem)
    assert [(issue.rule, issue.expression) for issue in issues] == ([known] if known else [])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_keeps_its_numbers_and_its_texts(example: Path) -> None:
    resource = wire.parse(example.read_bytes())
    again = wire.parse(wire.render(resource))
    assert again == resource
    assert str(again) == str(resource)  # 1.50 == 1.5, but not as text
    assert wire.parse(wire.render_pretty(resource)) == resource
