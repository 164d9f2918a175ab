"""What a node sends is taken once, whole, and answered the same however often it is sent.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, History, rid
from tests.interaction.conftest import BY_ANYBODY, put
from tests.sync.hub.disk import Disk, outcomes
from tests.sync.hub.posts import measured, organization, person, visit

HUE, HANOI = organization("hue"), organization("hanoi")
AN, VISIT, PULSE = person("an", "hue"), visit("v", "an", "hue"), measured("m", "an")


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
