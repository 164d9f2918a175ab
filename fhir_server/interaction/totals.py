"""totals — how many resources match, where that is asked for and what it may cost.

https://hl7.org/fhir/R4/search.html#total
"""

from __future__ import annotations

from fhir_server.interaction.context import Server
from fhir_server.search.query import Query
from fhir_server.store.contract import Select


async def total(
    server: Server, select: Select, query: Query, held: int, *, more: bool
) -> int | None:
    """R4 search#total: none unless asked for, but a page that holds everything is counted."""
    if query.total == "none":
        return None
    if not more and query.cursor is None:
        return held
    if query.total is None:
        return None
    return await server.store.count(select)
