"""layout — the tables of a file of concepts, and what it says of itself.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

SUFFIX = ".concepts"
UNFINISHED = ".part"  # after the name of a file that is not whole yet
FORMAT = 1

# `number` is the order of the release. `word` are the folded words of all names, for filters;
# `above` is every pair of the hierarchy, at whatever distance.
TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE concept (
    number INTEGER PRIMARY KEY,
    code TEXT NOT NULL UNIQUE,
    display TEXT,
    definition TEXT,
    flags INTEGER NOT NULL,
    since TEXT,
    until TEXT
);
CREATE TABLE name (
    number INTEGER NOT NULL,
    place INTEGER NOT NULL,
    language TEXT,
    use TEXT,
    value TEXT NOT NULL,
    PRIMARY KEY (number, place)
) WITHOUT ROWID;
CREATE TABLE property (
    number INTEGER NOT NULL,
    place INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (number, place)
) WITHOUT ROWID;
CREATE TABLE link (child TEXT NOT NULL, parent TEXT NOT NULL, PRIMARY KEY (child, parent))
WITHOUT ROWID;
"""
# Made once all rows are in, each from what is there
FINISH = (
    (
        "parents",
        "CREATE TABLE parent (child INTEGER, parent INTEGER, PRIMARY KEY (child, parent))"
        " WITHOUT ROWID",
        "INSERT INTO parent SELECT c.number, p.number FROM link"
        " JOIN concept c ON c.code = link.child JOIN concept p ON p.code = link.parent"
        " WHERE c.number <> p.number ORDER BY 1, 2",
    ),
    (
        "children",
        "CREATE TABLE child (parent INTEGER, child INTEGER, PRIMARY KEY (parent, child))"
        " WITHOUT ROWID",
        "INSERT INTO child SELECT parent, child FROM parent ORDER BY 1, 2",
    ),
    (
        "properties",
        "CREATE TABLE told (name TEXT, value TEXT, number INTEGER,"
        " PRIMARY KEY (name, value, number)) WITHOUT ROWID",
        "INSERT OR IGNORE INTO told SELECT name, CASE WHEN json_type(value) IN ('true', 'false')"
        " THEN json_type(value) ELSE CAST(json_extract(value, '$') AS TEXT) END, number"
        " FROM property WHERE json_type(value) <> 'object' ORDER BY 1, 2, 3",
    ),
)
ABOVE = (
    "CREATE TABLE above (ancestor INTEGER, descendant INTEGER,"
    " PRIMARY KEY (ancestor, descendant)) WITHOUT ROWID"
)
WORD = "CREATE TABLE word (word TEXT, number INTEGER, PRIMARY KEY (word, number)) WITHOUT ROWID"

ABSTRACT, INACTIVE = 1, 2  # of concept.flags


class Damaged(Exception):
    """A file that is no file of concepts, or of another layout."""


class Unwritable(Exception):
    """A file that cannot be written: no space, or another run writes it."""


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of its system.

    complete: a code that is not in it is none; where codes of other kinds exist (parts of LOINC,
    expressions of SNOMED CT), only those of the pattern. is_a: its hierarchy tells subsumption.
    """

    url: str
    version: str | None
    name: str
    source: str  # the release file it was made from
    complete: bool = True
    pattern: str | None = None
    is_a: bool = True
    language: str | None = None  # of the displays
    since: dt.date | None = None
    until: dt.date | None = None
    properties: dict[str, str] = field(default_factory=dict)  # their codes and types

    def as_text(self) -> str:
        told = {each: getattr(self, each) for each in self.__slots__}
        told |= {"since": day_text(self.since), "until": day_text(self.until)}
        return json.dumps(told, ensure_ascii=False, sort_keys=True)

    @classmethod
    def of_text(cls, text: str) -> About:
        told: dict[str, Any] = json.loads(text)
        told |= {"since": day(told["since"]), "until": day(told["until"])}
        return cls(**told)


def day(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def day_text(value: dt.date | None) -> str | None:
    return value.isoformat() if value is not None else None


def file_name(url: str, version: str | None) -> str:
    """A name people can read, and that no other version of a system has."""
    canonical = f"{url}|{version or ''}"
    said = version if version and version.startswith(url) else canonical  # SNOMED CT's say both
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", said.partition("//")[2] or said)
    told = readable.strip("-.")[:80].lower()
    return f"{told}-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}{SUFFIX}"
