"""transaction — all entries, or none.

https://hl7.org/fhir/R4/http.html#trules

First every entry's target is found (conditions, ids), then names and conditional references are
replaced, then versions and index rows are made, then one commit. What was seen on the way is
assumed in the Unit; where it no longer holds everything is looked at again. Reading entries are
tried before the commit, so that one which fails refuses the whole, and answered after it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from fhir_server.foundation import bundle
from fhir_server.foundation.bundle import Entry
from fhir_server.foundation.outcome import FhirError, Gone, Issue, NotFound, Unprocessable
from fhir_server.foundation.resource import Key, Resource
from fhir_server.interaction import writing
from fhir_server.interaction.bundle.attempt import Attempt
from fhir_server.interaction.bundle.entry import Request, all_understood
from fhir_server.interaction.bundle.get import get
from fhir_server.interaction.bundle.respond import located, responded
from fhir_server.interaction.context import Answer, Circumstances, Server
from fhir_server.interaction.judging import judged
from fhir_server.interaction.writing import Proposal, settled

ENTRY = re.compile(r"Bundle\.entry\[\d+\]")


async def transaction(server: Server, resource: Resource, circumstances: Circumstances) -> Answer:
    """Raises the refusal of an entry that fails, or Invalid with every issue found."""
    issues = await judged(server, resource, circumstances.text)
    warnings = by_entry(writing.refuse_errors(server, issues))
    requests = all_understood(server, resource.get("entry", []), circumstances.base)
    reads = [request for request in requests if not request.writes]
    if reads and circumstances.once:
        raise Unprocessable(
            "An `Idempotency-Key` is kept with what a transaction writes; send its GET entries "
            f"without it (`{reads[0].place}`).",
            expression="http.Idempotency-Key",
        )
    entries: dict[int, Entry] = {}

    async def propose() -> Proposal:
        attempt = Attempt(server, circumstances, [r for r in requests if r.writes])
        unit = await attempt.unit()
        for request in reads:
            await demand_readable(server, circumstances, request, attempt)

        def answer(updated: int) -> Answer:
            for request, told in attempt.answers(updated):
                found = (*warnings.get(request.place, ()), *told.outcome)
                warned = writing.with_warnings(told, found)
                entries[request.index] = responded(request, warned, circumstances)
            ordered = [entries[index] for index in sorted(entries)]
            return Answer(status=200, body=bundle.rendered("transaction-response", ordered))

        return Proposal(unit, answer)

    answer = await settled(server, circumstances, propose)
    if not reads:
        return answer
    for request in reads:
        told = await get(server, request, circumstances)
        entries[request.index] = responded(request, told, circumstances)
    ordered = [entries[index] for index in range(len(requests))]
    return replace(answer, body=bundle.rendered("transaction-response", ordered))


def by_entry(issues: tuple[Issue, ...]) -> dict[str, tuple[Issue, ...]]:
    """The warnings about each entry, by its place (`Bundle.entry[0]`)."""
    found: dict[str, tuple[Issue, ...]] = {}
    for issue in issues:
        place = ENTRY.match(issue.expression or "")
        if place:
            found[place[0]] = (*found.get(place[0], ()), issue)
    return found


async def demand_readable(
    server: Server, circumstances: Circumstances, request: Request, attempt: Attempt
) -> None:
    """Refuse the transaction if this GET would fail after it."""
    try:
        await get(server, request, circumstances)
    except (NotFound, Gone) as refusal:
        if len(request.path) != 2 or Key(*request.path) not in attempt.alive:
            raise at(request, refusal) from None
    except FhirError as refusal:
        raise at(request, refusal) from None
    else:
        if len(request.path) == 2 and Key(*request.path) in attempt.condemned:
            raise at(request, Gone(f"`{Key(*request.path)}` is deleted by this transaction."))


def at(request: Request, refusal: FhirError) -> FhirError:
    """The same refusal, located at its entry."""
    refusal.issues = [located(request.place, issue) for issue in refusal.issues]
    return refusal
