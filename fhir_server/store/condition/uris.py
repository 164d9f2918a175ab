"""uris — conditions on the texts of uris, which stand once behind the key rows of all resources.

https://hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.found import is_found
from fhir_server.store.condition.part import NO, Part, both, storable, successor
from fhir_server.store.contract import UriStarts


def uri_starts(context: Context, asked: UriStarts) -> Part:
    if not storable(asked.prefix):
        return NO
    dialect, after = context.dialect, successor(asked.prefix)
    told = both(
        [
            Part(f"u.param = {dialect.mark}", (asked.param,)),
            Part(f"u.uri >= {dialect.mark}", (asked.prefix,)),
            *([] if after is None else [Part(f"u.uri < {dialect.mark}", (after,))]),
        ]
    )
    rows = f"uri u {dialect.join} index_key x on x.v = u.v and x.w = u.w"
    return is_found(
        context, Part(f"select x.main, x.rid from {rows} where {told.text}", told.values)
    )
