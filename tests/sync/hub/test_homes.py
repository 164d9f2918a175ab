"""Where patients are at home: what brings them, what takes them away, and who keeps it.

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete
from fhir_server.store.contract import Stale, rid
from fhir_server.store.contract.log import HOME_IN, HOME_OUT
from fhir_server.store.contract.side import MARK, STATE
from fhir_server.sync.hub import homes
from tests.interaction.conftest import BY_ANYBODY, put
from tests.sync.hub.posts import POLICY, denial, kept, organization, person, visit, written


def referral(id, of, to, status="active"):
    return {
        "resourceType": "ServiceRequest", "id": id, "status": status, "intent": "order",
        "subject": {"reference": f"Patient/{of}"},
        "performer": [{"reference": f"Organization/{to}"}],
    }  # fmt: skip


async def at_home(server, patient="p"):
    numbers = {rid(Key("Organization", id)): id for id in ("hue", "hanoi", "vinh")}
    found = await server.store.homes([rid(Key("Patient", patient))])
    return {numbers[facility] for (_, facility), is_home in found.items() if is_home}


async def marks(server, patient="p"):
    """The kinds of all marks of homes, in order."""
    number = rid(Key("Patient", patient))
    rows = [
        row
        for kind in (HOME_IN, HOME_OUT)
        for row in await server.store.side.range(MARK, "by_rid", prefix=(number, kind), limit=100)
    ]
    return [row.kind for row in sorted(rows)]


# what is written, in turns; where the patient is at home then
COMING = [
    ([person("p", "hue")], {"hue"}),
    ([person("p", "hue"), visit("e", "p", "hanoi")], {"hue", "hanoi"}),
    ([person("p"), visit("e", "p", "hanoi"), visit("e", "p", "vinh")], {"vinh"}),
    ([person("p", "hue"), person("p", "hanoi")], {"hanoi"}),
    ([person("p"), visit("e", "p", "hanoi"), visit("e", "p", "hanoi", "cancelled")], set()),
    ([person("p"), visit("e", "p", "hanoi", period={"end": "2001-01-01"})], {"hanoi"}),
    ([person("p"), person("q"), visit("e", "p", "hanoi"), visit("e", "q", "hanoi")], set()),
    ([person("p"), referral("r", "p", "vinh")], {"vinh"}),
    ([person("p"), referral("r", "p", "vinh"), referral("r", "p", "vinh", "revoked")], set()),
    ([visit("e", "p", "hanoi")], {"hanoi"}),
]


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "one by one"])
async def test_a_patient_is_at_home_where_something_says_so(server, at_once):
    await homes.begin(server)
    for number, (resources, _) in enumerate(COMING):
        for one in resources:
            await put(server, BY_ANYBODY, numbered(one, number))
            if not at_once:
                await kept(server)
    await kept(server)
    found = [await at_home(server, f"p{number}") for number in range(len(COMING))]
    assert found == [expected for _, expected in COMING]


def numbered(resource, number):
    """The same of another patient."""
    text = re.sub(r"Patient/(\w+)", rf"Patient/\g<1>{number}", json.dumps(resource))
    return {**json.loads(text), "id": f"{resource['id']}{number}"}


async def test_who_is_at_home_is_not_marked_again(server):
    await written(server, person("p", "hue"))
    await written(server, person("p", "hue", gender="male"), visit("e", "p", "hue"))
    assert await marks(server) == [HOME_IN]


async def test_a_deletion_takes_nobody_away(server):
    """Who saw the record is told that it was deleted, and whatever becomes of it then."""
    await written(server, person("p", "hue"), visit("e", "p", "hanoi"))
    for type, id in (("Encounter", "e"), ("Patient", "p")):
        await delete.delete(server, delete.Ask(type, id), BY_ANYBODY)
        await kept(server)
        assert await at_home(server) == {"hue", "hanoi"}


async def test_nothing_is_kept_before_a_node_has_asked(server):
    await put(server, BY_ANYBODY, person("p", "hue"))
    assert not await homes.Keeper(server).look()
    assert await at_home(server) == set()
    await kept(server)
    assert await at_home(server) == {"hue"}


CONSENTS = [
    (("hue",), {"hanoi"}, []),
    (("hanoi",), {"hue"}, []),
    (("hue", "Observation"), {"hue", "hanoi"}, [HOME_IN, HOME_IN, HOME_OUT, HOME_IN]),
]


@pytest.mark.parametrize(("about", "expected", "order"), CONSENTS)
async def test_a_consent_that_denies_a_facility_takes_the_patient_from_there(
    server, about, expected, order
):
    await written(server, organization("hue"), organization("hanoi"), policy=POLICY)
    await written(server, person("p", "hue"), visit("e", "p", "hanoi"), policy=POLICY)
    await written(server, denial("c", "p", *about), policy=POLICY)
    assert await at_home(server) == expected
    assert not order or await marks(server) == order, "it goes, and comes with other types"
    await delete.delete(server, delete.Ask("Consent", "c"), BY_ANYBODY)
    await kept(server, POLICY)
    assert await at_home(server) == {"hue", "hanoi"}


async def test_of_many_who_come_at_once_the_consent_of_one_keeps_away_nobody_else(server):
    people = [person(f"p{number}", "hue") for number in range(5)]
    await written(server, *people, denial("c", "p3", "hue"), policy=POLICY)
    found = [await at_home(server, one["id"]) for one in people]
    assert found == [{"hue"}, {"hue"}, {"hue"}, set(), {"hue"}]


async def test_without_a_policy_no_consent_counts(server):
    await written(server, organization("hue"), person("p", "hue"), denial("c", "p", "hue"))
    assert await at_home(server) == {"hue"}


NOON = 1_800_000_000_000  # 2027-01-15T08:00:00Z
DAY = 86_400_000


def bounded(period, nested=None):
    """A denial of hue that holds for a time; nested: but for another."""
    found = denial("c", "p", "hue")
    found["provision"]["period"] = period
    if nested:
        found["provision"]["provision"] = [{"type": "permit", "period": nested}]
    return found


# the Consent; where the patient is at home on which days after the 15th
BOUNDED = {
    "it begins": (bounded({"start": "2027-01-17"}), ["both", "both", "hanoi", "hanoi"]),
    "it ends": (bounded({"end": "2027-01-16"}), ["hanoi", "hanoi", "both", "both"]),
    "it begins and ends": (
        bounded({"start": "2027-01-16", "end": "2027-01-16"}),
        ["both", "hanoi", "both", "both"],
    ),
    "its exception ends": (
        bounded({"start": "2000"}, {"end": "2027-01-16"}),
        ["both", "both", "hanoi", "hanoi"],
    ),
}


@pytest.mark.parametrize("name", BOUNDED)
async def test_a_consent_begins_and_ends_when_it_says_and_not_when_it_is_written(server, name):
    consent, days = BOUNDED[name]
    now = NOON
    keeper = homes.Keeper(server, POLICY, clock=lambda: now)
    await homes.begin(server)
    places = [organization("hue"), organization("hanoi")]
    await put(server, BY_ANYBODY, *places, person("p", "hue"), visit("e", "p", "hanoi"), consent)
    for at, expected in enumerate(days):
        now = NOON + at * DAY
        while await keeper.look():
            pass
        wanted = {"hue", "hanoi"} if expected == "both" else {expected}
        assert await at_home(server) == wanted, f"on the {15 + at}th"
    rows = await server.store.side.range(STATE, beyond=("due ",), limit=9)
    assert not [row for row in rows if row.name.startswith("due ")], "nothing is left to be done"


async def test_several_keepers_that_see_a_consent_end_at_once_mark_it_once(server):
    now = NOON
    await homes.begin(server)
    places = [organization("hue"), organization("hanoi")]
    consent = bounded({"end": "2027-01-16"})
    await put(server, BY_ANYBODY, *places, person("p", "hue"), consent)
    keepers = [homes.Keeper(server, POLICY, clock=lambda: now) for _ in range(4)]
    while await keepers[0].look():
        pass
    now += 5 * DAY
    told = await asyncio.gather(*(one.look() for one in keepers), return_exceptions=True)
    assert all(one in (True, False) or isinstance(one, Stale) for one in told)
    while await keepers[1].look():
        pass
    assert await marks(server) == [HOME_IN]


async def test_a_policy_that_comes_to_honour_consents_changes_where_patients_are(
    server, monkeypatch
):
    monkeypatch.setattr(homes, "PAGE", 2)
    await homes.begin(server)
    places = [organization("hue"), organization("hanoi")]
    people = [f"p{number}" for number in range(3)]
    consents = [{**denial(f"c-{id}", id, "hue")} for id in people]
    await put(server, BY_ANYBODY, *places, *(person(id, "hue") for id in people), *consents)
    policy = POLICY
    keeper = homes.Keeper(server, held=lambda: policy)
    for held, expected in [
        (POLICY, set()),
        (replace(POLICY, honoured=frozenset()), {"hue"}),
        (POLICY, set()),
        (None, {"hue"}),
    ]:
        policy = held
        while await keeper.look():
            pass
        assert [await at_home(server, id) for id in people] == [expected] * 3


async def test_of_several_keepers_each_mark_is_made_by_one(server):
    await homes.begin(server)
    for number in range(30):
        await put(server, BY_ANYBODY, person(f"p{number}", "hue"))

    async def keeps():
        keeper, late = homes.Keeper(server), 0
        for _ in range(6):
            try:
                await keeper.look()
            except Stale:
                late += 1
        return late

    await asyncio.gather(*(keeps() for _ in range(4)))
    for number in range(30):
        assert await marks(server, f"p{number}") == [HOME_IN]
    assert len(await server.store.side.range(STATE, limit=9)) == 1


async def test_a_keeper_that_has_nothing_to_do_writes_nothing(server):
    await written(server, person("p", "hue"), organization("hue"))
    before = await server.store.side.range(STATE, limit=9)
    await kept(server)
    assert await server.store.side.range(STATE, limit=9) == before


async def test_after_a_restore_homes_are_looked_through_again(server):
    await written(server, person("p", "hue"))
    (row,) = await server.store.side.range(STATE, limit=9)
    epoch, mark, *place = row.value.split(".")
    await server.store.commit(homes._moved(row, ".".join([epoch, str(int(mark) + 1), *place])))
    await written(server, visit("e", "p", "vinh"))
    assert await at_home(server) == {"hue", "vinh"}
    assert await marks(server) == [HOME_IN, HOME_IN]
