"""files — where the code lists of `terminology/` lie, in a clone and in an installed wheel.

https://hl7.org/fhir/R4/terminology-module.html
"""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
PLACES = (PACKAGE / "terminology_files", PACKAGE.parent / "terminology")  # wheel, clone


@cache
def folder() -> Path:
    """The folder the code lists lie in."""
    for place in PLACES:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"The code lists are missing. Put `{PLACES[1]}` back.")


def rows(path: Path) -> tuple[dict[str, str], ...]:
    """The rows of a CSV file, each by its column names; every value is text."""
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(csv.DictReader(lines))


@cache
def code_list(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `vietnam/<name>.csv`."""
    return rows(folder() / "vietnam" / f"{name}.csv")


@cache
def identifier_systems() -> tuple[dict[str, Any], ...]:
    """`vietnam/identifier-systems.json`: key, name, system and the rule of each identifier."""
    found: list[dict[str, Any]] = json.loads(
        (folder() / "vietnam" / "identifier-systems.json").read_text(encoding="utf-8")
    )
    return tuple(found)
