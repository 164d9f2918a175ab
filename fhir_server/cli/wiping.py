"""wiping — what a node does that was told to wipe its disk: it is erased, and said to the hub.

Its records go first, its key last: what is done is signed by it. A hub that is not reached keeps
nothing from being erased. Whatever ends the program, the next `serve` goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from fhir_server.cli.database import reaching
from fhir_server.settings import Settings

if TYPE_CHECKING:
    from fhir_server.sync.node.key import NodeKey
    from fhir_server.sync.node.wiping import ToldToWipe

TOLD = 30.0  # seconds
AGAIN = 2.0  # seconds


def finish(settings: Settings, patience: float = TOLD) -> None:
    """Go on from where it stands; nothing where there is no such order. Ends the command, else.
    patience: seconds in which the hub may be told."""
    from fhir_server.store.upkeep import wiping

    url = settings.database_url
    with reaching(settings):
        facts = wiping.marked(url)
        if facts is None:
            return
        if facts and not facts.get("done"):
            typer.echo("Wiping this node, as its hub ordered.")
            wiping.erase(url)
        if facts:
            facts = _without_key(facts, settings, patience)
            wiping.mark(url, facts)
        wiping.demand_none(url)


def obey(settings: Settings, told: ToldToWipe) -> NoReturn:
    """A command has met the hub, and was told."""
    from fhir_server.server import node_key_file
    from fhir_server.sync.node import key, wiping

    file = node_key_file(settings)
    asyncio.run(wiping.begin(settings.database_url, file, key.read(file), told.word))
    finish(settings)
    raise AssertionError("what was wiped is marked")


def _without_key(
    facts: Mapping[str, Any], settings: Settings, patience: float
) -> Mapping[str, Any]:
    """The hub is told, and the key is erased. What is found on a later start is erased, too: of
    another process, or brought back."""
    from fhir_server.server import node_key_file
    from fhir_server.sync.node import key

    told = False
    for file in {Path(facts["key_file"]), node_key_file(settings).absolute()}:
        try:
            found = key.read(file)
        except key.BadKey:
            found = None
        if found is not None and found.thumbprint != facts["key"]:
            continue  # another node's, or this one's since it was enrolled anew
        if found is not None and not told:
            told = asyncio.run(_said(found, facts["ordered"], patience))
            if not told:
                typer.echo("The hub could not be told that it is done.", err=True)
        key.erase(file)
    return {**facts, "done": facts.get("done") or _now()}


async def _said(key: NodeKey, ordered: int, patience: float) -> bool:
    """Whether the hub knows it."""
    from fhir_server.sync.node.line import Away, Line, Refusal

    line = Line(key)
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    await line.wiped(ordered)
                except Away:
                    await asyncio.sleep(AGAIN)
                else:
                    return True
    except (Refusal, TimeoutError):
        return False
    finally:
        await line.close()


def _now() -> int:
    return time.time_ns() // 1_000_000
