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
    from collections.abc import Iterator, Mapping

    from fhir_server.sync.hub.keying import Keyed
    from fhir_server.sync.hub.nodes import Known

HEAD = ("node", "last heard", "to send", "parked", "more for it", "clock", "lives", "key")
DAY = 86_400  # seconds


@takes("database_url")
def nodes(
    gathered: Gathered,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, a list.")] = False,
) -> None:
    """Tell of each node: when it was heard, what it has still to send, what is kept apart, how old
    its key is. Of one that is revoked: whether it is to wipe its disk, was told, and has done it.

    It works beside a server that is running. Ends with status 1 where something wants a person:
    records are kept apart, a resource has several versions side by side, two disks speak under one
    name, or a node shows a receipt by a key that is not here.

    \b
    Examples:
      fhir-server nodes
      fhir-server nodes --json
    """
    from fhir_server.store.upkeep import access
    from fhir_server.store.upkeep.side import Beside
    from fhir_server.sync.hub import keying
    from fhir_server.sync.hub import nodes as hub

    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        side = Beside(settings.database_url)
        found = asyncio.run(hub.known(side))
        many = asyncio.run(hub.conflicts(side))
        keyed = keying.of(access.clients(settings.database_url))
    if as_json:
        each = [asdict(node) | _of_key(keyed.pop(node.node, None)) for node in found]
        each += [{"node": one.node} | _of_key(one) for one in keyed.values()]
        typer.echo(json.dumps(each, indent=2))
    else:
        told(found, many, keyed)
    if many or any(node.held or node.alarm or node.doubt for node in found):
        sys.exit(Exit.FOUND)


def _of_key(one: Keyed | None) -> dict[str, int]:
    return {name: at for name, at in asdict(one).items() if name != "node"} if one else {}


def told(found: list[Known], many: int, keyed: Mapping[str, Keyed]) -> None:
    if not found:
        typer.echo("No node has been heard. `fhir-server client enrol ID --role node` begins one.")
    lines = [HEAD, *(line(node, keyed.get(node.node)) for node in found)] if found else []
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
    for one in keyed.values():
        for sentence in revoked(one):
            typer.echo(sentence)
    if many:
        typer.echo(f"{many:,} resources have versions side by side: `fhir-server conflicts list`.")


def revoked(one: Keyed) -> Iterator[str]:
    """What there is to be known of one that is."""
    if one.wiped:
        yield f"`{one.node}` was revoked, and said at {moment(one.wiped)} that it is wiped."
    elif one.word:
        yield (
            f"`{one.node}` is revoked. It was told at {moment(one.word)} to wipe its disk, and has"
            " not said that it did."
        )
    elif one.wipe:
        yield (
            f"`{one.node}` is revoked. It is to wipe its disk (ordered at {moment(one.wipe)}), and"
            " has not come since."
        )
    elif one.revoked:
        yield f"`{one.node}` is revoked since {moment(one.revoked)}."


def aged(one: Keyed | None, now: float) -> str:
    """now: in seconds since 1970 UTC."""
    if one is None or not one.key:
        return "not known"
    days = f"{max(now - one.key / 1000, 0) // DAY:,.0f} d"
    left = (one.before / 1000 - now) / DAY
    return f"{days} (the one before: {left:,.0f} d more)" if left > 0 else days


def line(node: Known, keyed: Keyed | None) -> tuple[str, ...]:
    ago = (time.time() * 1000 - node.heard) / 1000
    return (
        node.node,
        f"{moment(node.heard)} ({ago:,.0f} s ago)",
        "not known" if node.waiting is None else f"{node.waiting:,}",
        f"{node.held:,}",
        "everything" if node.entering else "yes" if node.behind else "no",
        f"{node.offset / 1000:+.1f} s",
        str(node.lives),
        aged(keyed, time.time()),
    )
