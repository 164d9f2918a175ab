"""rendered — a statement as it is given to a database.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Rendered(NamedTuple):
    """SQL and the values bound to its marks, in order.

    prepare: whether one plan serves all values; a range's best plan depends on what it holds.
    """

    text: str
    values: tuple[Any, ...]
    prepare: bool = True
