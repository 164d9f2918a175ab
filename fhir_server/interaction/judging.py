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
    return found if found_errors(found) else [*found, *business_rules(server, resource)]


def found_errors(issues: Sequence[Issue]) -> bool:
    return any(issue.severity in ("error", "fatal") for issue in issues)


def business_rules(server: Server, resource: Resource) -> list[Issue]:
    """What this server cannot do with a resource, or one of a transaction, that R4 allows."""
    rows = server.live.table.rows
    if resource.get("resourceType") == "SearchParameter":
        return custom.issues(server.parameters, resource, rows)
    if resource.get("resourceType") != "Bundle" or resource.get("type") != "transaction":
        return []
    issues: list[Issue] = []
    for place, one in enumerate(resource.get("entry", ())):
        entry = one.get("resource", {})
        if entry.get("resourceType") == "SearchParameter":
            found = custom.issues(server.parameters, entry, rows)
            issues += [within(f"Bundle.entry[{place}].resource", issue) for issue in found]
            rows = (*rows, *custom.imagined(server.parameters, entry))
    return issues
