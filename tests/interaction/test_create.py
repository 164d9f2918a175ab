"""https://hl7.org/fhir/R4/http.html#create"""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.outcome import Invalid, MultipleMatches, PreconditionFailed
from fhir_server.foundation.resource import Key
from fhir_server.interaction import create, read, search
from tests.interaction.conftest import patient, told

CCCD = "http://fhir.hl7.org.vn/core/sid/cccd"


def with_cccd(number):
    return patient(identifier=[{"system": CCCD, "value": number}])


async def test_a_created_resource_is_read_back_as_it_came(server, here):
    made = await create.create(server, create.Ask("Patient", patient(birthDate="1990-05")), here)
    assert made.status == 201
    found = await read.read(server, read.Ask(made.key), here)
    resource = told(found)
    meta = resource.pop("meta")
    assert resource == patient(id=made.key.id, birthDate="1990-05")
    assert meta["versionId"] == made.version_id == found.version_id
    assert made.version_id.startswith("1-")
    assert set(meta) == {"versionId", "lastUpdated"}


async def test_the_clients_id_version_and_time_are_ignored(server, here):
    sent = patient(id="mine", meta={"versionId": "7", "lastUpdated": "2001-01-01T00:00:00Z"})
    sent["meta"]["tag"] = [{"system": "urn:x", "code": "kept"}]
    made = await create.create(server, create.Ask("Patient", sent), here)
    assert made.key.id != "mine"
    meta = told(made)["meta"]
    assert meta["tag"] == [{"system": "urn:x", "code": "kept"}]
    assert meta["versionId"] != "7"
    assert not meta["lastUpdated"].startswith("2001")


async def test_decimals_keep_their_digits(server, here):
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "creatinine"},
        "valueQuantity": {"value": __import__("decimal").Decimal("1.50"), "unit": "mg/dL"},
    }
    made = await create.create(server, create.Ask("Observation", observation), here)
    found = await read.read(server, read.Ask(made.key), here)
    assert b'"value":1.50' in found.body


async def test_a_resource_of_another_type_is_refused(server, here):
    with pytest.raises(Invalid, match="Patient"):
        await create.create(server, create.Ask("Encounter", patient()), here)


async def test_every_error_of_a_resource_is_told_at_once(server, here):
    sent = patient(gender="M", birthDate="2020-02-30", shoe=43)
    with pytest.raises(Invalid) as refusal:
        await create.create(server, create.Ask("Patient", sent), here)
    places = {issue.expression for issue in refusal.value.issues}
    assert {"Patient.gender", "Patient.birthDate", "Patient.shoe"} <= places


async def test_if_none_exist_answers_with_the_one_that_is_there(server, here):
    asked = create.Ask("Patient", with_cccd("092190000001"), f"identifier={CCCD}|092190000001")
    first = await create.create(server, asked, here)
    second = await create.create(server, asked, here)
    assert (first.status, second.status) == (201, 200)
    assert second.key == first.key
    assert second.version_id == first.version_id


async def test_if_none_exist_refuses_criteria_that_many_meet(server, here):
    for _ in range(2):
        await create.create(server, create.Ask("Patient", patient()), here)
    with pytest.raises(MultipleMatches):
        await create.create(server, create.Ask("Patient", patient(), "family=nguyen"), here)


@pytest.mark.parametrize("text", ["", "nonsense", "shoe=43", "_count=3"])
async def test_if_none_exist_without_right_criteria_is_refused(server, here, text):
    with pytest.raises((Invalid, PreconditionFailed)):
        await create.create(server, create.Ask("Patient", patient(), text), here)


async def test_sixty_four_writers_on_eight_keys_make_eight_patients(server, here):
    numbers = [f"09219000000{digit}" for digit in range(8)]
    asks = [
        create.Ask("Patient", with_cccd(number), f"identifier={CCCD}|{number}")
        for _ in range(8)
        for number in numbers
    ]
    answers = await asyncio.gather(*(create.create(server, ask, here) for ask in asks))
    assert sorted(answer.status for answer in answers) == [200] * 56 + [201] * 8
    found = await search.search(server, search.Ask(("Patient",), [("_total", "accurate")]), here)
    assert told(found)["total"] == 8


async def test_ids_are_new_each_time(server, here):
    made = [await create.create(server, create.Ask("Patient", patient()), here) for _ in range(3)]
    assert len({answer.key for answer in made}) == 3
    assert all(isinstance(answer.key, Key) for answer in made)
