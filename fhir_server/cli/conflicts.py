"""conflicts — the commands for resources that were changed at two places: list, show, resolve."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhir_server.cli.asking import ask, key_of
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.foundation.resource import Key
    from fhir_server.interaction.context import Circumstances, Server
    from fhir_server.sync.conflicts.conflict import Conflict, Differing
    from fhir_server.sync.conflicts.resolving import Choice

app = typer.Typer(
    help="Resources that were changed at two places in ways that only a person can make one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Argument(help="The resource, as Patient/an.", show_default=False)]
LARGEST = 16 * 1024 * 1024  # bytes of a file


@takes("database_url", "zone", "public_base_url", "matching")
def list_(
    gathered: Gathered,
    *,
    most: Annotated[int, typer.Option(min=1, max=1000, help="How many are told.")] = 100,
) -> None:
    """Tell the conflicts that wait for somebody, the newest first.

    Ends with status 1 where there are any. A SQLite database that a server has open cannot be asked
    so; ask the server for `Task?code=sync-conflict&status=requested`.

    \b
    Example:
      fhir-server conflicts list
    """
    found = ask(gathered, "conflicts-list", lambda server, by: waiting(server, by, most))
    for task in found:
        typer.echo(f"{task['focus']['reference']}\n    {task['description']}")
    if not found:
        typer.echo("No conflict waits for anybody.")
        return
    typer.echo("`fhir-server conflicts show` shows the versions of one side by side.")
    sys.exit(Exit.FOUND)


async def waiting(server: Server, by: Circumstances, most: int) -> list[dict[str, Any]]:
    from fhir_server.foundation.wire import parse
    from fhir_server.interaction import search
    from fhir_server.search.owner import CONFLICT, TASKS
    from fhir_server.sync.conflicts.task import OPEN

    pairs = [("code", f"{TASKS}|{CONFLICT}"), ("status", OPEN), ("_count", str(most))]
    answer = await search.search(server, search.Ask(("Task",), pairs), by)
    bundle = parse(answer.body or b"{}")
    return [entry["resource"] for entry in bundle.get("entry", ())]


@takes("database_url", "zone", "public_base_url", "matching")
def show(gathered: Gathered, resource: Which) -> None:
    """Show the versions of a resource side by side, and how one of them is chosen.

    Ends with status 1 where it is in a conflict.

    \b
    Example:
      fhir-server conflicts show Patient/an
    """
    key = key_of(resource)

    async def asking(server: Server, by: Circumstances) -> list[str]:
        from fhir_server.sync.conflicts.operation import seen

        conflict = await seen(server, key, by)
        return [] if conflict is None else told(server, conflict)

    lines = ask(gathered, "conflicts-show", asking, resource)
    if not lines:
        typer.echo(f"{key} is in no conflict.")
        return
    for line in lines:
        typer.echo(line)
    sys.exit(Exit.FOUND)


def told(server: Server, conflict: Conflict) -> list[str]:
    from fhir_server.sync.conflicts.conflict import differing
    from fhir_server.sync.conflicts.task import described, id_of

    found = differing(server.definitions, conflict)
    lines = [*described(conflict, found), ""]
    lines += (
        f"  version {at}: {head.rev}{' (deleted)' if head.resource is None else ''}"
        for at, head in enumerate(conflict.heads, 1)
    )
    lines += (f"  both come from {base.rev}" for base in conflict.bases)
    for place in found:
        lines += ["", *side_by_side(conflict, place)]
    id = id_of(conflict.key, conflict.revs)
    command = f"fhir-server conflicts resolve {conflict.key} --task {id}"
    lines += ["", "Choose one:"]
    lines += (f"  {command} --choose {head.rev}" for head in conflict.heads)
    return [*lines, "or write it anew:", f"  {command} --file mended.json"]


def side_by_side(conflict: Conflict, place: Differing) -> list[str]:
    from fhir_server.sync.conflicts.saying import place_said, value_said

    mark = "*" if place.is_apart else " "
    lines = [
        f"{mark} {place.path} ({place_said(place.path)})",
        f"    before: {value_said(place.base)}",
    ]
    for at, (head, value) in enumerate(zip(conflict.heads, place.heads, strict=True), 1):
        said = "(đã xóa)" if head.resource is None else value_said(value)
        lines.append(f"    {at}:      {said}")
    return lines


@takes("database_url", "zone", "public_base_url", "profiles", "matching")
def resolve(
    gathered: Gathered,
    resource: Which,
    *,
    task: Annotated[
        str, typer.Option(help="The Task of the conflict you saw, as `show` tells it.")
    ],
    choose: Annotated[
        str, typer.Option(help="The version that shall hold.", show_default=False)
    ] = "",
    file: Annotated[
        Path | None, typer.Option(help="A file with what shall hold instead.", show_default=False)
    ] = None,
) -> None:
    """Make a choice the next version of a resource that is in a conflict.

    Where another version has come since you looked, nothing is written: look again.

    \b
    Examples:
      fhir-server conflicts resolve Patient/an --task conflict-5d4b... --choose 2-k5fd...
      fhir-server conflicts resolve Patient/an --task conflict-5d4b... --file mended.json
    """
    key = key_of(resource)
    if bool(choose) is (file is not None):
        refuse(
            Exit.MISUSED, "Say which version with `--choose`, or what with `--file`; one of both."
        )
    told = read(file) if file is not None else None

    async def asking(server: Server, by: Circumstances) -> str:
        from fhir_server.sync.conflicts.resolving import resolved

        choice = await choice_of(server, key, task, choose)
        return (await resolved(server, replace(choice, resource=told), by)).version_id or ""

    rev = ask(gathered, "conflicts-resolve", asking, resource)
    typer.echo(f"{key} is now version {rev}.")


async def choice_of(server: Server, key: Key, task: str, choose: str) -> Choice:
    """Between the versions that the Task names, which are those there are now."""
    from fhir_server.sync.conflicts.conflict import lineage_of
    from fhir_server.sync.conflicts.resolving import Choice
    from fhir_server.sync.conflicts.task import id_of

    heads = (await lineage_of(server, key)).heads()
    if id_of(key, heads) != task:
        refuse(Exit.MISUSED, f"{key} has other versions than those you saw. Look again.")
    if choose and choose not in heads:
        refuse(Exit.MISUSED, f"`{choose[:64]}` is none of the versions: {', '.join(heads)}.")
    return Choice(key, frozenset(heads), choose or None)


def read(file: Path) -> dict[str, Any]:
    from fhir_server.foundation.outcome import FhirError
    from fhir_server.foundation.wire import parse

    try:
        if file.stat().st_size > LARGEST:
            refuse(Exit.MISUSED, f"`{file}` has more than {LARGEST:,} bytes.")
        found = parse(file.read_bytes())
    except OSError as error:
        refuse(Exit.MISUSED, f"`{file}` cannot be read: {error.strerror}.")
    except (FhirError, json.JSONDecodeError) as error:
        refuse(Exit.MISUSED, f"`{file}`: {error}")
    return found


app.command("list")(list_)
app.command("show")(show)
app.command("resolve")(resolve)
