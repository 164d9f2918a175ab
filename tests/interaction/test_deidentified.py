"""An analyst is shown no record that tells whose it is, by whichever interaction."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import FhirError, Forbidden, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction import history, read, update
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from tests.interaction.conftest import patient, searched, told

CANARY = "Nguyễn-Canary"
ANALYST = Caller(
    "study", user="Practitioner/s", roles=frozenset({"analyst"}), basis="Quyết định 12/QĐ-SYT"
)
WORLD = [
    patient(
        "p",
        CANARY,
        birthDate="1987-06-05",
        gender="female",
        telecom=[{"system": "email", "value": CANARY}],
    ),
    {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p", "display": CANARY},
        "period": {"start": "2026-03-04T08:00:00+07:00"},
    },
]


@pytest.fixture
def analyst(here):
    return replace(here, caller=ANALYST, access=decide(built_in(), ANALYST, SILENCE))


def test_a_read_tells_nobody(world, analyst, run) -> None:
    answer = run(read.read(world, read.Ask(Key("Patient", "p")), analyst))
    found = told(answer)
    assert CANARY not in json.dumps(found, ensure_ascii=False)
    assert (found["birthDate"], found["gender"]) == ("1987", "female")


@pytest.mark.parametrize(
    "asked",
    [
        "status=finished&_include=Encounter:patient",
        "class=AMB&_summary=true",
        "_elements=subject",
        "_include=Encounter:*",
    ],
)
def test_a_search_and_what_it_includes_tell_nobody(world, analyst, run, asked) -> None:
    bundle = run(searched(world, analyst, "Encounter", asked))
    assert bundle["entry"]
    assert CANARY not in json.dumps(bundle["entry"], ensure_ascii=False)
    assert "2026-03-04" not in json.dumps(bundle["entry"])


@pytest.mark.parametrize(
    ("type", "asked"),
    [
        ("Patient", "name=x"),
        ("Patient", "birthdate=1987-06-05"),
        ("Patient", "phone=1"),
        ("Patient", "_id=p"),
        ("Patient", "_sort=family"),
        ("Patient", "name=x&_summary=count"),
        ("Encounter", "patient.name=x"),
        ("Encounter", "subject:Patient.family=x"),
        ("Patient", "_has:Encounter:patient:date=2026"),
        ("Patient", "_filter=name eq x"),
        ("Encounter", "date=ge2026-03-04"),
        ("Patient", "_lastUpdated=gt2026"),
        ("Patient", "name:missing=true"),
    ],
)
def test_who_it_is_is_not_found_by_searching_v5_0_0_8_2_3(world, analyst, run, type, asked) -> None:
    with pytest.raises(Forbidden):
        run(searched(world, analyst, type, asked))


def test_what_a_record_was_before_is_not_told(world, analyst, run) -> None:
    newest = run(read.read(world, read.Ask(Key("Patient", "p")), analyst))
    with pytest.raises(NotFound):
        run(read.read(world, read.Ask(Key("Patient", "p"), newest.version_id), analyst))
    with pytest.raises(NotFound):
        run(history.history(world, history.Ask("Patient", "p"), analyst))


def test_nothing_is_written_back(world, analyst, run) -> None:
    with pytest.raises(FhirError) as refused:
        run(update.update(world, update.Ask("Patient", "p", patient("p")), analyst))
    assert refused.value.status < 500
