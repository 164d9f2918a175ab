"""terminology — the commands for large code systems: load, list, remove."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.settings import Gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_server.store.concepts import ConceptFile
    from fhir_server.terminology.release import Told

app = typer.Typer(
    help="Large code systems that may not be shipped: SNOMED CT, LOINC, ICD-10.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


Releases = Annotated[
    list[Path],
    typer.Argument(
        help="Releases: SNOMED CT RF2 (.zip or folder), LOINC (.zip or Loinc.csv), ICD-10"
        " (ClaML, or a table as .csv), a FHIR CodeSystem (.json).",
        show_default=False,
    ),
]
Version = Annotated[
    str | None,
    typer.Option(help="The version, where the files do not say it.", show_default=False),
]
System = Annotated[
    str | None,
    typer.Option(help="The URL of the code system, for ICD-10 and JSON.", show_default=False),
]
Since = Annotated[
    str | None,
    typer.Option(help="The first day it is in force, such as 2026-07-01.", show_default=False),
]
Until = Annotated[
    str | None, typer.Option(help="The first day it is no longer in force.", show_default=False)
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        help="Where a column of an ICD-10 table is, as in code=18; may be given several times.",
        show_default=False,
    ),
]


@takes("terminology_folder")
def load(
    gathered: Gathered,
    files: Releases,
    *,
    version: Version = None,
    system: System = None,
    since: Since = None,
    until: Until = None,
    column: Columns = None,
) -> None:
    """Make a file of each release, which a running server takes up within a second.

    The licences of these code systems are between you and their publishers; nothing of them comes
    with this program. A run that was broken off goes on where it was when it is run again
    with the same files. A version that is there already is replaced.

    \b
    Examples:
      fhir-server terminology load SnomedCT_InternationalRF2_PRODUCTION_20260101.zip
      fhir-server terminology load Loinc_2.81.zip
      fhir-server terminology load icd102019en.xml
      fhir-server terminology load tt06.csv --version 2026-07-01 --since 2026-07-01
    """
    from fhir_server.terminology.release import Told

    told = Told(system, version, day("since", since), day("until", until), columns(column or []))
    folder = Path(gathered.settings.terminology_folder)
    for file in files:
        load_one(file, folder, told)


def day(name: str, text: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text is not None else None
    except ValueError:
        refuse(Exit.MISUSED, f"`--{name}` is `{text}`; say a date such as 2026-07-01.")


def columns(told: list[str]) -> dict[str, int]:
    found = {}
    for each in told:
        key, _, place = each.partition("=")
        if not (place.isascii() and place.isdigit() and len(place) < 5):
            refuse(Exit.MISUSED, f"`--column {each}`: say a column and its place, as in code=18.")
        found[key] = int(place)
    return found


def load_one(file: Path, folder: Path, told: Told) -> None:
    from fhir_server.cli.records import bar
    from fhir_server.store.concepts import ConceptFile, Unwritable
    from fhir_server.terminology.release import BadRelease, release_of
    from fhir_server.terminology.release import load as load_release

    try:
        release = release_of(file, told)
        with bar(f"Loading {file.name}") as bars:
            task = bars.add_task("", total=max(release.meter.total, 1))

            def progress(part: str, done: int) -> None:
                bars.update(task, completed=release.meter.done, description=f"{part} {done:,}")

            made = load_release(release, folder, progress)
    except (BadRelease, Unwritable) as error:
        refuse(Exit.MISUSED, str(error))
    except OSError as error:
        refuse(Exit.MISUSED, f"`{folder}` cannot be written to: {error.strerror}.")
    found = ConceptFile(made)
    typer.echo(
        f"Loaded {found.about.name} {found.about.version}: {found.count:,} concepts, {made}."
    )
    found.close()


@takes("terminology_folder")
def list_(gathered: Gathered) -> None:
    """List the code systems that were loaded, and what is broken off or damaged."""
    folder = Path(gathered.settings.terminology_folder)
    found = 0
    for concepts in opened(folder):
        about = concepts.about
        said = f"{about.url}|{about.version}" if about.version else about.url
        days = [f"since {about.since}"] * (about.since is not None)
        days += [f"until {about.until}"] * (about.until is not None)
        told = f"{said}  {concepts.count:,} concepts"
        typer.echo("  ".join([told, *days, f"from {about.source}", concepts.file.name]))
        found += 1
    for file in sorted(folder.glob("*.concepts.part")):
        typer.echo(f"{file.name}: was broken off; load the same release again to go on.", err=True)
    if not found:
        typer.echo("No code system was loaded. `fhir-server terminology load FILE` loads one.")


def opened(folder: Path) -> Iterator[ConceptFile]:
    """The files of the folder that can be read; of others it is said that they cannot."""
    from fhir_server.store.concepts import SUFFIX, ConceptFile, Damaged

    for file in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            concepts = ConceptFile(file)
        except Damaged as damaged:
            typer.echo(str(damaged), err=True)
            continue
        yield concepts
        concepts.close()


@takes("terminology_folder")
def remove(
    gathered: Gathered,
    system: Annotated[
        str,
        typer.Argument(
            help="The code system, `url` or `url|version`, or the name of its file.",
            show_default=False,
        ),
    ],
) -> None:
    """Remove a loaded code system: all its versions, or the one that is named.

    A running server knows it no more within a second. Records keep their codes.

    \b
    Examples:
      fhir-server terminology remove "http://loinc.org|2.80"
      fhir-server terminology remove http://snomed.info/sct
    """
    folder = Path(gathered.settings.terminology_folder)
    url, _, version = system.partition("|")
    removed = [
        concepts.file
        for concepts in opened(folder)
        if system == concepts.file.name
        or (url == concepts.about.url and version in ("", concepts.about.version))
    ]
    part = folder / f"{system}.part"
    if "/" not in system and "\\" not in system and part.is_file():
        removed.append(part)
    if not removed:
        refuse(Exit.MISUSED, f"`{system}` was not loaded; `fhir-server terminology list` tells.")
    for file in removed:
        file.unlink(missing_ok=True)
        typer.echo(f"Removed {file.name}.")


for command, name in ((load, "load"), (list_, "list"), (remove, "remove")):
    app.command(name)(command)
