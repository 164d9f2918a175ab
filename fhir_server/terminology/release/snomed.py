"""snomed — SNOMED CT from the snapshot of an RF2 release.

https://hl7.org/fhir/R4/snomedct.html

Taken are the concepts, their descriptions and the relation is-a. A display is the fully specified
name without its tag; reference sets and other relations are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from fhir_server.store.concepts import About, Name, Parent, Row, Written
from fhir_server.terminology.release.source import (
    BadRelease,
    Files,
    Line,
    Meter,
    Part,
    Release,
    tabbed,
)

URL = "http://snomed.info/sct"
# RF2 3.3.2:  [x]sct2_[content]_Snapshot[-language]_[edition]_[date].txt
FILE = (
    r"(?:^|/)x?sct2_{}_Snapshot(?:-[a-zA-Z-]+)?"
    r"_(?P<edition>[A-Za-z0-9]+)_(?P<date>[0-9]{{8}})[.]txt$"
)
CONCEPT = re.compile(FILE.format("Concept"))
DESCRIPTION = re.compile(FILE.format("Description"))
RELATIONSHIP = re.compile(FILE.format("Relationship"))
INTERNATIONAL = "900000000000207008"
IS_A = "116680003"
FULLY_SPECIFIED = "900000000000003001"
PRIMITIVE = "900000000000074008"
TAG = re.compile(r"\s*\([^()]*\)$")
CODE = re.compile(r"[1-9][0-9]{5,17}")


def is_one(files: Files) -> bool:
    return any(CONCEPT.search(name) for name in files.names())


def release(files: Files, *, version: str | None, meter: Meter) -> Release:
    """Raises BadRelease where a file is missing, or the edition cannot be told."""
    concepts, descriptions, relationships = (
        [name for name in sorted(files.names()) if kind.search(name)]
        for kind in (CONCEPT, DESCRIPTION, RELATIONSHIP)
    )
    if not descriptions or not relationships:
        raise BadRelease(
            f"`{files.path}` has no snapshot of the descriptions and relationships of SNOMED CT."
        )
    used = [*concepts, *descriptions, *relationships]
    meter.total += sum(files.size(name) for name in used)
    return Release(
        About(
            url=URL,
            version=version or _version(files, concepts[0]),
            name="SNOMED_CT",
            source=files.path.name,
            pattern=CODE.pattern,
            properties={"sufficientlyDefined": "boolean", "effectiveTime": "string"},
        ),
        "|".join(files.identity(name) for name in used),
        (
            *(Part(f"concepts {n}", partial(_concepts, files, n, meter)) for n in concepts),
            *(Part(f"names {n}", partial(_names, files, n, meter)) for n in descriptions),
            *(Part(f"is-a {n}", partial(_parents, files, n, meter)) for n in relationships),
        ),
        meter,
    )


def _version(files: Files, name: str) -> str:
    found = CONCEPT.search(name)
    if found is None or found["edition"] != "INT":
        raise BadRelease(
            f"`{files.path}` is not of the international edition. Say which it is:"
            f" --version {URL}/[module]/version/[date]."
        )
    return f"{URL}/{INTERNATIONAL}/version/{found['date']}"


def _code(line: Line, column: str) -> str:
    if not CODE.fullmatch(line[column]):
        raise line.bad(f"`{column}` is `{line[column][:40]}`, which is no SNOMED CT identifier.")
    return line[column]


def _concepts(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    needed = ("id", "effectiveTime", "active", "definitionStatusId")
    for line in tabbed(files, name, meter, needed):
        yield Row(
            _code(line, "id"),
            inactive=line["active"] != "1",
            properties=(
                ("sufficientlyDefined", line["definitionStatusId"] != PRIMITIVE),
                ("effectiveTime", line["effectiveTime"]),
            ),
        )


def _names(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    needed = ("conceptId", "active", "languageCode", "typeId", "term")
    for line in tabbed(files, name, meter, needed):
        if line["active"] != "1":
            yield None
            continue
        specified = line["typeId"] == FULLY_SPECIFIED
        yield Name(
            _code(line, "conceptId"),
            line["languageCode"] or None,
            line["typeId"],
            line["term"],
            display=TAG.sub("", line["term"]) if specified else None,
        )


def _parents(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    needed = ("sourceId", "destinationId", "typeId", "active")
    for line in tabbed(files, name, meter, needed):
        if line["active"] == "1" and line["typeId"] == IS_A:
            yield Parent(_code(line, "sourceId"), _code(line, "destinationId"))
        else:
            yield None
