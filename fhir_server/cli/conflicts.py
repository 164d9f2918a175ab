"""conflicts — the commands for resources that were changed at two places: list, show, resolve."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhir_server.cli.asking import ask, key_of
from fhir_server.cli.database import reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.sync.conflicts.asked import Said

app = typer.Typer(
    help="Resources that were changed at two places in ways that only a person can make one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Which = Annotated[str, typer.Argument(help="The resource, as Patient/an.", show_default=False)]
LARGEST = 16 * 1024 * 1024  # bytes of a file
PATIENCE = 60.0  # seconds that a server beside the command is waited for
SILENT = (
    f"Another process has the database open, and has not answered in {PATIENCE:.0f} seconds. It may"
    " be no server, or be busy: try again, or stop it."
)


@takes("database_url", "zone", "public_base_url", "matching")
def list_(
    gathered: Gathered,
    *,
    most: Annotated[int, typer.Option(min=1, max=1000, help="How many are told.")] = 100,
) -> None:
    """Tell the conflicts that wait for somebody, the newest first.

    Ends with status 1 where there are any.

    \b
    Example:
      fhir-server conflicts list
    """
    said = _said(gathered, {"what": "list", "most": most})
    for line in said.lines:
        typer.echo(line)
    if not said.found:
        typer.echo("No conflict waits for anybody.")
        return
    typer.echo("`fhir-server conflicts show` shows the versions of one side by side.")
    sys.exit(Exit.FOUND)


@takes("database_url", "zone", "public_base_url", "matching")
def show(gathered: Gathered, resource: Which) -> None:
    """Show the versions of a resource side by side, and how one of them is chosen.

    Ends with status 1 where it is in a conflict.

    \b
    Example:
      fhir-server conflicts show Patient/an
    """
    key = key_of(resource)
    said = _said(gathered, {"what": "show", "key": str(key)})
    if not said.found:
        typer.echo(f"{key} is in no conflict.")
        return
    for line in said.lines:
        typer.echo(line)
    sys.exit(Exit.FOUND)


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
    told = {"what": "resolve", "key": str(key), "task": task, "choose": choose}
    for line in _said(gathered, {**told, "resource": read(file) if file else ""}).lines:
        typer.echo(line)


def _said(gathered: Gathered, asked: dict[str, Any]) -> Said:
    """What is answered; by the server that is running, where it has the database for itself. A
    refusal ends the command with its sentences."""
    from fhir_server.store.upkeep.side import is_held
    from fhir_server.sync.conflicts.asked import answered

    settings = gathered.settings
    with reaching(settings):
        if is_held(settings.database_url):
            said = asyncio.run(_beside(settings.database_url, asked))
        else:
            what = f"conflicts-{asked['what']}"
            about = asked.get("key", "")
            said = ask(gathered, what, lambda server, by: answered(server, by, asked), about)
    if said.refused:
        refuse(Exit.MISUSED, said.refused)
    return said


async def _beside(url: str, asked: dict[str, Any]) -> Said:
    from fhir_server.security.operator import user_name
    from fhir_server.store.contract.side import STATE
    from fhir_server.store.upkeep.side import Beside
    from fhir_server.sync.conflicts.asked import ANSWER, answer_of, question

    side, name = Beside(url), secrets.token_hex(8)
    row, key = question(name, asked, user_name()), (ANSWER + name,)
    side.put(STATE, row)
    until = time.monotonic() + PATIENCE
    try:
        while (found := (await side.rows(STATE, [key])).get(key)) is None:
            if time.monotonic() > until:
                refuse(Exit.DATABASE, SILENT)
            await asyncio.sleep(0.2)
    finally:
        side.drop(STATE, (row.name,))
    side.drop(STATE, key)
    return answer_of(found)


def read(file: Path) -> str:
    """The text of a file that holds a resource. Refuses what is none."""
    from fhir_server.foundation.outcome import FhirError
    from fhir_server.foundation.wire import parse

    try:
        if file.stat().st_size > LARGEST:
            refuse(Exit.MISUSED, f"`{file}` has more than {LARGEST:,} bytes.")
        text = file.read_bytes()
        parse(text)
    except OSError as error:
        refuse(Exit.MISUSED, f"`{file}` cannot be read: {error.strerror}.")
    except (FhirError, json.JSONDecodeError) as error:
        refuse(Exit.MISUSED, f"`{file}`: {error}")
    return text.decode()


app.command("list")(list_)
app.command("show")(show)
app.command("resolve")(resolve)
