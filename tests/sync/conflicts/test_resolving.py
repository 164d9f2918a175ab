"""A conflict begins, is looked at, and ends with what a person chooses; nothing is overwritten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import (
    Conflict,
    FhirError,
    Forbidden,
    Invalid,
    NotFound,
)
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import parse
from fhir_server.interaction import delete, update
from fhir_server.interaction.context import Asked
from fhir_server.interaction.writing import as_stored, deletion, new_version, with_id, written_id
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, Ground, Restriction, Unit, rid
from fhir_server.store.contract.lineage import Earlier
from fhir_server.store.contract.side import CONFLICT
from fhir_server.sync.conflicts.conflict import lineage_of
from fhir_server.sync.conflicts.keeping import kept
from fhir_server.sync.lineage import Known, State
from fhir_server.sync.matching.linker import Linker
from fhir_server.sync.matching.rules import built_in
from tests.interaction.conftest import BY_ANYBODY, asked, put, server_on, within
from tests.sync.matching.people import CCCD

AN = Key("Patient", "an")
BASE = {"resourceType": "Patient", "id": "an", "birthDate": "1980", "gender": "female"}
ONE, OTHER = BASE | {"birthDate": "1981"}, BASE | {"birthDate": "1982", "active": True}
MINE = BASE | {"birthDate": "1983"}


@pytest.fixture
def server(store):
    return server_on(store)


async def parted(server, *contents, key=AN):
    """The resource was changed at several places: all are stored as a hub stores them, with what
    tells of it. The heads, the one that is shown first."""
    stored = (await server.store.newest((key,), EVERYTHING))[key]
    base = (stored.version_id,)
    made = [
        deletion(server, stored, base)
        if content is None
        else new_version(server, BY_ANYBODY, with_id(content, key.id), "PUT", stored, base)
        for content in contents
    ]
    made.sort(key=lambda new: (new.tail is not None, written_id(new)))
    lineage = await lineage_of(server, key)
    for new in made:
        state = State.DELETED if new.tail is None else State.ALIVE
        lineage = lineage.with_version(written_id(new), Known(base, state))
    bodies = {
        written_id(new): None if new.tail is None else resource_of(as_stored(new, 0))
        for new in made
    }
    told = await kept(server, BY_ANYBODY, key, lineage, bodies)
    *others, shown = made
    earlier = tuple(
        Earlier(new.generation, new.digest, new.method, new.tail, new.parents) for new in others
    )
    shown = replace(shown, earlier=earlier)
    await server.store.commit(Unit((shown, *told.versions), side=told.side, expects=told.expects))
    return [written_id(new) for new in reversed(made)]


async def resolve(server, here, heads, *, key=AN, **told):
    """Ask `$resolve-conflict`."""
    parameters = [{"name": "head", "valueString": head} for head in heads]
    parameters += [
        {"name": name, "resource": value}
        if isinstance(value, dict)
        else {"name": name, "valueString": value}
        for name, value in told.items()
    ]
    body = {"resourceType": "Parameters", "parameter": parameters}
    what = Asked("resolve-conflict", "POST", key.type, key.id, resource=body)
    return await server.operations.perform(server, what, here)


def of(owner):
    """What is one patient's, and no more."""
    return Restriction((Ground(owners=frozenset({owner})),))


async def shown(server, here, key=AN):
    return await server.operations.perform(server, Asked("conflict", "GET", *key), here)


async def newest(server, key=AN):
    return (await server.store.newest((key,), EVERYTHING)).get(key)


async def tasks(server, here=BY_ANYBODY):
    found = await asked(server, here, ("Task",), ("code", "sync-conflict"))
    return [entry["resource"] for entry in found.get("entry", ())]


@pytest.fixture
def heads(server, run):
    run(put(server, BY_ANYBODY, BASE))
    return run(parted(server, ONE, OTHER))


async def test_a_task_tells_of_it_in_the_patients_record(server, heads):
    (told,) = await tasks(server)
    assert told["status"] == "requested"
    named = [one["valueReference"]["reference"] for one in told["input"]][:2]
    assert named == [f"Patient/an/_history/{head}" for head in heads]
    stored = await newest(server, Key("Task", told["id"]))
    assert stored.owner == rid(AN)
    assert await server.store.side.count(CONFLICT) == 1


async def test_who_may_not_see_the_patient_sees_no_task(server, heads):
    other = within(BY_ANYBODY, of(rid(Key("Patient", "binh"))))
    own = within(BY_ANYBODY, of(rid(AN)))
    assert await tasks(server, other) == []
    assert len(await tasks(server, own)) == 1


async def test_the_versions_are_shown_side_by_side(server, heads):
    told = parse((await shown(server, BY_ANYBODY)).body)["parameter"]
    assert [one["valueReference"]["reference"] for one in told[1:3]] == [
        f"Patient/an/_history/{head}" for head in heads
    ]
    places = [
        {
            part["name"]: value
            for part in one["part"]
            for key, value in part.items()
            if key != "name"
        }
        for one in told
        if one["name"] == "place"
    ]
    assert [(one["path"], one["apart"]) for one in places] == [
        ("Patient.birthDate", True),
        ("Patient.active", False),
    ]


async def test_one_of_them_is_chosen_and_the_conflict_is_over(server, heads):
    answer = await resolve(server, BY_ANYBODY, heads, choose=heads[1])
    now = await newest(server)
    assert answer.version_id == now.version_id
    assert resource_of(now)["birthDate"] in ("1981", "1982")
    known = {one.rev: one.parents for one in (await server.store.lineage((AN,)))[AN]}
    assert known[now.version_id] == tuple(sorted(heads))
    (task,) = await tasks(server)
    assert task["status"] == "completed"
    reference = task["output"][0]["valueReference"]["reference"]
    assert reference == f"Patient/an/_history/{now.version_id}"
    assert await server.store.side.count(CONFLICT) == 0


async def test_who_chose_and_between_what_is_told_by_a_provenance(server, heads):
    answer = await resolve(server, BY_ANYBODY, heads, choose=heads[0])
    found = await asked(server, BY_ANYBODY, ("Provenance",), ("target", "Patient/an"))
    (told,) = [entry["resource"] for entry in found["entry"]]
    assert told["target"] == [{"reference": f"Patient/an/_history/{answer.version_id}"}]
    assert {one["what"]["reference"] for one in told["entity"]} == {
        f"Patient/an/_history/{head}" for head in heads
    }
    assert {one["role"] for one in told["entity"]} == {"revision"}


async def test_what_was_written_anew_is_chosen(server, heads):
    await resolve(server, BY_ANYBODY, heads, resource=MINE)
    assert resource_of(await newest(server))["birthDate"] == "1983"


async def test_the_same_choice_made_again_is_one_version(server, heads):
    first = await resolve(server, BY_ANYBODY, heads, choose=heads[1])
    again = await resolve(server, BY_ANYBODY, heads[::-1], choose=heads[1])
    assert again.version_id == first.version_id
    assert len((await server.store.lineage((AN,)))[AN]) == 4


async def test_versions_are_named_by_reference_too(server, heads):
    named = [f"Patient/an/_history/{head}" for head in heads]
    assert (await resolve(server, BY_ANYBODY, named, choose=named[0])).status == 200


async def test_what_nobody_has_seen_is_not_overwritten(server, heads):
    """Somebody changed one of the versions meanwhile."""
    await update.update(server, update.Ask("Patient", "an", MINE), BY_ANYBODY)
    with pytest.raises(Conflict) as refused:
        await resolve(server, BY_ANYBODY, heads, choose=heads[0])
    now = (await newest(server)).version_id
    assert now in str(refused.value) and heads[1] in str(refused.value)
    assert resource_of(await newest(server))["birthDate"] == "1983"
    await resolve(server, BY_ANYBODY, [now, heads[1]], choose=now)
    assert (await lineage_of(server, AN)).heads() == [(await newest(server)).version_id]


async def test_three_are_chosen_between_at_once(server, run):
    await put(server, BY_ANYBODY, BASE)
    heads = await parted(server, ONE, OTHER, MINE)
    with pytest.raises(Conflict):
        await resolve(server, BY_ANYBODY, heads[:2], choose=heads[0])
    await resolve(server, BY_ANYBODY, heads, choose=heads[2])
    assert len((await lineage_of(server, AN)).heads()) == 1


async def test_a_deletion_is_kept_or_undone(server):
    await put(server, BY_ANYBODY, BASE)
    heads = await parted(server, ONE, None)
    assert (await newest(server)).tail is not None, "what is alive is shown first"
    answer = await resolve(server, BY_ANYBODY, heads, choose=heads[1])
    assert answer.status == 204
    assert (await newest(server)).deleted
    assert (await resolve(server, BY_ANYBODY, heads, choose=heads[1])).status == 204


async def test_another_conflict_has_another_task_and_the_first_is_taken_back(server, heads):
    await update.update(server, update.Ask("Patient", "an", MINE), BY_ANYBODY)
    told = await kept(server, BY_ANYBODY, AN, await lineage_of(server, AN))
    await server.store.commit(Unit(told.versions, side=told.side, expects=told.expects))
    assert sorted(one["status"] for one in await tasks(server)) == ["cancelled", "requested"]
    assert (await kept(server, BY_ANYBODY, AN, await lineage_of(server, AN))).versions == ()


async def test_a_task_that_somebody_deleted_is_left_so(server, heads):
    (task,) = await tasks(server)
    await delete.delete(server, delete.Ask("Task", task["id"]), BY_ANYBODY)
    await resolve(server, BY_ANYBODY, heads, choose=heads[0])
    assert await tasks(server) == []


NEVER = "2-aaaaaaaaaaaaaaaaaaaaaaaaaa"
# what is said, how it is refused
REFUSED = [
    ({"heads": [], "choose": "0"}, Invalid),
    ({"heads": ["0"], "choose": "0"}, Invalid),
    ({"heads": ["0", "0"], "choose": "0"}, Conflict),
    ({"heads": ["0", "1"]}, Invalid),
    ({"heads": ["0", "1"], "choose": "0", "resource": MINE}, Invalid),
    ({"heads": ["0", "1"], "choose": NEVER}, Invalid),
    ({"heads": ["0", NEVER], "choose": "0"}, Invalid),
    ({"heads": ["0", "x"], "choose": "0"}, Invalid),
    ({"heads": ["0", "Patient/binh/_history/0"], "choose": "0"}, Invalid),
    ({"heads": ["0", "1"], "resource": {"resourceType": "Group", "id": "an"}}, Invalid),
    ({"heads": ["0", "1"], "resource": MINE | {"id": "binh"}}, Invalid),
    ({"heads": ["0", "1"], "resource": MINE | {"gender": "x"}}, Invalid),
    ({"heads": ["0", "1"], "choose": "0", "key": Key("Patient", "binh")}, NotFound),
    ({"heads": ["0"] * 33, "choose": "0"}, Invalid),
]


async def test_what_cannot_be_meant_is_refused_and_changes_nothing(server, heads):
    def named(text):
        return heads[int(text)] if text in ("0", "1") else text

    before = await newest(server)
    for told, error in REFUSED:
        asked = dict(told)
        revs = [named(head) for head in asked.pop("heads")]
        if "choose" in asked:
            asked["choose"] = named(asked["choose"])
        with pytest.raises(FhirError) as refused:
            await resolve(server, BY_ANYBODY, revs, **asked)
        assert isinstance(refused.value, error), (told, refused.value)
    assert await newest(server) == before


async def test_what_is_in_no_conflict_has_none_to_show_or_end(server):
    await put(server, BY_ANYBODY, BASE, ONE)
    first, second = [one.rev for one in (await server.store.lineage((AN,)))[AN]]
    with pytest.raises(Conflict):
        await resolve(server, BY_ANYBODY, [first, second], choose=first)
    with pytest.raises(NotFound):
        await shown(server, BY_ANYBODY)


async def test_who_may_not_see_one_of_the_versions_may_not_choose(server):
    """One place says the observation is another patient's."""
    key = Key("Observation", "o")
    told = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
    await put(server, BY_ANYBODY, BASE, BASE | {"id": "binh"}, told)
    mine, others = ({**told, "subject": {"reference": f"Patient/{id}"}} for id in ("an", "binh"))
    heads = await parted(server, mine, others, key=key)
    owner = (await newest(server, key)).owner
    seen = within(BY_ANYBODY, of(owner))
    unseen = ({rid(AN), rid(Key("Patient", "binh"))} - {owner}).pop()
    with pytest.raises(Invalid):
        await resolve(server, seen, heads, key=key, choose=heads[0])
    with pytest.raises(NotFound):
        blind = within(BY_ANYBODY, of(unseen))
        await resolve(server, blind, heads, key=key, choose=heads[0])
    with pytest.raises(Forbidden):
        await shown(server, seen, key)
    (task,) = await tasks(server)
    assert "for" not in task, "it shows both, so it is in neither's record"
    assert await tasks(server, seen) == []


async def test_who_was_in_a_conflict_is_linked_when_it_is_over(store):
    server = server_on(store, linker=Linker(built_in()))
    number = {"identifier": [CCCD]}
    await put(server, BY_ANYBODY, BASE | number, BASE | {"id": "binh"} | number)
    heads = await parted(server, ONE | number, OTHER | number)
    await resolve(server, BY_ANYBODY, heads, resource=BASE | number)
    for id, other in (("an", "binh"), ("binh", "an")):
        told = resource_of(await newest(server, Key("Patient", id)))
        assert [one["other"]["reference"] for one in told["link"]] == [f"Patient/{other}"]
    assert len((await lineage_of(server, AN)).heads()) == 1
