"""What a hub takes in no chunk at all keeps nothing else from being sent."""

from __future__ import annotations

from fhir_server.foundation.outcome import Invalid
from fhir_server.sync.hub import receiving
from fhir_server.sync.node.line import Refusal
from fhir_server.sync.node.standing import apart
from tests.sync.hub.posts import person
from tests.sync.test_meeting import met, put  # noqa: F401 - a fixture


async def test_a_group_that_is_refused_whole_stays_at_the_node_with_the_reason(
    met,  # noqa: F811 - the fixture
    monkeypatch,
):
    demand_own = receiving.demand_own

    def demand(chunk, circumstances):
        demand_own(chunk, circumstances)
        if any(one.key.id == "long" for one in chunk.entries):
            raise Invalid("It has too many versions.", vietnamese="Quá nhiều phiên bản.")

    monkeypatch.setattr(receiving, "demand_own", demand)
    await put(met.node, person("an", "hue"), person("long", "hue"), person("binh", "hue"))
    await met.meet()
    await met.agree("Patient/an", "Patient/binh")
    assert await met.shown(met.hub, "Patient", "long") is None
    kept = await apart(met.node.store.side)
    assert {str(one.key) for one in kept} == {"Patient/long"}
    assert {one.state for one in kept} == {"refused"}
    assert kept[0].reasons == (("It has too many versions.", "Quá nhiều phiên bản."),)
    await put(met.node, person("chi", "hue"))
    await met.meet()
    await met.agree("Patient/chi")


async def test_only_the_hubs_own_word_is_about_what_was_sent():
    assert not Refusal("A proxy said so.", 400).is_of_what_was_sent
    assert not Refusal("Revoked.", 401).is_of_what_was_sent
