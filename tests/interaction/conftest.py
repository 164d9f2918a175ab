"""A server on an empty database, once on each we promise, and short ways to ask it things."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from functools import cache

import pytest

from fhir_server.conformance import definitions
from fhir_server.conformance.links import Links
from fhir_server.interaction.context import Circumstances, Limits, Server
from fhir_server.interaction.declaring import Declaring
from fhir_server.interaction.following import Following
from fhir_server.operation.table import Table
from fhir_server.search.index import Indexer
from fhir_server.search.live import Live
from fhir_server.search.parameters import Parameters
from fhir_server.validation.knowledge import base_knowledge

BASE = "http://hospital.example/fhir"


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
    told |= {"operations": Table()}
    told |= {"knowledge": base_knowledge(parts()["definitions"]), **changes}
    live = Live(indexer())
    following = Following(told["knowledge"], store, declaring=Declaring(live, store))
    return Server(store=store, live=live, following=following, **parts(), **told)


@pytest.fixture
def server(store):
    return server_on(store)


@pytest.fixture
def here():
    return Circumstances(base=BASE)


def told(answer):
    """The resource an Answer carries, decimals as they were written."""
    return json.loads(answer.body, parse_float=Decimal)


def patient(id=None, family="Nguyễn", **more):
    resource = {"resourceType": "Patient", "name": [{"family": family}], **more}
    return {"id": id, **resource} if id else resource
