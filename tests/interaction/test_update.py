"""https://hl7.org/fhir/R4/http.html#update"""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.foundation.outcome import Gone, Invalid, MultipleMatches, PreconditionFailed
from fhir_server.foundation.resource import Key
from fhir_server.interaction import create, delete, history, read, update
from tests.interaction.conftest import patient, told


def ask(resource, **more):
    return update.Ask("Patient", resource.get("id"), resource, **more)


async def test_update_as_create_then_a_second_version(server, here):
    first = await update.update(server, ask(patient("a")), here)
    second = await update.update(server, ask(patient("a", family="Trần")), here)
    assert (first.status, second.status) == (201, 200)
    assert first.version_id.startswith("1-")
    assert second.version_id.startswith("2-")
    old = await read.read(server, read.Ask(first.key, first.version_id), here)
    assert told(old)["name"] == [{"family": "Nguyễn"}]
    new = await read.read(server, read.Ask(first.key), here)
    assert told(new)["name"] == [{"family": "Trần"}]


async def test_the_same_content_again_makes_no_version(server, here):
    first = await update.update(server, ask(patient("a")), here)
    again = await update.update(server, ask(patient("a")), here)
    assert again.status == 200
    assert again.version_id == first.version_id
    versions = await history.history(server, history.Ask("Patient", "a"), here)
    assert told(versions)["total"] == 1


async def test_the_order_of_members_is_no_content(server, here):
    first = await update.update(server, ask(patient("a", birthDate="1990", gender="male")), here)
    again = await update.update(server, ask(patient("a", gender="male", birthDate="1990")), here)
    assert again.version_id == first.version_id
    other = await update.update(server, ask(patient("a", gender="male", birthDate="1991")), here)
    assert other.version_id.startswith("2-")


async def test_a_version_is_named_by_its_content(server, here):
    """Two servers that store the same first version give it the same name (V1)."""
    made = await update.update(server, ask(patient("a")), here)
    assert made.version_id == "1-" + made.version_id[2:]
    reordered = {"name": [{"family": "Nguyễn"}], "id": "b", "resourceType": "Patient"}
    plain = await update.update(server, ask(reordered), here)
    same = await update.update(server, ask(patient("c")), here)
    assert len({made.version_id, plain.version_id, same.version_id}) == 3  # the id is content


@pytest.mark.parametrize(
    ("id", "body"),
    [("a", patient("b")), ("a", patient()), ("x" * 65, patient("x" * 65)), ("a/b", patient("a/b"))],
)
async def test_an_id_that_differs_or_is_none_is_refused(server, here, id, body):
    with pytest.raises(Invalid):
        await update.update(server, update.Ask("Patient", id, body), here)


async def test_if_match_stops_a_lost_update(server, here):
    first = await update.update(server, ask(patient("a")), here)
    await update.update(server, ask(patient("a", family="Lê"), if_match=first.version_id), here)
    with pytest.raises(PreconditionFailed, match="Read it again"):
        late = ask(patient("a", family="Phạm"), if_match=first.version_id)
        await update.update(server, late, here)
    with pytest.raises(PreconditionFailed):
        await update.update(server, ask(patient("none"), if_match=first.version_id), here)


async def test_of_many_writers_with_one_if_match_one_wins(server, here):
    first = await update.update(server, ask(patient("a")), here)
    asks = [ask(patient("a", family=f"Họ{n}"), if_match=first.version_id) for n in range(16)]
    answers = await asyncio.gather(
        *(update.update(server, one, here) for one in asks), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, PreconditionFailed)]
    assert len(refused) == 15


async def test_writers_without_if_match_all_get_their_version(server, here):
    asks = [ask(patient("a", family=f"Họ{n}")) for n in range(16)]
    answers = await asyncio.gather(*(update.update(server, one, here) for one in asks))
    assert sorted(int(a.version_id.partition("-")[0]) for a in answers) == list(range(1, 17))
    versions = await history.history(server, history.Ask("Patient", "a"), here)
    assert told(versions)["total"] == 16


async def test_a_put_brings_the_deleted_back_to_life(server, here):
    made = await update.update(server, ask(patient("a")), here)
    gone = await delete.delete(server, delete.Ask("Patient", "a"), here)
    assert gone.status == 204
    with pytest.raises(Gone):
        await read.read(server, read.Ask(made.key), here)
    back = await update.update(server, ask(patient("a")), here)
    assert back.status == 201
    assert back.version_id.startswith("3-")


# criteria, id in the body            -> what R4 http#cond-update says
CONDITIONAL = [
    ("identifier=u|none", None, 201),
    ("identifier=u|none", "new", 201),
    ("identifier=u|1", None, 200),
    ("identifier=u|1", "one", 200),
    ("identifier=u|1", "other", Invalid),
    ("family=nguyen", None, MultipleMatches),
]


@pytest.mark.parametrize(("criteria", "id", "expected"), CONDITIONAL)
async def test_conditional_update(server, here, criteria, id, expected):
    one = patient("one", identifier=[{"system": "u", "value": "1"}])
    await update.update(server, ask(one), here)
    await update.update(server, ask(patient("two")), here)
    body = patient(id, family="Mới")
    asked = update.Ask("Patient", None, body, condition=create.criteria(criteria))
    if isinstance(expected, int):
        answer = await update.update(server, asked, here)
        assert answer.status == expected
        assert answer.key == Key("Patient", answer.key.id)
        assert id is None or answer.key.id == id
    else:
        with pytest.raises(expected):
            await update.update(server, asked, here)


async def test_conditional_updates_at_once_make_one_resource(server, here):
    asks = [
        update.Ask(
            "Patient",
            None,
            patient(identifier=[{"system": "u", "value": "7"}], birthDate=f"19{n:02}"),
            condition=[("identifier", "u|7")],
        )
        for n in range(10, 26)
    ]
    answers = await asyncio.gather(*(update.update(server, one, here) for one in asks))
    assert len({answer.key for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 15 + [201]
