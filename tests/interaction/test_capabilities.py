"""https://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction import capabilities, search
from tests.interaction.conftest import told


async def test_it_is_itself_valid_and_names_every_type(server, here):
    statement = told(await capabilities.capabilities(server, capabilities.Ask(), here))
    assert server.validator.check(statement) == []
    types = [entry["type"] for entry in statement["rest"][0]["resource"]]
    assert set(types) == server.definitions.resource_types
    assert len(types) == 146


@pytest.mark.parametrize("type", ["Patient", "Encounter", "MedicationRequest", "Organization"])
async def test_every_parameter_it_lists_is_understood(server, here, type):
    statement = told(await capabilities.capabilities(server, capabilities.Ask(), here))
    (entry,) = [e for e in statement["rest"][0]["resource"] if e["type"] == type]
    values = {"date": "2026-01-01", "number": "1", "quantity": "1", "reference": "1"}
    assert len(entry["searchParam"]) > 10
    for parameter in entry["searchParam"]:
        pair = (parameter["name"], values.get(parameter["type"], "x"))
        answer = await search.search(server, search.Ask((type,), [pair]), here)
        assert answer.status == 200, pair


async def test_modes(server, here):
    for mode, type in [("full", "CapabilityStatement"), ("terminology", "TerminologyCapabilities")]:
        answer = await capabilities.capabilities(server, capabilities.Ask(mode), here)
        resource = told(answer)
        assert resource["resourceType"] == type
        assert server.validator.check(resource) == []
        assert answer.headers["ETag"]
    with pytest.raises(Invalid):
        await capabilities.capabilities(server, capabilities.Ask("secret"), here)
