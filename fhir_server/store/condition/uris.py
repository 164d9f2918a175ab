"""uris — conditions on the texts of uris, which stand once behind the key rows of all resources.

https://hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.found import is_found
from fhir_server.store.condition.part import NO, Part, both, storable, successor
from fhir_server.store.contract import UriStarts
from fhir_server.store.dialect import Dialect


def uri_starts(context: Context, asked: UriStarts) -> Part:
    if not storable(asked.prefix):
        return NO
    rows = f"uri u {context.dialect.join} index_key x on x.v = u.v and x.w = u.w"
    told = _begins(asked, context.dialect)
    return is_found(
        context, Part(f"select x.main, x.rid from {rows} where {told.text}", told.values)
    )


def uri_keys(context: Context, asked: UriStarts) -> Part:
    """The rows (v, w) of the index behind which those uris stand."""
    told = _begins(asked, context.dialect)
    return Part(f"select distinct u.v, u.w from uri u where {told.text}", told.values)


def _begins(asked: UriStarts, dialect: Dialect) -> Part:
    after = successor(asked.prefix)
    return both(
        [
            Part(f"u.param = {dialect.mark}", (asked.param,)),
            Part(f"u.uri >= {dialect.mark}", (asked.prefix,)),
            *([] if after is None else [Part(f"u.uri < {dialect.mark}", (after,))]),
        ]
    )
