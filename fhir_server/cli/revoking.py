"""revoking — a client is revoked, and a node that is lost told to wipe its disk, or not."""

from __future__ import annotations

from dataclasses import replace

import typer

from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.registration import found, keep, known, now
from fhir_server.cli.sync import moment
from fhir_server.settings import Gathered

COMES = "It is told when it comes next; `fhir-server nodes` tells what becomes of it."


def revoke(gathered: Gathered, id: str, *, wipe: bool | None) -> None:
    """wipe: None: nothing was said of it."""
    if wipe is None:
        before = found(gathered, id)
        keep(gathered, replace(before, revoked=now()), "revoke", replaces=before.changed)
        typer.echo(f"Revoked `{id}`.")
    elif wipe:
        _wipe(gathered, id)
    else:
        _spare(gathered, id)


def _wipe(gathered: Gathered, id: str) -> None:
    from fhir_server.sync.hub.nodes import NODE

    before = known(gathered, id)
    if NODE not in before.roles or not before.keys:
        refuse(Exit.MISUSED, f"`{id}` is no node with a key: only these can be told to wipe.")
    if before.wipe:
        refuse(Exit.MISUSED, f"That was ordered at {moment(before.wipe)}.")
    at = now()
    after = replace(before, revoked=before.revoked or at, wipe=at)
    keep(gathered, after, "wipe", replaces=before.changed)
    typer.echo(f"Revoked `{id}`, which is to wipe its disk. {COMES}")


def _spare(gathered: Gathered, id: str) -> None:
    before = known(gathered, id)
    if not before.wipe:
        refuse(Exit.MISUSED, f"`{id}` is not told to wipe anything.")
    if before.word:
        refuse(Exit.MISUSED, f"It is too late: `{id}` was told at {moment(before.word)}.")
    keep(gathered, replace(before, wipe=0), "no-wipe", replaces=before.changed)
    typer.echo(f"`{id}` stays revoked, and is not told to wipe its disk.")
