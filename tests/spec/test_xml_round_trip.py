"""test_xml_round_trip — HL7's own examples go from JSON to XML and back without a change.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.conformance.xml import from_xml, to_xml
from fhir_server.foundation import wire

R4 = load()
FOLDER = Path(__file__).parents[3] / "shared/testdata/r4-examples"
EXAMPLES = sorted(FOLDER.glob("*.json"))


@pytest.mark.skipif(not EXAMPLES, reason=f"{FOLDER.name} is not beside this repository")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_comes_back_from_xml_as_it_was(example: Path) -> None:
    resource = wire.parse(example.read_bytes())
    for pretty in (False, True):
        again = from_xml(R4, to_xml(R4, resource, pretty=pretty))
        assert again == resource
        assert wire.parse(wire.render(again)) == resource
        assert str(again) == str(from_xml(R4, to_xml(R4, again)))
