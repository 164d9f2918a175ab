"""database — reaching the database from a command, each failure with its exit status."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

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
    except upkeep.Wiped as found:
        refuse(Exit.WIPED, told_of_wiping(found.facts))
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


def told_of_wiping(facts: Mapping[str, Any]) -> str:
    """That a node was wiped, and what to do, to who is in front of it."""
    if not facts:
        return (
            "Beside this database is the mark of one that was wiped, and it cannot be read. Where"
            " that was not meant, take the mark away: the file that ends in `-wiped`, or the row"
            " `wiped` of the table `setting`."
        )
    if not facts.get("done"):
        return (
            "This node is being wiped, as its hub ordered: `fhir-server serve` goes on with it.\n"
            "Máy này đang được xóa dữ liệu theo lệnh của tuyến trên."
        )
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts["done"] / 1000))
    return (
        f"This node was wiped at {at}, as its hub ordered: it has no records, and no key. To begin"
        " anew, have the hub's operator give a code, and run `fhir-server sync enrol`.\n"
        f"Dữ liệu trên máy này đã bị xóa lúc {at} theo lệnh của tuyến trên. Muốn dùng lại, xin mã"
        " mới của tuyến trên rồi chạy `fhir-server sync enrol`."
    )


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
