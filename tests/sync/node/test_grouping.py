"""What waits travels with what it needs, prescriptions and referrals first."""

from __future__ import annotations

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.search.site import Site
from fhir_server.store.contract import rid, version_id
from fhir_server.sync.node.grouping import MOST, Waiting, groups, referred, visit_of
from fhir_server.sync.node.life import Name


def a_version(said, at, *refers, parents=(), visit="", generation=1):
    """`Type/id`, when, and what it refers to."""
    key = Key(*said.split("/"))
    name = Name(rid(key), generation, f"{said}{generation}".encode().ljust(16)[:16])
    numbers = frozenset(rid(Key(*one.split("/"))) for one in refers)
    of = rid(Key("Encounter", visit)) if visit else 0
    rev = version_id(name.generation, name.digest)
    revs = tuple(version_id(parent.name.generation, parent.name.digest) for parent in parents)
    return Waiting(name, key, rev, revs, at, numbers, of)


def told(waiting):
    return [[f"{one.key}" for one in group] for group in groups(waiting)]


PATIENT = a_version("Patient/p", 5)
VISIT = a_version("Encounter/e", 6, "Patient/p", visit="e")
PULSE = a_version("Observation/o", 7, "Patient/p", "Encounter/e", visit="e")
DRUG = a_version("MedicationRequest/m", 8, "Patient/p", "Encounter/e", visit="e")
OTHER = a_version("Patient/q", 1)
CASES = {
    "what is referred to goes first, though it was written later": (
        [a_version("Observation/o", 1, "Patient/p"), PATIENT],
        [["Patient/p", "Observation/o"]],
    ),
    "a visit goes as one, the oldest group first": (
        [PULSE, VISIT, PATIENT, OTHER],
        [["Patient/q"], ["Patient/p"], ["Encounter/e", "Observation/o"]],
    ),
    "a prescription goes first of all, with what it needs and no more": (
        [OTHER, PULSE, VISIT, PATIENT, DRUG],
        [
            ["Patient/p", "Encounter/e", "MedicationRequest/m"],
            ["Patient/q"],
            ["Observation/o"],
        ],
    ),
    "what refers to each other comes once": (
        [a_version("Encounter/a", 1, "Encounter/b"), a_version("Encounter/b", 2, "Encounter/a")],
        [["Encounter/b", "Encounter/a"]],
    ),
    "nothing": ([], []),
}


@pytest.mark.parametrize("name", CASES)
def test_groups_hold_what_belongs_together_in_the_order_it_is_needed(name):
    waiting, expected = CASES[name]
    assert told(waiting) == expected


def test_what_a_version_was_made_from_goes_before_it():
    first = a_version("Patient/p", 9)
    second = a_version("Patient/p", 1, parents=(first,), generation=2)
    found = [one.name.generation for group in groups([second, first]) for one in group]
    assert found == [1, 2]


def test_a_group_is_bounded_and_what_is_needed_stays_before():
    visit = a_version("Encounter/e", 0, visit="e")
    parts = [
        a_version(f"Observation/o{at}", at + 1, "Encounter/e", visit="e") for at in range(MOST)
    ]
    found = [len(group) for group in groups([visit, *parts])]
    assert found == [MOST, 1]


def test_a_long_chain_of_versions_is_walked_without_depth():
    versions = [a_version("Patient/p", 0)]
    for generation in range(2, 1500):
        versions.append(
            a_version("Patient/p", generation, parents=(versions[-1],), generation=generation)
        )
    found = [one.name.generation for group in groups(versions[::-1]) for one in group]
    assert found == list(range(1, 1500))


def test_references_are_found_wherever_they_stand():
    resource = {
        "resourceType": "Observation",
        "id": "o",
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "Encounter/e"},
        "performer": [{"reference": "https://elsewhere.example/fhir/Practitioner/x"}, {}],
        "component": [{"extension": [{"valueReference": {"reference": "Device/d/_history/1-a"}}]}],
    }
    found = {str(key) for key in referred(resource, Site()).values()}
    assert found == {"Patient/p", "Encounter/e", "Device/d"}
    assert visit_of(resource, Site()) == rid(Key("Encounter", "e"))
