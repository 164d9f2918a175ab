"""The parameters of a scope: a search of the record's own, wholly understood, or nothing."""

from __future__ import annotations

import pytest

from fhir_server.interaction.context import Server
from fhir_server.interaction.granting import Granting
from fhir_server.security.scope import parse
from fhir_server.store.contract.reach import Ground, Restriction
from tests.interaction.conftest import put, searched, server_on, within

AMBULATORY = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def encounter(id: str, code: str, status: str = "finished") -> dict:
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": status,
        "class": {"system": AMBULATORY, "code": code},
        "subject": {"reference": "Patient/p"},
    }


def of(server: Server, scope: str):
    (one,) = parse(scope)
    return Granting(server.live, server.knowledge)(one.type, one.parameters)


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("user/Encounter.rs?class=AMB", ["a", "b"]),
        (f"user/Encounter.rs?class={AMBULATORY}|AMB", ["a", "b"]),
        ("user/Encounter.rs?class=AMB&status=planned", ["b"]),
        ("user/Encounter.rs?class=AMB,IMP", ["a", "b", "c"]),
        ("user/Encounter.rs?patient=Patient/p", ["a", "b", "c"]),
        ("user/Encounter.rs?_id=c", ["c"]),
        ("user/Encounter.rs?class=EMER", []),
    ],
)
def test_a_parameter_of_a_scope_is_what_it_is_in_a_search(server, here, run, scope, found) -> None:
    visits = [encounter("a", "AMB"), encounter("b", "AMB", "planned"), encounter("c", "IMP")]
    run(put(server, here, *visits))
    where = of(server, scope)
    assert where is not None
    reach = Restriction((Ground(types=frozenset({"Encounter"}), where=where),))
    bundle = run(searched(server, within(here, reach), "Encounter", ""))
    assert sorted(each["resource"]["id"] for each in bundle.get("entry", [])) == found


@pytest.mark.parametrize(
    "scope",
    [
        "user/Encounter.rs?klass=AMB",
        "user/Encounter.rs?class=AMB&klass=AMB",
        "user/Encounter.rs?date=yesterday",
        "user/Encounter.rs?location=x%20y",
        "user/Wizard.rs?class=AMB",
        "user/Resource.rs?_id=1",
        "user/Location.rs?near=1",
    ],
)
def test_what_is_not_wholly_understood_grants_nothing(scope) -> None:
    assert of(server_on(None), scope) is None
