"""tree — a filter, read: what is compared, and how that is joined.

https://hl7.org/fhir/R4/search_filter.html
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A parameter's name, and the filter in brackets that what it refers to must meet.

    at: where it stands in the text, from 0.
    """

    name: str
    filter: Filter | None
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A path of parameters, an operator, a value as it was meant (not as it was written)."""

    path: tuple[Step, ...]
    operator: str
    value: str
    at: int  # of the operator


@dataclass(frozen=True, slots=True)
class Joined:
    """All of the parts (and) or any of them (or)."""

    word: str
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    filter: Filter


Filter = Comparison | Joined | Negated
