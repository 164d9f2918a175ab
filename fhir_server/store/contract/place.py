"""place — where a row stands in the one total order of all that was written.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A row's place in the change log."""

    seq: int
    num: int = 0
