"""validate — files of resources against R4 and the profiles, where no server and no store is.

https://hl7.org/fhir/R4/validation.html
https://hl7.org/fhir/R4/nd-json.html

One resource is in memory at a time: a line of NDJSON, or a file that is one resource or Bundle.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from fhir_server.conformance.xml import from_xml
from fhir_server.exchange.load import LONGEST, lines, one
from fhir_server.foundation import position, wire
from fhir_server.foundation.outcome import FhirError, Issue, TooLarge
from fhir_server.foundation.resource import Resource
from fhir_server.validation.policy import FACILITY, Policy
from fhir_server.validation.validator import Validator

NDJSON, JSON, XML = (".ndjson", ".jsonl"), (".json",), (".xml",)
ERRORS = ("fatal", "error")
UNREADABLE = "unreadable"  # the rule of what could not be read as a resource at all
Progress = Callable[[int], None]  # bytes read of all files, as they lie


class Text(NamedTuple):
    """One resource as it is written: its file, its line where the file has many, its bytes."""

    file: Path
    line: int | None
    body: bytes
    kind: str  # json | xml


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found in one resource."""

    file: Path
    line: int | None
    resource: Resource | None  # None: it could not be read
    facility: str | None
    issues: tuple[Issue, ...]

    @property
    def errors(self) -> int:
        return sum(issue.severity in ERRORS for issue in self.issues)

    @property
    def warnings(self) -> int:
        return sum(issue.severity == "warning" for issue in self.issues)


@dataclass(frozen=True, slots=True)
class How:
    """profiles: what each resource must meet beside what it claims and the policy asks of it."""

    validator: Validator
    policy: Policy
    profiles: Sequence[str] = ()
    thorough: bool = False


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files meant: of a folder those that are written as resources are, however deep."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.is_file() and _kind(file))
        else:
            found.append(path)
    return found


def judged(files: Sequence[Path], how: How, progress: Progress) -> Iterator[Judged]:
    """Each resource of the files, in their order."""
    before = 0
    for file in files:
        with file.open("rb") as opened:
            for text in texts(file, opened):
                yield _read(text, how) if isinstance(text, Text) else text
                progress(before + opened.tell())
            before += opened.seek(0, 2)
            progress(before)


def _kind(file: Path) -> str | None:
    name = file.name.removesuffix(".gz").lower()
    if name.endswith((*NDJSON, *JSON)):
        return "json"
    return "xml" if name.endswith(XML) else None


def texts(file: Path, opened: BinaryIO) -> Iterator[Text | Judged]:
    """The resources of a file as they are written; what of it cannot be read, as an issue."""
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=opened)) if file.suffix == ".gz" else opened
    many = file.name.removesuffix(".gz").lower().endswith(NDJSON)
    try:
        for number, body in lines(plain) if many else one(plain):
            yield Text(file, number or None, body, _kind(file) or "json")
    except (OSError, EOFError, zlib.error) as error:
        told = f"The file is not whole: {error}."
        also = f"Tệp không đầy đủ: {error}."
        issue = Issue("fatal", "incomplete", told, None, UNREADABLE, vietnamese=also)
        yield Judged(file, None, None, None, (issue,))


def _read(text: Text, how: How) -> Judged:
    try:
        if len(text.body) > LONGEST:
            raise TooLarge(f"This is longer than {LONGEST:,} bytes: send it in parts.")
        if text.kind == "xml":
            resource = from_xml(how.validator.definitions, text.body)
        else:
            resource = wire.parse(text.body)
    except FhirError as refusal:
        unread = [replace(issue, severity="fatal", rule=UNREADABLE) for issue in refusal.issues]
        return Judged(text.file, text.line, None, None, _at_line(unread, text.line))
    issues = how.validator.check(resource, profiles=how.profiles, thorough=how.thorough)
    if issues:
        issues = position.located(issues, text.body, text.kind)
    facility = facility_of(resource, how.policy)
    return Judged(text.file, text.line, resource, facility, _at_line(issues, text.line))


def _at_line(issues: Sequence[Issue], line: int | None) -> tuple[Issue, ...]:
    """A line of NDJSON is the line of whatever stands in it."""
    if line is None:
        return tuple(issues)
    return tuple(replace(issue, line=line) for issue in issues)


# --- whose it is ---------------------------------------------------------------------------------


def facility_of(resource: Resource, policy: Policy) -> str | None:
    """The code of its facility, else how it refers to it; of a Bundle, the first that is told."""
    if resource.get("resourceType") == "Bundle":
        entries = resource.get("entry")
        within = [each.get("resource") for each in _objects(entries)]
        found = (_facility(each, policy) for each in _objects(within))
        return next((each for each in found if each), None)
    return _facility(resource, policy)


def _facility(resource: Resource, policy: Policy) -> str | None:
    if code := policy.facility(resource):
        return code
    type = resource.get("resourceType")
    for element in FACILITY.get(type, ()) if isinstance(type, str) else ():
        told = resource.get(element)
        reference = told.get("reference") if isinstance(told, dict) else None
        if isinstance(reference, str) and reference:
            return reference
    return None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


# --- what it comes to ----------------------------------------------------------------------------

MOST_FACILITIES = 10_000  # counted apart; the memory of a summary has an end, too
OTHERS = "…"


@dataclass(slots=True)
class Tally:
    """Resources: how many, how many with errors, how many with warnings and no error."""

    resources: int = 0
    wrong: int = 0
    warned: int = 0

    def add(self, one: Judged) -> None:
        self.resources += 1
        if one.errors:
            self.wrong += 1
        elif one.warnings:
            self.warned += 1


@dataclass(slots=True)
class Summary:
    """What was found in all."""

    everything: Tally = field(default_factory=Tally)
    facilities: dict[str | None, Tally] = field(default_factory=dict)
    issues: Counter[tuple[str, str]] = field(default_factory=Counter)  # by severity and rule
    resources: Counter[tuple[str, str]] = field(default_factory=Counter)  # that have such an issue

    def add(self, one: Judged) -> None:
        self.everything.add(one)
        known = one.facility in self.facilities or len(self.facilities) < MOST_FACILITIES
        self.facilities.setdefault(one.facility if known else OTHERS, Tally()).add(one)
        found = Counter((issue.severity, issue.rule or issue.code) for issue in one.issues)
        self.issues += found
        self.resources.update(found.keys())
