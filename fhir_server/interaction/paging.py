"""paging — the links of a Bundle, and where the page a link leads to begins.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from time import time
from urllib.parse import quote

from fhir_server.foundation.outcome import Invalid
from fhir_server.interaction.context import Circumstances, Pairs, Server
from fhir_server.search.page import seal, unseal
from fhir_server.search.query import Query
from fhir_server.store.contract import Page, Place

STRANGE = "This `_cursor` is of another version of this server. Begin the search again without it."
DAY = 86_400  # seconds
SPARE = 3600  # seconds: clocks differ
UNRESERVED = "~:|,$/*"  # what may stand in a query as it is, for links a person can read
PLAIN = re.compile(r"[A-Za-z0-9_.\-~:|,$/*]*")  # all that `quote` leaves as it is


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a link to a page of a search holds, beside the question itself.

    after: the place the page begins behind; backward: the place it ends with. bound: the moment
    of the first page. begun: how that was read (see sorting). since: when, in seconds since 1970.
    """

    after: Place
    bound: str
    since: int
    backward: bool = False
    begun: str = "w"

    def sealed(self, secret: bytes, question: str, *, to: str) -> str:
        """The letters of a link; to: the identity of who is given it."""
        payload = {
            "q": question,
            "p": list(self.after),
            "b": self.bound,
            "d": int(self.backward),
            "o": self.begun,
            "t": self.since,
        }
        return seal(secret, payload, to=to)


def resumed(
    server: Server, circumstances: Circumstances, question: str, cursor: str | None
) -> Cursor | None:
    """Where a page begins. A cursor answers only whom and the question it was made for."""
    if cursor is None:
        return None
    held = unseal(server.secret, cursor, to=circumstances.caller.identity)
    if held.get("q") != question:
        raise Invalid(
            "This `_cursor` belongs to another search. Follow the `next` link as it was given, "
            "or begin the search again without `_cursor`.",
            expression="http._cursor",
        )
    match held:
        case {
            "p": [value, int(rid)],
            "b": str(bound),
            "d": 0 | 1 as backward,
            "o": "w" | "c" as begun,
            "t": int(since),
        }:
            _demand_young(server, since)
            values = value if isinstance(value, list) else [value]
            if all(map(_is_value, [rid, *values])):
                place = Place(tuple(value) if isinstance(value, list) else value, rid)
                return Cursor(place, bound, since, bool(backward), begun)
    raise Invalid(STRANGE, expression="http._cursor")


def _demand_young(server: Server, since: int) -> None:
    """What moved is kept for some days, and without it a page would repeat or leave out."""
    days = server.limits.cursor_days
    if time() - since > days * DAY - SPARE:
        raise Invalid(
            f"This `_cursor` is of a search that was begun {days} days ago (`idempotency_days`): "
            "where everything stood then is known no longer. Begin the search again without it.",
            expression="http._cursor",
        )


def _is_value(value: object) -> bool:
    """A place is made of such."""
    if isinstance(value, int):
        return not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value is None or isinstance(value, str | float)


def question_of(path: str, pairs: Pairs) -> str:
    """What a cursor is bound to: a digest, because a question may be longer than a URL may be."""
    return blake2b(f"{path}?{told(pairs)}".encode(), digest_size=12).hexdigest()


# --- links ----------------------------------------------------------------------------------------


def criteria(query: Query) -> list[tuple[str, str]]:
    return [pair for pair in query.used if pair[0] != "_cursor"]


def told(pairs: Pairs) -> str:
    return "&".join([f"{_quoted(name)}={_quoted(value)}" for name, value in pairs])


def _quoted(text: str) -> str:
    return text if PLAIN.fullmatch(text) else quote(text, UNRESERVED)


def url(circumstances: Circumstances, path: str, pairs: Pairs) -> str:
    """A link a client can follow: the base, the path and what was understood."""
    start = f"{circumstances.base}/{path}" if path else circumstances.base
    query = told(pairs)
    return f"{start}?{query}" if query else start


def links(
    circumstances: Circumstances,
    path: str,
    query: Query,
    previous: str | None = None,
    onward: str | None = None,
) -> list[tuple[str, str]]:
    """self, first and, where there is such a page, previous and next."""
    kept = criteria(query)
    first = url(circumstances, path, kept)
    asked = url(circumstances, path, query.used) if query.cursor else first
    found = [("self", asked), ("first", first)]
    further = f"{first}{'&' if kept else '?'}"
    for relation, cursor in (("previous", previous), ("next", onward)):
        if cursor:
            found.append((relation, f"{further}{told([('_cursor', cursor)])}"))
    return found


def cursors(cursor: Cursor | None, page: Page, begun: str) -> tuple[Cursor | None, Cursor | None]:
    """Where the page before this one is read from, and where the one behind it.

    Two pages are parted by one place: the one ends with it, the other begins behind it.
    """
    since = cursor.since if cursor is not None else int(time())
    edge = Cursor(page.edge, page.bound, since, begun=begun) if page.edge is not None else None
    if cursor is None:
        return None, edge
    if cursor.backward:
        before = replace(edge, backward=True) if edge is not None else None
        return before, replace(cursor, backward=False)
    return replace(cursor, backward=True), edge
