"""naming — what lies beneath a resource or a URL, named one by one where it is little.

https://hl7.org/fhir/R4/search.html#recursive
https://hl7.org/fhir/R4/search.html#uri

A search can be driven from each of some keys, in the order of the answer. Where they are many,
the database is left to find them as part of the search.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.interaction.context import Server
from fhir_server.store.condition import replaced, wide_in
from fhir_server.store.contract import AnyOf, Condition, Select

FEW = 1000  # keys that are written into a search


async def named(server: Server, select: Select) -> Select:
    """The same question, asked of the keys themselves."""
    told: dict[Condition, Condition] = {}
    for condition in wide_in(select.where):
        keys = await server.store.keys_behind(condition, select.restriction, at_most=FEW)
        if keys is not None:
            told[condition] = keys[0] if len(keys) == 1 else AnyOf(tuple(keys))
    return replace(select, where=replaced(select.where, told)) if told else select
