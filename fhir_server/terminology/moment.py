"""moment — the days from which and until which something is in force.

https://hl7.org/fhir/R4/datatypes.html#Period
https://hl7.org/fhir/R4/codesystem-concept-properties.html
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

PERIOD = "http://hl7.org/fhir/StructureDefinition/resource-effectivePeriod"
DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T.*)?)?)?")
VIETNAM = dt.timezone(dt.timedelta(hours=7))


def today() -> dt.date:
    """The day it is in Viet Nam."""
    return dt.datetime.now(VIETNAM).date()


def first_day(text: Any) -> dt.date | None:
    """The first day a date or dateTime may mean: `2025-07` is 2025-07-01."""
    found = DATE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        return dt.date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
    except ValueError:
        return None


def day_after(text: Any) -> dt.date | None:
    """The first day after all that a date or dateTime may mean: `2025` ends before 2026-01-01."""
    begins = first_day(text)
    if begins is None or begins.year == dt.MAXYEAR:
        return None
    match str(text).partition("T")[0].count("-"):
        case 0:
            return dt.date(begins.year + 1, 1, 1)
        case 1:
            return (begins.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
        case _:
            return begins + dt.timedelta(days=1)


def effective(resource: dict[str, Any]) -> tuple[dt.date | None, dt.date | None]:
    """The days a definition is in force: since (inclusive) and until (exclusive)."""
    extensions = resource.get("extension")
    for extension in extensions if isinstance(extensions, list) else ():
        if isinstance(extension, dict) and extension.get("url") == PERIOD:
            period = extension.get("valuePeriod")
            if isinstance(period, dict):
                return first_day(period.get("start")), day_after(period.get("end"))
    return None, None
