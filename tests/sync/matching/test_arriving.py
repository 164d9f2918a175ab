"""Two posts register the same citizen: the hub links them as they come, and once."""

from __future__ import annotations

from fhir_server.foundation.resource import Key
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING
from fhir_server.sync.matching.deciding import unlink
from fhir_server.sync.matching.linker import Linker
from fhir_server.sync.matching.rules import built_in
from tests.interaction.conftest import BY_ANYBODY, put, server_on
from tests.sync.hub.disk import Disk, outcomes
from tests.sync.hub.posts import organization, person
from tests.sync.matching.people import AS_CARD, CCCD


def citizen(id, facility, *identifiers):
    told = {**person(id, facility), "identifier": list(identifiers)}
    return told | {"gender": "female", "birthDate": "1980-02-03"}


async def links(server, id):
    key = Key("Patient", id)
    told = resource_of((await server.store.newest((key,), EVERYTHING))[key])
    return [one["other"]["reference"] for one in told.get("link", ())]


async def test_one_citizen_of_two_posts_is_linked_and_sending_again_changes_nothing(store):
    server = server_on(store, linker=Linker(built_in()))
    await put(server, BY_ANYBODY, organization("hue"), organization("hanoi"))
    hue, hanoi = Disk(server, "hue"), Disk(server, "hanoi")
    hue.write(citizen("an", "hue", CCCD))
    hanoi.write(citizen("binh", "hanoi", AS_CARD))
    first = await hue.push()
    told = await hanoi.push()
    assert outcomes(first) == outcomes(told) == ["stored"]
    assert (await links(server, "an"), await links(server, "binh")) == (
        ["Patient/binh"],
        ["Patient/an"],
    )
    known = (await server.store.lineage((Key("Patient", "binh"),)))[Key("Patient", "binh")]
    came, linking = known
    assert came.rev == hanoi.sent[1].rev and linking.parents == (came.rev,)
    assert (told.receipts[0].place.seq, told.receipts[0].place.num) == came.position
    assert (await hanoi.push()).receipts == told.receipts
    assert len((await server.store.lineage((Key("Patient", "binh"),)))[Key("Patient", "binh")]) == 2


async def test_a_post_that_has_not_heard_of_the_link_does_not_undo_it(store):
    server = server_on(store, linker=Linker(built_in()))
    await put(server, BY_ANYBODY, organization("hue"), organization("hanoi"))
    hue, hanoi = Disk(server, "hue"), Disk(server, "hanoi")
    first = hue.write(citizen("an", "hue", CCCD))
    await hue.push()
    hanoi.write(citizen("binh", "hanoi", AS_CARD))
    await hanoi.push()
    hue.write(citizen("an", "hue", CCCD) | {"active": True}, first.rev)
    assert outcomes(await hue.push(2)) == ["merged"]
    assert await links(server, "an") == ["Patient/binh"]
    await unlink(server, Key("Patient", "an"), Key("Patient", "binh"), BY_ANYBODY)
    hue.write(citizen("an", "hue", CCCD) | {"active": False}, hue.sent[2].rev)
    await hue.push(3)
    assert await links(server, "an") == await links(server, "binh") == []
