"""audit — the commands that look into the audit: verify, report."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhir_server.cli.database import reaching
from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.noting import note
from fhir_server.cli.options import takes
from fhir_server.cli.records import bar
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhir_server.foundation.resource import Key
    from fhir_server.security.audit.anchors import Anchor
    from fhir_server.security.audit.reporting import Report
    from fhir_server.store.contract import Sought

app = typer.Typer(
    help="Who saw and did what: prove that it is as it was written, and sum it up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SHOWN = 50  # of what is wrong, and of each list of a report

Since = Annotated[
    str | None,
    typer.Option("--from", help="The first day or moment, such as 2026-11-01.", show_default=False),
]
Until = Annotated[
    str | None, typer.Option("--to", help="The last day or moment.", show_default=False)
]


@takes("database_url", "audit_anchors")
def verify(gathered: Gathered) -> None:
    """Compute every seal of the audit again, and compare it with the anchors.

    It finds each entry that was changed, taken out, put in or moved, a chain that was cut short or
    taken away, and an entry that is no longer found by the patient or client it is about. It may
    be run beside a server. Ends with status 1 where something is wrong.

    \b
    Examples:
      fhir-server audit verify
      fhir-server audit verify --audit-anchors /mnt/other/anchors.jsonl
    """
    from fhir_server.security.audit import verification
    from fhir_server.store.schema import anchors_file
    from fhir_server.store.upkeep import audit

    settings = gathered.settings
    file = anchors_file(settings.database_url, settings.audit_anchors)
    anchors = anchors_of(file)  # before the trail: it has all they tell of
    with reaching(settings), audit.trail(settings.database_url) as trail:
        found = verification.verify(trail, anchors)
    typer.echo(
        f"Read {found.entries:,} entries in {found.chains:,} chains, and {found.anchors:,} anchors."
    )
    for sentence in found.wrong[:SHOWN]:
        typer.echo(f"  {sentence}", err=True)
    if found.wrong:
        typer.echo(f"{len(found.wrong):,} things are wrong with the audit.", err=True)
        sys.exit(Exit.FOUND)
    typer.echo("Every entry is as it was written.")


def anchors_of(file: Path | None) -> list[Anchor]:
    from fhir_server.security.audit import anchors

    if file is None or not file.exists():
        told = f"`{file}` is not there" if file else "`audit_anchors` names no file"
        typer.echo(f"Note: {told}: a chain made anew from some entry on cannot be told.", err=True)
        return []
    try:
        return list(anchors.read(file))
    except anchors.BadAnchors as error:
        refuse(Exit.FOUND, str(error))
    except OSError as error:
        refuse(Exit.MISUSED, f"`{file}` cannot be read: {error.strerror}.")


@takes("database_url", "zone")
def report(
    gathered: Gathered,
    *,
    client: Annotated[
        str | None, typer.Option(help="Of this client alone.", show_default=False)
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Of this person alone, such as Practitioner/123.", show_default=False),
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="About this patient alone: its id.", show_default=False)
    ] = None,
    since: Since = None,
    until: Until = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, for a program; no list is cut short.")
    ] = False,
) -> None:
    """Sum up what was told to whom: patients, types and fields, exports, refusals.

    It may be run beside a server.

    \b
    Examples:
      fhir-server audit report --client his-hau-giang --from 2026-11-01 --to 2026-11-30
      fhir-server audit report --patient 123 --json
    """
    from fhir_server.security.audit import reporting
    from fhir_server.store.upkeep import audit

    settings = gathered.settings
    options = {"client": client, "user": user, "patient": patient, "from": since, "to": until}
    asked = [f"{name}={value}" for name, value in options.items() if value]
    sought = sought_of(client, user, patient, (since, until), settings.zone_minutes)
    with reaching(settings), audit.trail(settings.database_url) as trail:
        with bar("Reading entries") as bars:
            task = bars.add_task("", total=None)
            found = reporting.report(
                trail.found(sought), lambda read: bars.update(task, completed=read)
            )
        names = trail.names(list(found.patients))
    with reaching(settings):  # before it is told: whom others have seen is told here, too
        note(settings, "audit-report", " ".join(asked))
    if as_json:
        typer.echo(json.dumps(told(found, names), ensure_ascii=False, indent=2))
    else:
        for line in lines(found, names):
            typer.echo(line)


def sought_of(
    client: str | None,
    user: str | None,
    patient: str | None,
    times: tuple[str | None, str | None],
    zone: int,
) -> Sought:
    from fhir_server.foundation.primitive import interval
    from fhir_server.security.audit import said
    from fhir_server.store.contract import Sought

    asked = ((client, said.of_client), (user, said.of_user), (patient, said.of_patient))
    subjects = tuple(number(name) for name, number in asked if name)
    try:
        since, until = (interval(text, zone) if text else None for text in times)
    except ValueError as error:
        refuse(Exit.MISUSED, f"`--from` and `--to` take dates such as 2026-11-01: {error}.")
    return Sought(subjects, since[0] if since else 0, until[1] if until else 1 << 62)


def told(found: Report, names: Mapping[int, Key]) -> dict[str, Any]:
    """The report for a program."""
    return {
        "entries": found.entries,
        "from": moment(found.first),
        "to": moment(found.last),
        "interactions": dict(found.interactions.most_common()),
        "refused": dict(found.refused.most_common()),
        "patients": {named(number, names): n for number, n in found.patients.most_common()},
        "types": dict(found.types.most_common()),
        "fields": [
            {"type": type, "fields": fields, "told": n}
            for (type, fields), n in found.fields.most_common()
        ],
        "exported": found.exported,
        "exports": [{"at": moment(at), "url": url} for at, url in found.exports],
        "purposes": dict(found.purposes.most_common()),
        "users": dict(found.users.most_common()),
        "addresses": dict(found.addresses.most_common()),
        "unreadable": found.unreadable,
    }


def lines(found: Report, names: Mapping[int, Key]) -> list[str]:
    """The report for a person."""
    if not found.entries:
        return ["Nothing was written down of that."]
    text = [f"{found.entries:,} entries, {moment(found.first)} to {moment(found.last)}"]
    text += listed("Interactions", found.interactions)
    text += listed("Refused", found.refused)
    of_each = Counter({f"{type}: {fields}": n for (type, fields), n in found.fields.items()})
    text += listed("Resources and fields told", of_each)
    patients = Counter({named(number, names): n for number, n in found.patients.items()})
    text += listed(f"Patients ({len(patients):,})", patients)
    text += listed("Exports", Counter(f"{moment(at)} {url}" for at, url in found.exports))
    text += listed("Purposes", found.purposes)
    text += listed("Persons", found.users)
    text += listed("From", found.addresses)
    if found.unreadable:
        text.append(f"{found.unreadable:,} entries cannot be read: run `fhir-server audit verify`.")
    return text


def listed(title: str, counted: Counter[str]) -> list[str]:
    if not counted:
        return []
    text = [f"{title}:", *(f"  {n:>9,}  {name}" for name, n in counted.most_common(SHOWN))]
    if len(counted) > SHOWN:
        text.append(f"  and {len(counted) - SHOWN:,} more: `--json` lists all.")
    return text


def named(number: int, names: Mapping[int, Key]) -> str:
    return str(names[number]) if number in names else f"a patient not stored here ({number})"


def moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


for command in (verify, report):
    app.command(command.__name__)(command)
