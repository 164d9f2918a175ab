"""An Idempotency-Key: what comes again is answered, not done again (architecture promise 2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Invalid, Unprocessable
from fhir_server.interaction import bundle, create, search
from fhir_server.interaction.context import Once
from tests.interaction.conftest import patient, told


def once(here, key="k", digest=b"d" * 32):
    return replace(here, once=Once(key, digest))


async def count(server, here):
    found = await search.search(server, search.Ask(("Patient",), [("_summary", "count")]), here)
    return told(found)["total"]


async def test_the_same_request_again_gets_the_same_answer(server, here):
    asked = create.Ask("Patient", patient())
    first = await create.create(server, asked, once(here))
    again = await create.create(server, asked, once(here))
    assert (again.status, again.key, again.version_id) == (201, first.key, first.version_id)
    assert again.body == first.body
    assert again.updated == first.updated
    assert again.headers == {"Idempotent-Replayed": "true"}
    assert await count(server, here) == 1


async def test_another_body_under_the_same_key_is_refused(server, here):
    await create.create(server, create.Ask("Patient", patient()), once(here))
    with pytest.raises(Unprocessable, match="Idempotency-Key"):
        other = create.Ask("Patient", patient(family="Lê"))
        await create.create(server, other, once(here, digest=b"e" * 32))
    assert await count(server, here) == 1


async def test_sent_at_once_it_is_done_once(server, here):
    asked = create.Ask("Patient", patient())
    answers = await asyncio.gather(*(create.create(server, asked, once(here)) for _ in range(12)))
    assert len({(answer.key, answer.body) for answer in answers}) == 1
    assert await count(server, here) == 1


async def test_a_refusal_is_not_kept(server, here):
    with pytest.raises(Invalid):
        await create.create(server, create.Ask("Patient", patient(gender="M")), once(here))
    made = await create.create(server, create.Ask("Patient", patient()), once(here))
    assert made.status == 201


async def test_a_transaction_sent_again_answers_as_before(server, here):
    transaction = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": patient(), "request": {"method": "POST", "url": "Patient"}}],
    }
    first = await bundle.bundle(server, bundle.Ask(transaction), once(here))
    again = await bundle.bundle(server, bundle.Ask(transaction), once(here))
    assert again.body == first.body
    assert await count(server, here) == 1
    with pytest.raises(Unprocessable):
        reading = {"request": {"method": "GET", "url": "Patient"}}
        mixed = {**transaction, "entry": [*transaction["entry"], reading]}
        await bundle.bundle(server, bundle.Ask(mixed), once(here, key="other"))
