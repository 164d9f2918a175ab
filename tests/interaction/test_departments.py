"""What names a department is its hospital's, whoever wrote it and however deep it lies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction import facility, history, read, update
from fhir_server.interaction.departments import KEPT, KNOWN, Departments
from fhir_server.interaction.facility import DEEPEST, DEPARTMENT
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.store.contract import rid
from tests.interaction.conftest import patient, put
from tests.interaction.test_batch import entry
from tests.interaction.test_transaction import done


def place(id, *, of=None, department=True, **more):
    told = {"resourceType": "Organization", "id": id, "name": id, **more}
    if department:
        told["type"] = [{"coding": [dict(zip(("system", "code"), DEPARTMENT, strict=True))]}]
    if of is not None:
        told["partOf"] = {"reference": f"Organization/{of}"}
    return told


def visit(id, at, of="p"):
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "in-progress",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{of}"},
        "serviceProvider": {"reference": f"Organization/{at}"},
    }


WORLD = [
    place("so-y-te", department=False),
    place("bv-1", of="so-y-te", department=False),
    place("bv-1.noi", of="bv-1"),
    place("bv-1.tim", of="bv-1.noi"),
    place("bv-2", of="so-y-te", department=False),
    place("round-a", of="round-b"),
    place("round-b", of="round-a"),
    place("self", of="self"),
    place("lost", of="gone"),
    patient("p", "x", managingOrganization={"reference": "Organization/bv-1.tim"}),
    visit("e", "bv-1.tim"),
]


def number(id):
    return rid(Key("Organization", id))


def system_of(here, place):
    who = Caller(f"his-{place}", facility=place, roles=frozenset({"system"}), purpose="TREAT")
    return replace(here, caller=who, access=decide(built_in(), who, SILENCE))


def test_a_department_is_its_facility_s_and_a_facility_its_own(world, here, run) -> None:
    cases = {
        "bv-1.tim": "bv-1",
        "bv-1.noi": "bv-1",
        "bv-1": "bv-1",  # the authority it is under is no part of its care
        "so-y-te": "so-y-te",
        "self": "self",
        "round-a": "round-a",
        "round-b": "round-b",
        "lost": "gone",
        "nowhere": "nowhere",
    }
    found = run(facility.wholes(world, here, [number(id) for id in cases]))
    assert found == {number(id): number(of) for id, of in cases.items()}


def test_deeper_than_anybody_builds_is_no_department(server, here, run) -> None:
    chain = [place(f"d{at}", of=f"d{at + 1}") for at in range(DEEPEST + 2)]
    run(put(server, here, *chain))
    deep, near = number("d0"), number(f"d{DEEPEST}")
    found = run(facility.wholes(server, here, [deep, near]))
    assert found == {deep: deep, near: number(f"d{DEEPEST + 2}")}


def test_the_hospital_reaches_what_names_its_department_and_no_other_does(world, here, run) -> None:
    for key in (Key("Patient", "p"), Key("Encounter", "e"), Key("Organization", "bv-1.tim")):
        assert run(read.read(world, read.Ask(key), system_of(here, "bv-1"))).status == 200
    for key in (Key("Patient", "p"), Key("Encounter", "e")):
        with pytest.raises(NotFound):
            run(read.read(world, read.Ask(key), system_of(here, "bv-2")))


def test_the_hospital_writes_for_its_department_and_sees_what_was(world, here, run) -> None:
    mine = system_of(here, "bv-1")
    answer = run(update.update(world, update.Ask("Encounter", "e", visit("e", "bv-1.noi")), mine))
    assert answer.status == 200
    told = run(history.history(world, history.Ask("Encounter", "e"), mine))
    assert told.body.count(b'"fullUrl"') == 2


def test_a_department_that_comes_with_what_names_it_is_its_hospital_s_too(server, here, run):
    run(put(server, here, place("bv-1", department=False)))
    registered = patient("q", "x", managingOrganization={"reference": "Organization/khoa"})
    entries = [place("khoa", of="bv-1"), registered, visit("f", "khoa", of="q")]
    run(done(server, here, *(entry("PUT", f"{e['resourceType']}/{e['id']}", e) for e in entries)))
    for key in (Key("Patient", "q"), Key("Encounter", "f")):
        assert run(read.read(server, read.Ask(key), system_of(here, "bv-1"))).status == 200


def test_what_was_looked_up_is_believed_for_a_while_and_no_more_is_kept_than_is_told() -> None:
    now = 0.0
    kept = Departments(lambda: now)
    kept.learn({1: 2})
    assert kept.known([1, 3]) == {1: 2}
    kept.learn({4: 5})
    kept.forget([4, 6])
    assert kept.known([4]) == {}
    now = KNOWN
    assert kept.known([1]) == {}
    kept.learn(dict.fromkeys(range(KEPT + 5), 0))
    assert len(kept.known(range(KEPT + 5))) == KEPT
