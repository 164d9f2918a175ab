"""What the tables of ordered kinds promise, held by each database too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.foundation.resource import Key
from fhir_server.store.contract import EVERYTHING, Select, Unit, rid
from tests.store.world import version

from . import test_composite, test_date, test_near, test_number, test_quantity
from .ask import indexer, query
from .prefixes import Case

TABLES: dict[str, list[Case]] = {
    "number": test_number.TABLE,
    "quantity": test_quantity.TABLE,
    "date": test_date.TABLE,
    "composite": test_composite.TABLE,
    "near": [(it, f"near={asked}", found) for it, asked, found in test_near.TABLE],
}
AT_ONCE = 50


def told(resource: dict[str, Any]) -> str:
    return json.dumps(resource, default=lambda value: f"{Decimal(value)}")


@pytest.mark.parametrize("kind", TABLES)
def test_a_database_finds_what_the_table_says(store, run, kind) -> None:
    cases = TABLES[kind]
    keys = {told(it): Key(it["resourceType"], f"n{n}") for n, (it, _, _) in enumerate(cases)}
    resources = {told(it): it for it, _, _ in cases}
    run(written(store, [(keys[text], it) for text, it in resources.items()]))
    wrong = []
    for (type, text), expected in asked(cases, keys).items():
        where = query(type, text).where
        found = set(run(store.find(Select((type,), where, restriction=EVERYTHING), at_most=10_000)))
        wrong += [(text, n, is_found) for n, is_found in expected if (n in found) != is_found]
    assert wrong == []


def asked(cases: list[Case], keys: dict[str, Key]) -> dict[tuple[str, str], list[tuple[int, bool]]]:
    found: dict[tuple[str, str], list[tuple[int, bool]]] = {}
    for it, text, is_found in cases:
        question = (it["resourceType"], text)
        found.setdefault(question, []).append((rid(keys[told(it)]), is_found))
    return found


async def written(store: Any, resources: list[tuple[Key, dict[str, Any]]]) -> None:
    for some in _chunks(resources):
        await store.commit(
            Unit(
                tuple(
                    version(str(key), "vi", rows=indexer().rows({**it, "id": key.id}))
                    for key, it in some
                )
            )
        )


def _chunks(
    resources: list[tuple[Key, dict[str, Any]]],
) -> Iterator[list[tuple[Key, dict[str, Any]]]]:
    for start in range(0, len(resources), AT_ONCE):
        yield resources[start : start + AT_ONCE]
