"""behind — the keys that stand for a condition, so that a search can be driven from each of them.

https://hl7.org/fhir/R4/search.html#recursive
https://hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.store.condition.hierarchy import beneath_keys
from fhir_server.store.condition.part import Part, storable
from fhir_server.store.condition.uris import uri_keys
from fhir_server.store.condition.writer import context_of
from fhir_server.store.contract import Beneath, KeyIs, Restriction, UriStarts
from fhir_server.store.dialect import Dialect

NONE = Part("select 0, 0 where false")


def behind_sql(
    asked: Beneath | UriStarts, restriction: Restriction, dialect: Dialect, *, at_most: int
) -> Part:
    """The rows (v, w) of the index, and one more than `at_most` where they are more."""
    context, told = context_of(dialect, restriction), NONE
    if isinstance(asked, Beneath) and asked.roots:
        told = beneath_keys(context, asked)
    if isinstance(asked, UriStarts) and storable(asked.prefix):
        told = uri_keys(context, asked)
    return Part(f"{told.text} limit {dialect.mark}", (*told.values, at_most + 1))


def keys_of(rows: Sequence[Sequence[Any]], at_most: int) -> tuple[KeyIs, ...] | None:
    """One of these is met where the condition is; None where they are too many."""
    if len(rows) > at_most:
        return None
    return tuple(KeyIs(v, w, mask=-1) for v, w in sorted(map(tuple, rows)))
