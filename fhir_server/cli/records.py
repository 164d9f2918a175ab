"""records — the commands that bring records in: demo, load."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from fhir_server.demo.load import Loaded as DemoLoaded
    from fhir_server.exchange.load import Loaded, Refusal
    from fhir_server.settings import Settings


class Format(Enum):
    """How records are written to a folder."""

    NDJSON = "ndjson"
    BUNDLE = "bundle"


@takes("database_url", "zone", "public_base_url")
def demo(
    gathered: Gathered,
    *,
    patients: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="How many patients there are.")
    ] = 1000,
    seed: Annotated[
        int, typer.Option(min=0, help="The same seed makes the same records, wherever it is used.")
    ] = 1,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Write files to this folder instead of the database.", show_default=False
        ),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="With --to: a file for each type, or transaction Bundles.")
    ] = Format.NDJSON,
) -> None:
    """Load records of people who do not exist, or write them.

    They are as believable as those of Can Tho: facilities, practitioners, patients, encounters
    and prescriptions. What is in the database already is left as it is, so a run that was broken
    off can simply be done again. For a SQLite database, stop the server first: it has one writer.

    \b
    Examples:
      fhir-server demo
      fhir-server demo --patients 20000 --seed 7
      fhir-server demo --patients 100 --to ./sample --format ndjson
    """
    if to is not None:
        write_demo(to, patients, seed, format)
        return
    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        loaded = asyncio.run(load_demo(settings, patients, seed))
    there = f", {loaded.already:,} were there already" if loaded.already else ""
    typer.echo(f"Stored {loaded.stored:,} resources{there}.")


def write_demo(folder: Path, patients: int, seed: int, format: Format) -> None:
    from fhir_server.demo.files import write

    with bar(f"Writing {patients:,} patients") as bars:
        task = bars.add_task("", total=None)
        try:
            counts = write(
                folder,
                patients=patients,
                seed=seed,
                format=format.value,
                progress=lambda done, total: bars.update(task, completed=done, total=total),
            )
        except OSError as error:
            refuse(Exit.MISUSED, f"`{folder}` cannot be written to: {error.strerror}.")
    typer.echo(f"Wrote {sum(counts.values()):,} resources to {folder}.")


async def load_demo(settings: Settings, patients: int, seed: int) -> DemoLoaded:
    from fhir_server.cli.running import opened
    from fhir_server.demo.load import load as load_world
    from fhir_server.interaction.context import BY_OPERATOR

    async with opened(settings) as server:
        with bar(f"Loading {patients:,} patients") as bars:
            task = bars.add_task("", total=None)
            return await load_world(
                server,
                patients=patients,
                seed=seed,
                progress=lambda done, total: bars.update(task, completed=done, total=total),
                circumstances=BY_OPERATOR,
            )


@takes("database_url", "zone", "public_base_url")
def load(
    gathered: Gathered,
    files: Annotated[
        list[Path],
        typer.Argument(
            help="NDJSON (.ndjson), single resources or Bundles (.json); also with .gz.",
            show_default=False,
        ),
    ],
    *,
    provenance: Annotated[
        bool, typer.Option(help="Store with them a Provenance that names the file and its hash.")
    ] = True,
) -> None:
    """Load files of resources into the database.

    A resource with an id becomes that resource's next version, one without gets an id. What is
    refused is told with its place and left out; the rest is stored, and the status is 1. A Bundle
    of type transaction or batch is done as it says. For a SQLite database, stop the server first.

    With each transaction a Provenance is stored that names the versions, the file, its SHA-256 and
    the user who ran the command; `--no-provenance` leaves it out.

    \b
    Examples:
      fhir-server load Organization.ndjson Patient.ndjson
      fhir-server load ./sample/*.ndjson visit.json
    """
    for file in files:
        if not file.is_file():
            refuse(Exit.MISUSED, f"There is no file `{file}`.")
    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        loaded = asyncio.run(load_files(settings, files, provenance=provenance))
    typer.echo(f"Stored {loaded.stored:,} resources, refused {loaded.refused:,}.")
    if loaded.refused:
        sys.exit(Exit.FOUND)


async def load_files(settings: Settings, files: list[Path], *, provenance: bool) -> Loaded:
    from fhir_server.cli.running import opened
    from fhir_server.exchange.load import load as load_all
    from fhir_server.interaction.context import BY_OPERATOR

    def tell(refusal: Refusal) -> None:
        typer.echo(f"{refusal.place}: {refusal.sentence}", err=True)

    async with opened(settings) as server:
        with bar(f"Loading {len(files)} files") as bars:
            task = bars.add_task("", total=sum(file.stat().st_size for file in files))
            return await load_all(
                server,
                files,
                refused=tell,
                progress=lambda done: bars.update(task, completed=done),
                circumstances=BY_OPERATOR,
                provenance=provenance,
            )


@contextmanager
def bar(told: str) -> Iterator[Bars]:
    """A progress bar on a terminal; nothing where the output is kept in a file."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (told, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield bars
