"""What the hub sends is stored with the cursor, and read like all other records."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import FhirError, Gone
from fhir_server.foundation.resource import Key
from fhir_server.interaction import read, search
from fhir_server.security.audit import said
from fhir_server.store.contract import Sought
from fhir_server.store.contract.side import PLACE, WHOSE
from fhir_server.sync.epochs import Epoch, Place
from fhir_server.sync.node.life import name_of
from fhir_server.sync.words import Kind, Outcome, Row, Stubbed
from tests.interaction.conftest import BY_ANYBODY, server_on
from tests.sync.node.conftest import Node, a_patient, a_row, of_patient


async def found(node, query="family=An"):
    ask = search.Ask(("Patient",), [tuple(query.split("="))])
    bundle = await search.search(node.server, ask, BY_ANYBODY)
    return bundle.body.count(b'"mode":"match"')


async def test_what_comes_is_read_and_found_and_not_sent_back(node):
    row = a_row(a_patient(name=[{"family": "An"}]), node.place(), patient="p1")
    assert await node.page(row)
    assert await node.shown("Patient", "p1") == row.rev
    assert await found(node) == 1
    assert await node.packed() == 0
    assert await node.states() == {"Patient/p1 1": "came"}
    assert (await node.life()).cursor == "c1"


async def test_a_page_that_does_not_answer_the_cursor_changes_nothing(node):
    await node.page(next="c1")
    row = a_row(a_patient(), node.place())
    assert not await node.page(row, cursor="another")
    assert await node.shown("Patient", "p1") is None
    assert await node.page(row)
    assert not await node.page(row, cursor="c1")  # it comes twice


async def test_a_history_comes_in_its_order_and_goes_on_from_there(node):
    first = a_row(a_patient(gender="unknown"), node.place())
    second = a_row(a_patient(gender="male"), node.place(), first.rev)
    await node.page(first, second)
    assert await node.shown("Patient", "p1") == second.rev
    (third,) = await node.put(a_patient(gender="female"))
    lineage = (await node.store.lineage([Key("Patient", "p1")]))[Key("Patient", "p1")]
    assert [(one.rev, one.parents) for one in lineage] == [
        (first.rev, ()),
        (second.rev, (first.rev,)),
        (third, (second.rev,)),
    ]
    gone = a_row(a_patient(), node.place(), second.rev, deleted=True)
    await node.page(gone)
    assert await node.shown("Patient", "p1") == third
    chunk = await node.chunk()
    assert [(one.rev, one.parents) for one in chunk.push.entries] == [(third, (second.rev,))]


async def test_unsent_work_stays_in_front_until_the_hub_has_it(node):
    base = a_row(a_patient(gender="unknown"), node.place())
    await node.page(base)
    (mine,) = await node.put(a_patient(gender="male"))
    theirs = a_row(a_patient(gender="female"), node.place(), base.rev)
    await node.page(theirs)
    assert await node.shown("Patient", "p1") == mine
    await node.all_stored()
    echo = a_row(a_patient(gender="male"), node.place(), base.rev, kind=Kind.ECHO)
    joined = a_row(a_patient(gender="other"), node.place(), theirs.rev, mine)
    assert echo.rev == mine
    await node.page(echo, joined)
    assert await node.shown("Patient", "p1") == joined.rev
    assert await node.packed() == 0


async def test_a_merge_whose_parents_cannot_come_is_known_by_its_stubs(node):
    stub = Stubbed("1-" + "a" * 26, ())
    row = a_row(a_patient(gender="male"), node.place(), stub.rev, stubs=(stub,))
    await node.page(row)
    lineage = (await node.store.lineage([Key("Patient", "p1")]))[Key("Patient", "p1")]
    assert {one.rev: one.state for one in lineage} == {stub.rev: "stub", row.rev: "alive"}
    (mine,) = await node.put(a_patient(gender="female"))
    assert [one.rev for one in (await node.chunk()).push.entries] == [mine]


async def test_a_record_leaves_with_a_deleted_visit_and_with_what_was_not_sent(node):
    visit = a_row(of_patient("Encounter", "e1", status="finished"), node.place(), patient="p1")
    gone = a_row({"resourceType": "Encounter", "id": "e1"}, node.place(), visit.rev, deleted=True,
                 patient="p1")  # fmt: skip
    await node.page(a_row(a_patient(), node.place(), patient="p1"), visit, gone)
    await node.page(a_row(a_patient("p2"), node.place(), patient="p2"))
    (mine,) = await node.put(of_patient("Observation", "o1", status="final", code={"text": "x"}))
    await node.page(Row(Kind.LEFT_RECORD, Key("Patient", "p1"), node.place()))
    assert await node.shown("Patient", "p1") == "LEFT"
    assert await node.shown("Encounter", "e1") == "LEFT"
    assert await node.shown("Observation", "o1") == "LEFT"
    assert (await node.shown("Patient", "p2")).startswith("1-")
    with pytest.raises(Gone):
        await read.read(node.server, read.Ask(Key("Observation", "o1")), BY_ANYBODY)
    assert [one.rev for one in (await node.chunk()).push.entries] == [mine]


async def test_what_left_comes_back_with_what_was_kept(node):
    row = a_row(a_patient(name=[{"family": "An"}]), node.place(), patient="p1")
    await node.page(row)
    await node.page(Row(Kind.LEFT_RESOURCE, Key("Patient", "p1"), node.place()))
    assert await found(node) == 0
    await node.page(row)
    assert await node.shown("Patient", "p1") == row.rev
    assert await found(node) == 1


async def test_the_compartment_is_the_one_the_hub_named(node):
    await node.page(a_row(of_patient("Observation", "o1", "p1", status="final",
                                     code={"text": "x"}), node.place(), patient="p2"))  # fmt: skip
    await node.page(Row(Kind.LEFT_RECORD, Key("Patient", "p1"), node.place()))
    assert await node.shown("Observation", "o1") != "LEFT"
    await node.page(Row(Kind.LEFT_RECORD, Key("Patient", "p2"), node.place()))
    assert await node.shown("Observation", "o1") == "LEFT"
    assert len(await node.store.side.range(WHOSE, limit=9)) == 1


async def test_an_echo_of_what_is_not_here_drops_the_page_and_begins_a_new_incarnation(node):
    await node.page()
    before = await node.life()
    await node.page(
        a_row(a_patient("p2"), node.place()), a_row(a_patient(), node.place(), kind=Kind.ECHO)
    )
    after = await node.life()
    assert after.incarnation != before.incarnation
    assert after.cursor == before.cursor
    assert await node.shown("Patient", "p2") is None


async def test_what_was_kept_apart_and_is_stored_by_now_is_confirmed(node):
    await node.put(of_patient("Observation", "o1", status="final", code={"text": "x"}))
    chunk = await node.chunk()
    await node.answered(chunk, Outcome.PARKED)
    assert await node.states() == {"Observation/o1 1": "parked"}
    asked = await node.rows("parked")
    await node.page(stored=(chunk.push.entries[0].rev,), parked=asked)
    assert await node.states() == {"Observation/o1 1": "confirmed"}


async def test_a_hub_that_came_back_is_sent_what_it_lost_whoever_wrote_it(node):
    kept = a_row(a_patient("p1"), node.place())
    await node.page(kept)
    await node.page(a_row(a_patient("p2"), node.place()))
    await node.put(a_patient("p3"))
    await node.all_stored()
    node.epochs = (Epoch("e1", Place(1, 2, 0)), Epoch("e2"))
    await node.page()
    assert await node.states() == {
        "Patient/p1 1": "came", "Patient/p2 1": "unsent", "Patient/p3 1": "unsent"
    }  # fmt: skip
    life = await node.life()
    assert (life.cursor, life.whole, life.round) == ("", True, 2)
    chunk = await node.chunk()
    assert sorted(one.key.id for one in chunk.push.entries) == ["p2", "p3"]


async def test_when_all_was_sent_anew_what_did_not_come_again_is_away(node):
    rows = [a_row(a_patient(id), node.place(), patient=id) for id in ("p1", "p2")]
    await node.page(*rows, entering=True)
    await node.page()
    await node.put(a_patient("p3"))
    node.epochs = (Epoch("e1", Place(1, 1, 0)), Epoch("e2"))
    await node.page()
    await node.page(rows[0], entering=True)
    assert await node.shown("Patient", "p2") == rows[1].rev  # nothing vanishes before the end
    await node.page(entering=False)
    shown = {id: await node.shown("Patient", id) for id in ("p1", "p2", "p3")}
    # p2 was lost by the hub, which is sent it again: it is this node's own work now
    assert shown["p1"] == rows[0].rev
    assert shown["p2"] == rows[1].rev
    assert shown["p3"] not in (None, "LEFT")
    assert not (await node.life()).whole


async def test_what_the_hub_still_has_and_does_not_send_anew_is_hidden(node):
    rows = [a_row(a_patient(id), node.place(), patient=id) for id in ("p1", "p2")]
    await node.page(*rows)
    node.place()
    await node.page(read=node.newest)
    node.epochs = (Epoch("e1", Place(1, 3, 0)), Epoch("e2"))
    await node.page()
    assert (await node.life()).whole
    await node.page(rows[0])
    assert await node.shown("Patient", "p1") == rows[0].rev
    assert await node.shown("Patient", "p2") == "LEFT"


async def test_nothing_of_a_page_is_kept_where_one_thing_of_it_cannot_be(node):
    bad = a_row({"resourceType": "AuditEvent", "id": "a1"}, node.place())
    with pytest.raises(FhirError):
        await node.page(a_row(a_patient(), node.place()), bad)
    assert await node.shown("Patient", "p1") is None
    assert (await node.life()).cursor == ""
    assert await node.store.side.count(PLACE) == 0
    assert name_of(bad.key, bad.rev).generation == 1


# --- the audit -----------------------------------------------------------------------------------


async def audited(node):
    return [said.read(one.body) for one in reversed(await node.store.audit.found(Sought()))]


async def test_what_a_page_changes_is_one_entry_of_the_audit_by_the_hub(store):
    node = Node(server_on(store, audit=True))
    visit = a_row(of_patient("Encounter", "e1", status="finished"), node.place(), patient="p1")
    other = a_row(a_patient("p2"), node.place(), patient="p2")
    await node.page(a_row(a_patient(), node.place(), patient="p1"), visit, other)
    await node.page(Row(Kind.LEFT_RECORD, Key("Patient", "p1"), node.place()))
    came, left = await audited(node)
    assert {(one.client, one.interaction, one.url) for one in (came, left)} == {
        ("hub", "operation", "$sync-pull")
    }
    assert sorted(one[:2] for one in came.resources) == [
        ("Encounter", "e1"), ("Patient", "p1"), ("Patient", "p2"),
    ]  # fmt: skip
    assert set(came.patients) == {said.of_patient("p1"), said.of_patient("p2")}
    assert sorted(one[:2] for one in left.resources) == [("Encounter", "e1"), ("Patient", "p1")]
    assert set(left.patients) == {said.of_patient("p1")}
    assert len(await node.store.audit.found(Sought((said.of_patient("p2"),)))) == 1


async def test_what_changes_nothing_here_is_not_written_down(store):
    node = Node(server_on(store, audit=True))
    row = a_row(a_patient(), node.place())
    await node.page(row)
    assert len(await audited(node)) == 1
    await node.page()
    await node.page(row)
    assert len(await audited(node)) == 1
