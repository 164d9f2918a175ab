"""wanted — how the answer of a search is to look: what its result parameters say.

https://hl7.org/fhir/R4/search.html#summary-table
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.search.parameters import Parameter, Parameters


class SortKey(NamedTuple):
    """One of the keys of `_sort`. parameters: what `code` is for each type of the search."""

    code: str
    parameters: tuple[Parameter, ...]
    descending: bool = False


class Include(NamedTuple):
    """An `_include` or, reverse, a `_revinclude`: `[source]:[code]:[target]`.

    code: `*` for every reference. target: None for any type. iterate: also of what was included.
    """

    reverse: bool
    source: str
    code: str
    target: str | None = None
    iterate: bool = False


@dataclass(slots=True)
class Wanted:
    """What has been understood so far. types: empty for all; `_type` sets them."""

    parameters: Parameters
    types: tuple[str, ...]
    count: int
    at_most: int = 1000  # entries of a page
    cursor: str | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    includes: tuple[Include, ...] = ()
