"""https://hl7.org/fhir/R4/http.html#capabilities"""

from __future__ import annotations

import gzip

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


def of_type(statement, type):
    return next(e for e in statement["rest"][0]["resource"] if e["type"] == type)


@pytest.mark.parametrize("type", ["Patient", "Encounter", "Organization", "Library", "Binary"])
async def test_every_include_it_lists_is_understood(server, here, type):
    statement = told(await capabilities.capabilities(server, capabilities.Ask(), here))
    entry = of_type(statement, type)
    for name, listed in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        for value in entry.get(listed, ()):
            await search.search(server, search.Ask((type,), [(name, value)]), here)


async def test_it_lists_who_refers_to_a_type_and_whom_it_refers_to(server, here):
    statement = told(await capabilities.capabilities(server, capabilities.Ask(), here))
    patient = of_type(statement, "Patient")
    assert patient["searchInclude"][0] == "Patient:*"
    assert {"Patient:organization", "Patient:link"} <= set(patient["searchInclude"])
    referring = set(patient["searchRevInclude"])
    assert {"Encounter:subject", "Encounter:patient", "Provenance:target"} <= referring
    assert not {"Encounter:location", "Library:depends-on"} & referring
    assert "Library:depends-on" in of_type(statement, "Library")["searchRevInclude"]
    assert "searchInclude" not in of_type(statement, "Binary")


async def test_the_statement_is_no_burden_for_a_slow_line(server, here):
    """As it is sent, compressed: a phone in the hills asks for it first of all."""
    body = (await capabilities.capabilities(server, capabilities.Ask(), here)).body
    assert len(body) < 800_000
    assert len(gzip.compress(body)) < 50_000


async def test_the_feed_is_told_where_its_history_is(server, here):
    answer = await capabilities.capabilities(server, capabilities.Ask(), here)
    said = {one["code"]: one for one in told(answer)["rest"][0]["interaction"]}
    assert "`_cursor`" in said["history-system"]["documentation"]
    assert [code for code, one in said.items() if "documentation" in one] == ["history-system"]
