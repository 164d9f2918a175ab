"""test_following — a definition that is stored is known: here at once, elsewhere at the next look.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

import asyncio

from fhir_server.interaction import bundle, create, delete, update
from fhir_server.interaction.following import PAGE, Following
from tests.interaction.conftest import BY_ANYBODY, base_knowledge, server_on

URL = "http://hospital.example/ValueSet/wards"


def value_set(id="wards", title="Wards", url=URL, **more):
    return {
        "resourceType": "ValueSet",
        "id": id,
        "url": url,
        "status": "active",
        "title": title,
        **more,
    }


def another_worker(server):
    """What a second process knows: it shares the store and nothing else."""
    return Following(base_knowledge(server.definitions), server.store)


def title(following, url=URL):
    found = following.knowledge.current.canonicals.get(url)
    return found and found["title"]


async def put(server, resource):
    ask = update.Ask(resource["resourceType"], resource["id"], resource)
    return await update.update(server, ask, BY_ANYBODY)


async def test_who_stored_it_knows_it_when_the_answer_comes(server):
    await put(server, value_set())
    assert title(server.following) == "Wards"
    await put(server, value_set(title="Wards of 2026"))
    assert title(server.following) == "Wards of 2026"
    await delete.delete(server, delete.Ask("ValueSet", "wards"), BY_ANYBODY)
    assert title(server.following) is None


async def test_another_worker_knows_it_after_its_next_look(server):
    other = another_worker(server)
    await put(server, value_set())
    assert title(other) is None
    await other.look()
    assert title(other) == "Wards"
    await delete.delete(server, delete.Ask("ValueSet", "wards"), BY_ANYBODY)
    await other.look()
    assert title(other) is None


async def test_a_look_reads_more_than_one_page(server):
    for start in range(0, PAGE + 10, 70):
        entries = [
            {
                "resource": value_set(id=f"v{n}", url=f"{URL}-{n}"),
                "request": {"method": "PUT", "url": f"ValueSet/v{n}"},
            }
            for n in range(start, start + 70)
        ]
        whole = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        await bundle.bundle(server, bundle.Ask(whole), BY_ANYBODY)
    other = another_worker(server)
    await other.look()
    assert title(other, f"{URL}-{PAGE + 5}") == "Wards"


async def test_an_older_version_read_late_changes_nothing(server):
    await put(server, value_set(title="first"))
    await put(server, value_set(title="second"))
    await server.following.look()  # meets the first version again
    assert title(server.following) == "second"


async def test_what_is_no_definition_is_not_kept(server):
    patient = {"resourceType": "Patient", "name": [{"text": "Lý"}]}
    before = server.knowledge.current
    await create.create(server, create.Ask("Patient", patient), BY_ANYBODY)
    assert server.knowledge.current is before


async def test_what_is_known_changes_only_when_a_definition_does(server):
    await put(server, value_set())
    known = server.knowledge.current
    await server.following.look()
    assert server.knowledge.current is known


async def test_where_there_are_other_workers_the_answer_waits_for_their_look(server):
    server = server_on(server.store, knowledge=base_knowledge(server.definitions))
    other = another_worker(server)
    looking = asyncio.create_task(other.follow())
    server.following.alone = False
    await put(server, value_set())
    assert title(other) == "Wards"
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
