"""matching — the commands for who was registered twice: rules, check, list, link, unlink."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.asking import ask, key_of
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.interaction.context import Circumstances, Server
    from fhir_server.sync.matching.listing import Pair
    from fhir_server.sync.matching.rules import Rules

app = typer.Typer(
    help="People who were registered twice: found by their numbers, linked, told apart.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(help="A file of your own.", show_default=False)]
One = Annotated[str, typer.Argument(help="A Patient, as Patient/an.", show_default=False)]
Other = Annotated[str, typer.Argument(help="The other one.", show_default=False)]
SAID = {
    "linked": "linked",
    "one": "one person by the rules, not linked yet",
    "number": "the same number, but",
    "likely": "alike in all but a number",
    "apart": "two, as somebody has said",
}
AGAINST = {
    "birthDate": "the birth differs or is not known",
    "gender": "the gender differs",
    "name": "the name differs or is not known",
    "commune": "the commune differs or is not known",
    "people": "too many have it",
}


@app.command()
def rules() -> None:
    """Print the rules that are built in, to be changed and used instead.

    \b
    Example:
      fhir-server matching rules > matching.toml
    """
    from fhir_server.sync.matching.rules import BUILT_IN

    typer.echo(BUILT_IN.read_text("utf-8"), nl=False)


@app.command()
def check(file: File) -> None:
    """Read a file of rules as the server would, and tell what it links by.

    \b
    Example:
      fhir-server matching check matching.toml
    """
    from fhir_server.sync.matching.rules import BadFile, of_file

    try:
        found = of_file(file)
    except BadFile as error:
        refuse(Exit.MISUSED, str(error))
    for rule in found.rules.values():
        typer.echo(f"{rule.number}:")
        for form in found.forms:
            if form.number == rule.number:
                written = "at the end of a card" if form.card else f"{form.digits} digits"
                typer.echo(f"    {form.system}, {written}{', old ones too' if form.old else ''}")
        if rule.same:
            typer.echo(f"    the same {', '.join(rule.same)}")
        if rule.unless:
            typer.echo(f"    unless another {', '.join(rule.unless)}")
    if found.likely:
        typer.echo(f"listed where the same: {', '.join(found.likely)}")


@takes("database_url", "zone", "public_base_url", "matching")
def list_(
    gathered: Gathered,
    *,
    linked: Annotated[
        bool, typer.Option("--linked", help="Those that are linked, or told apart, too.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="How many pairs are told.")] = 100,
) -> None:
    """Tell which Patients may be one person and are not linked: for a person to look at.

    All Patients are read. Of a number that very many have, the first 50 are looked at. A SQLite
    database that a server has open cannot be asked so: stop the server first.

    \b
    Example:
      fhir-server matching list --most 1000
    """

    async def asking(server: Server, _: Circumstances) -> tuple[list[Pair], Counter[str]]:
        from fhir_server.sync.matching.listing import pairs

        shown: list[Pair] = []
        counts: Counter[str] = Counter()
        async for pair in pairs(server, _rules(gathered)):
            counts[pair.standing.value] += 1
            if len(shown) < most and (linked or pair.standing.value not in ("linked", "apart")):
                shown.append(pair)
        return shown, counts

    shown, counts = ask(gathered, "matching-list", asking)
    for pair in shown:
        why = "".join(f" {AGAINST[fact]};" for fact in pair.against).rstrip(";")
        said = f"{SAID[pair.standing.value]}{why}"
        typer.echo(f"{pair.one.key} {pair.other.key}: {said}{_number(pair)}")
    total = ", ".join(
        f"{count:,} {SAID[name].removesuffix(', but')}" for name, count in counts.items()
    )
    typer.echo(f"Pairs: {total or 'none'}.")


def _number(pair: Pair) -> str:
    return f" ({pair.number})" if pair.number else ""


def _demand_hub(gathered: Gathered) -> None:
    if gathered.settings.hub:
        refuse(Exit.MISUSED, f"This is a node. Say it at its hub, `{gathered.settings.hub}`.")


def _rules(gathered: Gathered) -> Rules:
    from fhir_server.server import linker_of
    from fhir_server.sync.matching.rules import built_in

    linker = linker_of(gathered.settings)
    return built_in() if linker is None else linker.rules


@takes("database_url", "zone", "public_base_url", "matching")
def link(
    gathered: Gathered,
    one: Annotated[str, typer.Argument(help="A Patient, as Patient/an.")] = "",
    other: Annotated[str, typer.Argument(help="The other one.")] = "",
) -> None:
    """Say that two Patients are one person. Both are kept, and name each other.

    Without Patients: link all that are one person by the rules, as is done with what nodes send.

    \b
    Examples:
      fhir-server matching link Patient/an Patient/0b7e
      fhir-server matching link
    """
    _demand_hub(gathered)
    if bool(one) is not bool(other):
        refuse(Exit.MISUSED, "Name two Patients, or none for all that the rules find.")

    async def asking(server: Server, by: Circumstances) -> int:
        from fhir_server.sync.matching import deciding
        from fhir_server.sync.matching.listing import Standing, pairs

        if one:
            await deciding.link(server, key_of(one), key_of(other), by)
            return 1
        count = 0
        found = [pair async for pair in pairs(server, _rules(gathered))]
        for pair in found:
            if pair.standing is Standing.ONE:
                await deciding.link(server, pair.one.key, pair.other.key, by)
                count += 1
        return count

    count = ask(gathered, "matching-link", asking, f"{one} {other}".strip())
    typer.echo(f"Linked {count:,} pair{'s' * (count != 1)}.")


@takes("database_url", "zone", "public_base_url", "matching")
def unlink(
    gathered: Gathered,
    one: One,
    other: Other,
    *,
    why: Annotated[str, typer.Option(help="Why, in words.", show_default=False)] = "",
) -> None:
    """Say that two Patients are two people. It is remembered: no rule links them again.

    \b
    Example:
      fhir-server matching unlink Patient/an Patient/0b7e --why "mother and child"
    """

    _demand_hub(gathered)

    async def asking(server: Server, by: Circumstances) -> None:
        from fhir_server.sync.matching import deciding

        await deciding.unlink(server, key_of(one), key_of(other), by, why)

    ask(gathered, "matching-unlink", asking, f"{one} {other}")
    typer.echo(f"{one} and {other} are two people.")


app.command("list")(list_)
app.command("link")(link)
app.command("unlink")(unlink)
