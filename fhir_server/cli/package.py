"""package — the commands for FHIR packages: add, list, remove, check."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.cli.records import bar
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from fhir_server.conformance.canonicals import Canonicals
    from fhir_server.conformance.package import Package
    from fhir_server.conformance.problem import Problem
    from fhir_server.exchange.packages import Installed, Tried
    from fhir_server.settings import Settings

SHOWN = 30  # problems told of one package

app = typer.Typer(
    help="FHIR packages: profiles, value sets and code systems of others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Files = Annotated[
    list[Path],
    typer.Argument(
        help="Packages (.tgz), folders of one, or loose JSON or XML files.", show_default=False
    ),
]


@takes("database_url", "profiles")
def add(gathered: Gathered, files: Files) -> None:
    """Store packages, so that their profiles can be claimed and their value sets used.

    They are stored in the order they need one another. What a package needs and is not there is
    told by name, and the package is added all the same: what can be resolved works. On PostgreSQL
    a running server knows them within a second; for a SQLite database, stop the server first.
    Adding a package again changes nothing. A definition that is not valid R4, and a file that
    cannot be read, is told and left out, and the status is 1.

    \b
    Examples:
      fhir-server package add hl7.fhir.vn.core-0.6.0.tgz
      fhir-server package add ./our-profiles
    """
    packages, problems = read_all(files)
    tell(problems)
    left_out = 0
    for package in packages:
        left_out += tell(package.problems) + (not package.entries)
        tell(faults(gathered.settings, package, packages))
    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        left_out += asyncio.run(store(settings, [each for each in packages if each.entries]))
    if left_out:
        sys.exit(Exit.FOUND)


async def store(settings: Settings, packages: list[Package]) -> int:
    """Store them; how many definitions were refused."""
    from fhir_server.cli.running import opened
    from fhir_server.exchange import packages as stored

    refused = 0
    async with opened(settings) as server:
        for package in packages:
            with bar(f"Storing {package.identity}") as bars:
                task = bars.add_task("", total=len(package.entries))
                added = await stored.add(server, package, partial(advance, bars, task))
            for url, issues in list(added.refused.items())[:SHOWN]:
                for issue in issues[:3]:
                    typer.echo(f"{url}: {issue.expression}: {issue.diagnostics}", err=True)
            left = f", {len(added.refused):,} refused" if added.refused else ""
            typer.echo(f"Added {package.identity}: {counted(added.stored, 'definition')}{left}.")
            refused += len(added.refused)
    return refused


def advance(bars: Bars, task: TaskID, done: int) -> None:
    bars.update(task, completed=done)


@takes("database_url")
def list_(gathered: Gathered) -> None:
    """List the packages that were added."""
    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        found = asyncio.run(those_installed(settings))
    if not found:
        typer.echo("No package was added. `fhir-server package add FILE` adds one.")
    width = max((len(one.label) for one in found), default=0)
    for one in found:
        needs = ", ".join(f"{name}#{version}" for name, version in one.needs)
        told = f"  needs {needs}" if needs else ""
        typer.echo(f"{one.label:<{width}}  {one.definitions:>6,} definitions{told}")


async def those_installed(settings: Settings) -> list[Installed]:
    from fhir_server.cli.running import opened
    from fhir_server.exchange import packages as stored

    async with opened(settings) as server:
        return await stored.installed(server)


@takes("database_url")
def remove(
    gathered: Gathered,
    name: Annotated[str, typer.Argument(help="The package: `name` or `name#version`.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Even if another one needs it.")] = False,
) -> None:
    """Remove a package. Its definitions are deleted; their history stays.

    \b
    Example:
      fhir-server package remove hl7.fhir.vn.core
    """
    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        done = asyncio.run(taken_out(settings, name, force=force))
    typer.echo(f"Removed {name}: {counted(done, 'definition')}.")


async def taken_out(settings: Settings, name: str, *, force: bool) -> int:
    from fhir_server.cli.running import opened
    from fhir_server.exchange import packages as stored
    from fhir_server.foundation.outcome import Conflict, NotFound

    async with opened(settings) as server:
        try:
            return await stored.remove(server, name, even_if_needed=force)
        except (Conflict, NotFound) as refusal:
            refuse(Exit.MISUSED, str(refusal))


@takes("database_url", "profiles")
def check(
    gathered: Gathered,
    files: Files,
    *,
    against_stored: Annotated[
        bool,
        typer.Option(
            "--against-stored",
            help="Try the profiles on what is stored: how much would they refuse?",
        ),
    ] = False,
    at_most: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --against-stored: look at the newest N of each type. [all]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look at packages without adding them: what is missing, broken or would refuse too much.

    Ends with status 1 where something is broken, or a profile would refuse stored resources.

    \b
    Examples:
      fhir-server package check hl7.fhir.vn.core-0.6.0.tgz
      fhir-server package check ./our-profiles --against-stored --at-most 10000
    """
    packages, problems = read_all(files)
    broken = 0
    for package in packages:
        own = [problem for problem in problems if problem.file == package.identity]
        found = [*own, *package.problems, *faults(gathered.settings, package, packages)]
        broken += tell(found)
        typer.echo(
            f"{package.identity}: {counted(len(package.entries), 'definition')}, {told(found)}."
        )
    if against_stored:
        settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
        with reaching(settings):
            results = asyncio.run(tried(settings, packages, at_most))
        broken += sum(show(result) for result in results)
    if broken:
        sys.exit(Exit.FOUND)


async def tried(settings: Settings, packages: list[Package], at_most: int | None) -> list[Tried]:
    from fhir_server.cli.running import opened
    from fhir_server.conformance.package import layered
    from fhir_server.exchange import packages as stored

    async with opened(settings) as server:
        canonicals = layered(server.knowledge.current.canonicals, packages)
        known = server.knowledge.imagined(canonicals)
        profiles = [p for one in packages for p in stored.profiles_of(canonicals, one)]
        with bar("Trying them on what is stored") as bars:
            task = bars.add_task("", total=None)
            return await stored.against_stored(
                server,
                known.validator,
                profiles,
                at_most=at_most,
                progress=lambda done: bars.update(task, completed=done),
            )


def show(result: Tried) -> bool:
    """A profile's line, and the rules most often broken; whether it would refuse anything."""
    if not result.looked_at:
        typer.echo(f"{result.profile}: no {result.type} is stored.")
        return False
    share = 100 * result.refused / result.looked_at
    typer.echo(
        f"{result.profile}: would refuse {result.refused:,} of {result.looked_at:,}"
        f" {result.type} ({share:.1f} %), and warn of {result.warned:,}."
    )
    for rule, times in result.rules.most_common(10):
        typer.echo(f"  {times:>8,}  {rule}, such as {result.examples[rule]}")
    return result.refused > 0


# --- reading -------------------------------------------------------------------------------------


def read_all(files: list[Path]) -> tuple[list[Package], list[Problem]]:
    """The packages in the order they need one another, and what is wrong with that order."""
    from fhir_server.conformance.package import (
        folder_of_definitions,
        in_dependency_order,
        read_package,
    )

    found: list[Package] = []
    for file in files:
        if not file.exists():
            refuse(Exit.MISUSED, f"There is no file or folder `{file}`.")
        is_loose = file.is_dir() and not (file / "package.json").exists()
        is_loose = is_loose and not (file / "package").is_dir()
        found += folder_of_definitions(file) if is_loose else [read_package(file)]
    return in_dependency_order(found)


def faults(settings: Settings, package: Package, packages: Sequence[Package]) -> list[Problem]:
    """What is wrong with a package's definitions, seen with all that is known beside them."""
    from fhir_server.conformance.package import layered, unresolved
    from fhir_server.conformance.sound import all_unsound
    from fhir_server.terminology.syntax import SYNTAXES

    canonicals = layered(folders(settings), packages)
    found = unresolved(canonicals, package.entries, tuple(SYNTAXES))
    return [*found, *all_unsound(canonicals, package.entries)]


def folders(settings: Settings) -> Canonicals:
    from fhir_server.server import below

    return below(settings)


def tell(problems: Sequence[Problem]) -> int:
    """Say what is wrong, on standard error; how many of it are errors."""
    from fhir_server.validation.messages import issue

    found = [issue(p.key, file=p.file, **p.said) for p in problems]
    for one in found[:SHOWN]:
        typer.echo(f"{one.severity}: {one.diagnostics}", err=True)
    if len(found) > SHOWN:
        typer.echo(f"... and {len(found) - SHOWN:,} more.", err=True)
    return sum(one.severity == "error" for one in found)


def told(problems: Sequence[Problem]) -> str:
    return counted(len(problems), "problem") if problems else "nothing wrong"


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


for command, name in ((add, "add"), (list_, "list"), (remove, "remove"), (check, "check")):
    app.command(name)(command)
