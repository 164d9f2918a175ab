"""respond — what became of each entry, as Bundle.entry.response.

https://hl7.org/fhir/R4/http.html#transaction-response
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

from fhir_server.foundation import position
from fhir_server.foundation.bundle import Entry, instant, status_line
from fhir_server.foundation.outcome import FhirError, Issue, operation_outcome
from fhir_server.foundation.resource import Resource
from fhir_server.interaction.bundle.entry import Request
from fhir_server.interaction.context import Answer, Circumstances

LONG_WORK = 64 * 1024  # bytes that take milliseconds to go through: others go first


def responded(request: Request, answer: Answer, circumstances: Circumstances) -> Entry:
    """An entry that succeeded. Resources come along for GET, else as Prefer asks."""
    response: Resource = {"status": status_line(answer.status)}
    if answer.key and answer.version_id:
        if request.writes:
            response["location"] = f"{answer.key}/_history/{answer.version_id}"
        response["etag"] = f'W/"{answer.version_id}"'
    if answer.updated:
        response["lastModified"] = instant(answer.updated)
    if answer.outcome:
        told = [located(request.place, issue) for issue in answer.outcome]
        response["outcome"] = operation_outcome(told, circumstances.language)
    wanted = circumstances.representation or not request.writes
    full_url = f"{circumstances.base}/{answer.key}" if answer.key else None
    return Entry(
        full_url=full_url if answer.body is not None and wanted else None,
        resource=answer.body if wanted and request.method != "HEAD" else None,
        response=response,
    )


@contextmanager
def at(place: str) -> Iterator[None]:
    """A refusal from within is told of this entry."""
    try:
        yield
    except FhirError as refusal:
        refusal.issues = [located(place, issue) for issue in refusal.issues]
        raise


async def refused(
    refusals: Mapping[int, FhirError], circumstances: Circumstances
) -> dict[int, Entry]:
    """The entries of a batch that failed, by their places: the status of each, and why."""
    issues = [
        located(f"Bundle.entry[{index}]", issue)
        for index, refusal in refusals.items()
        for issue in refusal.issues
    ]
    told = iter(await lined(issues, circumstances.text))
    return {
        index: Entry(
            response={
                "status": status_line(refusal.status),
                "outcome": operation_outcome(
                    list(islice(told, len(refusal.issues))), circumstances.language
                ),
            }
        )
        for index, refusal in refusals.items()
    }


async def lined(issues: list[Issue], text: tuple[bytes, str] | None) -> list[Issue]:
    """The issues with their lines in the text that was sent; all of them cost one pass."""
    if text is None or not issues:
        return issues
    if len(text[0]) < LONG_WORK:
        return position.located(issues, *text)
    return await asyncio.to_thread(position.located, issues, *text)


def located(place: str, issue: Issue) -> Issue:
    """The issue with its expression as seen from the Bundle."""
    expression = issue.expression
    if expression is None:
        expression = place
    elif expression.startswith("http."):  # a header or parameter: in a Bundle part of the request
        expression = f"{place}.request"
    elif not expression.startswith("Bundle."):
        expression = f"{place}.resource.{expression.partition('.')[2] or expression}"
    return replace(issue, expression=expression)
