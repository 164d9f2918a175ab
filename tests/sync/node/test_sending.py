"""What is written at a node is sent once, whatever becomes of it and of the answers."""

from __future__ import annotations

import hashlib

import pytest

from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.store.contract import Stale
from fhir_server.store.contract.side import PACKED
from fhir_server.sync.node import journal, outbox, sending
from fhir_server.sync.node.life import kept
from fhir_server.sync.words import Answer, Outcome, Refused
from tests.sync.node.conftest import a_patient, a_row, of_patient

OBSERVATION = of_patient("Observation", "o1", status="final", code={"text": "x"})


async def test_what_is_written_is_sent_with_what_it_refers_to_first(node):
    await node.put(OBSERVATION, a_patient())
    chunk = await node.chunk()
    assert [str(one.key) for one in chunk.push.entries] == ["Patient/p1", "Observation/o1"]
    assert [one.number for one in chunk.push.entries] == [1, 2]
    assert (chunk.push.first, chunk.push.before) == (1, "")
    assert all("versionId" not in one.body.get("meta", {}) for one in chunk.push.entries)


async def test_a_deletion_is_sent_as_a_version(node):
    (first,) = await node.put(a_patient())
    await node.delete("Patient", "p1")
    entries = (await node.chunk()).push.entries
    assert [(one.method, one.body is None, one.parents) for one in entries] == [
        ("PUT", False, ()),
        ("DELETE", True, (first,)),
    ]


async def test_a_chunk_is_the_same_until_it_is_answered(node):
    await node.put(a_patient("p1"))
    first = await node.chunk()
    await node.put(a_patient("p2"))
    again = await node.chunk()
    assert again.push.entries == first.push.entries
    await node.answered(first, Outcome.STORED)
    assert not await node.answered(again, Outcome.STORED)  # the answer to the other one
    after = await node.chunk()
    assert (after.push.first, after.push.before) == (2, first.push.entries[0].rev)
    assert [one.key.id for one in after.push.entries] == ["p2"]


async def test_numbers_outlive_the_process(node):
    await node.put(a_patient("p1"))
    assert await node.packed() == 1
    assert await node.packed() == 0
    rows = await node.store.side.range(PACKED, limit=9)
    assert [row.number for row in rows] == [1]
    assert (await node.chunk()).push.first == 1


OUTCOMES = {
    Outcome.STORED: "confirmed", Outcome.WARNED: "confirmed", Outcome.MERGED: "confirmed",
    Outcome.CONFLICT: "confirmed", Outcome.PARKED: "parked", Outcome.REFUSED: "refused",
}  # fmt: skip


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda one: one.value)
async def test_each_outcome_ends_the_waiting(node, outcome):
    await node.put(a_patient())
    await node.answered(await node.chunk(), outcome, issues=[Issue("error", "invalid", "Sai.")])
    assert await node.states() == {"Patient/p1 1": OUTCOMES[outcome]}
    assert await node.chunk() is None
    assert await node.shown("Patient", "p1") is not None


async def test_k_bad_of_n_are_kept_apart_with_their_reasons_and_the_others_go(node):
    await node.put(*(a_patient(f"p{at}") for at in range(6)))
    outcomes = [Outcome.STORED, Outcome.PARKED] * 3
    await node.answered(await node.chunk(), *outcomes, issues=[Issue("error", "invalid", "Sai.")])
    states = list((await node.states()).values())
    assert (states.count("confirmed"), states.count("parked")) == (3, 3)
    assert all(b"Sai." in row.facts for row in await node.rows("parked"))


async def test_mending_is_an_update_that_is_sent_with_the_parked_one_as_parent(node):
    (bad,) = await node.put(a_patient(gender="male"))
    await node.answered(await node.chunk(), Outcome.PARKED)
    await node.put(a_patient(gender="female"))
    chunk = await node.chunk()
    assert [one.parents for one in chunk.push.entries] == [(bad,)]
    await node.answered(chunk, Outcome.STORED)
    assert await node.states() == {"Patient/p1 1": "mended", "Patient/p1 2": "confirmed"}


@pytest.mark.parametrize("refused", Refused, ids=lambda one: one.value)
async def test_a_number_the_hub_cannot_take_begins_a_new_incarnation(node, refused):
    await node.put(a_patient("p1"))
    await node.all_stored()
    await node.put(a_patient("p2"))
    chunk = await node.chunk()
    answer = Answer((), 0, node.epochs, 0, refused=refused)
    assert await sending.answered(node.store, chunk, answer)
    again = await node.chunk()
    assert again.push.incarnation != chunk.push.incarnation
    assert (again.push.first, again.push.before) == (1, "")
    assert [one.key.id for one in again.push.entries] == ["p2"]
    assert not await node.answered(chunk, Outcome.STORED)  # what was said to the old one
    assert [line.what for line in await journal.lines(node.store.side)][-1] == "new incarnation"


async def test_a_gap_where_nothing_was_lost_is_sent_again_in_the_same_life(node):
    """Another process of the node has sent it meanwhile, or the answer was written late."""
    await node.put(a_patient("p1"))
    await node.all_stored()
    await node.put(a_patient("p2"))
    chunk = await node.chunk()
    with pytest.raises(Invalid):
        await sending.answered(
            node.store, chunk, Answer((), 1, node.epochs, 0, refused=Refused.GAP)
        )
    assert (await node.chunk()).push.entries == chunk.push.entries
    assert (await node.life()).incarnation == chunk.push.incarnation


async def test_an_answer_of_nothing_is_not_taken_for_progress(node):
    await node.put(a_patient())
    chunk = await node.chunk()
    with pytest.raises(Invalid):
        await sending.answered(node.store, chunk, Answer((), 1, node.epochs, 0))
    assert (await node.chunk()).push.entries == chunk.push.entries


async def test_what_came_back_before_its_answer_stays_as_it_came(node):
    await node.put(a_patient())
    chunk = await node.chunk()
    row = a_row(a_patient(), node.place())
    await node.page(row)
    await node.answered(chunk, Outcome.PARKED)
    assert await node.states() == {"Patient/p1 1": "came"}
    assert await node.chunk() is None


async def test_a_chunk_holds_whole_groups_within_its_bound(node):
    text = "".join(chr(97 + at * 7 % 26) * (at % 5) for at in range(2000))
    patients = [a_patient(f"p{at}", name=[{"text": f"{hash_text(at)} {text}"}]) for at in range(20)]
    await node.put(*patients)
    sent = []
    while (chunk := await node.chunk(at_most=1500)) is not None:
        sent.append(len(chunk.push.entries))
        await node.answered(chunk, Outcome.STORED)
    assert sum(sent) == 20
    assert len(sent) > 1


async def test_of_much_that_waits_only_what_is_sent_now_is_compressed(node):
    """At 2 MB a second, each chunk of a post's scans would else take the time of all of them."""
    await node.put(*(a_patient(f"p{at}", name=[{"text": "a" * 3000}]) for at in range(20)))
    texts = []
    while (chunk := await node.chunk(at_most=1500)) is not None:
        texts.append(len(chunk.body))
        await node.answered(chunk, Outcome.STORED)
    assert len(texts) > 1
    assert max(texts) <= 1500 * sending.RATIO + 4000


def hash_text(at):
    return "".join(hashlib.sha256(f"{at} {turn}".encode()).hexdigest() for turn in range(4))


async def test_what_is_of_this_server_alone_is_not_sent(node):
    await node.put(
        {"resourceType": "ValueSet", "id": "v1", "status": "draft", "url": "http://a.example/v"}
    )
    assert await node.chunk() is None


async def test_two_who_go_on_from_one_place_do_not_both(node):
    await node.put(a_patient())
    await node.noticed()
    now = await kept(node.store)
    await outbox.pack(node.server)
    with pytest.raises(Stale):
        await node.store.commit(now.unit(now.life.born_again()))


async def test_the_log_is_a_ring(node):
    now = await kept(node.store)
    life, rows = now.life, []
    for number in range(journal.MOST + 3):
        life, line = journal.noted(life, "sent", stored=number)
        rows.append(line)
    await node.store.commit(now.unit(life, *rows))
    lines = await journal.lines(node.store.side)
    assert [line.number for line in lines] == list(range(4, journal.MOST + 4))
    assert [line.number for line in await journal.lines(node.store.side, 2)] == [502, 503]
