"""explaining — a search told from within: what was understood, how it was done, what it cost.

https://hl7.org/fhir/R4/search.html

The search is done as any other, within the same bounds and the caller's reach, and watched.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.foundation.outcome import Issue
from fhir_server.interaction import search
from fhir_server.interaction.context import Circumstances, Server
from fhir_server.interaction.paging import url
from fhir_server.search.telling import included, sorted_by, told
from fhir_server.store.contract.watch import Step, watching


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion as it was given; meaning: a sentence without its full stop."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Explained:
    """query: the search as it was understood. steps: with statements only for who may see all:
    how many rows were read tells of what others have."""

    query: str
    types: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    sort: str
    includes: tuple[str, ...]
    ignored: tuple[Issue, ...]
    steps: tuple[Step, ...]

    @property
    def milliseconds(self) -> float:
        return sum(step.milliseconds for step in self.steps)


async def explained(server: Server, ask: search.Ask, circumstances: Circumstances) -> Explained:
    """Raises what the search does."""
    query = await search.asked_of(server, ask, circumstances)
    with watching() as watch:
        await search.search(server, ask, circumstances)
    is_free = circumstances.reach("search").is_free
    for step in watch.steps:
        if not is_free:
            step.statements.clear()
    return Explained(
        query=url(circumstances, search.path_of(ask), query.used),
        types=query.types,
        criteria=tuple(
            Criterion(name, value, told(server.parameters, query.types, condition, code(name)))
            for name, value, condition in query.asked
        ),
        sort=sorted_by(query.sort),
        includes=tuple(included(one) for one in query.includes),
        ignored=query.ignored,
        steps=tuple(step for step in watch.steps if step.found or step.milliseconds >= EARLY),
    )


EARLY = 0.001  # milliseconds: a step that took less had nothing to do


def code(name: str) -> str:
    return name.partition(":")[0].partition(".")[0]
