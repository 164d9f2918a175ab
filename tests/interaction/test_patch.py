"""https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import (
    FhirError,
    Gone,
    MethodNotAllowed,
    MultipleMatches,
    NotFound,
    PreconditionFailed,
    Unprocessable,
)
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete, patch, read, update
from tests.interaction.conftest import patient, put, told

TO_LE = [{"op": "replace", "path": "/name/0/family", "value": "Lê"}]


def ask(operations, id="a", **more):
    return patch.Ask("Patient", id, operations, "json-patch", **more)


async def test_a_patch_is_an_update(server, here):
    await put(server, here, patient("a", birthDate="1990"))
    answer = await patch.patch(server, ask(TO_LE), here)
    assert answer.status == 200
    assert answer.version_id.startswith("2-")
    found = told(await read.read(server, read.Ask(Key("Patient", "a")), here))
    assert found["name"] == [{"family": "Lê"}]
    assert found["birthDate"] == "1990"


BAD = [
    [{"op": "replace", "path": "/id", "value": "b"}],
    [{"op": "replace", "path": "/resourceType", "value": "Person"}],
    [{"op": "add", "path": "/shoe", "value": 43}],
    [{"op": "remove", "path": "/nothing"}],
    [{"op": "test", "path": "/name/0/family", "value": "Lê"}],
    [{"op": "explode", "path": "/name"}],
    {"op": "remove"},
    "text",
]


@pytest.mark.parametrize("operations", BAD)
async def test_what_may_not_be_changes_nothing(server, here, operations):
    made = await put(server, here, patient("a"))
    with pytest.raises(FhirError) as refusal:
        await patch.patch(server, ask(operations), here)
    assert 400 <= refusal.value.status < 500
    found = await read.read(server, read.Ask(Key("Patient", "a")), here)
    assert found.version_id == made.version_id


async def test_conditions_and_versions(server, here):
    made = await put(server, here, patient("a", identifier=[{"system": "u", "value": "1"}]))
    by = {"id": None, "condition": [("identifier", "u|1")]}
    assert (await patch.patch(server, ask(TO_LE, **by), here)).key.id == "a"
    with pytest.raises(PreconditionFailed):
        await patch.patch(server, ask(TO_LE, if_match=made.version_id), here)
    with pytest.raises(NotFound):
        await patch.patch(server, ask(TO_LE, id=None, condition=[("identifier", "u|2")]), here)
    await put(server, here, patient("b", "Lê"))
    with pytest.raises(MultipleMatches):
        await patch.patch(server, ask(TO_LE, id=None, condition=[("family", "le")]), here)
    with pytest.raises(NotFound):
        await patch.patch(server, ask(TO_LE, id="none"), here)
    await delete.delete(server, delete.Ask("Patient", "b"), here)
    with pytest.raises(Gone):
        await patch.patch(server, ask(TO_LE, id="b"), here)


NARRATIVE = '<div xmlns="http://www.w3.org/1999/xhtml">Nguyễn</div>'


@pytest.mark.parametrize("status", ["generated", "extensions"])
async def test_a_narrative_made_from_data_that_changed_is_left_out(server, here, status):
    await put(server, here, patient("a", text={"status": status, "div": NARRATIVE}))
    found = told(await patch.patch(server, ask(TO_LE), here))
    assert "text" not in found
    assert found["name"] == [{"family": "Lê"}]


async def test_a_narrative_that_says_more_must_be_patched_along(server, here):
    await put(server, here, patient("a", text={"status": "additional", "div": NARRATIVE}))
    with pytest.raises(Unprocessable, match="narrative"):
        await patch.patch(server, ask(TO_LE), here)
    both = [*TO_LE, {"op": "replace", "path": "/text/div", "value": NARRATIVE.replace("N", "M")}]
    assert told(await patch.patch(server, ask(both), here))["text"]["status"] == "additional"


async def test_a_binary_is_not_patched(server, here):
    binary = {"resourceType": "Binary", "id": "b", "contentType": "text/plain"}
    await update.update(server, update.Ask("Binary", "b", binary), here)
    asked = patch.Ask("Binary", "b", [{"op": "remove", "path": "/contentType"}], "json-patch")
    with pytest.raises(MethodNotAllowed):
        await patch.patch(server, asked, here)
