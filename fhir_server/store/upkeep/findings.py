"""findings — what is told of a database by those who look after it.

https://hl7.org/fhir/R4/http.html#versioning
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from enum import Enum


class BadBackup(Exception):
    """A backup that cannot be what was backed up. Its message says what is wrong."""


class Grade(Enum):
    """How a finding is to be taken."""

    GOOD = "good"
    NOTE = "note"
    UNSAFE = "unsafe"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at, what was found, and, where it is not good, what to do."""

    about: str
    found: str
    grade: Grade = Grade.GOOD
    advice: str = ""


def shown(url: str) -> str:
    """A URL without its password."""
    without = re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&]password=)[^&]*", r"\1***", without)


def compare(
    about: str, found: object, *, good: tuple[object, ...], why: str, advice: str
) -> Finding:
    """A finding on a setting of the database that keeps what was acknowledged."""
    if found in good:
        return Finding(about, str(found))
    return Finding(about, f"{found}: {why}", Grade.UNSAFE, advice)


def clock(theirs: float) -> Finding:
    """Whether the database's clock and this machine's agree; meta.lastUpdated comes from them."""
    apart = abs(theirs - time.time())
    if apart < 2:
        return Finding("clock", "the database's and this machine's agree")
    return Finding(
        "clock",
        f"the database's and this machine's are {apart:.0f} seconds apart",
        Grade.UNSAFE,
        "Keep both right, with chrony or systemd-timesyncd.",
    )


def disk(free: int, total: int) -> Finding:
    """Whether there is room for what comes."""
    told = f"{free / 2**30:.1f} GiB of {total / 2**30:.1f} GiB are free"
    if free < 2**30:
        return Finding("disk", told, Grade.UNSAFE, "Make room: a full disk refuses every write.")
    if free < total // 10:
        return Finding("disk", told, Grade.NOTE, "Make room soon.")
    return Finding("disk", told)
