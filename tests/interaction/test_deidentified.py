"""An analyst is shown no record that tells whose it is, by whichever interaction."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import FhirError, Forbidden, NotFound
from fhir_server.foundation.resource import Key
from fhir_server.interaction import disguising, history, read, update
from fhir_server.interaction.granting import Granting
from fhir_server.interaction.search import demand_searchable
from fhir_server.search.query import Query
from fhir_server.security.agreeing import SILENCE
from fhir_server.security.caller import Caller
from fhir_server.security.decision import decide
from fhir_server.security.policy_file import built_in
from fhir_server.security.scope import parse
from fhir_server.store.contract import AllOf
from tests.interaction.conftest import asked, patient, put, searched, told
from tests.interaction.test_batch import done as of_batch
from tests.interaction.test_batch import entry
from tests.interaction.test_transaction import done as of_transaction

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


@pytest.fixture
def pseudonym(world, analyst) -> Key:
    return disguising.name_of(world, analyst, Key("Patient", "p"))


def test_a_read_tells_nobody(world, analyst, pseudonym, run) -> None:
    answer = run(read.read(world, read.Ask(pseudonym), analyst))
    found = told(answer)
    assert (answer.version_id, answer.updated) == (None, None)
    assert (found["id"], answer.key) == (pseudonym.id, pseudonym)
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


WHO = [
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
    ("Encounter", "service-provider:identifier=x"),
    ("Encounter", "_list=x"),
    ("Encounter", "_tag=x"),
    ("Encounter", "_security=x"),
    ("Encounter", "patient=Patient/p"),
    ("Encounter", "_sort=date"),
]


def test_who_it_is_is_not_found_by_searching_v5_0_0_8_2_3(world, analyst, run) -> None:
    for type, text in WHO:
        with pytest.raises(Forbidden):
            run(searched(world, analyst, type, text))


def test_words_are_not_searched_for_where_they_are_not_told(world, analyst, run) -> None:
    for text in ("_text=x", "_content=x", "type:text=x"):
        with pytest.raises(FhirError) as refused:
            run(searched(world, analyst, "Encounter", text))
        assert refused.value.status in (400, 403)
        name = text.partition("=")[0]
        understood = Query(("Encounter",), AllOf(), 50, asked=((name, "x", AllOf()),))
        with pytest.raises(Forbidden):  # also where there is an index of words
            demand_searchable(analyst, understood)


def test_what_a_record_was_before_is_not_told(world, analyst, pseudonym, here, run) -> None:
    version = run(read.read(world, read.Ask(Key("Patient", "p")), here)).version_id
    for key in (Key("Patient", "p"), pseudonym):
        with pytest.raises(NotFound):
            run(read.read(world, read.Ask(key, version), analyst))
        with pytest.raises(NotFound):
            run(history.history(world, history.Ask(*key), analyst))


def of(subject):
    return {name: each for name, each in WORLD[1].items() if name != "id"} | {
        "subject": {"reference": subject}
    }


# A person who is here, one who is not; by id, and by criteria.
WRITES = [
    lambda who: ("PUT", f"Patient/{who}", patient(who)),
    lambda who: ("PUT", f"Patient?family={who}", patient()),
    lambda who: ("DELETE", f"Patient/{who}"),
    lambda who: ("DELETE", f"Patient?family={who}"),
    lambda who: ("POST", "Patient", patient(), {"ifNoneExist": f"family={who}"}),
    lambda who: ("PATCH", f"Patient/{who}", PATCH),
    lambda who: ("PATCH", f"Patient?family={who}", PATCH),
    lambda who: ("POST", "Encounter", of(f"Patient?family={who}")),
]
PATCH = {
    "resourceType": "Parameters",
    "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "delete"},
        {"name": "path", "valueString": "Patient.gender"},
    ]}],
}  # fmt: skip


def test_a_write_that_is_refused_does_not_tell_who_is_here(world, analyst, here, run) -> None:
    for form in WRITES:
        told_by = []
        for who in ("p", "q", "Nguyen", "Other"):
            method, url, *rest = form(who)
            sent = entry(method, url, *rest[:1], **(rest[1] if len(rest) > 1 else {}))
            answers = [run(of_batch(world, analyst, sent)), _answer(run, world, analyst, sent)]
            told_by.append(re.sub(rf"\b{who}\b", "?", json.dumps(answers)))
        assert len(set(told_by)) == 1, told_by
    kept = run(read.read(world, read.Ask(Key("Patient", "p")), here))
    assert kept.version_id.startswith("1-")


def _answer(run, world, analyst, sent):
    try:
        return run(of_transaction(world, analyst, sent))
    except FhirError as refused:
        return refused.status, str(refused)


# --- ids ------------------------------------------------------------------------------------------


def test_nobody_is_found_by_the_id_that_others_know(world, analyst, pseudonym, run) -> None:
    for type, id in (
        ("Patient", "p"),
        ("Patient", "nobody"),
        ("Encounter", "e"),
        ("Patient", "0" * 48),
        ("Encounter", pseudonym.id),  # of another type
    ):
        with pytest.raises(NotFound) as refused:
            run(read.read(world, read.Ask(Key(type, id)), analyst))
        assert str(refused.value) == f"`{type}/{id}` is not here."


def test_what_belongs_together_is_told_together(world, analyst, pseudonym, run) -> None:
    bundle = run(searched(world, analyst, "Encounter", "_include=Encounter:patient"))
    encounter, person = (entry["resource"] for entry in bundle["entry"])
    assert encounter["subject"]["reference"] == f"Patient/{person['id']}" == str(pseudonym)
    assert [entry["fullUrl"].split("/", 4)[4] for entry in bundle["entry"]] == [
        f"Encounter/{encounter['id']}",
        str(pseudonym),
    ]
    assert '"p"' not in json.dumps(bundle)
    assert "Patient/p" not in json.dumps(bundle)


def test_all_of_one_is_found_in_the_compartment_by_its_pseudonym(
    world, analyst, pseudonym, run
) -> None:
    bundle = run(asked(world, analyst, ("Encounter",), compartment=pseudonym))
    assert len(bundle["entry"]) == 1
    with pytest.raises(NotFound):
        run(asked(world, analyst, ("Encounter",), compartment=Key("Patient", "p")))


def test_another_client_is_told_another(world, analyst, pseudonym, run) -> None:
    other = replace(analyst, caller=replace(ANALYST, client="other"))
    with pytest.raises(NotFound):
        run(read.read(world, read.Ask(pseudonym), other))
    assert disguising.name_of(world, other, Key("Patient", "p")) != pseudonym


# --- numbers --------------------------------------------------------------------------------------

MEN = [patient(f"m{at}", "x", gender="male") for at in range(7)]


def test_a_small_number_is_not_told_and_a_larger_one_is_rounded(world, analyst, here, run) -> None:
    few = run(searched(world, analyst, "Patient", "gender=female&_summary=count"))
    assert "total" not in few
    assert few["entry"][0]["resource"]["issue"][0]["code"] == "suppressed"
    assert run(searched(world, analyst, "Patient", "gender=male&_summary=count"))["total"] == 0
    assert "total" not in run(searched(world, analyst, "Patient", "gender=female"))
    run(put(world, here, *MEN))
    for text in ("gender=male&_summary=count", "gender=male&_total=accurate&_count=2"):
        assert run(searched(world, analyst, "Patient", text))["total"] == 5


def test_who_needs_numbers_is_shown_numbers(world, here, pseudonym, run) -> None:
    who = replace(ANALYST, roles=frozenset({"statistician"}))
    counting = replace(here, caller=who, access=decide(built_in(), who, SILENCE))
    run(put(world, here, *MEN))
    assert run(searched(world, counting, "Patient", "gender=male&_summary=count"))["total"] == 5
    for text in ("gender=male", "_count=1", "_summary=true", "_elements=id"):
        with pytest.raises(Forbidden):
            run(searched(world, counting, "Patient", text))
    for key in (Key("Patient", "p"), pseudonym):
        with pytest.raises(NotFound):
            run(read.read(world, read.Ask(key), counting))


# --- what a token may not ask for either ----------------------------------------------------------

SCOPES = [  # a scope, and how many patients it reaches
    ("user/Patient.rs?gender=female", 1),
    ("user/Patient.rs?name=x", 0),
    ("user/Patient.rs?identifier=1", 0),
    ("user/Patient.rs?gender=female&birthdate=1987-06-05", 0),
    ("user/Patient.rs?_id=p", 0),
]


def test_a_scope_does_not_find_out_whose_a_record_is(world, here, run) -> None:
    granting = Granting(world.live, world.knowledge)
    for scope, reached in SCOPES:
        who = replace(ANALYST, scopes=parse(scope))
        access = decide(built_in(), who, SILENCE, meaning=granting)
        bundle = run(searched(world, replace(here, caller=who, access=access), "Patient", ""))
        assert len(bundle.get("entry", ())) == reached, scope


def test_nothing_is_written_back(world, analyst, run) -> None:
    with pytest.raises(FhirError) as refused:
        run(update.update(world, update.Ask("Patient", "p", patient("p")), analyst))
    assert refused.value.status < 500
