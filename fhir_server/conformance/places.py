"""places — where the deployment's own definitions lie, in a clone and in an installed wheel.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FOLDERS = ("profiles", "terminology")


@cache
def folder(name: str) -> Path:
    """The folder `profiles` or `terminology`. Raises FileNotFoundError."""
    places = (PACKAGE / f"{name}_files", PACKAGE.parent / name)  # wheel, clone
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(f"The folder `{name}` is missing. Put `{places[1]}` back.")
