"""A visit and its diagnosis refer to each other: neither waits for the other for ever.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import itertools

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING
from fhir_server.store.contract.side import HELD, WAITING
from fhir_server.sync.hub.circles import closed
from tests.interaction.conftest import BY_ANYBODY, put
from tests.sync.hub.disk import Disk, outcomes, version
from tests.sync.hub.posts import measured, organization, person, visit

AN = person("an", "hue")


def seen(*conditions):
    """A visit that names its diagnoses."""
    told = [{"condition": {"reference": f"Condition/{id}"}} for id in conditions]
    return visit("v", "an", "hue", diagnosis=told)


def found(id="c", **more):
    return {
        "resourceType": "Condition", "id": id, "code": {"text": "Sốt"},
        "subject": {"reference": "Patient/an"}, "encounter": {"reference": "Encounter/v"}, **more,
    }  # fmt: skip


def after(id, other):
    return measured(id, "an") | {"derivedFrom": [{"reference": f"Observation/{other}"}]}


@pytest.fixture
def disk(server, run):
    run(put(server, BY_ANYBODY, organization("hue"), AN))
    return Disk(server, "hue")


async def is_there(server, *names):
    keys = [Key(*name.split("/")) for name in names]
    return set(await server.store.newest(keys, EVERYTHING)) == set(keys)


@pytest.mark.parametrize("groups", [(1, 1, 1), (1, 2, 3)], ids=["together", "apart"])
async def test_a_circle_is_stored_in_whatever_order_it_comes(server, disk, groups):
    bodies = [seen("c", "d"), found("c"), found("d")]
    for order in itertools.permutations(range(3)):
        disk.incarnation, disk.sent = f"life{order[0]}{order[1]}", {}
        for at, group in zip(order, groups, strict=True):
            disk.write(bodies[at], group=group)
        assert outcomes(await disk.push()) == ["stored"] * 3
    assert await is_there(server, "Encounter/v", "Condition/c", "Condition/d")


async def test_one_at_a_time_it_is_stored_when_the_last_has_come(server, disk):
    for n, other in enumerate((1, 2, 0)):
        disk.write(after(f"o{n}", f"o{other}"))
        await disk.push(n + 1)
    assert await is_there(server, "Observation/o0", "Observation/o1", "Observation/o2")
    assert outcomes(await disk.push()) == ["stored"] * 3
    assert await server.store.side.count(HELD) == await server.store.side.count(WAITING) == 0


async def test_what_was_not_valid_is_mended_and_the_circle_is_stored(server, disk):
    bad = disk.write({**seen("c"), "status": "nonsense"}, group=1)
    disk.write(found(), group=1)
    assert outcomes(await disk.push()) == ["parked", "parked"]
    disk.write(seen("c"), bad.rev)
    assert outcomes(await disk.push(3)) == ["stored"]
    assert await is_there(server, "Encounter/v", "Condition/c")
    assert outcomes(await disk.push()) == ["parked", "stored", "stored"]


async def test_who_waits_for_what_is_not_valid_waits_all_the_same(server, disk):
    disk.write(seen("c", "d"), group=1)
    disk.write(found(), group=1)
    disk.write({**found("d"), "subject": "nobody"}, group=1)
    disk.write(measured("m", "an"), group=2)
    assert outcomes(await disk.push()) == ["parked", "parked", "parked", "stored"]


def one(id, *parents):
    return version(1, measured(id, "an"), *parents)


CHAIN = [one(f"o{n}") for n in range(3000)]
KEYS = [each.key for each in CHAIN]
AWAY = Key("Observation", "away")
FIRST, SECOND = one("p"), one("p", one("p").rev)


@pytest.mark.parametrize(
    ("waiting", "needs", "kept"),
    [
        (CHAIN[:2], [KEYS[1:2], KEYS[:1]], 2),
        (CHAIN[:3], [KEYS[1:2], KEYS[:1], [AWAY]], 2),
        (CHAIN[:3], [KEYS[1:2], KEYS[2:3], [AWAY]], 0),
        (CHAIN, [*([key] for key in KEYS[1:]), [AWAY]], 0),
        (CHAIN, [*([key] for key in KEYS[1:]), KEYS[:1]], 3000),
        ([FIRST, SECOND], [[AWAY], []], 0),
        ([FIRST, SECOND], [[], [AWAY]], 1),
    ],
    ids=["two", "two of three", "chain", "long chain", "long circle", "parent", "child"],
)
def test_closed_is_what_needs_nothing_but_itself(waiting, needs, kept):
    told = {(each.key, each.rev): tuple(need) for each, need in zip(waiting, needs, strict=True)}
    assert len(closed(waiting, told)) == kept
