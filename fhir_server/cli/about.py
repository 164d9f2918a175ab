"""about — the commands that tell of the program itself: settings, version."""

from __future__ import annotations

import platform
from importlib.metadata import version as version_of

import typer

from fhir_server.cli.options import takes
from fhir_server.settings import TABLE, Gathered, Line


@takes()
def settings(gathered: Gathered) -> None:
    """Show every setting, its value and where that comes from.

    An option comes before an environment variable, and that before the default.

    \b
    Examples:
      fhir-server settings
      FHIR_PORT=9000 fhir-server settings
    """
    for line in TABLE:
        value = line.shown(getattr(gathered.settings, line.name)) or "(empty)"
        typer.echo(f"{line.name} = {value}")
        typer.echo(f"    {line.told.help}")
        source = gathered.sources[line.name]
        told = "the default" if source == "default" else f"from {source}"
        typer.echo(f"    {told}; {' or '.join(ways(line))}")


def ways(line: Line) -> list[str]:
    """By what the setting can be told."""
    found = [line.variable]
    if line.told.kind.may_be_secret:
        found.append(line.file_variable)
    return [*found, line.option] if line.has_option else found


def version() -> None:
    """Show the versions of the program, FHIR and Python.

    \b
    Example:
      fhir-server version
    """
    typer.echo(f"fhir-server {version_of('fhir-server')}, FHIR R4 (4.0.1)")
    typer.echo(f"Python {platform.python_version()} on {platform.platform()}")
