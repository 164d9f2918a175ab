"""meeting — which of some resources meet a Select: each is asked for itself.

https://hl7.org/fhir/R4/search.html#chaining
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from fhir_server.store.condition import Part
from fhir_server.store.contract import Select
from fhir_server.store.dialect import Bigints, Dialect
from fhir_server.store.select.body import from_
from fhir_server.store.select.rendered import Rendered


def meeting_sql(select: Select, rids: Sequence[int], dialect: Dialect) -> Rendered:
    """The rids, driven from the resources however rare what is asked of them may be."""
    if dialect.postgresql:
        given = Part(f"unnest({dialect.mark}) k(rid)", (Bigints(rids),))
    else:
        text = f"(select value as rid from json_each({dialect.mark})) k"
        given = Part(text, (json.dumps(list(rids)),))
    source = Part(f"{given.text} {dialect.join} current c on c.rid = k.rid", given.values)
    body = from_(select, dialect, source)
    text = f"select c.rid from {body.source.text} where {body.where.text}"
    return Rendered(text, body.source.values + body.where.values, body.prepare)
