"""reindex — the command that makes the index anew, by the rules of today."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit
from fhir_server.cli.noting import note
from fhir_server.cli.options import takes
from fhir_server.cli.records import bar
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.settings import Settings
    from fhir_server.store.upkeep import Reindexed

SHOWN = 20  # of what was refused


@takes("database_url", "zone", "public_base_url", "migrate")
def reindex(gathered: Gathered) -> None:
    """Make the index anew from the records, for this program and these settings.

    Needed when `serve` says so: after `zone` or `public_base_url` was changed, or with a program
    that indexes by other rules. The records and their versions stay as they are. The search
    parameters that were added to R4's own are indexed too, as `$reindex` does beside a server.

    Stop the server first, on every machine: SQLite has one writer, and on PostgreSQL the command
    refuses as long as any server is connected. No server starts until it is done. It may be broken
    off, and goes on from there when it is run again with the same settings.

    Ends with status 1 where a resource could not be indexed; it is still there, and is found by
    its id.

    \b
    Examples:
      fhir-server reindex
      fhir-server reindex --zone +00:00 --database-url postgresql://fhir@db/fhir
    """
    settings = prepare(gathered.settings, migrating=gathered.settings.migrate)
    with reaching(settings):
        note(settings, "reindex")
        done = rebuilt(settings)
    for sentence in done.refused[:SHOWN]:
        typer.echo(sentence, err=True)
    typer.echo(f"Indexed {done.resources:,} resources.")
    if done.refused:
        typer.echo(f"{len(done.refused):,} of them could not be indexed.", err=True)
        sys.exit(Exit.FOUND)


def rebuilt(settings: Settings) -> Reindexed:
    from fhir_server.search.live import Live
    from fhir_server.server import indexer_of
    from fhir_server.store import upkeep

    live = Live(indexer_of(settings))
    live.take(upkeep.parameters(settings.database_url))
    indexer = live.current.indexer
    with bar("Indexing") as bars:
        task = bars.add_task("", total=None)
        return upkeep.reindex(
            settings.database_url,
            indexer.rows,
            indexer.stamp,
            lambda done, total: bars.update(task, completed=done, total=total),
            live.numbers,
        )
