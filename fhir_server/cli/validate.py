"""validate — the command that checks files of resources; it needs no server and no database."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_server.cli.exits import Exit, refuse
from fhir_server.cli.options import takes
from fhir_server.cli.records import bar
from fhir_server.settings import Gathered, Settings

if TYPE_CHECKING:
    from fhir_server.exchange.validate import How, Judged, Summary, Tally
    from fhir_server.foundation.outcome import Issue

SHOWN_FACILITIES = 50
FILE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-file"


class Language(Enum):
    """In which language issues are told."""

    ENGLISH = "en"
    VIETNAMESE = "vi"


class Form(Enum):
    """How issues are written."""

    TEXT = "text"
    JSON = "json"


Files = Annotated[
    list[Path],
    typer.Argument(
        help="NDJSON (.ndjson), single resources or Bundles (.json, .xml), also with .gz; or"
        " folders of such.",
        show_default=False,
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        help="The URL of a profile that every resource must meet, beside those it claims and those"
        " of policy.toml. May be said more than once.",
        metavar="URL",
        show_default=False,
    ),
]
In = Annotated[
    Language | None,
    typer.Option(help="Tell issues in one language; otherwise in both.", show_default=False),
]
As = Annotated[Form, typer.Option(help="Issues as lines of text, or OperationOutcomes as NDJSON.")]
Facility = Annotated[
    str | None,
    typer.Option(
        help="Only the resources of this facility: its code, or a reference to it.",
        metavar="CODE",
        show_default=False,
    ),
]
Limit = Annotated[
    int, typer.Option(min=0, help="The issues of how many resources are shown; 0: of all.")
]
Thorough = Annotated[
    bool,
    typer.Option(
        "--thorough", help="Also tell what is good practice or only worth knowing. Slower."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only the summary, no issues.")]


@takes("profiles", "zone", "reference_targets")
def validate(  # noqa: PLR0913 - the options of a command
    gathered: Gathered,
    files: Files,
    *,
    profile: Profiles = None,
    language: In = None,
    format: As = Form.TEXT,
    facility: Facility = None,
    limit: Limit = 100,
    thorough: Thorough = False,
    quiet: Quiet = False,
) -> None:
    """Check files of resources as the server would on taking them in. Nothing is stored.

    No server and no database are needed: R4, the folder of profiles and that of terminology are
    all it reads. Each issue is told with its file, line and column, the rule that was broken, the
    element, and what to do. At the end a table tells how often each rule was broken, and how each
    facility fares.

    Ends with status 0 where no resource has an error, 1 where one has, 2 where nothing could be
    checked. Warnings do not change the status.

    \b
    Examples:
      fhir-server validate visit.json
      fhir-server validate ./upload --language vi
      fhir-server validate Patient.ndjson.gz --quiet
      fhir-server validate patient.xml --thorough \\
          --profile http://hl7.org/fhir/StructureDefinition/Patient
      fhir-server validate *.ndjson --format json --limit 0 > issues.ndjson
      fhir-server validate old.json --profiles off       # R4 alone
    """
    from fhir_server.exchange.validate import Summary, files_of

    found = demand_files(files_of(files), files)
    how = checking(gathered.settings, profile or [], thorough=thorough)
    summary, shown = Summary(), 0
    for one in those(found, how, facility):
        summary.add(one)
        if one.issues and not quiet and (shown < limit or not limit):
            show(one, format, language.value if language else None)
            shown += 1
            if shown == limit:
                typer.echo(f"Further issues are counted, not shown (--limit {limit}).", err=True)
    tell(summary, err=format is Form.JSON)
    if summary.everything.wrong:
        sys.exit(Exit.FOUND)


def demand_files(found: list[Path], asked: list[Path]) -> list[Path]:
    for file in found:
        if not file.is_file():
            refuse(Exit.MISUSED, f"There is no file or folder `{file}`.")
    if not found:
        named = ", ".join(f"`{path}`" for path in asked)
        refuse(Exit.MISUSED, f"There is no .ndjson, .json or .xml file in {named}.")
    return found


def checking(settings: Settings, profiles: list[str], *, thorough: bool) -> How:
    from fhir_server.conformance import definitions
    from fhir_server.exchange.validate import How
    from fhir_server.server import knowledge_of, policy_of
    from fhir_server.validation.policy import BadPolicy, Policy

    try:
        known = knowledge_of(settings, definitions.load()).current
        policy = policy_of(settings) or Policy()
    except BadPolicy as error:
        refuse(Exit.MISUSED, str(error))
    for url in profiles:
        if known.canonicals.entry(url, "StructureDefinition") is None:
            refuse(
                Exit.MISUSED,
                f"The profile `{url}` is not known. It must be of R4, or in the folder of profiles"
                " (`--profiles FOLDER`).",
            )
    return How(known.validator, policy, tuple(profiles), thorough=thorough)


def those(files: list[Path], how: How, facility: str | None) -> Iterator[Judged]:
    from fhir_server.exchange.validate import judged

    with bar("Checking") as bars:
        task = bars.add_task("", total=sum(file.stat().st_size for file in files))
        for one in judged(files, how, lambda done: bars.update(task, completed=done)):
            if facility is None or one.facility == facility:
                yield one


# --- telling -------------------------------------------------------------------------------------


def show(one: Judged, format: Form, language: str | None) -> None:
    if format is Form.JSON:
        from fhir_server.foundation.outcome import operation_outcome
        from fhir_server.foundation.wire import render

        outcome = operation_outcome(one.issues, language)
        where = {"url": FILE, "valueString": place(one)}
        typer.echo(render({"resourceType": "OperationOutcome", "extension": [where], **outcome}))
        return
    for issue in one.issues:
        typer.echo(line(one, issue, language))


def place(one: Judged) -> str:
    return f"{one.file}:{one.line}" if one.line else str(one.file)


def line(one: Judged, issue: Issue, language: str | None) -> str:
    """`file:line:column: severity rule element: sentence`, as compilers tell it."""
    at = f":{issue.line}" if issue.line else ""
    at += f":{issue.column}" if issue.line and issue.column else ""
    rule = issue.rule or issue.code
    where = f" {issue.expression}" if issue.expression else ""
    told = issue.vietnamese if language == "vi" and issue.vietnamese else issue.diagnostics
    profile = f" [{issue.profile}]" if issue.profile else ""
    text = f"{one.file}{at}: {issue.severity} {rule}{where}: {told}{profile}"
    if language is None and issue.vietnamese:
        text += f"\n    {issue.vietnamese}"
    return text


def tell(summary: Summary, *, err: bool) -> None:
    """The tables by rule and by facility, and one sentence."""
    if summary.issues:
        rules = sorted(summary.issues.items(), key=lambda item: (RANK[item[0][0]], -item[1]))
        counted = [
            (severity, rule, f"{count:,}", f"{summary.resources[severity, rule]:,}")
            for (severity, rule), count in rules
        ]
        typer.echo(table(("severity", "rule", "issues", "resources"), counted), err=err)
    if rows := facilities(summary):
        typer.echo(table(("facility", "resources", *COUNTED), rows), err=err)
    all = summary.everything
    typer.echo(
        f"{all.resources:,} resources: {all.wrong:,} with errors, {all.warned:,} with warnings"
        f" alone, {all.resources - all.wrong - all.warned:,} without either.",
        err=err,
    )


RANK = {"fatal": 0, "error": 1, "warning": 2, "information": 3}
COUNTED = ("with errors", "share", "with warnings alone")


def facilities(summary: Summary) -> list[tuple[str, ...]]:
    """Those something was found of, the one with the most errors first."""

    def worst(item: tuple[str | None, Tally]) -> tuple[int, str]:
        return -item[1].wrong, item[0] or ""

    found = [item for item in summary.facilities.items() if item[1].wrong or item[1].warned]
    rows: list[tuple[str, ...]] = [
        (
            name or "(not told)",
            f"{tally.resources:,}",
            f"{tally.wrong:,}",
            f"{tally.wrong / tally.resources:.1%}",
            f"{tally.warned:,}",
        )
        for name, tally in sorted(found, key=worst)
    ]
    more = len(rows) - SHOWN_FACILITIES
    if more > 0:
        return [*rows[:SHOWN_FACILITIES], (f"({more:,} more)", "", "", "", "")]
    return rows


def table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns beside one another: words to the left, numbers to the right."""
    widths = [max(len(row[n]) for row in [names, *rows]) for n in range(len(names))]
    words = names.index("resources") - (1 if "issues" in names else 0)

    def aligned(row: tuple[str, ...]) -> str:
        cells = [
            cell.ljust(width) if n < words else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n" + "\n".join([aligned(names), *map(aligned, rows)]) + "\n"
