"""database — reaching the database from a command, each failure with its exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import typer

from fhir_server.cli.exits import Exit, refuse
from fhir_server.settings import Settings


@contextmanager
def reaching(settings: Settings) -> Iterator[None]:
    """Inside, a database that cannot be used ends the command with a sentence."""
    from fhir_server.foundation.outcome import FhirError
    from fhir_server.store import upkeep

    try:
        with upkeep.reaching(settings.database_url):
            yield
    except upkeep.SchemaUnknown as error:
        refuse(Exit.SCHEMA, str(error))
    except upkeep.IndexDiffers as error:
        refuse(Exit.INDEX, str(error))
    except FileExistsError as error:
        refuse(Exit.MISUSED, str(error))
    except upkeep.BadBackup as error:
        refuse(Exit.BACKUP, str(error))
    except (upkeep.Unreachable, FhirError) as error:
        refuse(Exit.DATABASE, str(error))


def prepare(settings: Settings, *, migrating: bool) -> Settings:
    """Bring the schema up to date and tell the steps, or refuse what is not known.

    The settings come back with the secret that is kept in the database, unless another was given.
    """
    from fhir_server.store import upkeep
    from fhir_server.store.secret import secret_of

    with reaching(settings):
        for step in upkeep.ready(settings.database_url, migrating=migrating):
            typer.echo(f"Database: {step}")
        return replace(settings, secret=settings.secret or secret_of(settings.database_url))
