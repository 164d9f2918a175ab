"""kill -9 while the index of words is first made: no answer rests on half of it, then or after."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.acceptance.web import Client

PATIENTS, KILLS = 3000, 3


def patients(first: int, count: int) -> dict:
    entries = [
        {
            "resource": {
                "resourceType": "Patient",
                "id": f"p{number}",
                "name": [{"text": f"Nguyễn Số{number} Đức"}],
            },
            "request": {"method": "PUT", "url": f"Patient/p{number}"},
        }
        for number in range(first, first + count)
    ]
    return {"resourceType": "Bundle", "type": "batch", "entry": entries}


async def whole_or_refused(client):
    """Whether it was answered; an answer is the whole answer."""
    answer = await client.ask("GET", "Patient?_content=duc&_summary=count")
    if answer.status == 503:
        assert "The index of words has not read" in answer.refusal
        return False
    assert (answer.status, answer.json["total"]) == (200, PATIENTS)
    return True


@pytest.mark.parametrize("product", ["sqlite", "postgresql"])
async def test_a_server_killed_while_it_makes_the_index_of_words_never_answers_by_half(
    product, request, serve
):
    url, draw = request.getfixturevalue(f"{product}_url"), random.Random(3)
    workers = 2 if product == "postgresql" else 1
    plain = serve(url)
    async with Client(plain.port) as client:
        for first in range(0, PATIENTS, 500):
            answer = await client.ask("POST", "", patients(first, 500))
            assert answer.status == 200
        answer = await client.ask("GET", "Patient?_content=duc")
        assert answer.status == 400
        assert "`text_index`" in answer.refusal
    assert await asyncio.to_thread(plain.stop) == 0
    server = serve(url, text_index="true", workers=workers)
    refused = 0
    for _ in range(KILLS):
        async with Client(server.port) as client:
            refused += not await whole_or_refused(client)
        await asyncio.sleep(draw.uniform(0, 0.2))
        server.kill()
        await asyncio.to_thread(server.start)
    assert refused
    async with Client(server.port) as client:
        while not await whole_or_refused(client):
            await asyncio.sleep(0.1)
        for number in (0, 17, PATIENTS - 1):
            answer = await client.ask("GET", f"Patient?_content=so{number}")
            assert [one["resource"]["id"] for one in answer.json["entry"]] == [f"p{number}"]
    assert await asyncio.to_thread(server.stop) == 0
    assert "Traceback" not in server.told()
