"""create — store a new resource under an id of the server's choosing.

https://hl7.org/fhir/R4/http.html#create
https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl

from fhir_server.foundation.outcome import Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.interaction import writing
from fhir_server.interaction.aiming import the_match
from fhir_server.interaction.context import Answer, Circumstances, Pairs, Server
from fhir_server.interaction.writing import Proposal, settled
from fhir_server.store.contract import Assumption, Unit


@dataclass(frozen=True, slots=True)
class Ask:
    """if_none_exist: the criteria as they follow the `?` of a search URL."""

    type: str
    resource: Resource
    if_none_exist: str | None = None


async def create(server: Server, ask: Ask, circumstances: Circumstances) -> Answer:
    """Raises Invalid, Unprocessable, MultipleMatches, Forbidden, Conflict."""
    # Before a condition is looked up: what it finds is told only to who might have created it.
    circumstances.access.demand("create", ask.type)
    resource, warnings = await writing.checked(server, ask.resource, ask.type, circumstances)

    async def propose() -> Proposal:
        assumptions: tuple[Assumption, ...] = ()
        if ask.if_none_exist is not None:
            condition = criteria(ask.if_none_exist)
            found, assumed = await the_match(server, circumstances, ask.type, condition, "create")
            if found:
                circumstances.tell(found)
                unit = Unit((), unchanged=(writing.still(found),))
                return Proposal(unit, lambda _now: writing.unwritten(found))
            assumptions = (assumed,)
        # R4 http#create: "If an id is provided, the server SHALL ignore it."
        named = writing.with_id(resource, server.new_id())
        version = writing.new_version(server, circumstances, named, "POST", None)
        unit = Unit((version,), assumptions=assumptions)
        return Proposal(unit, lambda now: writing.written(version, 201, now))

    return writing.with_warnings(await settled(server, circumstances, propose), warnings)


def criteria(text: str) -> Pairs:
    """If-None-Exist holds "what would be in the URL following the ?"; a whole URL is forgiven."""
    query = text.rpartition("?")[2]
    try:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise Invalid(
            f"`{text}` is not a list of search parameters such as `identifier=system|value`.",
            expression="http.If-None-Exist",
        ) from error
