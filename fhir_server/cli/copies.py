"""copies — the commands that copy the records and bring them back: backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_server.cli.database import reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.noting import note
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered, Settings

File = Annotated[Path, typer.Argument(help="The backup file.", show_default=False)]


@takes("database_url")
def backup(gathered: Gathered, file: File) -> None:
    """Copy all records to one file, while the server serves.

    The file has its name only once it is whole and on the disk. It holds health records: keep it
    as safe as the database.

    \b
    Examples:
      fhir-server backup backup/monday.db
      fhir-server backup --database-url postgresql://fhir@db/fhir backup/monday.fhir
    """
    from fhir_server.store import upkeep

    with reaching(gathered.settings):
        upkeep.demand_schema(gathered.settings.database_url)
        note(gathered.settings, "backup", str(file))  # first: who could not tell it, copies nothing
        upkeep.backup(gathered.settings.database_url, file)
    typer.echo(f"Wrote {file}: {file.stat().st_size:,} bytes.")


@takes("database_url", "zone", "public_base_url")
def restore(
    gathered: Gathered,
    file: File,
    *,
    verify: Annotated[
        bool,
        typer.Option(help="Then read every version back and prove that it is what its name says."),
    ] = True,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the records that are there.")
    ] = False,
) -> None:
    """Bring the records of a backup back. Stop the server first.

    A database that holds records is refused without --replace; a SQLite file that is replaced is
    kept beside the new one, with the ending `.replaced`. Programs that follow the changes are told
    to start again. Where the backup's index was made by other rules than this program and these
    settings have, --verify says so: run `fhir-server reindex` before the server.

    \b
    Examples:
      fhir-server restore backup/monday.db --verify
      fhir-server restore backup/monday.db --replace
      fhir-server restore --database-url sqlite:///./trial.db backup/monday.db
    """
    from fhir_server.store import upkeep

    url = gathered.settings.database_url
    with reaching(gathered.settings):
        upkeep.restore(url, file, replace=replace)
        typer.echo(f"Restored {file}.")
        note_restored(gathered.settings, file)
        wrong = upkeep.verify(url) if verify else []
    for sentence in wrong[:20]:
        typer.echo(f"  {sentence}", err=True)
    if wrong:
        refuse(Exit.BACKUP, f"{len(wrong)} things are wrong with what was restored.")
    if verify:
        typer.echo("Verified: every version is what its name says.")
        tell_index(gathered.settings)


def note_restored(settings: Settings, file: Path) -> None:
    from fhir_server.store import upkeep

    try:
        upkeep.demand_schema(settings.database_url)
    except upkeep.SchemaUnknown as error:
        typer.echo(f"Note: that it was restored is not written down: {error}", err=True)
    else:
        note(settings, "restore", str(file))


def tell_index(settings: Settings) -> None:
    """Say it where the server would refuse the index that came with the records."""
    from fhir_server.server import indexer_of
    from fhir_server.store import upkeep

    with reaching(settings):
        found = upkeep.indexed(settings.database_url, indexer_of(settings).stamp)
    if found.advice:
        typer.echo(f"Note: the index {found.found}. {found.advice}")
