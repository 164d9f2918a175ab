"""parameters — a row of the table of parameters that are not R4's own.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.store.contract.parameter import Declared, Parameterised, Reached

COLUMNS = (
    "number, source, base, code, facts, state, change, horizon, reached_type, reached_seq,"
    " reached_num, done, total, refused, began, rate"
)


class Elsewhere(Exception):
    """The parameters do not stand where they were thought to."""


def read(rows: Sequence[tuple[Any, ...]]) -> Parameterised:
    """All parameters, from their rows in the order of COLUMNS."""
    found = tuple(_declared(row) for row in rows)
    return Parameterised(max((row.change for row in found), default=0), found)


def _declared(row: tuple[Any, ...]) -> Declared:
    return Declared(*[*row[:8], Reached(*row[8:11]), *row[11:]])
