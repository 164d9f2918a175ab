"""wholes — conditions on whole values, folded: what they are, how they begin and end.

https://hl7.org/fhir/R4/search_filter.html#ops
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.store.condition.context import Context
from fhir_server.store.condition.keys import among
from fhir_server.store.condition.part import NO, Part, both, member, storable, successor
from fhir_server.store.contract import CUT, WholeLike


def whole_like(context: Context, asked: WholeLike) -> Part:
    if not storable(asked.text):
        return NO
    row = [
        member("x.param", asked.params, context.dialect),
        *LIKE[asked.how](asked.text, context.dialect.mark),
        Part("x.whole <> 0"),
        Part(f"length(x.word) < {CUT:d}"),
    ]
    return among(context, "index_string", both(row))


def _is(text: str, mark: str) -> list[Part]:
    return [Part(f"x.word = {mark}", (text,))]


def _begins(text: str, mark: str) -> list[Part]:
    after = successor(text)
    end = [] if after is None else [Part(f"x.word < {mark}", (after,))]
    return [Part(f"x.word >= {mark}", (text,)), *end]


def _ends(text: str, mark: str) -> list[Part]:
    # not LIKE: what a client sent is no pattern
    long_enough = Part(f"length(x.word) >= {mark}", (len(text),))
    start = f"length(x.word) - cast({mark} as int)"  # PostgreSQL's substr knows no bigint
    end = Part(f"substr(x.word, {start}) = {mark}", (len(text) - 1, text))
    return [long_enough, end]


LIKE: dict[str, Callable[[str, str], list[Part]]] = {"is": _is, "begins": _begins, "ends": _ends}
