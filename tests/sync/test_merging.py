"""Two versions made into one, or left to a person."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.resource import Resource
from fhir_server.sync.merging import merged

DEFINITIONS = load()
PHONE, EMAIL = {"system": "phone", "value": "1"}, {"system": "email", "value": "a@b.vn"}
CCCD, CARD = {"system": "urn:cccd", "value": "1"}, {"system": "urn:bhyt", "value": "2"}


def patient(**members: Any) -> Resource:
    return {"resourceType": "Patient", "id": "1", **members}


def encounter(**members: Any) -> Resource:
    return {"resourceType": "Encounter", "id": "1", "status": "finished", **members}


MADE_ONE: list[tuple[str, list[Resource | None], Resource, Resource, Resource]] = [
    (
        "each side changed another element",
        [patient(gender="male")],
        patient(gender="female"),
        patient(gender="male", birthDate="2000-01-01"),
        patient(gender="female", birthDate="2000-01-01"),
    ),
    (
        "both changed it alike",
        [patient(gender="male")],
        patient(gender="other"),
        patient(gender="other"),
        patient(gender="other"),
    ),
    (
        "what one side took back before they met is no change",
        [patient(gender="male")],
        patient(gender="male"),
        patient(gender="female"),
        patient(gender="female"),
    ),
    (
        "one side took an element away",
        [patient(gender="male", active=True)],
        patient(gender="male"),
        patient(gender="male", active=True, birthDate="2000"),
        patient(gender="male", birthDate="2000"),
    ),
    (
        "items of a list by their keys, each side its own",
        [patient(identifier=[CCCD])],
        patient(identifier=[CCCD | {"use": "official"}]),
        patient(identifier=[CCCD, CARD]),
        patient(identifier=[CCCD | {"use": "official"}, CARD]),
    ),
    (
        "how somebody is reached may be taken away",
        [patient(telecom=[PHONE])],
        patient(),
        patient(telecom=[PHONE, EMAIL]),
        patient(telecom=[EMAIL]),
    ),
    (
        "members of a BackboneElement that stands there once",
        [encounter(hospitalization={"destination": {"reference": "Location/1"}})],
        encounter(
            hospitalization={
                "destination": {"reference": "Location/1"},
                "origin": {"reference": "Location/2"},
            }
        ),
        encounter(hospitalization={"destination": {"reference": "Location/3"}}),
        encounter(
            hospitalization={
                "origin": {"reference": "Location/2"},
                "destination": {"reference": "Location/3"},
            }
        ),
    ),
    (
        "a primitive and what extends it are one",
        [patient(birthDate="2000")],
        patient(birthDate="2000", _birthDate={"id": "x"}),
        patient(birthDate="2000", gender="male"),
        patient(gender="male", birthDate="2000", _birthDate={"id": "x"}),
    ),
    (
        "a narrative made from the data of one side is left out",
        [patient(text={"status": "generated", "div": "<div>1</div>"})],
        patient(text={"status": "generated", "div": "<div>2</div>"}, active=True),
        patient(text={"status": "generated", "div": "<div>3</div>"}, gender="male"),
        patient(active=True, gender="male"),
    ),
    (
        "what a server adds to meta is no change",
        [patient(meta={"versionId": "1-a", "lastUpdated": "2026"})],
        patient(meta={"versionId": "2-b", "lastUpdated": "2027", "profile": ["urn:p"]}),
        patient(meta={"versionId": "2-c", "lastUpdated": "2028"}, active=True),
        patient(meta={"profile": ["urn:p"]}, active=True),
    ),
    (
        "nothing is known of before, and both say the same",
        [None],
        patient(gender="male"),
        patient(gender="male"),
        patient(gender="male"),
    ),
    (
        "two ancestors that say the same",
        [patient(gender="male"), patient(gender="male", active=True)],
        patient(gender="other", active=True),
        patient(gender="male", active=True),
        patient(gender="other", active=True),
    ),
]
LEFT: list[tuple[str, list[Resource | None], Resource, Resource, list[str]]] = [
    (
        "both changed it differently",
        [patient(gender="male")],
        patient(gender="female"),
        patient(gender="other"),
        ["Patient.gender"],
    ),
    (
        "one changed what the other took away",
        [patient(gender="male")],
        patient(gender="female"),
        patient(),
        ["Patient.gender"],
    ),
    (
        "an identifier one side took away, whatever the other did",
        [patient(identifier=[CCCD])],
        patient(),
        patient(identifier=[CCCD], active=True),
        ["Patient.identifier.where(urn:cccd|1)"],
    ),
    (
        "one key, and two things said of it",
        [patient()],
        patient(identifier=[CCCD | {"use": "usual"}]),
        patient(identifier=[CCCD | {"use": "old"}]),
        ["Patient.identifier.where(urn:cccd|1)"],
    ),
    (
        "nothing is known of before, and they differ",
        [None],
        patient(gender="male"),
        patient(gender="male", active=True),
        ["Patient.active"],
    ),
    (
        "no ancestor at all",
        [],
        patient(gender="male"),
        patient(gender="female"),
        ["Patient.gender"],
    ),
    (
        "ancestors that differ are none",
        [patient(gender="male"), patient(gender="female")],
        patient(gender="male"),
        patient(gender="female"),
        ["Patient.gender"],
    ),
    (
        "a list without keys that one side made shorter",
        [encounter(reasonCode=[{"text": "sốt"}, {"text": "ho"}])],
        encounter(reasonCode=[{"text": "sốt"}]),
        encounter(reasonCode=[{"text": "sốt"}, {"text": "ho"}]) | {"priority": {"text": "x"}},
        ["Encounter.reasonCode"],
    ),
    (
        "a quantity is one place: of one side its value, of the other its unit",
        [{"resourceType": "Observation", "id": "1", "valueQuantity": {"value": 5, "unit": "mg"}}],
        {"resourceType": "Observation", "id": "1", "valueQuantity": {"value": 9, "unit": "mg"}},
        {"resourceType": "Observation", "id": "1", "valueQuantity": {"value": 5, "unit": "g"}},
        ["Observation.valueQuantity"],
    ),
    (
        "1.5 and 1.50 and 1.500 are not the same",
        [
            {
                "resourceType": "Observation",
                "id": "1",
                "valueQuantity": {"value": Decimal("1.5")},
            }
        ],
        {"resourceType": "Observation", "id": "1", "valueQuantity": {"value": Decimal("1.50")}},
        {"resourceType": "Observation", "id": "1", "valueQuantity": {"value": Decimal("1.500")}},
        ["Observation.valueQuantity"],
    ),
]


@pytest.mark.parametrize(
    ("bases", "first", "second", "one"),
    [pytest.param(*rest, id=name) for name, *rest in MADE_ONE],
)
def test_what_only_one_side_changed_is_taken_and_the_order_of_the_sides_means_nothing(
    bases: list[Resource | None], first: Resource, second: Resource, one: Resource
) -> None:
    assert merged(DEFINITIONS, bases, first, second).resource == one
    assert merged(DEFINITIONS, bases, second, first).resource == one


@pytest.mark.parametrize(
    ("bases", "first", "second", "apart"),
    [pytest.param(*rest, id=name) for name, *rest in LEFT],
)
def test_what_both_changed_or_one_must_not_take_away_is_left_to_a_person_with_its_place(
    bases: list[Resource | None], first: Resource, second: Resource, apart: list[str]
) -> None:
    for one, other in ((first, second), (second, first)):
        found = merged(DEFINITIONS, bases, one, other)
        assert found.resource is None
        assert sorted(found.apart) == apart
