"""How far node and hub are apart is told by both, by command, as a resource and as metrics."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fhir_server.foundation.outcome import Forbidden
from fhir_server.interaction.context import NOBODY
from fhir_server.operation.call import Call
from fhir_server.rest import metrics
from fhir_server.sync import figures
from fhir_server.sync.hub import nodes
from tests.interaction.conftest import BY_ANYBODY
from tests.sync.hub.posts import person, visit
from tests.sync.test_meeting import met, put, put_unchecked  # noqa: F401 - a fixture

CALL = Call("sync-status", "system", "GET")


async def told(server):
    answer = await figures.status(server, CALL, BY_ANYBODY)
    return {one["name"]: one for one in json.loads(answer.body)["parameter"]}


def parts(parameter):
    return {
        one["name"]: next(one[name] for name in one if name.startswith("value"))
        for one in parameter["part"]
    }


async def test_a_hub_tells_of_a_node_and_the_node_of_itself(met):  # noqa: F811 - the fixture
    await put(met.node, person("an", "hue"), visit("v", "an", "hue"))
    await put_unchecked(met.node, {"resourceType": "Patient", "id": "bad", "gender": "?"})
    await met.meet()
    of_hub, of_node = parts((await told(met.hub))["node"]), parts((await told(met.node))["hub"])
    assert of_hub["name"] == "tyt-hue"
    assert of_hub["reached"] == 3
    assert of_hub["parked"] == of_node["parked"] == 1
    assert of_hub["waiting"] == of_node["waiting"] == 0
    assert not of_hub["behind"]
    assert of_hub["lives"] == 1
    assert "alarm" not in of_hub
    assert of_hub["pulled"] >= of_hub["pushed"]
    assert of_node["incarnation"]


async def test_what_a_node_has_still_to_send_is_known_at_the_hub(met):  # noqa: F811 - the fixture
    await met.meet()
    await put(met.node, person("an", "hue"), person("binh", "hue"))
    while await met.asking.notice():
        pass
    await met.asking.pull(0)
    (of_hub,) = await nodes.known(met.hub.store.side)
    assert of_hub.waiting == 2
    assert of_hub.pushed == 0
    assert of_hub.heard == of_hub.pulled > 0


async def test_the_metrics_tell_the_same(met):  # noqa: F811 - the fixture
    await put(met.node, person("an", "hue"))
    await met.meet()
    hub = metrics.gauges(await figures.figures(met.hub)).decode()
    assert 'fhir_sync_node_parked{node="tyt-hue"} 0.0' in hub
    assert 'fhir_sync_node_waiting{node="tyt-hue"} 0.0' in hub
    assert "fhir_sync_conflicts 0.0" in hub
    node = metrics.gauges(await figures.figures(met.node)).decode()
    assert "fhir_sync_waiting 0.0" in node
    assert "an" not in {word for line in (hub + node).splitlines() for word in line.split('"')}


async def test_a_server_that_syncs_with_nobody_says_so(met):  # noqa: F811 - the fixture
    assert (await told(met.node))["conflicts"]["valueUnsignedInt"] == 0
    assert "node" not in await told(met.node)


async def test_it_is_for_who_runs_the_server(met):  # noqa: F811 - the fixture
    nobody = replace(BY_ANYBODY, caller=NOBODY.caller, access=NOBODY.access)
    with pytest.raises(Forbidden):
        await figures.status(met.hub, CALL, nobody)
