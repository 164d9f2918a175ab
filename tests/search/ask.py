"""ask — a resource and a search, and whether the one is found by the other."""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.conformance.definitions import load
from fhir_server.foundation.resource import Key
from fhir_server.search.index import Indexer
from fhir_server.search.parameters import Parameters
from fhir_server.search.query import Query, parse
from fhir_server.search.site import Site
from fhir_server.store.contract import rid

from .evaluate import holds

BASE = "https://here.example/fhir"
NOON = 1_705_204_800_000  # 2024-01-14T04:00Z
SITE = Site(base_urls=(BASE,), now=NOON)


@cache
def parameters() -> Parameters:
    return Parameters(load())


@cache
def indexer() -> Indexer:
    return Indexer(parameters(), base_urls=(BASE,))


def query(type: str, text: str, *, site: Site = SITE, **options: Any) -> Query:
    """`text` as it stands in a URL after `?`, but a `+` is a `+`."""
    pairs = parse_qsl(text.replace("+", "%2B"), keep_blank_values=True)
    types = tuple(type.split(",")) if type else ()
    return parse(parameters(), types, pairs, site=site, **options)


def found(resource: dict[str, Any], text: str, *, updated: int = NOON, site: Site = SITE) -> bool:
    type = resource["resourceType"]
    resource = {"id": "1", **resource}
    rows = indexer().rows(resource)
    number = rid(Key(type, resource["id"]))
    return holds(query(type, text, site=site).where, rows, rid=number, updated=updated)
