"""asking — a query as this server understands it: with its parameters, its zone, its codes.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.interaction.context import Circumstances, Pairs, Server
from fhir_server.search.criterion import EVERYTHING
from fhir_server.search.query import Query, parse
from fhir_server.store.contract import Condition


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
