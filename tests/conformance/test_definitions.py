"""What R4 says there is, as the compact facts tell it.

https://hl7.org/fhir/R4/structuredefinition.html
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.conformance import definitions
from fhir_server.conformance.definitions import R4_FOLDER

ROOT = Path(__file__).parents[2]
PACKAGE = "FHIR_TEST_R4_PACKAGE"  # hl7.fhir.r4.core as .tgz, for the build to be done again


@pytest.fixture(scope="module")
def known():
    return definitions.load()


def test_all_of_r4_is_there(known):
    assert known.version == "4.0.1"
    resources = [
        known.type(name) for name in known.all_types if known.type(name).kind == "resource"
    ]
    assert len(resources) == 148  # with the two abstract ones
    assert len(known.resource_types) == 146
    assert len(known.primitive_types) == 20
    assert len(known.complex_types) == 41
    assert len(known.search_parameters) > 1380
    assert set(known.compartments) == {
        "Device",
        "Encounter",
        "Patient",
        "Practitioner",
        "RelatedPerson",
    }
    assert len(known.operations) == 47
    assert len(known.constraints) > 230


def test_every_element_leads_somewhere(known):
    for name in known.all_types:
        for node in [name, *(element.path for element in known.type(name).elements)]:
            try:
                fields = known.children(node)
            except KeyError:
                continue
            for field in fields.values():
                assert field.node in known.all_types or known.children(field.node) is not None


def test_choices_are_spelled_out(known):
    fields = known.children("Observation")
    assert fields["valueQuantity"].element is fields["valueString"].element
    assert fields["valueQuantity"].element.is_choice
    assert known.children("Bundle.entry")["link"].node == "Bundle.link"
    assert known.ancestors("Patient") == ("Patient", "DomainResource", "Resource")


def test_required_codes(known):
    gender = known.codes("http://hl7.org/fhir/ValueSet/administrative-gender")
    assert gender == {
        "http://hl7.org/fhir/administrative-gender": frozenset(
            {"male", "female", "other", "unknown"}
        )
    }
    assert known.codes("http://hl7.org/fhir/ValueSet/mimetypes") is None


def test_only_facts_are_kept_with_their_licence():
    """No sentence of the specification's prose: no long text with blanks but expressions."""
    text = (R4_FOLDER / "definitions.json").read_text(encoding="utf-8")
    for word in ("SHALL", " should be ", "This element", "Note that"):
        assert word not in text
    assert "CC0-1.0" in (R4_FOLDER / "NOTICE").read_text(encoding="utf-8")


@pytest.mark.skipif(PACKAGE not in os.environ, reason=f"{PACKAGE} names no package")
def test_built_again_it_is_the_same_bytes():
    before = hashlib.sha256((R4_FOLDER / "definitions.json").read_bytes()).hexdigest()
    command = [sys.executable, "tools/build_definitions.py", "--package", os.environ[PACKAGE]]
    subprocess.run(command, cwd=ROOT, check=True)
    after = hashlib.sha256((R4_FOLDER / "definitions.json").read_bytes()).hexdigest()
    assert before == after
