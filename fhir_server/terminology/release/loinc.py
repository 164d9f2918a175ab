"""loinc — LOINC from its release zip, or from Loinc.csv alone.

https://hl7.org/fhir/R4/loinc.html

Taken are the terms with their parts as properties, the component hierarchy and the answers where
the release has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from fhir_server.store.concepts import About, Parent, Row, Written
from fhir_server.terminology.release.source import (
    BadRelease,
    Files,
    Meter,
    Part,
    Release,
    by_column,
)

URL = "http://loinc.org"
TERMS = re.compile(r"(?:^|/)Loinc\.csv$")
HIERARCHY = re.compile(r"(?:^|/)(?:ComponentHierarchyBySystem|MultiAxialHierarchy)\.csv$")
ANSWERS = re.compile(r"(?:^|/)AnswerList\.csv$")
VERSION = re.compile(r"Loinc_(\d+\.\d+)", re.IGNORECASE)
CODE = re.compile(r"[0-9]{1,8}-[0-9]")
# R4 loinc#properties
PROPERTIES = (
    "COMPONENT",
    "PROPERTY",
    "TIME_ASPCT",
    "SYSTEM",
    "SCALE_TYP",
    "METHOD_TYP",
    "CLASS",
    "CLASSTYPE",
    "ORDER_OBS",
    "STATUS",
)
NEEDED = ("LOINC_NUM", "LONG_COMMON_NAME", "STATUS")


def is_one(files: Files) -> bool:
    return any(TERMS.search(name) for name in files.names())


def release(files: Files, *, version: str | None, meter: Meter) -> Release:
    """Raises BadRelease where its version cannot be told."""
    said = VERSION.search(files.path.name)
    version = version or (said[1] if said else None)
    if version is None:
        raise BadRelease(
            f"The version of `{files.path}` is not in its name. Say it, as in --version 2.78."
        )
    parts = []
    used = []
    for kind, title, rows in (
        (TERMS, "terms", _terms),
        (HIERARCHY, "hierarchy", _hierarchy),
        (ANSWERS, "answers", _answers),
    ):
        names = sorted((name for name in files.names() if kind.search(name)), key=len)[:1]
        used += names
        parts += [Part(title, partial(rows, files, name, meter)) for name in names]
    meter.total += sum(files.size(name) for name in used)
    return Release(
        About(
            url=URL,
            version=version,
            name="LOINC",
            source=files.path.name,
            pattern=CODE.pattern,
            language="en",
            properties=dict.fromkeys(PROPERTIES, "string"),
        ),
        "|".join(files.identity(name) for name in used),
        tuple(parts),
        meter,
    )


def _terms(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    for line in by_column(files, name, meter, NEEDED):
        code = line["LOINC_NUM"]
        if not CODE.fullmatch(code):
            raise line.bad(f"`LOINC_NUM` is `{code[:40]}`, which is no LOINC code.")
        names = (line[each] for each in ("SHORTNAME", "CONSUMER_NAME", "DisplayName"))
        yield Row(
            code,
            line["LONG_COMMON_NAME"] or line["COMPONENT"],
            definition=line["DefinitionDescription"] or None,
            inactive=line["STATUS"] == "DEPRECATED",
            names=tuple(("en", None, each) for each in dict.fromkeys(names) if each),
            properties=tuple((each, line[each]) for each in PROPERTIES if line[each]),
        )


def _hierarchy(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    """Parts group terms; those that group nothing are not here."""
    for line in by_column(files, name, meter, ("IMMEDIATE_PARENT", "CODE", "CODE_TEXT")):
        if not line["CODE"]:
            raise line.bad("`CODE` is empty.")
        if CODE.fullmatch(line["CODE"]):
            yield Parent(line["CODE"], line["IMMEDIATE_PARENT"])
        else:
            parents = (line["IMMEDIATE_PARENT"],) if line["IMMEDIATE_PARENT"] else ()
            yield Row(line["CODE"], line["CODE_TEXT"], abstract=True, parents=parents)
            for parent in parents:
                yield Parent(line["CODE"], parent)


def _answers(files: Files, name: str, meter: Meter) -> Iterator[Written]:
    for line in by_column(files, name, meter, ("AnswerStringId", "DisplayText")):
        yield Row(line["AnswerStringId"], line["DisplayText"]) if line["AnswerStringId"] else None
