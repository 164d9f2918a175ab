"""search — the resources that meet every criterion, a page at a time.

https://hl7.org/fhir/R4/http.html#search
https://hl7.org/fhir/R4/http.html#vsearch
https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time

from fhir_server.conformance.subset import Shape
from fhir_server.foundation import bundle
from fhir_server.foundation.bundle import Entry, instant
from fhir_server.foundation.outcome import Forbidden, Issue, operation_outcome
from fhir_server.foundation.resource import Key
from fhir_server.foundation.wire import render
from fhir_server.interaction import auditing
from fhir_server.interaction.asking import understood
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.disguising import meant, name_of
from fhir_server.interaction.elements import known_elements
from fhir_server.interaction.including import Included, included
from fhir_server.interaction.naming import named
from fhir_server.interaction.paging import criteria, cursors, links, question_of, resumed
from fhir_server.interaction.read import in_shape
from fhir_server.interaction.resolving import resolved, telling
from fhir_server.interaction.sorting import begun_as
from fhir_server.interaction.stretches import matches
from fhir_server.interaction.totals import counted as counted_of
from fhir_server.interaction.totals import total as total_of
from fhir_server.search import compartment
from fhir_server.search.query import Query
from fhir_server.store.condition import texts_in
from fhir_server.store.contract import AllOf, AnyOf, Condition, Select, Stored
from fhir_server.store.contract.watch import Step

# By others a search goes into texts and identifiers, which are not told to everybody.
UNTELLING = frozenset({"", "not", "in", "not-in", "above", "below", "missing"})
TOO_FEW = Issue(
    "information",
    "suppressed",
    "There are some, but fewer than are told as a number: it could tell who they are.",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """types: empty for all. compartment: the one the search stays within, if any."""

    types: tuple[str, ...]
    pairs: Pairs
    compartment: Key | None = None


async def search(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises Invalid, NotSupported: an unknown or malformed parameter is never passed over."""
    if auditing.TYPE in ask.types:
        auditing.refuse_compartment(ask.compartment)
        return await auditing.search(server, ask.pairs, circumstances)
    with Step("understanding"):
        query = await asked_of(server, ask, circumstances)
    if server.texts is not None and texts_in(query.where):
        with Step("text index"):
            query = replace(query, where=await server.texts.settled(query.where))
    with telling(query):
        return await _answered(server, ask, circumstances, query)


async def asked_of(server: Server, ask: Ask, circumstances: Circumstances) -> Query:
    """The search as it is understood. Raises Invalid, NotSupported."""
    query = await understood(
        server,
        circumstances,
        ask.types,
        ask.pairs,
        strict=circumstances.strict,
        fixed=within(server, await _meant(server, ask, circumstances)),
    )
    demand_searchable(circumstances, query)
    return known_elements(server, circumstances, query)


async def _meant(server: Server, ask: Ask, circumstances: Circumstances) -> Ask:
    """The same in the compartment's own name, for who is told another."""
    if ask.compartment is None:
        return ask
    return replace(ask, compartment=await meant(server, circumstances, ask.compartment))


def demand_searchable(circumstances: Circumstances, query: Query) -> None:
    """Who is not shown who somebody is, cannot find out by searching, sorting and counting."""
    access = circumstances.access
    if access.sees_whole:
        return
    codes = [(name, *_code(name)) for name, _, _ in query.asked]
    codes += [("_sort", key.code, "") for key in query.sort]
    for name, code, modifier in codes:
        is_type = modifier[:1].isupper()  # `organization:Organization`
        if not access.may_ask(code) or not (is_type or modifier in UNTELLING):
            raise Forbidden(
                f"Records without names are not searched or sorted by `{name[:80]}`: it could tell "
                "whose they are. `access.toml` names the parameters they are searched by.",
                expression=f"http.{name[:80]}",
            )
    if not access.sees_records and query.count != 0 and query.summary != "count":
        raise Forbidden(
            "You are told how many records there are, and not the records: add `_summary=count`.",
            expression="http._summary",
        )


def _code(name: str) -> tuple[str, str]:
    """The parameter and its modifier; a chain is a parameter that no policy names."""
    code, _, modifier = name.partition(":")
    return (name, "") if "." in name else (code, modifier)


async def _answered(server: Server, ask: Ask, circumstances: Circumstances, query: Query) -> Answer:
    asked = Select(query.types, query.where, restriction=circumstances.reach("search"))
    with Step("links"):
        select = await resolved(server, await named(server, asked))
    path = path_of(ask)
    if query.count == 0 or query.summary == "count":
        with Step("total") as step:
            step.found = counted = await counted_of(server, select, query)
        number = circumstances.access.counted(counted)
        few = () if number is not None else (TOO_FEW,)
        return _bundle(query, [], links(circumstances, path, query), total=number, issues=few)
    question = question_of(path, criteria(query))
    cursor = resumed(server, circumstances, question, query.cursor)
    order, page = await matches(server, query, select, cursor)
    with Step("total") as step:
        more = page.more or cursor is not None
        total = await total_of(server, select, query, len(page.rows), more=more)
        step.found = total
        total = None if total is None else circumstances.access.counted(total)
    ways = [
        one.sealed(server.secret, question, to=circumstances.caller.identity) if one else None
        for one in cursors(cursor, page, begun_as(order))
    ]
    shape = Shape(summary=query.summary, elements=tuple(query.elements or ()))
    entries = [found(server, circumstances, stored, shape) for stored in page.rows]
    with Step("includes") as step:
        besides = await included(server, circumstances, query.includes, page.rows)
        step.found = len(besides.rows)
    entries += _besides(server, circumstances, query, besides)
    circumstances.tell(*page.rows, *besides.rows)
    told = links(circumstances, path, query, *ways)
    return _bundle(query, entries, told, total=total, issues=besides.issues)


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


def found(
    server: Server,
    circumstances: Circumstances,
    stored: Stored,
    shape: Shape,
    mode: str = "match",
) -> Entry:
    name = name_of(server, circumstances, stored.key)
    return Entry(
        full_url=f"{circumstances.base}/{name}",
        resource=in_shape(server, circumstances, stored, shape),
        search={"mode": mode},
    )


def _besides(
    server: Server, circumstances: Circumstances, query: Query, besides: Included
) -> list[Entry]:
    """What was included. R4 search#elements: `_elements` "does not apply to included resources"."""
    shape = Shape(summary=query.summary)
    return [found(server, circumstances, stored, shape, "include") for stored in besides.rows]


# --- the Bundle ----------------------------------------------------------------------------------


def _bundle(
    query: Query,
    entries: list[Entry],
    links: list[tuple[str, str]],
    *,
    total: int | None,
    issues: Sequence[Issue] = (),
) -> Answer:
    if issues := (*query.ignored, *issues):
        outcome = render(operation_outcome(issues))
        entries = [*entries, Entry(resource=outcome, search={"mode": "outcome"})]
    now = instant(int(time() * 1000))
    body = bundle.rendered("searchset", entries, timestamp=now, total=total, links=links)
    return Answer(status=200, body=body)
