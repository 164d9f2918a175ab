"""app — the commands put together, and how the program ends."""

from __future__ import annotations

import sys

import typer

from fhir_server.cli import (
    about,
    access,
    audit,
    client,
    conflicts,
    copies,
    doctor,
    matching,
    nodes,
    package,
    records,
    reindex,
    rescue,
    serve,
    sync,
    terminology,
    validate,
)
from fhir_server.cli.exits import Exit, Refused
from fhir_server.foundation import journal

app = typer.Typer(
    name="fhir-server",
    help="An HL7 FHIR R4 server on SQLite and PostgreSQL.\n\n"
    "Begin with `fhir-server serve`, and open the address it prints.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# In the order a person meets them.
COMMANDS = (
    serve.serve,
    records.demo,
    records.load,
    validate.validate,
    doctor.doctor,
    copies.backup,
    copies.restore,
    serve.migrate,
    reindex.reindex,
    nodes.nodes,
    about.settings,
    about.version,
)
for command in COMMANDS:
    app.command(command.__name__)(command)
app.command("rescue")(rescue.at_hub)
sync.app.command("rescue")(rescue.rescue)
app.add_typer(access.app, name="access")
app.add_typer(client.app, name="client")
app.add_typer(audit.app, name="audit")
app.add_typer(conflicts.app, name="conflicts")
app.add_typer(matching.app, name="matching")
app.add_typer(package.app, name="package")
app.add_typer(sync.app, name="sync")
app.add_typer(terminology.app, name="terminology")


def main() -> None:
    """Run the command line; a refusal is a sentence on standard error, never a traceback."""
    journal.begin(lines=False)
    try:
        app()
    except Refused as refused:
        typer.echo(f"Error: {refused}", err=True)
        sys.exit(refused.status)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(Exit.STOPPED)
