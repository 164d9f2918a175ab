"""judging — the validator asked so that nobody else waits for its answer.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from fhir_server.foundation.outcome import Issue, within
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.context import Server
from fhir_server.search import custom

Found = TypeVar("Found", list[Issue], list[Issue] | None)

LONG_WORK = 64 * 1024  # bytes of a body whose judging takes milliseconds: others go first


async def judged(
    server: Server,
    resource: Resource,
    text: tuple[bytes, str] | None,
    *,
    expected_type: str | None = None,
    profiles: Sequence[str] = (),
    thorough: bool = False,
) -> list[Issue]:
    """What the validator finds. Where that takes long, other requests are served meanwhile.

    text: what the resource was read from, whose length tells at once.
    """

    def judge(check: Callable[..., Found]) -> Found:
        return check(resource, expected_type=expected_type, profiles=profiles, thorough=thorough)

    validator = server.validator
    is_long = text is not None and len(text[0]) >= LONG_WORK
    found = None if is_long else judge(validator.check_soon)
    if found is None:
        found = await asyncio.to_thread(judge, validator.check)
    definitions = [] if found_errors(found) else search_parameters(resource)
    if not definitions:
        return found
    # an expression may lead many ways through all 146 types
    return [*found, *await asyncio.to_thread(business_rules, server, definitions)]


def found_errors(issues: Sequence[Issue]) -> bool:
    return any(issue.severity in ("error", "fatal") for issue in issues)


def search_parameters(resource: Resource) -> list[tuple[str, Resource]]:
    """The SearchParameter this is, or those of a transaction, each with its place."""
    if resource.get("resourceType") == "SearchParameter":
        return [("", resource)]
    if resource.get("resourceType") != "Bundle" or resource.get("type") != "transaction":
        return []
    entries = [one.get("resource", {}) for one in resource.get("entry", ())]
    return [
        (f"Bundle.entry[{number}].resource", entry)
        for number, entry in enumerate(entries)
        if entry.get("resourceType") == "SearchParameter"
    ]


def business_rules(server: Server, definitions: list[tuple[str, Resource]]) -> list[Issue]:
    """What this server cannot do with definitions that R4 allows."""
    rows = server.live.table.rows
    issues: list[Issue] = []
    for place, one in definitions:
        found = custom.issues(server.parameters, one, rows)
        issues += [within(place, issue) if place else issue for issue in found]
        rows = (*rows, *custom.imagined(server.parameters, one))
    return issues
