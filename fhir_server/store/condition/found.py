"""found — the resource is one of those that a query of its own finds.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.part import Part


def is_found(context: Context, query: Part, *, once: bool = False) -> Part:
    """`query` selects `main` and `rid`, and asks nothing of the row.

    SQLite runs it once; PostgreSQL's planner chooses by what its statistics say, but where one row
    is asked after the other (see keys.among). once: it must not be run for each row, whatever the
    statistics say.
    """
    if context.dialect.postgresql and not (context.walked or once):
        same = f"q.main = {context.main} and q.rid = {context.rid}"
        return Part(f"exists (select 1 from ({query.text}) q where {same})", query.values)
    text = f"{context.rid} in (select q.rid from ({query.text}) q)"
    return Part(f"({text}) is true" if context.dialect.postgresql else text, query.values)
