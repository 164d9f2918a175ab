"""rescue — what a lost disk had is brought from the copy of it: by a node, or at the hub."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.asking import ask
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.cli.sync import moment, size
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.interaction.context import Circumstances, Server
    from fhir_server.sync.copy.folder import Copy, Found
    from fhir_server.sync.node.rescuing import Told
    from fhir_server.sync.node.working import Settings

FOLDER = typer.Argument(help="Where the copy lies: a stick, or a folder of it.", metavar="FOLDER")
BAD = ("parked", "refused", "conflict")


@takes("database_url", "hub", "hub_key")
def rescue(
    gathered: Gathered,
    *,
    folder: Annotated[Path, FOLDER],
    check: Annotated[
        bool, typer.Option("--check", help="Only tell what is there, and whether it is whole.")
    ] = False,
) -> None:
    """Bring the hub what a lost disk had written and never sent, from the sealed copy of it.

    Enrol this server first, for the same facility. It may be broken off and run again: what came
    once is not taken twice. What is brought comes here by an ordinary pull. Ends with status 1
    where anything was not taken, or is missing.

    \b
    Examples:
      fhir-server sync rescue /media/stick/fhir-copy --check
      fhir-server sync rescue /media/stick/fhir-copy
    """
    from fhir_server.server import node_key_file
    from fhir_server.sync.node import working
    from fhir_server.sync.node.key import BadKey
    from fhir_server.sync.node.line import Away, Refusal

    found = _found(folder)
    bad = _tell(found)
    if not check:
        settings = gathered.settings
        of_node = working.Settings(settings.hub.rstrip("/"), node_key_file(settings))
        try:
            for copy in found.copies:
                bad |= asyncio.run(_bring(of_node, copy))
        except (BadKey, Away, Refusal) as error:
            refuse(Exit.FOUND, f"{error} What came is kept: run it again.")
        except OSError as error:
            refuse(Exit.FOUND, f"`{folder}` cannot be read: {error.strerror}. Run it again.")
        typer.echo("The copy is as it was. Remove it when nothing is left to be taken.")
    if bad:
        sys.exit(Exit.FOUND)


def _found(folder: Path) -> Found:
    from fhir_server.sync.copy import folder as folders

    try:
        found = folders.found(folder)
    except folders.Unreadable as error:
        refuse(Exit.MISUSED, str(error))
    except OSError as error:
        refuse(Exit.MISUSED, f"`{folder}` cannot be read: {error.strerror}.")
    if not found.copies and not found.torn:
        refuse(Exit.MISUSED, f"`{folder}` holds no copy.")
    return found


def _tell(found: Found) -> bool:
    """Of each copy what can be told without the hub's key; whether something is not as it should
    be."""
    for copy in found.copies:
        octets = sum(piece.size for piece in copy.pieces)
        typer.echo(
            f"{copy.node}, copy {copy.name}: {copy.versions:,} versions in {len(copy.pieces):,}"
            f" pieces ({size(octets)}), the last of {moment(copy.last.at)} by its clock."
        )
        if copy.missing:
            typer.echo(f"  Missing: {_ranges(copy.missing)}.")
    if found.torn:
        told = ", ".join(found.torn[:5]) + (", ..." if len(found.torn) > 5 else "")
        typer.echo(f"Not whole, and left out: {len(found.torn):,} lines ({told}).")
    bad = bool(found.torn or any(copy.missing for copy in found.copies))
    typer.echo("As far as can be told here, it is " + ("not whole." if bad else "whole."))
    return bad


def _ranges(numbers: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    told = [f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:20]]
    return f"pieces {', '.join(told)}"


async def _bring(of_node: Settings, copy: Copy) -> bool:
    from fhir_server.sync.node import rescuing, working
    from fhir_server.sync.node.line import Line

    line = Line(working.enrolled(of_node))
    told = rescuing.Told()
    many = sum(bool(piece.head.count) for piece in copy.pieces)
    try:
        async for told in rescuing.brought(line, copy):
            typer.echo(
                f"{copy.node}: {told.pieces:,} of {many:,} pieces, {len(told.outcomes):,} versions."
            )
    finally:
        await line.close()
    return _told(copy, told)


def _told(copy: Copy, told: Told) -> bool:
    """What became of it, in counts, and each that a person must look at."""
    outcomes = sorted(set(told.outcomes.values()))
    counts = ", ".join(f"{told.count(each):,} {each}" for each in outcomes) or "no versions"
    typer.echo(f"{copy.node}: {counts}.")
    for version, outcome in told.outcomes.items():
        if outcome in BAD:
            typer.echo(f"  {version}  {outcome}")
            for sentence in told.said.get(version, ()):
                typer.echo(f"      {sentence}")
    for number, why in told.refused.items():
        typer.echo(f"  Piece {number} was not taken: {why}")
    return bool(told.refused) or any(told.count(each) for each in BAD)


# --- at the hub ----------------------------------------------------------------------------------


@takes("database_url", "zone", "public_base_url", "matching", "access_policy")
def at_hub(
    gathered: Gathered,
    *,
    folder: Annotated[Path, FOLDER],
    revoked: Annotated[
        bool, typer.Option("--revoked", help="Also what nodes have signed that are revoked.")
    ] = False,
) -> None:
    """Take what a lost disk of a node had, from the sealed copy of it that was brought here.

    As `fhir-server sync rescue`, for any facility, by who runs the hub. Whoever has the disk of a
    node that is revoked may have signed what is in the copy: `--revoked` is your decision.

    \b
    Example:
      fhir-server rescue /media/stick/fhir-copy
    """
    found = _found(folder)
    bad = _tell(found)
    what = f"{folder} --revoked" if revoked else str(folder)
    # Whatever this command was told: what is brought is judged by what its node may.
    gathered = replace(gathered, settings=replace(gathered.settings, access="on"))
    bad |= ask(gathered, "rescue", lambda server, by: _take(server, by, found, revoked), what)
    if bad:
        sys.exit(Exit.FOUND)


async def _take(server: Server, by: Circumstances, found: Found, revoked: bool) -> bool:  # noqa: FBT001 - handed on
    from fhir_server.sync.hub import homes

    await homes.begin(server)
    bad = False
    for copy in found.copies:
        bad |= _told(copy, await _taken(server, by, copy, revoked))
    return bad


async def _taken(server: Server, by: Circumstances, copy: Copy, revoked: bool) -> Told:  # noqa: FBT001 - handed on
    """Twice, where something waits for what may have come behind it."""
    from fhir_server.sync.hub.bringing import brought
    from fhir_server.sync.node.rescuing import Told
    from fhir_server.sync.words import Outcome

    told = Told()
    ahead = [piece for piece in copy.pieces if piece.head.count]
    for piece in (*ahead, *ahead):
        if told.pieces >= len(ahead) and not told.count(Outcome.PARKED.value):
            break
        became = await brought(server, piece.line(), by, by_operator=True, also_revoked=revoked)
        told.pieces += 1
        if became.refused is not None:
            told.refused[piece.head.piece] = became.refused.diagnostics
        for one in became.versions:
            version = f"{one.key}/_history/{one.rev}"
            told.outcomes[version] = one.outcome.value
            told.said[version] = tuple(each.vietnamese or each.diagnostics for each in one.issues)
    return told
