"""A card is found by its holder's number; a Task of a conflict is of a patient's record."""

from __future__ import annotations

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.search.evaluate import holds
from fhir_server.search.kinds import token
from fhir_server.search.owner import CONFLICT, TASKS
from fhir_server.store.contract import rid
from tests.interaction.conftest import indexer

NUMBER = "9212345678"
# an identifier's value, whether it is a card of that holder
CARDS = [
    (f"GD492{NUMBER}", True),
    (f"TE179{NUMBER}", True),
    (NUMBER, False),  # the number itself, which is found as it is written
    (f"GD992{NUMBER}", False),
    (f"gd492{NUMBER}", False),
    (f"GD492{NUMBER}1", False),
    ("GD4921111111111", False),
]


@pytest.mark.parametrize(("value", "found"), CARDS)
def test_a_card_is_found_by_its_holder_however_it_begins(value, found):
    asked = token.cards_of(indexer().parameters.of("Patient")["identifier"], NUMBER)
    one = {"resourceType": "Patient", "id": "1", "identifier": [{"system": "s", "value": value}]}
    assert holds(asked, indexer().rows(one), rid=rid(Key("Patient", "1")), updated=0) is found


def task(code, **told):
    coding = {"system": TASKS, "code": code}
    return {"resourceType": "Task", "id": "t", "code": {"coding": [coding]}, **told}


TOLD = [
    (task(CONFLICT, **{"for": {"reference": "Patient/an"}}), True),
    (task(CONFLICT), False),
    (task(CONFLICT, **{"for": {"reference": "Group/an"}}), False),
    (task("fulfill", **{"for": {"reference": "Patient/an"}}), False),
    ({"resourceType": "Task", "id": "t", "for": {"reference": "Patient/an"}}, False),
]


@pytest.mark.parametrize(("one", "is_owned"), TOLD, ids=range(len(TOLD)))
def test_a_task_that_shows_a_record_is_of_it(one, is_owned):
    owner = rid(Key("Patient", "an")) if is_owned else 0
    assert indexer().rows(one).owner == indexer().owner(one) == owner
