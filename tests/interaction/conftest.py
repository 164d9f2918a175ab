"""A server on an empty database, once on each we promise, and short ways to ask it things."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from urllib.parse import parse_qsl

import pytest

from fhir_server.conformance import definitions
from fhir_server.conformance.links import Links
from fhir_server.interaction import search, update
from fhir_server.interaction.context import BY_OPERATOR, Circumstances, Limits, OpenGate, Server
from fhir_server.interaction.declaring import Declaring
from fhir_server.interaction.following import Following
from fhir_server.operation.table import Table
from fhir_server.search.index import Indexer
from fhir_server.search.live import Live
from fhir_server.search.parameters import Parameters
from fhir_server.security.caller import Caller
from fhir_server.store.contract import Restriction
from fhir_server.sync.operations import OPERATIONS
from fhir_server.validation.knowledge import base_knowledge

BASE = "http://hospital.example/fhir"
BY_ANYBODY = replace(BY_OPERATOR, base=BASE)  # for what is the same whoever asks


@cache
def parts():
    known = definitions.load()
    return {"definitions": known, "links": Links(known)}


@cache
def indexer() -> Indexer:
    return Indexer(Parameters(parts()["definitions"]), base_urls=(BASE,))


def server_on(store, **changes) -> Server:
    ids = (f"n{number}" for number in itertools.count(1))
    told = {"secret": b"s" * 32, "new_id": lambda: next(ids), "limits": Limits()}
    told |= {"operations": Table(OPERATIONS), "gate": OpenGate()}
    told |= {"knowledge": base_knowledge(parts()["definitions"]), **changes}
    live = Live(indexer())
    following = Following(told["knowledge"], store, declaring=Declaring(live, store))
    return Server(store=store, live=live, following=following, **parts(), **told)


@pytest.fixture
def server(store):
    return server_on(store)


@pytest.fixture
def here():
    return BY_ANYBODY


@pytest.fixture
def world(request, server, here, run):
    """A server that holds the module's WORLD."""
    run(put(server, here, *request.module.WORLD))
    return server


@dataclass(frozen=True)
class Within:
    """Rights that are the same for every interaction."""

    restriction: Restriction

    def reach(self, interaction):
        return self.restriction

    def demand(self, interaction, type):
        pass

    def able(self, ability):
        return True

    def may_ask(self, parameter):
        return True

    def counted(self, number):
        return number

    sees_whole = sees_records = True
    has_pseudonyms = False

    def shown(self, definitions, resource):
        return resource


def within(here, restriction, client="citizen", **told) -> Circumstances:
    """As here, for a caller who reaches only so much, by every interaction."""
    return replace(here, caller=Caller(client, **told), access=Within(restriction))


async def put(server, here, *resources):
    """Each under its own id; the last one's Answer."""
    answer = None
    for one in resources:
        answer = await update.update(server, update.Ask(one["resourceType"], one["id"], one), here)
    return answer


async def asked(server, here, types, *pairs, **more):
    return told(await search.search(server, search.Ask(types, list(pairs), **more), here))


async def searched(server, here, type, text):
    """The same, as it stands behind a `?`; no type: of all types."""
    pairs = parse_qsl(text, keep_blank_values=True)
    return await asked(server, here, (type,) if type else (), *pairs)


def told(answer):
    """The resource an Answer carries, decimals as they were written."""
    return json.loads(answer.body, parse_float=Decimal)


def ids(bundle):
    return sorted(e["resource"]["id"] for e in bundle.get("entry", []))


def link(bundle, relation):
    found = [link["url"] for link in bundle["link"] if link["relation"] == relation]
    return found[0] if found else None


def patient(id=None, family="Nguyễn", **more):
    resource = {"resourceType": "Patient", "name": [{"family": family}], **more}
    return {"id": id, **resource} if id else resource
