"""words — conditions on index_string: how words begin.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.keys import among
from fhir_server.store.condition.part import LONGEST, NO, Part, both, member, storable, successor
from fhir_server.store.contract import WordStarts


def word_starts(context: Context, asked: WordStarts) -> Part:
    if not storable(asked.prefix):
        return NO
    mark = context.dialect.mark
    row = [member("x.param", (asked.param, *asked.also), context.dialect)]
    if prefix := asked.prefix[:LONGEST]:
        row.append(Part(f"x.word >= {mark}", (prefix,)))
        after = successor(prefix)
        row += [Part(f"x.word < {mark}", (after,))] if after is not None else []
    return among(context, "index_string", both(row))
