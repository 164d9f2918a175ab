"""paging — the links of a Bundle, and where the page a link leads to begins.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from hashlib import blake2b
from urllib.parse import quote

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Key
from fhir_server.interaction.context import Circumstances, Pairs, Server
from fhir_server.search.page import unseal
from fhir_server.search.query import Query
from fhir_server.store.contract import Place, rid

UNRESERVED = "~:|,$/*"  # what may stand in a query as it is, for links a person can read


def resumed(server: Server, question: str, cursor: str | None) -> tuple[Place | None, str | None]:
    """Where the page before ended. A cursor answers only the question it was made for."""
    if cursor is None:
        return None, None
    held = unseal(server.secret, cursor)
    if held.get("q") != question:
        raise Invalid(
            "This `_cursor` belongs to another search. Follow the `next` link as it was given, "
            "or begin the search again without `_cursor`.",
            expression="http._cursor",
        )
    main, type, id = held["p"]

    return Place(main, rid(Key(type, id))), held["b"]


def question_of(path: str, pairs: Pairs) -> str:
    """What a cursor is bound to: a digest, because a question may be longer than a URL may be."""
    return blake2b(f"{path}?{told(pairs)}".encode(), digest_size=12).hexdigest()


# --- links ----------------------------------------------------------------------------------------


def criteria(query: Query) -> list[tuple[str, str]]:
    return [pair for pair in query.used if pair[0] != "_cursor"]


def told(pairs: Pairs) -> str:
    return "&".join(
        f"{quote(name, UNRESERVED)}={quote(value, UNRESERVED)}" for name, value in pairs
    )


def url(circumstances: Circumstances, path: str, pairs: Pairs) -> str:
    """A link a client can follow: the base, the path and what was understood."""
    start = f"{circumstances.base}/{path}" if path else circumstances.base
    query = told(pairs)
    return f"{start}?{query}" if query else start


def links(
    circumstances: Circumstances, path: str, query: Query, onward: str | None = None
) -> list[tuple[str, str]]:
    """self, first and, where another page follows, next."""
    kept = criteria(query)
    found = [
        ("self", url(circumstances, path, query.used)),
        ("first", url(circumstances, path, kept)),
    ]
    if onward:
        found.append(("next", url(circumstances, path, [*kept, ("_cursor", onward)])))
    return found
