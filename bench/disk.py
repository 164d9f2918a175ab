"""disk — bytes a current resource takes, its history and its index rows included.

The data are a province's people with all their visits, 3 % of encounters amended and a few
deleted, grown by the transactions an EMR would send, not built in bulk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fhir_server.demo import Way, facility_bundles, visits
from fhir_server.interaction import bundle
from fhir_server.interaction.context import BY_OPERATOR, Server
from fhir_server.server import build
from fhir_server.settings import Settings

SIDE_BY_SIDE = 8


def measured(url: str, size: Callable[[], int], *, patients: int, seed: int) -> tuple[float, int]:
    """(bytes a resource, resources) after loading so many people."""
    empty = size()
    resources = asyncio.run(_filled(url, patients, seed))
    return (size() - empty) / resources, resources


async def _filled(url: str, patients: int, seed: int) -> int:
    server = build(replace(Settings(), database_url=url, secret="bench" * 8))
    await server.store.open()
    try:
        for told in facility_bundles():
            await _sent(server, told)
        waiting = iter(visits(patients, seed, way=Way.PUT, history=True))

        async def client() -> None:
            for told in waiting:
                await _sent(server, told)

        await asyncio.gather(*(client() for _ in range(SIDE_BY_SIDE)))
        return sum((await server.store.census()).values())
    finally:
        await server.store.close()


async def _sent(server: Server, told: dict[str, Any]) -> None:
    answer = await bundle.bundle(server, bundle.Ask(told), BY_OPERATOR)
    assert answer.status == 200
