"""elements — the names `_elements` gives, held against the types of the search.

https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.conformance.subset import unknown_elements
from fhir_server.foundation.outcome import Invalid, Issue
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.search.closest import closest
from fhir_server.search.query import Query

PLACE = "http._elements"


def known_elements(server: Server, circumstances: Circumstances, query: Query) -> Query:
    """The query without names no type of the search has, which are a mistake.

    Raises Invalid where the client is strict; else each is told as left out.
    """
    if not query.elements:
        return query
    types = query.types or tuple(sorted(server.definitions.resource_types))
    unknown = unknown_elements(server.definitions, types, query.elements)
    if not unknown:
        return query
    issues = [Issue("error", "invalid", _told(server, types, name), PLACE) for name in unknown]
    if circumstances.strict:
        raise Invalid(issues[0].diagnostics, issues=issues)
    kept = tuple(name for name in query.elements if name not in unknown)
    ignored = tuple(
        replace(issue, severity="warning", diagnostics=f"{issue.diagnostics} It was left out.")
        for issue in issues
    )
    used = ((name, ",".join(kept) if name == "_elements" else value) for name, value in query.used)
    return replace(
        query,
        elements=kept,
        used=tuple(pair for pair in used if pair[1]),
        ignored=(*query.ignored, *ignored),
    )


def _told(server: Server, types: tuple[str, ...], name: str) -> str:
    among = {
        child.element.name
        for type in types[:5]
        for child in server.definitions.children(type).values()
    }
    near = closest(name.partition(".")[0], sorted(among))
    return f"`_elements` names `{name[:80]}`, which no type of this search has.{near}"
