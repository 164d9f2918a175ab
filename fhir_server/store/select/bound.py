"""bound — a moment, so that every page of a walk is of what was there when it began.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.foundation.outcome import Invalid
from fhir_server.store.condition import Part, both, member
from fhir_server.store.dialect import Dialect

DAMAGED = "The page's cursor is damaged: start the search again from its first page."


@dataclass(frozen=True, slots=True)
class Bound:
    """A moment: what was committed by then has a seq under `below` that is not among `open`."""

    below: int
    open: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ".".join(str(n) for n in (self.below, *(self.below - seq for seq in self.open)))

    @staticmethod
    def parse(text: str) -> Bound:
        parts = text.split(".")
        if not all(p.isascii() and p.isdecimal() and len(p) < 20 for p in parts):
            raise Invalid(DAMAGED)
        below, *before = (int(part) for part in parts)
        if below >= 2**62 or any(n > below for n in before):
            raise Invalid(DAMAGED)
        return Bound(below, tuple(below - n for n in before))


def unseen(bound: Bound, alias: str, dialect: Dialect, column: str = "seq") -> Part:
    """What was not yet committed at the bound. The first bound keeps it a range of an index."""
    mark, seq = dialect.mark, f"{alias}.{column}"
    later = Part(f"{seq} >= {mark}", (bound.below,))
    if not bound.open:
        return later
    oldest = Part(f"{seq} >= {mark}", (min(bound.open),))
    return both([oldest, _or(later, member(seq, bound.open, dialect))])


def seen(bound: Bound, alias: str, dialect: Dialect, column: str = "seq") -> Part:
    later = unseen(bound, alias, dialect, column)
    return Part(f"not ({later.text})", later.values)


def newest_seen(bound: Bound, alias: str, dialect: Dialect) -> Part:
    """The seq of the version that was the newest of the row `alias` of `current` at the bound."""
    at = seen(bound, "n", dialect)
    text = f"(select max(n.seq) from version n where n.rid = {alias}.rid and {at.text})"
    return Part(text, at.values)


def _or(one: Part, other: Part) -> Part:
    return Part(f"({one.text} or {other.text})", one.values + other.values)
