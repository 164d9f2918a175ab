"""registration — a registration as the commands for clients look it up, judge it and keep it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fhir_server.cli.database import prepare, reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.noting import note
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from fhir_server.security.tokens.client import Client
    from fhir_server.security.tokens.keys import Jwk


def now() -> int:
    return time.time_ns() // 1_000_000


def ready(gathered: Gathered) -> None:
    prepare(gathered.settings, migrating=gathered.settings.migrate)


def found(gathered: Gathered, id: str) -> Client:
    one = known(gathered, id)
    if one.revoked:
        refuse(Exit.MISUSED, f"The client `{id}` is revoked. Register another id.")
    return one


def known(gathered: Gathered, id: str) -> Client:
    """A client that may be revoked."""
    from fhir_server.security.tokens.client import of
    from fhir_server.store.upkeep import access

    ready(gathered)
    with reaching(gathered.settings):
        row = access.client(gathered.settings.database_url, id)
    if row is None:
        refuse(Exit.MISUSED, f"No client `{id}` is registered; `fhir-server client list` tells.")
    return of(row)


def demand_proof(client: Client) -> None:
    """Refuse a client that nobody could tell from another."""
    if not (client.keys or client.keys_url or client.provider or client.redirects):
        refuse(
            Exit.MISUSED,
            "Say how the client proves itself: `--jwks FILE`, `--jwks-url URL` or `--provider`; or"
            " for an application that people open, `--redirect URI`."
            " `fhir-server client key` makes a key; with `fhir-server client enrol` a client brings"
            " its own.",
        )


def write_down(gathered: Gathered, done: str, id: str) -> None:
    """Into the audit, before it is done: who cannot tell it, changes nothing."""
    with reaching(gathered.settings):
        note(gathered.settings, f"client-{done}", id)


def keep(gathered: Gathered, client: Client, done: str, *, replaces: int) -> None:
    """done: what the audit says of it."""
    from dataclasses import replace

    from fhir_server.security.tokens.client import BadClient, checked, row
    from fhir_server.store.upkeep import access

    try:
        told = row(replace(checked(client), changed=max(now(), replaces + 1)))
    except BadClient as error:
        refuse(Exit.MISUSED, str(error))
    ready(gathered)
    url = gathered.settings.database_url
    with reaching(gathered.settings):
        there = access.client(url, told.id)
        if (there.changed if there else 0) == replaces:
            write_down(gathered, done, told.id)
            if access.register(url, told, replaces=replaces):
                return
    if replaces:
        refuse(Exit.MISUSED, f"`{client.id}` was changed by somebody else just now. Try again.")
    refuse(
        Exit.MISUSED,
        f"A client `{client.id}` is registered already. `fhir-server client rotate` gives it other"
        " keys.",
    )


def keys_of(file: Path | None) -> tuple[Jwk, ...]:
    from fhir_server.security.tokens.client import brought
    from fhir_server.security.tokens.keys import BadKeys, registered

    if file is None:
        return ()
    try:
        return brought(registered(file.read_bytes()), now())
    except OSError as error:
        refuse(Exit.MISUSED, f"`{file}` cannot be read: {error.strerror}.")
    except BadKeys as error:
        refuse(Exit.MISUSED, f"`{file}`: {error}")


def url_of(url: str) -> str:
    from fhir_server.security.tokens.fetching import Unfetched, demand_url

    if not url:
        return ""
    try:
        return demand_url(url)
    except Unfetched as error:
        refuse(Exit.MISUSED, str(error))
