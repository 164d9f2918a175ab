"""What is loaded from a file says where it came from, and tells nobody of another patient by it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from hashlib import sha256

import pytest

from fhir_server.exchange.load import load
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import BY_OPERATOR
from fhir_server.interaction.judging import judged
from fhir_server.security.operator import operator
from fhir_server.store.codec import resource_of
from fhir_server.store.contract import EVERYTHING, Select, rid
from tests.interaction.conftest import asked


def patient(id, **more):
    return {"resourceType": "Patient", "id": id, **more}


def pulse(id, whose):
    return {
        "resourceType": "Observation", "id": id, "status": "final", "code": {"text": "pulse"},
        "subject": {"reference": f"Patient/{whose}"},
    }  # fmt: skip


WARD = {"resourceType": "Organization", "id": "ward", "name": "Ward"}
BUNDLE = {
    "resourceType": "Bundle", "type": "transaction",
    "entry": [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in (patient("a"), pulse("p", "a"))
    ],
}  # fmt: skip

# The lines of a file                                  the targets of each Provenance
LOADED = [
    ([patient("a")], ["Patient/a"]),
    ([patient("a"), pulse("p", "a"), WARD], ["Observation/p Organization/ward Patient/a"]),
    ([WARD], ["Organization/ward"]),
    (
        [patient("a"), patient("b"), pulse("p", "a"), pulse("q", "b"), WARD],
        ["Observation/p Observation/q Organization/ward", "Patient/a", "Patient/b"],
    ),
    ([pulse("p", "a"), pulse("q", "b")], ["Observation/p Observation/q"]),
    ([BUNDLE, patient("b")], ["Observation/p Patient/a", "Patient/b"]),
    ([patient("a"), patient("b", gender="nonsense")], ["Patient/a"]),
]


async def loaded(server, file, **more):
    refused = []
    here = replace(BY_OPERATOR, caller=operator())
    await load(
        server,
        [file],
        refused=refused.append,
        progress=lambda _: None,
        circumstances=here,
        **more,
    )


def written(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def sources(server):
    found = await asked(server, BY_OPERATOR, ("Provenance",), ("_count", "1000"))
    return [entry["resource"] for entry in found.get("entry", ())]


@pytest.mark.parametrize(("lines", "targets"), LOADED)
async def test_each_patient_has_a_provenance_of_their_own(server, tmp_path, lines, targets):
    file = written(tmp_path / "records.ndjson", lines)
    await loaded(server, file)
    told = await sources(server)
    references = [[one["reference"] for one in each["target"]] for each in told]
    assert (
        sorted(
            " ".join(sorted(one.partition("/_history/")[0] for one in each)) for each in references
        )
        == targets
    )
    for reference in (one for each in references for one in each):
        type, id, _, version = reference.split("/")
        here = await server.store.newest((Key(type, id),), EVERYTHING)
        assert here[Key(type, id)].version_id == version
    for one in told:
        (source,) = one["entity"]
        assert source["what"]["identifier"]["value"] == sha256(file.read_bytes()).hexdigest()
        assert source["what"]["display"] == "records.ndjson"
        assert one["agent"][0]["who"]["identifier"]["value"] == operator().user
        assert await judged(server, one, None) == []


async def test_nobody_is_told_by_a_provenance_of_another_patient(server, tmp_path):
    lines = [patient("a"), patient("b"), pulse("p", "a"), pulse("q", "b")]
    await loaded(server, written(tmp_path / "records.ndjson", lines))
    for stored in await every(server):
        named = {one["reference"].split("/")[1] for one in resource_of(stored)["target"]}
        owner = {0: "nobody", rid(Key("Patient", "a")): "a", rid(Key("Patient", "b")): "b"}
        assert named == ({"p", "q"} if owner[stored.owner] == "nobody" else {owner[stored.owner]})


async def test_what_was_there_already_came_from_nowhere_new(server, tmp_path):
    file = written(tmp_path / "records.ndjson", [patient("a")])
    await loaded(server, file)
    await loaded(server, file)
    assert len(await sources(server)) == 1
    await loaded(server, written(file, [patient("a", gender="male"), WARD]))
    (_, second) = sorted(await sources(server), key=lambda one: len(one["target"]))
    assert second["activity"]["coding"][0]["code"] == "UPDATE"


async def test_it_is_left_out_where_nobody_wants_it(server, tmp_path):
    await loaded(server, written(tmp_path / "a.ndjson", [patient("a")]), provenance=False)
    assert await sources(server) == []


async def test_a_file_whose_name_is_no_text_is_loaded_all_the_same(server, tmp_path):
    file = tmp_path / os.fsdecode(b"b\xe9nh nh\xe2n.ndjson")
    await loaded(server, written(file, [patient("a")]))
    (one,) = await sources(server)
    assert one["entity"][0]["what"]["display"] == "b\ufffdnh nh\ufffdn.ndjson"


async def every(server):
    select = Select(("Provenance",), restriction=EVERYTHING)
    found = await server.store.search(select, limit=100)
    return found.rows
