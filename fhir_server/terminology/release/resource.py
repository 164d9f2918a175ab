"""resource — a code system from a FHIR CodeSystem in JSON.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from fhir_server.foundation.outcome import FhirError
from fhir_server.foundation.wire import parse
from fhir_server.store.concepts import About, Row, Written
from fhir_server.terminology.code_system import ListedSystem
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.release.source import BadRelease, Files, Meter, Part, Release, whole


def is_one(files: Files) -> bool:
    names = files.names()
    return len(names) == 1 and names[0].lower().endswith((".json", ".json.gz"))


def release(files: Files, *, version: str | None, system: str | None, meter: Meter) -> Release:
    """Raises BadRelease where the file holds no CodeSystem with concepts."""
    [name] = files.names()
    meter.total += files.size(name)
    try:
        resource = parse(whole(files, name, meter))
    except FhirError as refusal:
        raise BadRelease(f"`{name}`: {refusal}") from refusal
    if resource["resourceType"] != "CodeSystem" or not isinstance(resource.get("url"), str):
        raise BadRelease(f"`{name}` is not a CodeSystem with a `url`.")
    resource |= {"url": system or resource["url"], "version": version or resource.get("version")}
    if resource.get("caseSensitive") is False:
        raise BadRelease(
            f"`{name}`: case does not count in this code system. Store it as a resource instead."
        )
    listed = ListedSystem(resource)
    properties = {
        code: kind
        for each in resource.get("property", ())
        if isinstance(each, dict)
        and isinstance(code := each.get("code"), str)
        and isinstance(kind := each.get("type", "string"), str)
    }
    about = About(
        url=listed.url,
        version=listed.version,
        name=listed.name,
        source=files.path.name,
        complete=listed.lacks(""),
        is_a=listed.is_a,
        language=listed.language,
        since=listed.since,
        until=listed.until,
        properties=properties,
    )
    rows = Part("concepts", lambda: _rows(listed))
    return Release(about, files.identity(name), (rows,), meter)


def _rows(listed: ListedSystem) -> Iterator[Written]:
    for code in listed.codes():
        concept = listed.find(code)
        yield _row(concept, tuple(listed.parents(code))) if concept is not None else None


def _row(concept: Concept, parents: tuple[str, ...]) -> Row:
    return Row(
        concept.code,
        concept.display,
        definition=concept.definition,
        abstract=concept.abstract,
        inactive=concept.inactive,
        since=concept.since.isoformat() if concept.since else None,
        until=concept.until.isoformat() if concept.until else None,
        names=tuple(each for each in concept.designations if each[2] != concept.display),
        properties=tuple((name, _plain(value)) for name, value in concept.properties),
        parents=parents,
    )


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
