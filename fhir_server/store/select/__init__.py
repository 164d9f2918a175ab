"""select — a Select, written in SQL: the page of a search, a find, a count, for both databases.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from fhir_server.store.condition import reach
from fhir_server.store.dialect import POSTGRESQL, SQLITE, Bigints, Dialect
from fhir_server.store.select.bound import Bound, newest_seen, seen, unseen
from fhir_server.store.select.collect import collected_sql, moved_sql
from fhir_server.store.select.counting import Sample, count_sql, find_sql, sample_sql
from fhir_server.store.select.page import Window, has_two, page_sql, windows
from fhir_server.store.select.rendered import Rendered
from fhir_server.store.select.weighing import (
    Driver,
    drivers,
    for_page,
    is_common,
    limits_of,
    rarest,
    walked_type,
    weigh_sql,
    worth_weighing,
)

__all__ = [
    "POSTGRESQL",
    "SQLITE",
    "Bigints",
    "Bound",
    "Dialect",
    "Driver",
    "Rendered",
    "Sample",
    "Window",
    "collected_sql",
    "count_sql",
    "drivers",
    "find_sql",
    "for_page",
    "has_two",
    "is_common",
    "limits_of",
    "moved_sql",
    "newest_seen",
    "page_sql",
    "rarest",
    "reach",
    "sample_sql",
    "seen",
    "unseen",
    "walked_type",
    "weigh_sql",
    "windows",
    "worth_weighing",
]
