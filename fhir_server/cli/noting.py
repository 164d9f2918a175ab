"""noting — what a command did with the records goes into the audit, as the operator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fhir_server.settings import Settings


def note(settings: Settings, interaction: str, what: str = "") -> None:
    """Write it down beside a server that may be running. Raises what `reaching` tells.

    It is done where the settings ask for an audit, and where the database has one already: the
    server's settings may not be this command's.
    """
    from fhir_server.security.audit.anchors import Anchors
    from fhir_server.security.audit.record import Record
    from fhir_server.security.operator import operator
    from fhir_server.store.schema import anchors_file
    from fhir_server.store.upkeep import audit

    if not (settings.audit or settings.access == "on" or audit.begun(settings.database_url)):
        return
    head = audit.write(settings.database_url, Record(interaction, what).entries(operator(), 200))
    file = anchors_file(settings.database_url, settings.audit_anchors)
    if file is None:
        return
    try:
        Anchors(file).tell([head])
    except OSError as error:
        typer.echo(f"Note: the audit cannot be anchored: `{file}`: {error.strerror}.", err=True)
