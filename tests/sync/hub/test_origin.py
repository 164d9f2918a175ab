"""Beside each version that a node sent stands when it was made there, and by which clock.

https://hl7.org/fhir/R4/operations.html
"""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Forbidden, NotFound
from fhir_server.interaction.context import Asked
from fhir_server.security.decision import Access
from fhir_server.store.contract import NOTHING
from tests.interaction.conftest import BY_ANYBODY, put, within
from tests.sync.hub.disk import Disk, outcomes
from tests.sync.hub.posts import Post, measured, organization, person, visit

AN = person("an", "hue")


@pytest.fixture
def disk(server, run):
    run(put(server, BY_ANYBODY, organization("hue"), organization("hanoi")))
    return Disk(server, "hue")


async def origins(server, name, here=BY_ANYBODY):
    asked = Asked("sync-origin", "GET", *name.split("/"))
    told = json.loads((await server.operations.perform(server, asked, here)).body)
    return [
        {part["name"]: next(v for k, v in part.items() if k != "name") for part in one["part"]}
        for one in told.get("parameter", [])
    ]


async def test_each_version_that_was_sent_has_its_origin_and_its_clocks_offset(server, disk):
    first = disk.write(AN)
    second = disk.write({**AN, "gender": "female"}, first.rev)
    await disk.push()
    await put(server, BY_ANYBODY, {**AN, "gender": "female", "active": True})
    told = await origins(server, "Patient/an")
    assert [one["version"]["reference"] for one in told] == [
        f"Patient/an/_history/{each.rev}" for each in (first, second)
    ]
    for one in told:
        assert (one["node"], one["incarnation"]) == ("post-hue", "7f3c")
        assert one["recorded"] == "1970-01-01T00:00:00.005Z", "as the node said"
        assert abs(one["offset"]["value"] + time.time()) < 60, "its clock stands in 1970"
        assert one["received"] > "2020"


async def test_what_was_kept_apart_and_is_stored_later_has_the_origin_it_came_with(server, disk):
    disk.write(visit("v", "an", "hue"))
    assert outcomes(await disk.push()) == ["parked"]
    other = Disk(server, "hue", incarnation="9c1d")
    other.write(AN)
    await other.push()
    (one,) = await origins(server, "Encounter/v")
    assert (one["incarnation"], one["recorded"]) == ("7f3c", "1970-01-01T00:00:00.005Z")
    assert abs(one["offset"]["value"] + time.time()) < 60


async def test_who_sent_a_version_first_is_its_origin(server, disk):
    for each in (disk, Disk(server, "hue", incarnation="9c1d")):
        each.write(AN)
        await each.push()
    (one,) = await origins(server, "Patient/an")
    assert one["incarnation"] == "7f3c"


async def test_what_no_node_sent_has_no_origin(server, disk):
    await put(server, BY_ANYBODY, AN)
    assert await origins(server, "Patient/an") == []


async def test_the_origin_of_what_is_out_of_reach_is_not_told(server, disk):
    disk.write(AN)
    disk.write(measured("m", "an"))
    await disk.push()
    for here in (Post(server, "hanoi").circumstances, within(BY_ANYBODY, NOTHING)):
        for name in ("Patient/an", "Observation/m", "Patient/nobody"):
            with pytest.raises(NotFound):
                await origins(server, name, here)
    access = replace(Access.open(BY_ANYBODY.caller), deidentify=("names",))
    for name in ("Patient/an", "Patient/nobody"):
        with pytest.raises(Forbidden):
            await origins(server, name, replace(BY_ANYBODY, access=access))
