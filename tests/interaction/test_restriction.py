"""Every path minds the caller's restriction: what is out of reach is as if it did not exist."""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import FhirError, Forbidden, NotFound, PreconditionFailed
from fhir_server.foundation.resource import Key
from fhir_server.interaction import bundle, create, delete, history, patch, read, search, update
from fhir_server.store.contract import rid
from fhir_server.store.contract.reach import only
from tests.interaction.conftest import patient, told, within

MINE, OTHER = Key("Patient", "mine"), Key("Patient", "other")


def encounter(id, of):
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": {"reference": str(of)},
    }


@pytest.fixture
def mine(server, here, run):
    """A caller who may reach one patient's compartment, in a world with two."""
    for resource in (
        patient("mine"),
        patient("other", identifier=[{"system": "u", "value": "1"}]),
        encounter("e1", MINE),
        encounter("e2", OTHER),
    ):
        asked = update.Ask(resource["resourceType"], resource["id"], resource)
        run(update.update(server, asked, here))
    reach = only(owners=frozenset({rid(MINE)}))
    return within(here, reach)


def ids(answer):
    return sorted(entry["resource"]["id"] for entry in told(answer).get("entry", []))


async def test_reads_and_searches_see_only_what_is_within(server, mine):
    assert (await read.read(server, read.Ask(MINE), mine)).status == 200
    with pytest.raises(NotFound):
        await read.read(server, read.Ask(OTHER), mine)
    assert ids(await search.search(server, search.Ask(("Patient",), []), mine)) == ["mine"]
    assert ids(await search.search(server, search.Ask((), []), mine)) == ["e1", "mine"]
    total = await search.search(server, search.Ask(("Encounter",), [("_summary", "count")]), mine)
    assert told(total)["total"] == 1


async def test_histories_and_old_versions_too(server, here, mine):
    everything = told(await history.history(server, history.Ask(None, None), mine))
    assert everything["total"] == 2
    with pytest.raises(NotFound):
        await history.history(server, history.Ask("Patient", "other"), mine)
    version = (await read.read(server, read.Ask(OTHER), here)).version_id
    with pytest.raises(NotFound):
        await read.read(server, read.Ask(OTHER, version), mine)


async def test_writes_cannot_reach_out(server, here, mine):
    before = (await read.read(server, read.Ask(OTHER), here)).body
    asks = [
        update.update(server, update.Ask("Patient", "other", patient("other", "X")), mine),
        patch.patch(
            server,
            patch.Ask("Patient", "other", [{"op": "remove", "path": "/name"}], "json-patch"),
            mine,
        ),
        create.create(server, create.Ask("Encounter", encounter("x", OTHER)), mine),
    ]
    for asked in asks:
        with pytest.raises(FhirError) as refusal:
            await asked
        assert refusal.value.status < 500
    await delete.delete(server, delete.Ask("Patient", "other"), mine)
    assert (await read.read(server, read.Ask(OTHER), here)).body == before


async def test_conditions_do_not_see_beyond(server, here, mine):
    condition = [("identifier", "u|1")]
    with pytest.raises(NotFound):
        await patch.patch(
            server, patch.Ask("Patient", None, [], "json-patch", condition=condition), mine
        )
    gone = await delete.delete(server, delete.Ask("Patient", None, condition), mine)
    assert gone.status == 204
    assert (await read.read(server, read.Ask(OTHER), here)).status == 200
    linking = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": {**encounter("e1", "Patient?identifier=u|1")},
                "request": {"method": "PUT", "url": "Encounter/e1"},
            }
        ],
    }
    with pytest.raises((PreconditionFailed, Forbidden)):
        await bundle.bundle(server, bundle.Ask(linking), mine)
