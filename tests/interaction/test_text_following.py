"""Who writes finds it by its words at once, and no answer rests on half an index of words."""

from __future__ import annotations

import asyncio
from functools import cache

import pytest

from fhir_server.conformance.definitions import load
from fhir_server.foundation.outcome import FhirError, NotSupported, Unavailable
from fhir_server.interaction import capabilities, create, delete, search, text_following, update
from fhir_server.interaction.bundle import Ask as BundleAsk
from fhir_server.interaction.bundle import bundle
from fhir_server.interaction.text_following import PAGE, TextFollowing
from fhir_server.search.parameters import Parameters
from fhir_server.search.texts import Texts
from fhir_server.store.codec import resource_of
from fhir_server.store.contract.reach import only

from .conftest import BY_ANYBODY, server_on, told, within


@pytest.fixture
def server(store):
    return with_texts(store)


@cache
def texts():
    return Texts(Parameters(load()))


def with_texts(store):
    return server_on(store, texts=TextFollowing(texts(), store))


def condition(id, text, **more):
    xhtml = f"<div xmlns='http://www.w3.org/1999/xhtml'>{text}</div>"
    return {
        "resourceType": "Condition",
        "id": id,
        "text": {"status": "generated", "div": xhtml},
        "subject": {"reference": "Patient/p"},
        **more,
    }


async def put(server, resource):
    return await update.update(
        server, update.Ask(resource["resourceType"], resource["id"], resource), BY_ANYBODY
    )


async def found(server, type, *pairs):
    answer = told(await search.search(server, search.Ask((type,), pairs), BY_ANYBODY))
    return sorted(entry["resource"]["id"] for entry in answer.get("entry", ()))


async def test_what_was_just_written_is_found_by_its_words(server):
    for number in range(PAGE + 5):
        await put(server, condition(f"c{number}", f"Ung thư gan, số {number}"))
        if number % 20 == 0:
            assert await found(server, "Condition", ("_text", f"gan {number}")) == [f"c{number}"]
    await put(server, condition("c0", "khỏi bệnh"))
    assert await found(server, "Condition", ("_text", "gan 0")) == []
    assert await found(server, "Condition", ("_text", "khoi"), ("_content", "benh")) == ["c0"]
    await delete.delete(server, delete.Ask("Condition", "c0"), BY_ANYBODY)
    assert await found(server, "Condition", ("_text", "khoi")) == []


async def test_the_example_of_r4(server):
    await put(server, condition("1", "metastases in the bone"))
    await put(server, condition("2", "Liver: no Metastases"))
    await put(server, condition("3", "bone and liver"))
    question = ("_text", "(bone OR liver) and metastases")
    assert await found(server, "Condition", question) == ["1", "2"]


async def test_a_code_is_found_by_what_is_said_for_it(server):
    coded = {"coding": [{"system": "http://x", "code": "C22", "display": "Liver cell carcinoma"}]}
    await put(server, condition("1", "x", code={**coded, "text": "Ung thư biểu mô gan"}))
    await put(server, condition("2", "ung thư", severity={"text": "ung thu"}))
    assert await found(server, "Condition", ("code:text", "Ung thu")) == ["1"]
    assert await found(server, "Condition", ("code:text", "carci")) == ["1"]
    assert await found(server, "Condition", ("severity:text", "thư ung")) == ["2"]
    assert await found(server, "Condition", ("code:text", "phổi,gan")) == ["1"]


async def test_words_are_asked_at_the_other_end_of_a_reference(server):
    await put(server, {"resourceType": "Patient", "id": "p", "name": [{"text": "Nguyễn Đức"}]})
    await put(server, condition("1", "gan"))
    assert await found(server, "Condition", ("subject:Patient._content", "duc")) == ["1"]
    assert await found(server, "Condition", ("subject:Patient._content", "gan")) == []
    assert await found(server, "Patient", ("_has:Condition:subject:_text", "gan")) == ["p"]


async def test_two_servers_on_one_store_find_what_either_wrote(server, store):
    other = with_texts(store)
    for number in range(10):
        await put((server, other)[number % 2], condition(f"c{number}", f"số {number}"))
        for each in (server, other):
            assert await found(each, "Condition", ("_text", str(number))) == [f"c{number}"]


async def test_searches_while_it_is_written_wait_and_answer(server):
    async def write(number):
        await put(server, condition(f"c{number}", "gan"))
        assert f"c{number}" in await found(server, "Condition", ("_text", "gan"))

    await asyncio.gather(*(write(number) for number in range(30)))


async def test_while_it_is_far_behind_searches_by_words_are_refused_and_others_not(
    server, monkeypatch
):
    monkeypatch.setattr(text_following, "FAR", 5)
    for number in range(6):
        await put(server, condition(f"c{number}", "gan"))
    with pytest.raises(Unavailable, match="has not read all") as refused:
        await found(server, "Condition", ("_text", "gan"))
    assert refused.value.headers == {"Retry-After": "10"}
    with pytest.raises(Unavailable):
        await found(server, "Condition", ("code:text", "gan"))
    assert len(await found(server, "Condition", ("subject", "Patient/p"))) == 6
    while not (standing := await server.texts.standing()).made or standing.behind:
        await server.texts.look()
    assert len(await found(server, "Condition", ("_text", "gan"))) == 6


async def test_a_store_that_cannot_be_read_refuses_in_time(server, monkeypatch):
    monkeypatch.setattr(text_following, "PATIENCE", 0.05)
    await put(server, condition("1", "gan"))

    async def elsewhere(*_, **__):
        return None

    monkeypatch.setattr(type(server.store.texts), "follow", elsewhere)
    with pytest.raises(Unavailable):
        await found(server, "Condition", ("_text", "gan"))


async def test_the_follower_reads_by_itself_and_tells_how_far_it_is(server):
    behind = []
    server.texts.observers.append(behind.append)
    for number in range(3):
        await put(server, condition(f"c{number}", "gan"))
    task = asyncio.create_task(server.texts.follow())
    while not (standing := await server.store.texts.standing(server.texts.texts.edition)).made:
        await asyncio.sleep(0.01)
    assert standing.behind == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert 3 in behind


async def test_what_cannot_be_read_keeps_nobody_else_from_being_found(server, monkeypatch):
    for id in "123":
        await put(server, condition(id, f"gan số {id}"))

    def damaged(stored):
        if stored.key.id == "2":
            raise ValueError("damaged")
        return resource_of(stored)

    monkeypatch.setattr(text_following, "resource_of", damaged)
    assert await found(server, "Condition", ("_text", "gan")) == ["1", "3"]


@pytest.mark.parametrize("name", ["_text", "_content", "code:text"])
async def test_what_is_written_is_never_decided_by_words(server, name):
    resource = condition("1", "gan")
    await put(server, resource)
    new = {key: value for key, value in resource.items() if key != "id"}
    with pytest.raises(NotSupported, match="cannot decide what is written"):
        await create.create(server, create.Ask("Condition", new, f"{name}=gan"), BY_ANYBODY)
    entry = {
        "resource": new,
        "request": {"method": "PUT", "url": f"Condition?{name}=gan"},
    }
    whole = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    with pytest.raises(FhirError, match="cannot decide what is written"):
        await bundle(server, BundleAsk(whole), BY_ANYBODY)


async def test_without_the_setting_each_is_refused_by_its_name(store):
    server = server_on(store)
    for name in ("_text", "_content", "code:text"):
        with pytest.raises(NotSupported, match="`text_index`"):
            await found(server, "Condition", (name, "gan"))


async def test_the_statement_of_capabilities_tells_what_can_be_asked_by_words(server, store):
    def named(body, type):
        (rest,) = body["rest"]
        (found,) = (one for one in rest["resource"] if one["type"] == type)
        return {one["name"]: one for one in found["searchParam"]}

    told_with = told(await capabilities.capabilities(server, capabilities.Ask(), BY_ANYBODY))
    assert "503" in named(told_with, "Condition")["_text"]["documentation"]
    assert {"_content"} == {"_text", "_content"} & named(told_with, "Binary").keys()
    everywhere = {one["name"] for one in told_with["rest"][0]["searchParam"]}
    assert {"_content"} == {"_text", "_content"} & everywhere
    without = told(
        await capabilities.capabilities(server_on(store), capabilities.Ask(), BY_ANYBODY)
    )
    assert not {"_text", "_content"} & named(without, "Condition").keys()


async def test_what_a_caller_may_not_reach_is_not_found_by_its_words(server, here):
    await put(server, condition("1", "gan"))
    caller = within(here, only(types=frozenset({"Patient"})))
    ask = search.Ask(("Condition",), (("_text", "gan"),))
    answer = await search.search(server, ask, caller)
    assert "entry" not in told(answer)
