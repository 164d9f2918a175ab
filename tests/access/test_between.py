"""What the other does while pages are turned changes no page; and no wait tells that it is there.

https://hl7.org/fhir/R4/http.html#paging
https://hl7.org/fhir/R4/security.html#AccessDenied
"""

from __future__ import annotations

import pytest

from fhir_server.store.contract.watch import watching
from tests.access.filling import ALL, HANOI, servers
from tests.access.telling import still
from tests.access.worlds import WORLDS, theirs
from tests.conftest import DATABASES

PAGED = [
    "Patient?_count=1",
    "Observation?_count=1&_sort=-date",
    "Encounter?_count=1&_include=Encounter:part-of&_revinclude=Observation:encounter",
    "?_type=Patient,Observation&_count=2",
    "Patient?_count=1&_total=accurate&_sort=family",
    "_history?_count=2",
    "Patient/_history?_count=1",
    "Observation/_history?_count=2&_since=2020-01-01",
]
FED = ["_history?_cursor=&_count=2", "Patient/_history?_cursor=&_count=1", "_history?_cursor="]
LATER = theirs("zarathustra", "zarathustra", "zz0815", 3, 2)
WHO = ("doctor", "citizen", "granular")
MOST_PAGES = 60


@pytest.fixture(params=DATABASES)
def two(request, run, clock, tmp_path):
    worlds = dict.fromkeys(("still", "stirring"), WORLDS["one"])
    with servers(request, run, clock, tmp_path, request.param, worlds) as found:
        yield found


@pytest.fixture(params=DATABASES)
def watched(request, run, clock, tmp_path):
    """What is written into the audit is not watched: it is the same, whatever was asked."""
    worlds = {"one": WORLDS["one"]}
    with servers(request, run, clock, tmp_path, request.param, worlds, audit=False) as found:
        yield found["one"]


async def stirs(client, turn):
    """The other writes, changes and loses some of what it has."""
    one = LATER[turn % len(LATER)]
    url = f"/fhir/{one['resourceType']}/{one['id']}"
    assert (await client.put(url, one, headers=HANOI)).status in (200, 201)
    if turn % 3 == 2:
        assert (await client.delete(url, headers=ALL)).status in (200, 204)


async def pages(client, path, who, *, stirring):
    """All the pages of a question, one after the other."""
    told, url, headers = [], f"/fhir/{path}", {"Authorization": f"Bearer {who}"}
    while url and len(told) < MOST_PAGES:
        answer = await client.get(url, headers=headers)
        assert answer.status == 200, answer.body
        told.append(still(answer))
        links = {one["relation"]: one["url"] for one in answer.json["link"]}
        url = links.get("next", "").removeprefix("http://test") if answer.json.get("entry") else ""
        if stirring:
            await stirs(client, len(told))
    assert not url, f"`{path}` has no end"
    return told


async def test_what_the_other_writes_between_two_pages_changes_none(two, tell):
    count = 0
    for who in WHO:
        for path in PAGED + FED:
            told = [
                await pages(client, path, who, stirring=name == "stirring")
                for name, client in two.items()
            ]
            assert told[0] == told[1], (who, path)
            count += len(told[0])
    tell("leak matrix: pages turned while the other writes", count)


# Beside what is there and out of reach: what is not there at all.
PAIRS = [
    ("Patient/hanoi.p", "Patient/hanoi.free"),
    ("Observation/hanoi.o", "Observation/hanoi.free"),
    ("Observation/hanoi.gone", "Observation/hanoi.free"),
    ("Patient/hanoi.p/_history", "Patient/hanoi.free/_history"),
    ("Patient?_id=hanoi.p", "Patient?_id=hanoi.free"),
    ("Patient?identifier=zz4711", "Patient?identifier=zz4712"),
    ("Patient?name=zorrino", "Patient?name=zorrina"),
    ("Patient/hanoi.p/Condition?", "Patient/hanoi.free/Condition?"),
    ("Observation?subject=Patient/hanoi.p", "Observation?subject=Patient/hanoi.free"),
    ("Encounter?part-of.subject=Patient/hanoi.p", "Encounter?part-of.subject=Patient/hanoi.free"),
]


async def test_what_is_out_of_reach_is_looked_for_as_what_is_not_there(watched, tell):
    """Not by a clock: by the statements that are asked, and the rows they give back."""
    client = watched
    for who in WHO:
        headers = {"Authorization": f"Bearer {who}"}
        for there, nowhere in PAIRS:
            done = []
            for path in (there, nowhere):
                await client.get(f"/fhir/{path}", headers=headers)  # what is learnt once, is
                with watching() as watch:
                    answer = await client.get(f"/fhir/{path}", headers=headers)
                statements = [each for step in watch.steps for each in step.statements]
                assert answer.status < 500, answer.body
                done.append((answer.status, [(each.text, each.returned) for each in statements]))
            assert done[0] == done[1], (who, there)
    tell("leak matrix: pairs whose statements are the same", len(PAIRS) * len(WHO))
