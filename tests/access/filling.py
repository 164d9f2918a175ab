"""filling — servers whose worlds differ in what the other facility has, and in nothing else.

https://hl7.org/fhir/R4/security.html
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count

from fhir_server.interaction.text_following import TextFollowing
from fhir_server.rest.app import create_app
from fhir_server.rest.options import Options
from fhir_server.search.texts import Texts
from fhir_server.store.migrate import migrate
from tests import postgresql
from tests.access.asking import REGISTERED
from tests.access.worlds import MINE, ORGANIZATIONS, SHARED, Doors, measured
from tests.conftest import Database
from tests.interaction.conftest import indexer, server_on
from tests.rest.client import Client
from tests.rest.conftest import Lines

HANOI = {"Authorization": "Bearer hanoi"}
ALL = {"Authorization": "Bearer all"}
GONE = measured("hanoi", "gone", "p", "zanzibar")
KEYS = ({"Idempotency-Key": "theirs"} | HANOI,)
LINKS = {
    "Patient?_count=1": "Patient?_count=1",
    "_history": "_history?_count=1",
    "Patient/_history": "Patient/_history?_count=1",
    "feed": "_history?_cursor=&_count=1",
    "Patient/feed": "Patient/_history?_cursor=&_count=1",
}


@contextmanager
def servers(request, run, clock, tmp_path, product, worlds, *, audit=True):
    """For each world of the other, a client of a server on a database of its own."""
    with ExitStack() as stack:
        found = {}
        for name, world in worlds.items():
            if product == "sqlite":
                url = f"sqlite:///{tmp_path}/{name}.db"
                migrate(url)
            else:
                request.getfixturevalue("postgresql_url")
                url = stack.enter_context(postgresql.database())
            store = Database(product, url).store(clock=clock)
            run(store.open())
            stack.callback(lambda store=store: run(store.close()))
            run(filled(speaking(serving(store, clock, numbered(900_000), audit=audit)), world))
            found[name] = speaking(serving(store, clock, numbered(1), audit=audit))
        yield found


def speaking(server):
    """As often as one likes: a fast machine asks more a second than one client may."""
    return Client(create_app(server, Options(client_rate=0), write_log=Lines()))


def serving(store, clock, new_id, *, audit=False):
    words = TextFollowing(Texts(indexer().parameters), store)
    server = server_on(store, audit=audit, texts=words, new_id=new_id)
    return replace(server, gate=Doors(clock, server))


def numbered(first):
    """Ids the server gives: of one length, and for those who ask the same over each world."""
    numbers = count(first)
    return lambda: f"n{next(numbers):06}"


async def filled(client, world):
    everybody = (("all", ORGANIZATIONS), ("hue", MINE), ("hanoi", SHARED), ("hanoi", world))
    for who, resources in everybody:
        for one in resources:
            headers = {"Authorization": f"Bearer {who}"}
            url = f"/fhir/{one['resourceType']}/{one['id']}"
            answer = await client.put(url, one, headers=headers)
            assert answer.status in (200, 201), (url, answer.body)
    if world:
        assert (await client.put("/fhir/Observation/hanoi.gone", GONE, headers=HANOI)).status == 201
        gone = await client.delete("/fhir/Observation/hanoi.gone", headers=ALL)
        assert gone.status in (200, 204)
        for headers in KEYS:
            answer = await client.post("/fhir/Patient", REGISTERED, headers=headers)
            assert answer.status == 201, answer.body


async def stolen(client) -> dict[str, str]:
    """What the other was really given, by the words questions name it with."""
    found = {}
    for key in ("Patient/hanoi.p", "Encounter/hanoi.e", "Observation/hanoi.o", "List/hanoi.l",
                "Condition/hanoi.c", "Consent/hanoi.cp", "Binary/hanoi.b"):  # fmt: skip
        answer = await client.get(f"/fhir/{key}", headers=HANOI)
        assert answer.status == 200, (key, answer.body)
        found[f"<version {key}>"] = answer.version
    for name, path in LINKS.items():
        answer = await client.get(f"/fhir/{path}", headers=HANOI)
        (onward,) = [one["url"] for one in answer.json["link"] if one["relation"] == "next"]
        found[f"<cursor {name}>"] = onward.partition("_cursor=")[2].partition("&")[0]
    return found


def resolved(told, known):
    """The question with what was stolen in the places it is named at."""
    match told:
        case str():
            return re.sub(r"<(?:version|cursor) [^>]+>", lambda found: known[found[0]], told)
        case dict():
            return {name: resolved(value, known) for name, value in told.items()}
        case list():
            return [resolved(value, known) for value in told]
    return told
