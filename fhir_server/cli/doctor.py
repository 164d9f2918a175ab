"""doctor — the command that looks for what is unsafe, and says what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import typer

from fhir_server.cli.database import reaching
from fhir_server.cli.exits import Exit
from fhir_server.cli.options import takes
from fhir_server.cli.port import is_loopback
from fhir_server.settings import Gathered, Settings

if TYPE_CHECKING:
    from fhir_server.store.upkeep import Finding

MARKS = {"good": "ok    ", "note": "note  ", "unsafe": "UNSAFE"}


@takes()
def doctor(gathered: Gathered) -> None:
    """Look for what is unsafe, and say what to do about it.

    It looks at the database, its index, the disk, the clock and the settings. Ends with status 0
    where nothing is unsafe, 1 where something is, 3 where the database cannot be reached. Safe to
    run while the server serves.

    \b
    Examples:
      fhir-server doctor
      fhir-server doctor --database-url postgresql://fhir@db/fhir
    """
    from fhir_server.store import upkeep

    with reaching(gathered.settings):
        found = [*of_database(gathered), *of_settings(gathered)]
    width = max(len(finding.about) for finding in found)
    for finding in found:
        typer.echo(f"{MARKS[finding.grade.value]}  {finding.about:<{width}}  {finding.found}")
        if finding.advice:
            typer.echo(f"{'':<{width + 10}}{finding.advice}")
    unsafe = sum(finding.grade is upkeep.Grade.UNSAFE for finding in found)
    if unsafe:
        typer.echo(f"\n{unsafe} unsafe.")
        sys.exit(Exit.FOUND)
    typer.echo("\nNothing unsafe was found.")


def of_database(gathered: Gathered) -> list[Finding]:
    """What the store finds, and whether the server would take its index."""
    from fhir_server.server import indexer_of
    from fhir_server.store import upkeep

    url = gathered.settings.database_url
    return [*upkeep.examine(url), upkeep.indexed(url, indexer_of(gathered.settings).stamp)]


def of_settings(gathered: Gathered) -> list[Finding]:
    """What the settings make unsafe, whichever database is used."""
    from fhir_server.store.upkeep import Finding, Grade

    settings = gathered.settings
    found = [of_access(settings), *of_ways(settings)]
    if "*" in settings.cors_origins:
        advice = "Name the origins of your own applications in FHIR_CORS_ORIGINS."
        told = "any web page may call the server from a visitor's browser"
        found.append(Finding("CORS", told, Grade.UNSAFE, advice))
    kept = "given" if settings.secret else "made once and kept in the database"
    found.append(Finding("secret", kept))
    if settings.secret and len(set(settings.secret)) < 8:
        advice = "Leave FHIR_SECRET empty to have one made."
        found[-1] = Finding("secret", "given, and could be guessed", Grade.UNSAFE, advice)
    if settings.trust_proxy and not settings.public_base_url:
        advice = "Set FHIR_PUBLIC_BASE_URL, so that no header decides what links say."
        found.append(Finding("proxy", "its headers are believed", Grade.NOTE, advice))
    found += [Finding("setting", told, Grade.NOTE) for told in gathered.strangers]
    found.append(time_zone())
    return found


def of_access(settings: Settings) -> Finding:
    """Whether anybody is asked who calls, where others can call."""
    from fhir_server.store.upkeep import Finding, Grade

    if settings.access == "on" and settings.public_base_url.startswith("http://"):
        told = "callers must show who they are, and their tokens travel in plain sight"
        advice = "Speak HTTPS, here or in a proxy, and begin FHIR_PUBLIC_BASE_URL with `https://`."
        return Finding("access", told, Grade.UNSAFE, advice)
    if settings.access == "on":
        return Finding("access", "callers must show who they are")
    if is_loopback(settings.host):
        return Finding("access", f"only this machine reaches `{settings.host}`")
    told = f"whoever reaches `{settings.host}:{settings.port}` may read and write"
    advice = "Set FHIR_ACCESS=on, or put a proxy in front that asks who calls."
    return Finding("access", told, Grade.UNSAFE, advice)


def of_ways(settings: Settings) -> Iterator[Finding]:
    """Whether what travels can be read or changed on its way, and who else may have sent it."""
    from fhir_server.store.upkeep import Finding, Grade

    if settings.tls_certificate:
        yield Finding("TLS", f"{settings.tls_minimum} or newer")
    elif not is_loopback(settings.host) and not settings.trust_proxy:
        advice = "Give FHIR_TLS_CERTIFICATE and FHIR_TLS_KEY, or put a proxy with them in front."
        told = "who is on the way can read and change what is sent"
        yield Finding("TLS", told, Grade.UNSAFE, advice)
    if is_exposed(settings.database_url):
        advice = "Add `sslmode=verify-full` to the database's URL."
        told = "the database is on another machine, and need not show that it is the right one"
        yield Finding("database TLS", told, Grade.NOTE, advice)
    if "*" in settings.allowed_hosts and is_loopback(settings.host):
        advice = "Name the hosts in FHIR_ALLOWED_HOSTS."
        told = "a page in this machine's browser may call the server by a name of its own"
        yield Finding("host", told, Grade.UNSAFE, advice)


def is_exposed(url: str) -> bool:
    """Whether a database is reached over a network without asking for its certificate."""
    parts = urlsplit(url)
    asked = dict(parse_qsl(parts.query))
    host = asked.get("host") or parts.hostname or ""
    if parts.scheme.startswith("sqlite") or not host or host.startswith("/") or is_loopback(host):
        return False
    return asked.get("sslmode") not in ("verify-full", "verify-ca")


def time_zone() -> Finding:
    """Whether this machine's clock is kept right by a service, where that can be seen."""
    from fhir_server.store.upkeep import Finding, Grade

    kept = Path("/run/systemd/timesync/synchronized").exists() or Path("/run/chrony").exists()
    if kept:
        return Finding("time", "this machine's clock is kept right by a service")
    advice = "Keep it right, with chrony or systemd-timesyncd."
    return Finding("time", "no service seen that keeps this machine's clock", Grade.NOTE, advice)
