"""nodes — the command of a hub that tells of its nodes.

https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit
from fhir_server.cli.options import takes
from fhir_server.cli.sync import moment
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.sync.hub.nodes import Known

HEAD = ("node", "last heard", "to send", "parked", "more for it", "clock", "lives")


@takes("database_url")
def nodes(
    gathered: Gathered,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a list.")] = False,
) -> None:
    """Tell of each node: when it was heard, what it has still to send, what is kept apart.

    It works beside a server that is running. Ends with status 1 where something wants a person:
    records are kept apart, a resource has several versions side by side, two disks speak under one
    name, or a node shows a receipt by a key that is not here.

    \b
    Examples:
      fhir-server nodes
      fhir-server nodes --json
    """
    from fhir_server.store.upkeep.side import Beside
    from fhir_server.sync.hub import nodes as hub

    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        side = Beside(settings.database_url)
        found = asyncio.run(hub.known(side))
        many = asyncio.run(hub.conflicts(side))
    if as_json:
        typer.echo(json.dumps([asdict(node) for node in found], indent=2))
    else:
        told(found, many)
    if many or any(node.held or node.alarm or node.doubt for node in found):
        sys.exit(Exit.FOUND)


def told(found: list[Known], many: int) -> None:
    if not found:
        typer.echo("No node has been heard. `fhir-server client enrol ID --role node` begins one.")
    lines = [HEAD, *map(line, found)] if found else []
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for each in lines:
        cells = (cell.ljust(width) for cell, width in zip(each, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
    for node in found:
        if node.alarm:
            typer.echo(
                f"Two disks have been speaking as `{node.node}` since {moment(node.alarm)}: enrol"
                " one of them anew."
            )
        if node.doubt:
            typer.echo(
                f"`{node.node}` showed a receipt by a key that is not here, on"
                f" {moment(node.doubt)}: it is forged, or this database was set back."
            )
    if many:
        typer.echo(f"{many:,} resources have versions side by side: `fhir-server conflicts list`.")


def line(node: Known) -> tuple[str, ...]:
    ago = (time.time() * 1000 - node.heard) / 1000
    return (
        node.node,
        f"{moment(node.heard)} ({ago:,.0f} s ago)",
        "not known" if node.waiting is None else f"{node.waiting:,}",
        f"{node.held:,}",
        "everything" if node.entering else "yes" if node.behind else "no",
        f"{node.offset / 1000:+.1f} s",
        str(node.lives),
    )
