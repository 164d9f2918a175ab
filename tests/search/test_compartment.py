"""compartment: what belongs to a Patient, an Encounter, a Practitioner."""

from __future__ import annotations

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import Invalid, NotFound, UnknownType
from fhir_server.foundation.resource import Key
from fhir_server.search.compartment import within
from fhir_server.store.contract import rid

from .ask import indexer, parameters
from .evaluate import holds


def inside(resource: dict, compartment: str) -> bool:
    type, id = compartment.split("/")
    resource = {"id": "1", **resource}
    condition = within(parameters(), type, id, resource["resourceType"])
    number = rid(Key(resource["resourceType"], resource["id"]))
    return holds(condition, indexer().rows(resource), rid=number, updated=0)


VISIT = {"resourceType": "Encounter", "subject": {"reference": "Patient/23"}}
RESULT = {
    "resourceType": "Observation",
    "performer": [{"reference": "Practitioner/4"}],
    "encounter": {"reference": "Encounter/9"},
}

# what is stored                                   compartment        inside?
TABLE = [
    (VISIT, "Patient/23", True),
    (VISIT, "Patient/24", False),
    (RESULT, "Practitioner/4", True),
    (RESULT, "Encounter/9", True),
    (RESULT, "Patient/4", False),
    ({"resourceType": "Patient", "id": "23"}, "Patient/23", True),
    ({"resourceType": "Patient", "id": "24"}, "Patient/23", False),
    ({"resourceType": "Encounter", "id": "9"}, "Encounter/9", True),
]


@pytest.mark.parametrize(("resource", "compartment", "is_inside"), TABLE)
def test_a_resource_is_in_the_compartments_its_references_name(
    resource, compartment, is_inside
) -> None:
    assert inside(resource, compartment) is is_inside


def test_every_compartment_of_r4_can_be_asked_of_every_type_it_holds() -> None:
    for compartment, types in load().compartments.items():
        for type in types:
            within(parameters(), compartment, "1", type)


def test_what_r4_has_not_is_refused() -> None:
    with pytest.raises(UnknownType, match="R4 has"):
        within(parameters(), "Location", "1", "Encounter")
    with pytest.raises(NotFound, match="never holds"):
        within(parameters(), "Patient", "1", "Medication")
    with pytest.raises(Invalid):
        within(parameters(), "Patient", "a/b", "Encounter")
