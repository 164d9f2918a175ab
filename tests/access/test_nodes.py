"""What a node is told over several worlds of the other facility: the same, and nothing of it.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import json
import re

import pytest

from fhir_server.security.policy_file import built_in
from fhir_server.sync.hub import homes
from fhir_server.sync.words import page
from tests.access.filling import HANOI, servers
from tests.access.telling import RANDOM, leaked
from tests.access.worlds import WORLDS, theirs
from tests.conftest import DATABASES

NODE = {"Authorization": "Bearer node"}
WORD = "zarathustra"


@pytest.fixture(params=DATABASES)
def several(request, run, clock, tmp_path):
    worlds = {name: WORLDS[name] for name in ("nothing", "more")}
    with servers(request, run, clock, tmp_path, request.param, worlds, audit=False) as found:
        yield found


async def kept(client):
    """Homes as everything that is written has them."""
    server = client.app.server
    await homes.begin(server)
    keeper = homes.Keeper(server, built_in())
    while await keeper.look():
        pass


async def pulled(client, cursor=""):
    """All pages from a cursor on, as bytes, the rows in them, and the cursor to go on with."""
    bodies, rows = [], []
    while True:
        answer = await client.get(f"/fhir/$sync-pull?cursor={cursor}", headers=NODE)
        assert answer.status == 200, answer.body
        found = page.read(json.loads(answer.body))
        bodies.append(answer.body.decode())
        rows += found.rows
        cursor = found.next
        if not (found.more or found.entering):
            return bodies, rows, cursor


def still(rows):
    """The rows without what no two databases share."""
    told = []
    for row in rows:
        text = (row.body or b"").decode()
        for pattern, instead in RANDOM:
            text = pattern.sub(instead, text)
        told.append((row.kind, str(row.key), row.method, row.patient, len(row.stubs), text))
    return told


async def test_a_node_is_told_the_same_whatever_the_other_has(several, tell):
    first, later, count = [], [], 0
    for name, client in several.items():
        await kept(client)
        bodies, rows, cursor = await pulled(client)
        first.append(still(rows))
        for one in theirs(WORD, WORD, "zz0815", 3, 2) if name == "more" else ():
            url = f"/fhir/{one['resourceType']}/{one['id']}"
            assert (await client.put(url, one, headers=HANOI)).status in (200, 201)
        await kept(client)
        more, rows, _ = await pulled(client, cursor)
        later.append(still(rows))
        for body in (*bodies, *more):
            assert not leaked("doctor", re.sub(r"cursor=[\w%.~-]+", "", body), ""), body[:500]
            assert WORD not in body
            count += 1
    tell("leak matrix: pages of nodes", count)
    assert first[0] == first[1]
    assert later[0] == later[1] == []
    told = {key for _, key, *_ in first[0]}
    assert {"Patient/hue.p", "Patient/hanoi.s", "Organization/hanoi"} <= told
    assert not [key for key in told if "hanoi.p" in key or "hanoi.o" in key]
