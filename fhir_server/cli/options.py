"""options — the settings as command-line options, made from their one table."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer

from fhir_server.cli.exits import Exit, refuse
from fhir_server.settings import TABLE, Gathered, Line, SettingRefused, gather

Command = Callable[..., None]


def takes(*names: str) -> Callable[[Command], Command]:
    """Give a command the options of these settings (no names: of all).

    The command's first parameter is `gathered`; the rest are its own options and arguments.
    """
    lines = [line for line in TABLE if line.has_option and (not names or line.name in names)]

    def decorate(command: Command) -> Command:
        first, *own = inspect.signature(command, eval_str=True).parameters.values()
        assert first.name == "gathered"

        def run(**given: Any) -> None:
            options = {line.name: given.pop(line.name) for line in lines}
            command(gathered_from(options), **given)

        parameters = [
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *map(parameter, lines),
        ]
        run.__name__ = command.__name__
        run.__doc__ = command.__doc__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # Typer reads it
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def parameter(line: Line) -> inspect.Parameter:
    kind: Any = bool | None if line.is_flag else str | None
    names = (line.option, "--no-" + line.option[2:]) if line.is_flag else (line.option,)
    option = typer.Option(
        "/".join(names),
        help=f"{line.told.help} [{line.shown(line.default) or 'empty'}]",
        show_default=False,
        envvar=None,  # read by gather, so that a refusal names the one it came by
        metavar=None if line.is_flag else line.name.rpartition("_")[2].upper(),
        rich_help_panel="Settings",
    )
    return inspect.Parameter(
        line.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def gathered_from(options: dict[str, str | bool | None]) -> Gathered:
    try:
        gathered = gather(os.environ, options)
    except SettingRefused as refused:
        refuse(Exit.MISUSED, f"{refused} See `fhir-server settings --help`.")
    for sentence in gathered.strangers:
        typer.echo(f"Note: {sentence}", err=True)
    return gathered
