"""choose — which kind of release a file is, and what it says with what a person says of it.

https://hl7.org/fhir/R4/terminologies-systems.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fhir_server.terminology.release import claml, icd10_table, loinc, resource, snomed
from fhir_server.terminology.release.source import BadRelease, Files, Meter, Release, files_of


@dataclass(frozen=True, slots=True)
class Told:
    """What a person says of a release, where its files do not."""

    system: str | None = None
    version: str | None = None
    since: dt.date | None = None
    until: dt.date | None = None
    columns: Mapping[str, int] = field(default_factory=dict)


def release_of(path: Path, told: Told) -> Release:
    """Raises BadRelease where the file is none that is known, or cannot be read."""
    files = files_of(path)
    release = _release(files, told)
    about = release.about
    since, until = told.since or about.since, told.until or about.until
    if since and until and since >= until:
        raise BadRelease("The day it is in force until must be after the day it is since.")
    return replace(release, about=replace(about, since=since, until=until))


def _release(files: Files, told: Told) -> Release:
    version, system, meter = told.version, told.system, Meter()
    if snomed.is_one(files):
        return snomed.release(files, version=version, meter=meter)
    if loinc.is_one(files):
        return loinc.release(files, version=version, meter=meter)
    if resource.is_one(files):
        return resource.release(files, version=version, system=system, meter=meter)
    if icd10_table.is_one(files):
        return icd10_table.release(
            files, version=version, system=system, columns=told.columns, meter=meter
        )
    if claml.is_one(files):
        return claml.release(files, version=version, system=system, meter=meter)
    raise BadRelease(
        f"`{files.path}` is no release that is known: SNOMED CT (RF2, a zip or its folder), LOINC"
        " (the zip, or Loinc.csv), ICD-10 (ClaML, or a table as CSV), or a FHIR CodeSystem in JSON."
    )
