"""totals — how many resources match, where that is asked for and what it may cost.

https://hl7.org/fhir/R4/search.html#total
"""

from __future__ import annotations

from fhir_server.foundation.outcome import TooCostly
from fhir_server.interaction.context import Server
from fhir_server.search.query import Query
from fhir_server.store.contract import Select

PATIENCE = 5.0  # seconds that counting may take


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
    return await counted(server, select, query)


async def counted(server: Server, select: Select, query: Query) -> int:
    """All that match, exactly unless an estimate will do. Raises TooCostly."""
    if query.total == "estimate":
        return await server.store.estimate(select)
    try:
        return await server.store.count(select, patience=PATIENCE)
    except TooCostly as refusal:
        raise TooCostly(
            f"Counting the matches takes longer than {PATIENCE:g} seconds, so it was stopped. Ask "
            "for `_total=estimate`, which does not count them all, or add a parameter that fewer "
            "resources meet.",
            expression="http._total",
        ) from refusal
