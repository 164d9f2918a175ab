"""https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

import pytest

from fhir_server.foundation.outcome import Gone, MultipleMatches, NotFound, PreconditionFailed
from fhir_server.foundation.resource import Key
from fhir_server.interaction import delete, history, read, search, update
from tests.interaction.conftest import patient, server_on, told

A = Key("Patient", "a")


async def stored(server, here, *patients):
    for one in patients:
        await update.update(server, update.Ask("Patient", one["id"], one), here)


async def test_the_deleted_is_gone_but_its_history_stays(server, here):
    await stored(server, here, patient("a"))
    gone = await delete.delete(server, delete.Ask("Patient", "a"), here)
    assert gone.status == 204
    assert gone.version_id.startswith("2-")
    with pytest.raises(Gone) as refusal:
        await read.read(server, read.Ask(A), here)
    assert refusal.value.headers == {"ETag": f'W/"{gone.version_id}"'}
    with pytest.raises(Gone):
        await read.read(server, read.Ask(A, gone.version_id), here)
    found = await search.search(server, search.Ask(("Patient",), [("family", "nguyen")]), here)
    assert told(found)["total"] == 0
    entries = told(await history.history(server, history.Ask("Patient", "a"), here))["entry"]
    assert [entry["request"]["method"] for entry in entries] == ["DELETE", "PUT"]
    assert "resource" not in entries[0]


async def test_deleting_again_or_what_never_was_changes_nothing(server, here):
    await stored(server, here, patient("a"))
    first = await delete.delete(server, delete.Ask("Patient", "a"), here)
    again = await delete.delete(server, delete.Ask("Patient", "a"), here)
    assert (again.status, again.version_id) == (204, first.version_id)
    never = await delete.delete(server, delete.Ask("Patient", "never"), here)
    assert never.status == 204
    with pytest.raises(NotFound):
        await read.read(server, read.Ask(Key("Patient", "never")), here)


async def test_delete_minds_if_match(server, here):
    await stored(server, here, patient("a"))
    with pytest.raises(PreconditionFailed):
        await delete.delete(server, delete.Ask("Patient", "a", if_match="1-x"), here)


async def test_conditional_delete_of_one(server, here):
    await stored(server, here, patient("a"), patient("b", family="Lê"))
    asked = delete.Ask("Patient", None, condition=[("family", "le")])
    assert (await delete.delete(server, asked, here)).status == 204
    assert (await read.read(server, read.Ask(A), here)).status == 200
    with pytest.raises(Gone):
        await read.read(server, read.Ask(Key("Patient", "b")), here)
    assert (await delete.delete(server, asked, here)).status == 204


async def test_conditional_delete_of_many_only_where_set(store, here):
    strict, loose = server_on(store), server_on(store, many_deletes=True)
    await stored(strict, here, patient("a"), patient("b"), patient("c", family="Lê"))
    asked = delete.Ask("Patient", None, condition=[("family", "nguyen")])
    with pytest.raises(MultipleMatches):
        await delete.delete(strict, asked, here)
    assert (await delete.delete(loose, asked, here)).status == 204
    left = await search.search(strict, search.Ask(("Patient",), []), here)
    assert [entry["resource"]["id"] for entry in told(left)["entry"]] == ["c"]
