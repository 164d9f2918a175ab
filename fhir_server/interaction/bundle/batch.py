"""batch — each entry for itself: what one does or fails to do changes no other.

https://hl7.org/fhir/R4/http.html#brules
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import groupby
from typing import Any

from fhir_server.foundation import bundle
from fhir_server.foundation.bundle import Entry
from fhir_server.foundation.outcome import FhirError, Invalid
from fhir_server.foundation.resource import Resource
from fhir_server.interaction import create, delete, patch, update
from fhir_server.interaction.bundle.entry import Request, understood
from fhir_server.interaction.bundle.get import get
from fhir_server.interaction.bundle.respond import refused, responded
from fhir_server.interaction.context import Answer, Circumstances, Server

SIDE_BY_SIDE = 25  # entries under way at once; more would keep small writers waiting


async def batch(server: Server, resource: Resource, circumstances: Circumstances) -> Answer:
    """Always 200: what became of each entry stands in its response."""
    entries = resource.get("entry", [])
    if not isinstance(entries, list):
        raise Invalid("`entry` must be a list.", expression="Bundle.entry")
    # An Idempotency-Key would have to cover every entry at once; a batch promises no such thing.
    circumstances = replace(circumstances, once=None)
    done: dict[int, Entry] = {}
    refusals: dict[int, FhirError] = {}
    requests = []
    for index, entry in enumerate(entries):
        try:
            requests.append(understood(server, index, entry, circumstances.base))
        except FhirError as refusal:
            refusals[index] = refusal
    names = {r.full_url for r in requests if r.method == "POST" and r.full_url}
    requests.sort(key=lambda request: request.order)
    for _, group in groupby(requests, key=lambda request: request.order):
        waiting = list(group)
        for start in range(0, len(waiting), SIDE_BY_SIDE):
            part = waiting[start : start + SIDE_BY_SIDE]
            answers = await asyncio.gather(*(_one(server, r, circumstances, names) for r in part))
            for request, answer in zip(part, answers, strict=True):
                if isinstance(answer, FhirError):
                    refusals[request.index] = answer
                else:
                    done[request.index] = answer
    if circumstances.record is not None:
        for index, why in refusals.items():
            asked = asked_by(entries[index])
            circumstances.record.refuse("batch", asked, why.status, why.issues[0].code)
    done |= await refused(refusals, circumstances)
    answered = [done[index] for index in range(len(entries))]
    return Answer(status=200, body=bundle.rendered("batch-response", answered))


def asked_by(entry: Any) -> str:
    """`GET Patient/1`, of an entry in whatever state."""
    asked = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(asked, dict):
        return ""
    return f"{str(asked.get('method'))[:10]} {asked.get('url')}"


async def _one(
    server: Server, request: Request, circumstances: Circumstances, names: set[str]
) -> Entry | FhirError:
    try:
        if names and request.resource:
            demand_independent(server, request, names)
        answer = await _done(server, request, circumstances)
    except FhirError as refusal:
        return refusal
    return responded(request, answer, circumstances)


def demand_independent(server: Server, request: Request, names: set[str]) -> None:
    """R4 http#brules: references to what the same batch creates are non-conformant."""
    met: list[str] = []

    def look(text: str) -> None:
        if text in names and text != request.full_url:
            met.append(text)

    if isinstance(request.resource, dict) and "resourceType" in request.resource:
        server.links.renamed(request.resource, look)
    if met:
        raise Invalid(
            f"The resource refers to `{met[0]}`, which another entry of this batch creates. "
            "Entries of a batch stand each for itself; send a transaction.",
            expression=request.place,
        )


async def _done(server: Server, request: Request, circumstances: Circumstances) -> Answer:
    body: Any = request.resource
    circumstances = replace(circumstances, text=None)  # that is of all entries together
    if not request.writes:
        return await get(server, request, circumstances)
    match request.method:
        case "POST":
            asked = create.Ask(request.type, body, request.if_none_exist)
            return await create.create(server, asked, circumstances)
        case "PUT":
            put = update.Ask(request.type, request.id, body, request.if_match, request.condition)
            return await update.update(server, put, circumstances)
        case "PATCH":
            change = patch.Ask(
                request.type, request.id, body, "fhirpath", request.if_match, request.condition
            )
            return await patch.patch(server, change, circumstances)
        case _:
            gone = delete.Ask(request.type, request.id, request.condition, request.if_match)
            return await delete.delete(server, gone, circumstances)
