"""asking — a query as this server understands it: with its parameters, its zone, its codes.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

from fhir_server.interaction.context import Circumstances, Pairs, Server
from fhir_server.search.criterion import EVERYTHING, OF_MANY
from fhir_server.search.query import Query, parse
from fhir_server.store.contract import Condition


async def understood(
    server: Server,
    circumstances: Circumstances,
    types: tuple[str, ...],
    pairs: Pairs,
    *,
    strict: bool = True,
    fixed: Condition = EVERYTHING,
) -> Query:
    """The same as query_of. What codes mean may take a second to tell: others go on meanwhile."""
    ask = partial(query_of, server, circumstances, types, pairs, strict=strict, fixed=fixed)
    if any(name == "_filter" or name.rpartition(":")[2] in OF_MANY for name, _ in pairs):
        return await asyncio.to_thread(ask)
    return ask()


def query_of(
    server: Server,
    circumstances: Circumstances,
    types: tuple[str, ...],
    pairs: Pairs,
    *,
    strict: bool = True,
    fixed: Condition = EVERYTHING,
) -> Query:
    """What `pairs` ask. Raises Invalid, NotSupported; see search.query.parse."""
    site = replace(
        server.indexer.site,
        base_urls=(circumstances.base,),
        terms=server.knowledge.current.terms,
        texts=server.texts is not None,
    )
    return parse(
        server.parameters,
        types,
        pairs,
        site=site,
        strict=strict,
        page_size=server.limits.page_size,
        max_page_size=server.limits.max_page_size,
        fixed=fixed,
    )
