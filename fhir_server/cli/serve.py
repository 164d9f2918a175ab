"""serve — the commands that make the database ready and serve it: serve, migrate."""

from __future__ import annotations

import asyncio
import socket
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.cli.port import bound, is_loopback
from fhir_server.settings import Gathered, Settings

if TYPE_CHECKING:
    from fhir_server.interaction.context import Server

SAMPLE = (  # what the local profiles take without a warning
    '{"resourceType":"Patient","identifier":[{"system":"http://fhir.hl7.org.vn/core/sid/cccd",'
    '"value":"092180004321"}],"name":[{"text":"Nguyễn An","family":"Nguyễn","given":["An"]}],'
    '"gender":"female","birthDate":"1980"}'
)


@takes()
def serve(gathered: Gathered) -> None:
    """Serve FHIR R4 over HTTP. Without options: on this machine only, records in ./data/fhir.db.

    Makes the database where there is none, and brings an older one up to date (--no-migrate
    refuses instead). Stops on Ctrl+C or SIGTERM, after it has answered what it was asked.

    \b
    Examples:
      fhir-server serve
      fhir-server serve --port 9000 --database-url sqlite:///./trial.db
      fhir-server serve --database-url postgresql://fhir@db/fhir --workers 4
    """
    settings = gathered.settings
    from fhir_server.cli import tls, wiping

    refuse_open(gathered)
    tls.context(settings)  # what is wrong with it is told before anything is done
    with bound(settings) as listening:
        wiping.finish(settings)
        settings = prepare(settings, migrating=settings.migrate)
        from fhir_server.cli import running

        running.demand_profiles(settings)
        base = base_url(settings, listening)

        async def announce(server: Server) -> None:
            typer.echo(banner(settings, base, await server.store.census()))

        async def announce_first() -> None:
            async with running.opened(settings) as server:
                await announce(server)

        if settings.workers > 1:
            with reaching(settings):
                asyncio.run(announce_first())
        running.run(settings, listening, announce)
    wiping.finish(settings)
    typer.echo("Stopped.")


@takes("database_url")
def migrate(gathered: Gathered) -> None:
    """Bring the database's schema up to date. Doing it again does no harm.

    One process migrates at a time; the others wait for it. `serve` does the same by itself unless
    it is told --no-migrate, for a server whose database role may not change tables.

    \b
    Examples:
      fhir-server migrate
      fhir-server migrate --database-url postgresql://owner@db/fhir
    """
    prepare(gathered.settings, migrating=True)
    typer.echo("The database has the newest schema.")


def refuse_open(gathered: Gathered) -> None:
    """Others reach the server only where that was said in so many words."""
    settings = gathered.settings
    if settings.access == "on" and not (settings.public_base_url or is_loopback(settings.host)):
        refuse(
            Exit.MISUSED,
            "`access` is `on`, so clients sign for whom a token is: say the base URL they know the"
            " server by, as in `--public-base-url https://fhir.example.vn/fhir`.",
        )
    for name in ("provider_keys", "provider_configuration"):
        told = getattr(settings, name)
        known = told in ("", "off") or told.startswith("https://") or Path(told).is_file()
        if settings.provider and not known:
            refuse(Exit.MISUSED, f"`{name}` is `{told}`: say a file, or an https URL.")
    if settings.access != "on" and not is_loopback(settings.host) and not settings.allow_open:
        source = gathered.sources["host"]
        refuse(
            Exit.MISUSED,
            f"`{source}` is `{settings.host}`: other machines could reach the server, and it does"
            " not ask who calls, so they could read and write everything. Say `--access on`; or, if"
            " that is meant, `--open` or FHIR_ALLOW_OPEN=true.",
        )


def base_url(settings: Settings, listening: socket.socket) -> str:
    if settings.public_base_url:
        return settings.public_base_url
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{name}:{port}{settings.base_path}"


def banner(settings: Settings, base: str, census: dict[str, int]) -> str:
    """What a person wants to know of a server that has just begun."""
    if settings.access == "on":
        access = "callers show who they are; `fhir-server client` says who may"
    elif is_loopback(settings.host):
        access = "open to every program on this machine, and to no other machine"
    else:
        access = (
            f"OPEN to whoever reaches {settings.host}:{settings.port}: nobody is asked who calls"
        )
    return f"""
fhir-server {version("fhir-server")} serves FHIR R4

  Base URL  {base}
  Records   {held(census)}
  Database  {shown_database(settings)}
  Access    {access}

  Try:
{tries(settings, base)}

  Stop with Ctrl+C.
"""


def tries(settings: Settings, base: str) -> str:
    """What to begin with."""
    told = [f"curl '{base}/metadata'"]
    if settings.access == "on":
        told.insert(0, f"curl '{base}/.well-known/smart-configuration'")
    else:
        sent = f"curl -H 'Content-Type: application/fhir+json' -d '{SAMPLE}'"
        told = [f"curl '{base}/Patient?_count=2'", f"{sent} '{base}/Patient'", *told]
    return "\n".join(f"    {each}" for each in told)


def held(census: dict[str, int]) -> str:
    """The number of resources, and the types there are most of."""
    counts = sorted(((count, type) for type, count in census.items() if count), reverse=True)
    if not counts:
        return "none yet; `fhir-server demo` (or `make demo`) loads invented ones"
    most = ", ".join(f"{count:,} {type}" for count, type in counts[:4])
    more = f" and {len(counts) - 4} types more" if len(counts) > 4 else ""
    total = sum(count for count, _ in counts)
    return f"{total:,} resource{'s' * (total > 1)}: {most}{more}"


def shown_database(settings: Settings) -> str:
    from fhir_server.store.upkeep.findings import shown

    return shown(settings.database_url)
