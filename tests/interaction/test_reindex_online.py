"""A SearchParameter that is stored is indexed from then on, and what is older by $reindex, while
others write.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import (
    MethodNotAllowed,
    NotFound,
    NotSupported,
    Unavailable,
    Unprocessable,
)
from fhir_server.foundation.resource import Key
from fhir_server.interaction import bundle, capabilities, create, delete, search, update
from fhir_server.interaction.context import Asked
from fhir_server.interaction.declaring import Declaring
from fhir_server.interaction.following import Following
from fhir_server.interaction.reindexing import Reindexing
from fhir_server.search.live import Live
from fhir_server.store import upkeep
from fhir_server.store.contract import EVERYTHING
from fhir_server.store.contract.parameter import BUILDING, GONE, READY, REMOVED
from tests.acceptance.whole import wrong_with
from tests.interaction.conftest import BASE, BY_ANYBODY, base_knowledge, indexer, server_on, told
from tests.search.test_custom import definition

WARD = "http://here.example/ward"


def patient(id, ward=None, **more):
    found = {"resourceType": "Patient", "name": [{"family": "Lý"}], **more}
    found |= {"id": id} if id else {}
    return {**found, "extension": [{"url": WARD, "valueCode": ward}]} if ward else found


async def put(server, resource):
    ask = update.Ask(resource["resourceType"], resource["id"], resource)
    return await update.update(server, ask, BY_ANYBODY)


async def found(server, query="ward=B7", type="Patient", **circumstances):
    pairs = [tuple(part.split("=")) for part in query.split("&")]
    asked = replace(BY_ANYBODY, **circumstances)
    answer = await search.search(server, search.Ask((type,), pairs), asked)
    entries = told(answer).get("entry", ())
    return sorted(e["resource"]["id"] for e in entries if e["search"]["mode"] == "match")


async def operation(server, name="reindex", method="POST", id="ward"):
    type = "SearchParameter" if id else None
    asked = Asked(name, method, type, id)
    return await server.operations.perform(server, asked, BY_ANYBODY)


def reindexing(server, rate=1_000_000):
    return Reindexing(server.following.declaring, rate=rate)


async def states(server):
    return [row.state for row in (await server.store.parameters.all()).rows]


def another_worker(server):
    """What a second process is: it shares the store and nothing else."""
    live, ids = Live(indexer()), itertools.count()
    other = server_on(server.store, new_id=lambda: f"o{next(ids)}")
    following = Following(
        base_knowledge(server.definitions), server.store, declaring=Declaring(live, server.store)
    )
    object.__setattr__(other, "live", live)
    object.__setattr__(other, "following", following)
    return other


# --- coming into force ---------------------------------------------------------------------------


async def test_where_there_is_nothing_older_it_is_searched_by_at_once(server):
    await put(server, definition())
    await put(server, patient("1", "B7"))
    await put(server, patient("2", "C1"))
    assert await found(server) == ["1"]
    assert await found(server, "ward:not=B7") == ["2"]
    await put(server, patient("1", "C1"))
    assert await found(server, "ward=C1") == ["1", "2"]
    assert await found(server) == []


async def test_until_what_is_older_is_indexed_nobody_is_answered_half(server):
    await put(server, patient("old", "B7"))
    await put(server, definition())
    await put(server, patient("new", "B7"))
    with pytest.raises(NotSupported, match=r"`POST \[base\]/SearchParameter/ward/\$reindex`"):
        await found(server)
    answer = await operation(server)
    place = f"{BASE}/SearchParameter/ward/$reindex-status"
    assert (answer.status, answer.headers["Content-Location"]) == (202, place)
    with pytest.raises(Unavailable, match="is being indexed"):
        await found(server)
    status = await operation(server, "reindex-status", "GET")
    assert status.status == 202
    assert "ward: 0 of 2 resources" in status.headers["X-Progress"]
    await reindexing(server).turn()
    assert await found(server) == ["new", "old"]
    status = await operation(server, "reindex-status", "GET")
    assert status.status == 200
    [one] = told(status)["parameter"]
    parts = {p["name"]: next(v for k, v in p.items() if k != "name") for p in one["part"]}
    assert parts == {
        "code": "ward", "base": "Patient", "definition": "SearchParameter/ward",
        "state": "ready", "done": 1, "total": 1,
    }  # fmt: skip


async def test_leniently_it_is_left_out_and_that_is_told(server):
    await put(server, patient("old", "B7"))
    await put(server, definition())
    pairs = [("ward", "B7"), ("family", "ly")]
    asked = replace(BY_ANYBODY, strict=False)
    answer = told(await search.search(server, search.Ask(("Patient",), pairs), asked))
    [outcome] = [e["resource"] for e in answer["entry"] if e["search"]["mode"] == "outcome"]
    assert "not indexed yet" in outcome["issue"][0]["diagnostics"]


async def test_what_cannot_be_indexed_by_is_refused_by_a_rule_of_this_server(server):
    with pytest.raises(Unprocessable) as refused:
        await put(server, definition(expression="Patient.name.first()"))
    assert "`first()`" in refused.value.issues[0].diagnostics
    assert await server.store.newest((Key("SearchParameter", "ward"),), EVERYTHING) == {}


async def test_two_of_one_transaction_with_one_code_are_refused(server):
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"SearchParameter/{one['id']}"}}
        for one in (definition(), definition(id="again", url="http://here.example/again"))
    ]
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    with pytest.raises(Unprocessable) as refused:
        await bundle.bundle(server, bundle.Ask(whole), BY_ANYBODY)
    assert refused.value.issues[0].expression == "Bundle.entry[1].resource.code"
    del entries[1]
    await bundle.bundle(server, bundle.Ask(whole), BY_ANYBODY)
    assert await states(server) == [READY]


async def test_a_definition_that_is_deleted_retired_or_changed_ends_what_it_declared(server):
    await put(server, definition())
    await put(server, patient("1", "B7"))
    await put(server, definition(status="retired"))
    with pytest.raises(Exception, match="`ward` is not a search parameter"):
        await found(server)
    await put(server, definition(expression=f"Patient.extension('{WARD}').value"))
    assert (await states(server))[1] == BUILDING
    await operation(server)
    await reindexing(server).turn()
    assert await found(server) == ["1"]
    await delete.delete(server, delete.Ask("SearchParameter", "ward"), BY_ANYBODY)
    with pytest.raises(Exception, match="`ward` is not a search parameter"):
        await found(server)
    await reindexing(server).turn()
    assert await states(server) == [REMOVED, REMOVED]


async def test_the_capability_statement_lists_what_is_ready(server):
    async def listed():
        whole = told(await capabilities.capabilities(server, capabilities.Ask(), BY_ANYBODY))
        [type] = [one for one in whole["rest"][0]["resource"] if one["type"] == "Patient"]
        return {one["name"]: one["definition"] for one in type["searchParam"]}

    await put(server, patient("old", "B7"))
    await put(server, definition())
    assert "ward" not in await listed()
    await operation(server)
    await reindexing(server).turn()
    assert (await listed())["ward"] == definition()["url"]


async def test_what_the_deployments_folders_hold_is_known_from_the_start(server):
    held = [definition(), definition("broken", expression="Patient.name.first()")]
    declaring = Declaring(server.live, server.store, lambda: held)
    await declaring.settle()
    await put(server, patient("1", "B7"))
    assert await found(server) == ["1"]
    del held[0]
    again = Declaring(server.live, server.store, lambda: held)
    await again.settle()
    assert "ward" not in server.parameters.of("Patient")


# --- the operation -------------------------------------------------------------------------------


async def test_who_asks_for_nothing_that_is_there_is_told(server):
    with pytest.raises(NotFound, match="is not here"):
        await operation(server)
    await put(server, definition(status="draft"))
    with pytest.raises(Unprocessable, match="its status is not `active`"):
        await operation(server)
    with pytest.raises(MethodNotAllowed, match="must be asked by POST"):
        await operation(server, method="GET")
    assert (await operation(server, id=None)).status == 202
    assert (await operation(server, "reindex-status", "GET", None)).status == 200


async def test_it_can_be_broken_off_and_goes_on_from_there(server):
    for n in range(120):
        await put(server, patient(f"p{n}", "B7"))
    await put(server, definition())
    with pytest.raises(NotFound, match="begins it"):
        await operation(server, "reindex-status", "GET")
    await operation(server)
    job = reindexing(server)
    await job._fill(job._due(), 0.0)
    [row] = (await server.store.parameters.all()).rows
    assert row.done == 50
    assert (await operation(server, "reindex-status", "DELETE")).status == 202
    with pytest.raises(NotFound, match="begins it"):
        await operation(server, "reindex-status", "GET")
    await job.turn()  # nobody asks
    assert await states(server) == [BUILDING]
    await operation(server)
    await job.turn()
    assert len(await found(server, "ward=B7&_count=200")) == 120
    [row] = (await server.store.parameters.all()).rows
    assert (row.state, row.done) == (READY, 120)


async def test_all_that_wait_are_filled_in_one_walk(server):
    await put(server, patient("1", "B7"))
    await put(server, {"resourceType": "Practitioner", "id": "1", "language": "vi"})
    await put(server, definition())
    await put(server, definition("bed"))
    tongue = definition("tongue", base=["Resource"], expression="Resource.language")
    await put(server, tongue)
    await operation(server, id=None)
    await reindexing(server).turn()
    assert await states(server) == [READY] * 3
    assert await found(server, "bed=B7") == ["1"]
    assert await found(server, "tongue=vi", "Practitioner") == ["1"]
    assert (await operation(server, "reindex-status", "GET", None)).status == 200


def test_an_index_that_is_made_anew_offline_is_whole_for_them_too(database, run):
    async def begin(store):
        await store.open()
        server = server_on(store)
        await server.following.look()
        return server

    store = database.store()
    server = run(begin(store))
    run(put(server, patient("1", "B7")))
    run(put(server, definition()))
    run(put(server, definition("bed")))
    run(delete.delete(server, delete.Ask("SearchParameter", "bed"), BY_ANYBODY))
    run(store.close())
    live = Live(indexer())
    live.take(upkeep.parameters(database.url))
    made = live.current.indexer
    upkeep.reindex(database.url, made.rows, made.stamp, lambda _done, _all: None, live.numbers)
    store = database.store()
    server = run(begin(store))
    assert run(found(server)) == ["1"]
    run(store.close())
    # By a program that does not know them they are not whole.
    upkeep.reindex(database.url, indexer().rows, made.stamp, lambda _done, _all: None)
    assert [row.state for row in upkeep.parameters(database.url).rows] == [BUILDING, GONE]
    assert wrong_with(database.url) != []


# --- while others write --------------------------------------------------------------------------


async def test_a_worker_that_has_not_looked_yet_looks_before_it_writes(server):
    await put(server, patient("1", "B7"))
    other = another_worker(server)
    await other.following.look()
    await put(server, definition())
    assert "ward" not in [p.code for p in other.parameters.indexed("Patient")]
    await put(other, patient("1", "C1"))
    await create.create(other, create.Ask("Patient", patient(None, "C1")), BY_ANYBODY)
    assert [p.code for p in other.parameters.indexed("Patient")] == ["ward"]
    await operation(server)
    await reindexing(server).turn()
    assert await found(server) == []
    assert len(await found(server, "ward=C1")) == 2


async def test_a_definition_whose_worker_died_before_it_took_effect_takes_it_elsewhere(server):
    await put(server, patient("1", "B7"))
    other = another_worker(server)
    await other.following.look()
    object.__setattr__(server, "following", Following(server.knowledge, server.store))
    await put(server, definition())  # by a worker that declares nothing
    assert await states(server) == []
    await other.following.look()
    assert await states(server) == [BUILDING]


async def write(server, draw, stop):
    """Creates, changes and deletes, without a pause."""
    while not stop.is_set():
        id = f"p{draw.randrange(80)}"
        ward = draw.choice([None, "B7", "C1", "D4"])
        dated = {"birthDate": f"19{draw.randrange(10, 99)}-01-01"}
        match draw.randrange(8):
            case 0:
                await delete.delete(server, delete.Ask("Patient", id), BY_ANYBODY)
            case 1:
                await create.create(
                    server, create.Ask("Patient", patient(None, ward, **dated)), BY_ANYBODY
                )
            case 2:
                entries = [
                    {"resource": patient(f"p{n}", ward), "request": {"method": "PUT", "url": u}}
                    for n in draw.sample(range(80), 4)
                    for u in [f"Patient/p{n}"]
                ]
                whole = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
                await bundle.bundle(server, bundle.Ask(whole), BY_ANYBODY)
            case _:
                await put(server, patient(id, ward, **dated))
        await asyncio.sleep(0)


async def crowd(server, seed):
    """Definitions come, change and go while three writers of two workers write."""
    draw, stop = random.Random(seed), asyncio.Event()
    other = another_worker(server)
    for worker in (server, other):
        await worker.following.look()
    for n in range(80):
        await put(server, patient(f"p{n}", draw.choice([None, "B7", "C1"])))
    running = [asyncio.create_task(other.following.follow())]
    writers = [
        asyncio.create_task(write(one, random.Random(seed + n), stop))
        for n, one in enumerate((server, server, other))
    ]
    jobs = [asyncio.create_task(reindexing(one, 4000).work()) for one in (server, other)]
    kinds = definition("family2", type="string", expression="Patient.name.family")
    born = definition("born", type="date", expression="Patient.birthDate")
    for one in (definition(), kinds, born):
        await put(server, one)
        await asyncio.sleep(draw.uniform(0, 0.1))
    await operation(server, id=None)
    await asyncio.sleep(draw.uniform(0.1, 0.4))
    await put(other, definition(expression=f"Patient.extension.where(url = '{WARD}').value"))
    await delete.delete(other, delete.Ask("SearchParameter", "born"), BY_ANYBODY)
    await operation(other, id=None)
    await asyncio.sleep(draw.uniform(0.1, 0.4))
    stop.set()
    await asyncio.gather(*writers)
    async with asyncio.timeout(60):
        while set(await states(server)) - {READY, REMOVED}:
            await asyncio.sleep(0.1)
    for task in (*jobs, *running):
        task.cancel()
    await asyncio.gather(*jobs, *running, return_exceptions=True)


@pytest.mark.parametrize("seed", range(2))
def test_the_rows_are_those_computed_anew_whoever_wrote_meanwhile(database, run, seed):
    store = database.store()
    run(store.open())
    try:
        run(crowd(server_on(store), seed))
    finally:
        run(store.close())
    assert wrong_with(database.url) == []
