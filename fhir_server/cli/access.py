"""access — the commands for the policy of who may reach what: policy, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.exits import Exit, refuse

app = typer.Typer(
    help="The policy that says who may reach what, where the setting `access` is on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="A policy of your own.", show_default=False)]


@app.command()
def policy() -> None:
    """Print the policy that is built in, to be changed and used instead.

    \b
    Example:
      fhir-server access policy > access.toml
    """
    from fhir_server.security.policy_file import BUILT_IN

    typer.echo(BUILT_IN.read_text("utf-8"), nl=False)


@app.command()
def check(file: File) -> None:
    """Read a policy as the server would, and tell which role reaches what.

    \b
    Example:
      fhir-server access check access.toml
    """
    from fhir_server.security.policy_file import BadFile, of_file

    try:
        found = of_file(file)
    except BadFile as error:
        refuse(Exit.MISUSED, str(error))
    for role in found.roles.values():
        typer.echo(f"{role.name}: {role.title}; for {', '.join(role.purposes)}")
        for rule in found.rules:
            if role.name in rule.roles:
                letters = "".join(letter for letter in "cruds" if letter in rule.letters)
                reach = " and ".join(sorted(rule.reach))
                typer.echo(f"    {rule.name}: {letters} of {_types(rule.types)}, reach {reach}")
        if role.deidentify:
            typer.echo(f"    de-identified: {', '.join(role.deidentify)}")


def _types(types: frozenset[str]) -> str:
    few = sorted(types)
    return ", ".join(few) if len(few) <= 5 else f"{len(few)} types"
