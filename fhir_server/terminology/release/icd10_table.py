"""icd10_table — ICD-10 as the Ministry of Health tables it (TT 06/2026/TT-BYT), saved as CSV.

https://hl7.org/fhir/R4/icd.html

The table has 29 columns. Where a column is called as it is called there, it is found by its name;
otherwise by its place, which `--column code=18` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fhir_server.foundation.folding import fold
from fhir_server.store.concepts import About, Row, Written
from fhir_server.terminology.release.source import (
    BadRelease,
    Files,
    Meter,
    Part,
    Release,
    with_commas,
)

URL = "http://hl7.org/fhir/sid/icd-10"
CODE = re.compile(r"[A-Z][0-9]{2}(?:\.[0-9A-Z]{1,4})?")
MARKS = {"†": "dagger", "+": "dagger", "*": "asterisk"}


@dataclass(frozen=True, slots=True)
class Column:
    """place: from 1; None: it must be found by its name. names: folded."""

    key: str
    place: int | None
    names: tuple[str, ...] = ()


COLUMNS = (
    Column("code", 18, ("ma benh", "ma icd", "ma icd 10", "code")),
    Column("display", None, ("ten benh", "ten tieng viet", "display")),
    Column("english", None, ("disease name", "ten tieng anh", "english")),
    Column("not-main", 24),  # never the main diagnosis
    Column("not-used", 26),  # never used: it only heads others
    Column("cause-of-death", 27),  # only a cause of death
    Column("sex-1", 28),  # a warning for one of the sexes
    Column("sex-2", 29),
)
FLAGS = ("not-main", "not-used", "cause-of-death", "sex-1", "sex-2")
MAX_COLUMNS = 200


def is_one(files: Files) -> bool:
    names = files.names()
    return len(names) == 1 and names[0].lower().endswith((".csv", ".csv.gz"))


def release(
    files: Files,
    *,
    version: str | None,
    system: str | None,
    columns: Mapping[str, int],
    meter: Meter,
) -> Release:
    """columns: the places of columns, from 1. Raises BadRelease."""
    if version is None:
        raise BadRelease("A table does not say its version. Say it, as in --version 2026-07-01.")
    known = {each.key for each in COLUMNS}
    for key, place in columns.items():
        if key not in known or not 1 <= place <= MAX_COLUMNS:
            listed = ", ".join(f"`{each.key}`" for each in COLUMNS)
            raise BadRelease(f"`{key}={place}` is no column. These are: {listed}; places from 1.")
    [name] = files.names()
    meter.total += files.size(name)
    said = ",".join(f"{key}={place}" for key, place in sorted(columns.items()))
    return Release(
        About(
            url=system or URL,
            version=version,
            name="ICD_10",
            source=files.path.name,
            language="vi",
            properties={**dict.fromkeys(FLAGS, "boolean"), "mark": "code"},
        ),
        f"{files.identity(name)}|{said}",
        (Part("codes", lambda: _rows(files, name, columns, meter)),),
        meter,
    )


def _rows(files: Files, name: str, columns: Mapping[str, int], meter: Meter) -> Iterator[Written]:
    places: dict[str, int] = {}
    rows = with_commas(files, name, meter)
    for number, cells in rows:
        if not places:
            if found := _places(cells, columns):
                places = found
                _demand(name, number, places)
            continue
        told = {key: cells[at] if at < len(cells) else "" for key, at in places.items()}
        yield _row(name, number, told)
    if not places:
        raise BadRelease(
            f"`{name}`: no row is the table's head, with a column `Mã bệnh` and one `Tên bệnh`. Say"
            " where they are, as in --column code=18 --column display=21."
        )


def _places(cells: list[str], columns: Mapping[str, int]) -> dict[str, int] | None:
    """Where the columns are, if this row is the table's head: what is said counts first, then
    the names, then the places of the circular."""
    named = {fold(cell): at for at, cell in reversed(list(enumerate(cells)))}
    found: dict[str, int] = {}
    for column in COLUMNS:
        at = columns.get(column.key)
        by_name = next((named[each] for each in column.names if each in named), None)
        if at is not None:
            found[column.key] = at - 1
        elif by_name is not None:
            found[column.key] = by_name
        elif column.place is not None and column.place <= len(cells):
            found[column.key] = column.place - 1
    by_names = any(each in named for column in COLUMNS[:2] for each in column.names)
    return found if by_names or "display" in columns else None


def _demand(name: str, number: int, places: Mapping[str, int]) -> None:
    for key in ("code", "display"):
        if key not in places:
            raise BadRelease(
                f"`{name}`, line {number}: no column is the {key}. Say which, as in"
                f" --column {key}=21."
            )


def _row(name: str, number: int, told: Mapping[str, str]) -> Written:
    written = told["code"]
    if not written:
        return None
    marks = [kind for mark, kind in MARKS.items() if written.endswith(mark)]
    code = written.rstrip("†+*").strip().replace("/", ".")  # U13/9 is a misprint of the circular
    if not CODE.fullmatch(code):
        raise BadRelease(f"`{name}`, line {number}: `{written[:40]}` is no code of ICD-10.")
    flags = {each: _is_marked(told.get(each, "")) for each in FLAGS}
    head = code.partition(".")[0]
    properties: list[tuple[str, object]] = [(each, True) for each, is_so in flags.items() if is_so]
    properties += [("mark", kind) for kind in marks]
    return Row(
        code,
        told["display"] or None,
        abstract=flags["not-used"],
        names=(("en", None, told["english"]),) if told.get("english") else (),
        properties=tuple(properties),
        parents=(head,) if head != code else (),
    )


def _is_marked(cell: str) -> bool:
    return fold(cell) not in ("", "0", "khong", "no", "false")
