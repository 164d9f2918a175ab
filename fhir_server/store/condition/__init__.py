"""condition — a Condition on index rows, written in SQL for both databases.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from fhir_server.store.condition.behind import behind_sql, keys_of
from fhir_server.store.condition.context import Context, reach
from fhir_server.store.condition.keys import key_row, keys_table, once
from fhir_server.store.condition.links import owners
from fhir_server.store.condition.part import LONGEST, NO, Part, both, joined, member, storable
from fhir_server.store.condition.taking import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    check,
    depth,
    every,
    has_range,
    in_index,
    only_keys,
    replaced,
    texts_in,
    wide_in,
)
from fhir_server.store.condition.texts import PROGRESS, text_rids
from fhir_server.store.condition.words import Asked, alternatives, walked, word_row
from fhir_server.store.condition.writer import context_of, within_reach

__all__ = [
    "LONGEST",
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "NO",
    "PROGRESS",
    "Asked",
    "Context",
    "Part",
    "alternatives",
    "behind_sql",
    "both",
    "check",
    "context_of",
    "depth",
    "every",
    "has_range",
    "in_index",
    "joined",
    "key_row",
    "keys_of",
    "keys_table",
    "member",
    "once",
    "only_keys",
    "owners",
    "reach",
    "replaced",
    "storable",
    "text_rids",
    "texts_in",
    "walked",
    "wide_in",
    "within_reach",
    "word_row",
]
