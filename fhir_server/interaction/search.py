"""search — the resources that meet every criterion, a page at a time.

https://hl7.org/fhir/R4/http.html#search
https://hl7.org/fhir/R4/http.html#vsearch
https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from time import time
from urllib.parse import quote

from fhir_server.conformance.subset import Shape, unknown_elements
from fhir_server.foundation import bundle
from fhir_server.foundation.bundle import Entry, instant
from fhir_server.foundation.outcome import Invalid, operation_outcome
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import render
from fhir_server.interaction.context import DEFAULT, Answer, Circumstances, Pairs, Server
from fhir_server.interaction.read import in_shape
from fhir_server.search import compartment
from fhir_server.search.page import seal, unseal
from fhir_server.search.query import Query, parse
from fhir_server.store.contract import AllOf, AnyOf, Condition, Place, Select, Stored, rid

UNRESERVED = "~:|,$/*"  # what may stand in a query as it is, for links a person can read


@dataclass(frozen=True, slots=True)
class Ask:
    """types: empty for all. compartment: the one the search stays within, if any."""

    types: tuple[str, ...]
    pairs: Pairs
    compartment: Key | None = None


async def search(server: Server, ask: Ask, circumstances: Circumstances = DEFAULT) -> Answer:
    """Raises Invalid, NotSupported: an unknown or malformed parameter is never passed over."""
    query = parse(
        server.parameters,
        ask.types,
        ask.pairs,
        strict=circumstances.strict,
        base_urls=(circumstances.base,),
        zone_minutes=server.indexer.site.zone_minutes,
        page_size=server.limits.page_size,
        max_page_size=server.limits.max_page_size,
        fixed=within(server, ask),
    )
    demand_elements(server, circumstances, query)
    select = Select(query.types, query.where, circumstances.caller.restriction)
    path = path_of(ask)
    if query.count == 0 or query.summary == "count":
        counted = await server.store.count(select)
        return _bundle(query, [], links(circumstances, path, query), total=counted)
    question = question_of(path, criteria(query))
    after, bound = resumed(server, question, query.cursor)
    page = await server.store.search(select, limit=query.count, after=after, bound=bound)
    total = await _total(server, select, query, len(page.rows), more=page.more or after is not None)
    onward = None
    if page.more:
        last = page.rows[-1]
        place = [last.main, last.key.type, last.key.id]
        onward = seal(server.secret, {"q": question, "p": place, "b": page.bound})
    shape = Shape(summary=query.summary, elements=tuple(query.elements or ()))
    entries = [found(server, circumstances, stored, shape) for stored in page.rows]
    return _bundle(query, entries, links(circumstances, path, query, onward), total=total)


def demand_elements(server: Server, circumstances: Circumstances, query: Query) -> None:
    """R4 search#elements: names no type of the search has are a mistake, and are told as such."""
    types = query.types or tuple(server.definitions.resource_types)
    unknown = unknown_elements(server.definitions, types, query.elements) if query.elements else []
    if unknown and circumstances.strict:
        named = ", ".join(f"`{name}`" for name in unknown)
        raise Invalid(
            f"`_elements` names {named}, which no type of this search has.",
            expression="http._elements",
        )


def within(server: Server, ask: Ask) -> Condition:
    """The compartment as a condition: on the one type asked for, or on any of its types."""
    if ask.compartment is None:
        return AllOf()
    code, id = ask.compartment
    if ask.types:
        return compartment.within(server.parameters, code, id, ask.types[0])
    members = server.definitions.compartments[code]
    return AnyOf(
        tuple(compartment.within(server.parameters, code, id, type) for type in sorted(members))
    )


def path_of(ask: Ask) -> str:
    """The path of the search below the base, without a slash in front."""
    type = ask.types[0] if len(ask.types) == 1 else ""
    if ask.compartment is None:
        return type
    return f"{ask.compartment}/{type or '*'}"


def found(server: Server, circumstances: Circumstances, stored: Stored, shape: Shape) -> Entry:
    return Entry(
        full_url=f"{circumstances.base}/{stored.key}",
        resource=in_shape(server, stored, shape),
        search={"mode": "match"},
    )


async def _total(
    server: Server, select: Select, query: Query, held: int, *, more: bool
) -> int | None:
    """R4 search#total: none unless asked for, but a page that holds everything is counted."""
    if query.total == "none":
        return None
    if not more and query.cursor is None:
        return held
    if query.total is None:
        return None
    return await server.store.count(select)


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


# --- the Bundle ----------------------------------------------------------------------------------


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


def _bundle(
    query: Query, entries: list[Entry], links: list[tuple[str, str]], *, total: int | None
) -> Answer:
    if query.ignored:
        outcome = render(operation_outcome(query.ignored))
        entries = [*entries, Entry(resource=outcome, search={"mode": "outcome"})]
    now = instant(int(time() * 1000))
    body = bundle.rendered("searchset", entries, timestamp=now, total=total, links=links)
    return Answer(status=200, body=body)
