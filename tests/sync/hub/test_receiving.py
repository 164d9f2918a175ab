"""What a node sends is taken once, whole, and answered the same however often it is sent.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Forbidden, Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete
from fhir_server.interaction.context import OpenGate
from fhir_server.operation.call import Call
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, History, rid
from fhir_server.store.contract.side import CONFLICT, HELD, LIFE, WAITING
from fhir_server.sync import receipts
from fhir_server.sync.hub import judging, quarantine, receiving, storing, waking
from fhir_server.sync.hub.tending import tend
from fhir_server.sync.lineage import Known, Lineage, State
from fhir_server.sync.words import Kind, Outcome, Push, Refused, Stubbed
from tests.interaction.conftest import BY_ANYBODY, asked, put, server_on
from tests.sync.hub.disk import Disk, outcomes, version
from tests.sync.hub.posts import Post, kept, measured, organization, person, visit, written

HUE, HANOI = organization("hue"), organization("hanoi")
AN, VISIT, PULSE = person("an", "hue"), visit("v", "an", "hue"), measured("m", "an")

# What no database has a part in is asked on one of them.
ON_ONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def disk(server, run):
    run(put(server, BY_ANYBODY, HUE, HANOI))
    return Disk(server, "hue")


async def newest(server, type, id):
    return (await server.store.newest((Key(type, id),), EVERYTHING)).get(Key(type, id))


async def everything(server):
    page = await server.store.history(History(restriction=EVERYTHING, limit=1000))
    return [(stored.key, stored.version_id, stored.position) for stored in page.rows]


async def test_what_is_sent_is_stored_under_the_names_it_had(server, disk):
    for body in (AN, VISIT, PULSE):
        disk.write(body, group=1)
    told = await disk.push()
    assert outcomes(told) == ["stored"] * 3
    assert told.reached == 3
    for one in disk.sent.values():
        stored = await newest(server, *one.key)
        assert stored.version_id == one.rev
        assert stored.owner == rid(Key("Patient", "an"))


async def test_sending_again_changes_nothing_and_is_answered_the_same(server, disk):
    for number, body in enumerate((AN, VISIT, PULSE)):
        disk.write(body, group=number // 2)
    first = await disk.push()
    before = await everything(server)
    again = await disk.push()
    part = await disk.push(2, 3)
    assert again.receipts == first.receipts
    assert part.receipts == first.receipts[1:]
    assert await everything(server) == before


async def test_a_version_is_stored_once_whatever_its_number(server, disk):
    disk.write(AN)
    await disk.push()
    before = await everything(server)
    other = Disk(server, "hue", incarnation="9c1d")
    other.write(AN)
    told = await other.push()
    assert outcomes(told) == ["stored"]
    assert told.receipts[0].place == disk.last.receipts[0].place
    assert await everything(server) == before


async def test_a_chunk_before_which_numbers_are_missing_is_not_looked_at(server, disk):
    for body in (AN, VISIT, PULSE):
        disk.write(body)
    await disk.push(1, 1)
    told = await disk.push(3, 3)
    assert (told.refused, told.reached, told.receipts) == (Refused.GAP, 1, ())
    assert await newest(server, *disk.sent[3].key) is None
    assert outcomes(await disk.push(2)) == ["stored", "stored"]


@pytest.mark.parametrize("first", [1, 2], ids=["the number itself", "the one before"])
async def test_a_number_that_meant_another_version_asks_for_a_new_life(server, disk, first):
    disk.write(AN)
    await disk.push()
    disk.sent[1] = version(1, person("an", "hue", gender="male"))
    disk.write(VISIT)
    before = await everything(server)
    told = await disk.push(first)
    assert (told.refused, told.reached) == (Refused.REUSED, 1)
    assert await everything(server) == before


async def test_bad_records_keep_no_others_waiting(server, disk):
    disk.write(AN)
    for at in range(10):
        bad = {"status": "nonsense"} if at % 3 == 0 else {}
        disk.write({**measured(f"m{at}", "an"), **bad})
    told = await disk.push()
    assert outcomes(told)[1:] == ["parked" if at % 3 == 0 else "stored" for at in range(10)]
    assert await server.store.side.count(HELD, ("post-hue",), "by_node") == 4
    assert all(one.issues for one in told.receipts if one.outcome is Outcome.PARKED)
    assert await newest(server, "Observation", "m0") is None
    assert outcomes(await disk.push()) == outcomes(told)


@pytest.mark.parametrize(
    ("bound", "value", "word"), [("MOST", 3, "20000 versions"), ("MOST_OCTETS", 70_000, "256 MiB")]
)
async def test_what_is_kept_apart_of_a_node_is_bounded_by_number_and_by_size(
    server, disk, monkeypatch, bound, value, word
):
    monkeypatch.setattr(quarantine, bound, value)
    other = Disk(server, "hanoi")
    for each in (disk, other):
        each.write(person("an" if each is disk else "binh", each.facility))
        for at in range(5):
            told = measured(f"{each.facility}{at}", "an" if each is disk else "binh")
            each.write({**told, "status": "nonsense", "note": [{"text": "x" * 20_000}]})
    for each in (disk, other):
        await each.push(1, 2)
        told = await each.push()
        expected = ["stored", *["parked"] * 3, *["refused"] * 2]
        assert outcomes(told) == expected, "of each node by itself"
        assert word in told.receipts[-1].issues[0].diagnostics
    assert await server.store.side.count(HELD) == 6
    rows = await server.store.side.range(HELD, limit=9)
    assert bound == "MOST" or sum(map(quarantine.octets, rows)) <= 2 * value


async def test_mending_is_an_update_of_what_was_kept_apart(server, disk):
    disk.write(AN)
    bad = disk.write({**measured("m", "an"), "status": "nonsense"})
    await disk.push()
    mended = disk.write(measured("m", "an"), bad.rev)
    assert outcomes(await disk.push(3)) == ["stored"]
    (lineage,) = (await server.store.lineage([bad.key])).values()
    assert [(one.rev, one.state) for one in lineage] == [
        (mended.rev, "alive"),
        (bad.rev, "stub"),
    ]
    assert await server.store.side.count(HELD) == 0


@ON_ONE
async def test_what_was_mended_in_one_group_is_stored(server, disk):
    disk.write(AN, group=1)
    bad = disk.write({**measured("m", "an"), "status": "nonsense"}, group=1)
    disk.write(measured("m", "an"), bad.rev, group=1)
    assert outcomes(await disk.push()) == ["stored", "parked", "stored"]


# --- what refers to what is not there -------------------------------------------------------------


async def test_what_belongs_together_is_stored_in_whatever_order_it_comes(server, disk):
    for name, order in enumerate(itertools.permutations(range(3))):
        bodies = [person(f"p{name}", "hue"), visit(f"v{name}", f"p{name}", "hue")]
        bodies.append(measured(f"m{name}", f"p{name}"))
        first = len(disk.sent) + 1
        for at in order:
            disk.write(bodies[at])
        await disk.push(first)
        for body in bodies:
            assert await newest(server, body["resourceType"], body["id"]) is not None, order
    assert await server.store.side.count(HELD) == 0
    assert await server.store.side.count(WAITING) == 0
    told = await disk.push()
    assert set(outcomes(told)) == {"stored"}, "the receipts say what has become of each"


async def test_what_waits_is_stored_when_somebody_else_brings_it(server, disk):
    disk.write(VISIT)
    told = await disk.push()
    assert outcomes(told) == ["parked"]
    assert "Patient/an" in told.receipts[0].issues[0].diagnostics
    await put(server, BY_ANYBODY, AN)
    await tend(server)
    assert await newest(server, "Encounter", "v") is not None
    assert outcomes(await disk.push()) == ["stored"]


async def test_what_an_earlier_life_sent_is_told_as_stored_to_the_life_that_asks(server, disk):
    seen, unseen = disk.write(VISIT), disk.write({**PULSE, "status": "nonsense"})
    assert outcomes(await disk.push()) == ["parked"] * 2
    await put(server, BY_ANYBODY, AN)
    await tend(server)
    post = Post(server, "hue", incarnation="9c1d")
    names = [f"{one.key}/_history/{one.rev}" for one in (seen, unseen)]
    assert (await post.ask(parked=",".join(names))).stored == (seen.rev,)
    assert (await post.ask(parked=seen.rev)).stored == (), (
        "without its resource it is not looked up"
    )
    other = Post(server, "hanoi", incarnation="7f3c")
    assert (await other.ask(parked=names[0])).stored == (), "it is another node's"


async def test_what_refers_to_what_was_kept_apart_waits_for_it_to_be_mended(server, disk):
    bad = disk.write({**AN, "gender": "nonsense"}, group=1)
    disk.write(VISIT, group=1)
    other = disk.write(person("binh", "hue"))
    assert outcomes(await disk.push()) == ["parked", "parked", "stored"]
    disk.write(AN, bad.rev)
    assert outcomes(await disk.push(4)) == ["stored"]
    assert await newest(server, *disk.sent[2].key) is not None
    assert other.key in {key for key, _, _ in await everything(server)}


async def test_a_version_waits_for_those_it_was_made_from(server, disk):
    first = disk.write(AN)
    second = disk.write({**AN, "gender": "male"}, first.rev)
    third = disk.write({**AN, "gender": "female"}, second.rev)
    disk.sent = {1: third._replace(number=1), 2: second._replace(number=2), 3: first}
    told = await disk.send(
        Push("post-hue", "7f3c", 1, "", tuple(o._replace(number=n, group=n)
             for n, o in enumerate((third, second, first), 1)), 6)
    )  # fmt: skip
    assert told.reached == 3
    assert (await newest(server, "Patient", "an")).version_id == third.rev
    assert await server.store.side.count(HELD) == 0


# --- changes at two places ------------------------------------------------------------------------


async def changed_twice(server, disk, here, there):
    """The patient, changed at the post and at the hub."""
    first = disk.write(AN)
    await disk.push()
    await put(server, BY_ANYBODY, {**AN, **there})
    disk.write({**AN, **here} if here is not None else None, first.rev, key=first.key)
    return await disk.push(2)


async def tasks(server):
    found = await asked(server, BY_ANYBODY, ("Task",))
    return [entry["resource"] for entry in found.get("entry", ())]


async def test_changes_of_different_places_are_merged_and_told_of(server, disk):
    phone = [{"system": "phone", "value": "0901"}]
    told = await changed_twice(server, disk, {"gender": "male"}, {"telecom": phone})
    assert outcomes(told) == ["merged"]
    stored = await newest(server, "Patient", "an")
    patient = resource_of(stored)
    assert (patient["gender"], patient["telecom"]) == ("male", phone)
    (lineage,) = (await server.store.lineage([stored.key])).values()
    last = next(one for one in lineage if one.rev == stored.version_id)
    assert disk.sent[2].rev in last.parents and len(last.parents) == 2
    found = await asked(server, BY_ANYBODY, ("Provenance",))
    (provenance,) = [entry["resource"] for entry in found["entry"]]
    assert provenance["target"] == [{"reference": f"Patient/an/_history/{stored.version_id}"}]
    assert await tasks(server) == []


async def test_changes_of_one_place_are_left_to_a_person(server, disk):
    told = await changed_twice(server, disk, {"gender": "male"}, {"gender": "female"})
    assert outcomes(told) == ["conflict"]
    (task,) = await tasks(server)
    assert task["status"] == "requested"
    assert await server.store.side.count(CONFLICT) == 1
    stored = await newest(server, "Patient", "an")
    (lineage,) = (await server.store.lineage([stored.key])).values()
    heads = Lineage({one.rev: Known(one.parents, State(one.state)) for one in lineage}).heads()
    assert len(heads) == 2
    assert stored.version_id == heads[0], "the log ends with what is shown"


async def test_what_ends_a_conflict_closes_its_task(server, disk):
    await changed_twice(server, disk, {"gender": "male"}, {"gender": "female"})
    (lineage,) = (await server.store.lineage([Key("Patient", "an")])).values()
    heads = Lineage({one.rev: Known(one.parents, State(one.state)) for one in lineage}).heads()
    disk.write({**AN, "gender": "other"}, *sorted(heads))
    assert outcomes(await disk.push(3)) == ["stored"]
    (task,) = await tasks(server)
    assert task["status"] == "completed"
    assert await server.store.side.count(CONFLICT) == 0


async def test_a_deletion_against_a_change_is_left_to_a_person_and_what_lives_is_shown(
    server, disk
):
    told = await changed_twice(server, disk, None, {"gender": "female"})
    assert outcomes(told) == ["conflict"]
    assert not (await newest(server, "Patient", "an")).deleted
    assert len(await tasks(server)) == 1


async def test_two_deletions_are_one(server, disk):
    first = disk.write(AN)
    await disk.push()
    await delete.delete(server, delete.Ask("Patient", "an"), BY_ANYBODY)
    told = await (disk.write(None, first.rev, key=first.key) and disk.push(2))
    assert outcomes(told) == ["stored"], "it is the same version"
    assert (await newest(server, "Patient", "an")).deleted


async def test_a_merge_that_is_not_valid_is_left_to_a_person(server, disk):
    """R4 obs-7: a value of the code itself is in `component`, or in `value`."""
    base = {**measured("m", "an"), "code": {"coding": [{"code": "1", "system": "urn:x"}]}}
    del base["valueQuantity"]
    here = {**base, "valueQuantity": {"value": 5}}
    part = {"code": base["code"], "valueQuantity": {"value": 6}}
    disk.write(AN)
    first = disk.write(base)
    await disk.push()
    await put(server, BY_ANYBODY, {**base, "component": [part]})
    disk.write(here, first.rev)
    assert outcomes(await disk.push(3)) == ["conflict"]
    (task,) = await tasks(server)
    assert "obs-7" in task["description"] or "merged" in str(task["_description"])


async def test_a_conflict_that_others_ended_is_tended(server, disk):
    await changed_twice(server, disk, {"gender": "male"}, {"gender": "female"})
    stored = await newest(server, "Patient", "an")
    hidden = {"male": "female", "female": "male"}[resource_of(stored)["gender"]]
    await put(server, BY_ANYBODY, {**AN, "gender": hidden})
    assert len(await tasks(server)) == 1
    await tend(server)
    assert [task["status"] for task in await tasks(server)] == ["completed"]
    assert resource_of(await newest(server, "Patient", "an"))["gender"] == hidden


# --- whose it is ----------------------------------------------------------------------------------


async def test_another_facilitys_records_are_refused(server, disk):
    await written(server, person("binh", "hanoi"), visit("w", "binh", "hanoi"))
    stored = await newest(server, "Encounter", "w")
    disk.write(visit("w", "binh", "hue"), stored.version_id)
    disk.write(None, stored.version_id, key=stored.key)
    disk.write(person("binh", "hue"))
    disk.write(person("cuong", "hanoi"))
    told = await disk.push()
    assert outcomes(told) == ["refused"] * 4
    assert (await newest(server, "Encounter", "w")).version_id == stored.version_id
    assert await newest(server, "Patient", "cuong") is None


@ON_ONE
@pytest.mark.parametrize("there", [True, False], ids=["there", "not there"])
async def test_whether_another_patient_is_there_is_not_told(server, disk, there):
    if there:
        await written(server, person("binh", "hanoi"))
    disk.write(measured("m", "binh"))
    told = await disk.push()
    assert outcomes(told) == ["parked"]
    assert told.receipts[0].issues[0].diagnostics == (
        "It refers to `Patient/binh`, which is not here yet. It is taken when that has come."
    )


@ON_ONE
async def test_naming_a_patient_opens_nobodys_record(server, disk):
    await written(server, person("binh", "hanoi"))
    disk.write(visit("w", "binh", "hue"))
    await disk.push()
    number = rid(Key("Patient", "binh"))
    assert await server.store.cared_by((number,), 0) == {
        number: {rid(Key("Organization", "hanoi"))}
    }


async def test_what_was_written_before_a_patient_moved_is_taken_and_leaves_the_node(server, disk):
    disk.write(AN)
    await disk.push()
    await kept(server)
    await written(server, person("an", "hanoi"))
    post = await Post(server, "hue").pull()
    disk.write(PULSE)
    assert outcomes(await disk.push(2)) == ["stored"]
    await post.pull()
    assert "Observation/m" not in post.shows
    last = [row for row in post.told if row.key == Key("Observation", "m")][-1]
    assert last.kind is Kind.LEFT_RESOURCE


async def test_what_a_record_was_made_from_says_who_might_write_it(server, disk):
    """The hub gave the measurement to a patient whom the post never had; the post knows nothing of
    it, and goes on from what it has."""
    disk.write(AN)
    first = disk.write(PULSE)
    await disk.push()
    await written(server, person("binh", "hanoi"), measured("m", "binh"))
    moved = await newest(server, "Observation", "m")
    second = disk.write(measured("m", "an", 6), first.rev, group=3)
    disk.write(measured("m", "an", 7), second.rev, group=3)
    assert outcomes(await disk.push(3)) == ["merged", "merged"]
    told = resource_of(await newest(server, "Observation", "m"))
    assert (told["subject"]["reference"], told["valueQuantity"]["value"]) == ("Patient/binh", 7)
    disk.write(measured("m", "binh", 8), moved.version_id)
    assert outcomes(await disk.push(5)) == ["refused"]


async def test_an_old_version_that_names_no_facility_opens_the_record_to_nobody(server, disk):
    await written(server, person("binh", "hanoi"), visit("w", "binh"))
    old = await newest(server, "Encounter", "w")
    await written(server, visit("w", "binh", "hanoi"))
    disk.write(visit("w", "binh", status="cancelled"), old.version_id)
    disk.write(visit("w", "binh", "hue"), old.version_id)
    disk.write(None, old.version_id, key=old.key)
    assert outcomes(await disk.push()) == ["refused"] * 3


# --- who lies -------------------------------------------------------------------------------------


@ON_ONE
async def test_a_chunk_of_another_node_is_not_read(server, disk):
    disk.write(AN)
    with pytest.raises(Forbidden):
        await disk.send(replace(disk.chunk(1, 1), node="post-hanoi"))


@ON_ONE
async def test_who_is_no_node_sends_nothing(server, disk):
    with pytest.raises(Forbidden):
        await receiving.push(server, Call("sync-push", "system", body={}), BY_ANYBODY)


@pytest.mark.parametrize(
    "changes",
    [{"first": 0}, {"first": 2, "before": ""}, {"entries": ()}, {"incarnation": "no name"}],
    ids=str,
)
async def test_what_is_no_chunk_is_refused(changes):
    """Before anything is looked at: there is no store."""
    disk = Disk(server_on(None), "hue")
    disk.write(AN)
    with pytest.raises(Invalid):
        await disk.send(replace(disk.chunk(1, 1), **changes))


@ON_ONE
async def test_a_group_names_a_bounded_number_of_parents(server, disk):
    """Each that is not here is looked up."""
    parents = [f"{number}-{26 * 'a'}" for number in range(1, 27)]
    for at in range(receiving.MOST_PARENTS // len(parents) + 1):
        disk.write(measured(f"m{at}", "an"), *parents, group=1)
    with pytest.raises(Invalid, match="parents"):
        await disk.push()


@ON_ONE
async def test_a_hub_that_lost_nothing_takes_no_version_by_name_alone(server, disk):
    """It has sent all there are; a node that lies would make the history longer than it was."""
    disk.write(AN)
    await disk.push()
    parent = f"7-{26 * 'a'}"
    lies = version(2, {**PULSE, "status": "amended"}, parent)
    disk.sent[2] = lies._replace(stubs=(Stubbed(parent, (f"6-{26 * 'a'}",)),))
    told = await disk.push(2)
    assert outcomes(told) == ["parked"]
    assert await newest(server, "Observation", "m") is None


@ON_ONE
async def test_a_visit_made_up_to_reach_a_stranger_brings_nobody_home(server, disk):
    """However many references stand before the one that counts."""
    await written(server, person("binh", "hanoi"))
    many = [{"reference": "ServiceRequest/s"}] * 5001
    found = visit("w", "binh", "hue")
    disk.write({**dict(list(found.items())[:2]), "basedOn": many, **found})
    assert outcomes(await disk.push()) == ["refused"]
    number = rid(Key("Patient", "binh"))
    assert await server.store.cared_by((number,), 0) == {
        number: {rid(Key("Organization", "hanoi"))}
    }


async def test_a_registration_is_not_taken_over_by_who_never_had_the_patient(server, disk):
    await written(server, person("binh", "hanoi"))
    stored = await newest(server, "Patient", "binh")
    disk.write(person("binh", "hue"), stored.version_id, group=1)
    disk.write(visit("w", "binh", "hue"), group=1)
    told = await disk.push()
    assert outcomes(told) == ["refused", "parked"]
    assert (await newest(server, "Patient", "binh")).version_id == stored.version_id
    assert await newest(server, "Encounter", "w") is None


async def test_what_was_deleted_comes_back_as_what_follows_the_deletion(server, disk):
    disk.write(AN)
    first = disk.write(PULSE)
    gone = disk.write(None, first.rev, key=first.key)
    assert outcomes(await disk.push()) == ["stored"] * 3
    back = disk.write(measured("m", "an", 9), gone.rev)
    assert outcomes(await disk.push(4)) == ["stored"]
    stored = await newest(server, "Observation", "m")
    assert (stored.version_id, stored.deleted) == (back.rev, False)
    assert await server.store.side.count(CONFLICT) == 0


@ON_ONE
async def test_a_node_keeps_nothing_of_another_waiting(server, disk, monkeypatch):
    """However much it sends of a patient whom it may not see."""

    class AsThePolicySays(OpenGate):
        async def admitted_again(self, caller):
            return caller, Post(server, caller.facility).circumstances.access

    monkeypatch.setattr(waking, "AT_ONCE", 2)
    for at in range(12):
        disk.write(measured(f"m{at}", "binh"))
    await disk.push()
    other = Disk(replace(server, gate=AsThePolicySays()), "hanoi")
    other.write(measured("own", "binh"))
    other.write(person("binh", "hanoi"))
    assert outcomes(await other.push(1, 1)) == ["parked"]
    assert outcomes(await other.push(2)) == ["stored"]
    assert await newest(server, "Observation", "own") is not None
    assert await server.store.side.count(HELD) == 12


@ON_ONE
async def test_two_disks_that_send_in_one_life_at_once_are_not_answered_for_each_other(
    server, disk, monkeypatch
):
    """The other one is first by a hair, with fewer versions."""
    disk.write(AN, group=1)
    disk.write(VISIT, group=1)
    other = Disk(server, "hue")
    other.write(person("cuong", "hue"))
    taken = storing.taken

    async def overtaken(*given):
        monkeypatch.setattr(storing, "taken", taken)
        found = await taken(*given)
        assert outcomes(await other.push()) == ["stored"]
        return found

    monkeypatch.setattr(storing, "taken", overtaken)
    told = await disk.push()
    assert (told.refused, told.reached, told.receipts) == (Refused.REUSED, 1, ())
    assert await newest(server, "Encounter", "v") is None


@ON_ONE
async def test_a_made_up_past_is_not_shown(server, disk):
    disk.write(AN)
    await disk.push()
    disk.write({**AN, "gender": "male"}, "7-" + "a" * 26)
    assert outcomes(await disk.push(2)) == ["parked"]
    disk.write({**AN, "gender": "male"}, "999999999-" + "a" * 26)
    with pytest.raises(Invalid):
        await disk.push(3)
    assert (await newest(server, "Patient", "an")).version_id == disk.sent[1].rev


NOT_A_NODES = [
    {"resourceType": "AuditEvent", "id": "x"},
    {"resourceType": "Nonsense", "id": "x"},
    {"resourceType": "StructureDefinition", "id": "x", "url": "urn:x"},
    {"resourceType": "Organization", "id": "hanoi", "name": "Mine"},
]


@ON_ONE
async def test_what_no_node_writes_is_refused(server, disk):
    for body in NOT_A_NODES:
        disk.write(body)
    disk.write(None, key=Key("Patient", "an"))
    assert outcomes(await disk.push()) == ["refused"] * 5


@ON_ONE
async def test_what_mends_what_was_refused_is_judged_by_itself(server, disk):
    refused = disk.write(person("cuong", "hanoi"))
    disk.write(person("cuong", "hue"), refused.rev)
    assert outcomes(await disk.push()) == ["refused", "stored"]
    assert (await newest(server, "Patient", "cuong")).version_id == disk.sent[2].rev


@ON_ONE
async def test_a_life_that_was_given_up_and_has_news_is_heard_and_told_of(server, disk, caplog):
    disk.write(AN)
    await disk.push()
    copy = Disk(server, "hue", "9c1d")
    copy.write(VISIT)
    assert outcomes(await copy.push()) == ["stored"]
    disk.write(PULSE)
    assert outcomes(await disk.push(2)) == ["stored"]
    (row,) = [
        row
        for row in await server.store.side.range(LIFE, prefix=("post-hue",), limit=9)
        if row.incarnation == "7f3c"
    ]
    assert row.retired
    assert "alarm" in row.facts
    assert "alive twice" in caplog.text


# --- many at once, and no answer ------------------------------------------------------------------


async def test_the_same_sent_by_several_at_once_is_stored_once(server, disk):
    disk.write(AN, group=1)
    disk.write(VISIT, group=1)
    for at in range(6):
        disk.write(measured(f"m{at}", "an"))
    chunk = disk.chunk(1, 8)
    told = await asyncio.gather(
        *(Disk(server, "hue").send(chunk) for _ in range(4)), return_exceptions=True
    )
    assert [outcomes(one) for one in told] == [["stored"] * 8] * 4
    assert len({one.receipts for one in told}) == 1
    found = await everything(server)
    assert len({(key, rev) for key, rev, _ in found}) == len(found)


async def test_who_got_no_answer_asks_again_and_gets_the_same(server, disk, monkeypatch):
    """The process ends between commit and answer."""
    disk.write(AN)
    disk.write(VISIT)

    async def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(receiving, "_answer", die)
        with pytest.raises(KeyboardInterrupt):
            await disk.push()
    before = await everything(server)
    told = await disk.push()
    assert outcomes(told) == ["stored"] * 2
    assert await everything(server) == before


class Choking:
    """A linker that fails at one name: as a fault of the program would."""

    every_write = False

    async def linked(self, server, circumstances, unit):
        if any(b"Choke" in (new.tail or b"") for new in unit.versions):
            raise KeyError("Choke")
        return unit


async def test_changes_of_many_places_at_once_are_all_kept(server, disk):
    """Those of one element are heads, those of others are in all of them; whoever was first."""
    first = disk.write(AN)
    await disk.push()
    changes = [{"gender": "male"}, {"gender": "other"}, {"birthDate": "1980"}, {"active": True}]
    lives = []
    for number, change in enumerate(changes):
        life = Disk(server, "hue", incarnation=f"life{number}")
        life.write({**AN, **change}, first.rev)
        lives.append(life)
    await asyncio.gather(*(life.push() for life in lives))
    await tend(server)
    stored = await newest(server, "Patient", "an")
    (known,) = (await server.store.lineage([stored.key])).values()
    lineage = Lineage({one.rev: Known(one.parents, State(one.state)) for one in known})
    heads = lineage.heads()
    assert stored.version_id == heads[0], "the log ends with what is shown"
    for life in lives:
        assert any(lineage.follows(head, life.sent[1].rev) for head in heads)
    assert len(heads) == 2
    assert {resource_of(stored)["gender"]} < {"male", "other"}
    assert [task["status"] for task in await tasks(server)].count("requested") == 1


@ON_ONE
async def test_what_a_version_says_is_found_once_however_often_its_transaction_begins_anew(
    server, disk, monkeypatch
):
    asked, judged = [], judging.judged
    monkeypatch.setattr(
        judging,
        "judged",
        lambda on, body, *a, **how: asked.append(body["id"]) or judged(on, body, *a, **how),
    )
    for number in range(6):
        disk.write(
            {**person(f"p{number}", "hue"), "name": [{"family": "Choke" if number == 3 else "An"}]}
        )
    disk.server = replace(server, linker=Choking())
    assert outcomes(await disk.push()) == ["stored"] * 3 + ["parked"] + ["stored"] * 2
    assert sorted(asked) == [f"p{number}" for number in range(6)]


@ON_ONE
async def test_a_long_history_is_not_gone_over_for_each_of_its_versions(server, disk, monkeypatch):
    looks = []
    last = Lineage._last
    monkeypatch.setattr(Lineage, "_last", lambda self, revs: looks.append(0) or last(self, revs))
    before = ()
    for number in range(200):
        one = disk.write({**AN, "multipleBirthInteger": number}, *before, group=1)
        before = (one.rev,)
    assert outcomes(await disk.push()) == ["stored"] * 200
    assert len(looks) < 10


@ON_ONE
async def test_what_the_program_fails_at_keeps_no_others_waiting(server, disk, caplog):
    for number, name in enumerate(("An", "Choke", "Chi", "Choke", "Em")):
        disk.write({**person(f"p{number}", "hue"), "name": [{"family": name}]}, group=number // 2)
    disk.server = replace(server, linker=Choking())
    told = await disk.push()
    assert outcomes(told) == ["stored", "parked", "stored", "parked", "stored"]
    assert "could not be taken" in caplog.text
    assert outcomes(await disk.push()) == outcomes(told)


@ON_ONE
async def test_receipts_form_a_chain(server, disk):
    disk.write(AN)
    first = await disk.push()
    disk.write(VISIT)
    second = await disk.push(2)
    assert json.loads(second.said)["before"] == receipts.hash_of(first.signed)


@ON_ONE
async def test_who_waits_is_not_asked_for_again_once_its_node_may_nothing(server, disk):
    disk.write(VISIT)
    await disk.push()

    class Closed(OpenGate):
        async def admitted_again(self, caller):
            raise Forbidden("revoked")

    await put(server, BY_ANYBODY, AN)
    await tend(replace(server, gate=Closed()))
    assert await newest(server, "Encounter", "v") is None
    assert await server.store.side.count(HELD) == 1
