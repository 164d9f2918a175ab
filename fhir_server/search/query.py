"""query — a search URL, understood: its criteria as one Condition, its result parameters as values.

https://hl7.org/fhir/R4/search.html
https://hl7.org/fhir/R4/search.html#Summary

Nothing a client wrote is passed over in silence: what cannot be done is refused, all of it at once,
or, under `Prefer: handling=lenient`, left out and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fhir_server.foundation.outcome import FhirError, Invalid, Issue
from fhir_server.search import criteria
from fhir_server.search.criterion import EVERYTHING
from fhir_server.search.merging import merged
from fhir_server.search.parameters import Parameters
from fhir_server.search.result import REPEATED, RESULT, understood
from fhir_server.search.scope import Asked, Scope
from fhir_server.search.site import HERE, MAX_LOOKS, Site
from fhir_server.search.wanted import Include, SortKey, Wanted
from fhir_server.store.contract import AllOf, Condition, hash128

MAX_PARAMETERS = 100
MAX_LENGTH = 8192  # characters of one parameter's value
SHOWN_REFUSALS = 20
# `_type` says of which types the others are asked, `_summary` whether anything may be included.
FIRST = {"_type": 0, "_summary": 1}


@dataclass(frozen=True, slots=True)
class Query:
    """types: empty for all. asked: each criterion, and what it means. used: what was understood,
    for the self link. ignored: what was left out under lenient handling. locks: what two writers
    deciding on the same question have in common. has_criteria: something narrows the search."""

    types: tuple[str, ...]
    where: Condition
    count: int
    cursor: str | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    sort: tuple[SortKey, ...] = ()
    includes: tuple[Include, ...] = ()
    asked: tuple[tuple[str, str, Condition], ...] = ()
    used: tuple[tuple[str, str], ...] = ()
    ignored: tuple[Issue, ...] = ()
    locks: tuple[int, ...] = ()
    has_criteria: bool = False


def parse(
    parameters: Parameters,
    types: tuple[str, ...],
    pairs: Sequence[tuple[str, str]],
    *,
    site: Site = HERE,
    strict: bool = True,
    page_size: int = 50,
    max_page_size: int = 1000,
    fixed: Condition = EVERYTHING,
) -> Query:
    """The query that `pairs` (already percent-decoded) ask of `types` (empty: of every type).

    fixed: a condition that holds besides (a compartment). Raises Invalid or NotSupported, with an
    issue for each thing that is wrong.
    """
    if len(pairs) > MAX_PARAMETERS:
        raise Invalid(f"The search has {len(pairs)} parameters; at most {MAX_PARAMETERS}.")
    site = replace(site, looks=[MAX_LOOKS])
    wanted = Wanted(parameters, types, min(page_size, max_page_size), at_most=max_page_size)
    reading = _Reading(wanted, site)
    refusals: list[FhirError] = []
    for name, value in sorted(pairs, key=lambda pair: FIRST.get(pair[0], len(FIRST))):
        try:
            reading.read(name, value)
        except FhirError as refusal:
            refusals.append(_about(refusal, name))
    # R4 search#query: who does not know a `_query` SHALL refuse, however lenient
    if refusals and (strict or any(name == "_query" for name, _ in pairs)):
        issues = [issue for refusal in refusals for issue in refusal.issues]
        first = refusals[0]
        raise type(first)(str(first), issues=issues[:SHOWN_REFUSALS], headers=first.headers)
    ignored = tuple(
        replace(issue, severity="warning", diagnostics=f"{issue.diagnostics} It was left out.")
        for refusal in refusals
        for issue in refusal.issues[:1]
    )
    return reading.query(fixed, pairs, ignored)


def _about(refusal: FhirError, name: str) -> FhirError:
    """The same refusal, naming its parameter as R4 asks."""
    bare = name.partition(":")[0][:64]
    issues = [replace(issue, expression=f"http.{bare}") for issue in refusal.issues]
    return type(refusal)(str(refusal), issues=issues, headers=refusal.headers)


@dataclass(slots=True)
class _Reading:
    """What has been understood so far."""

    wanted: Wanted
    site: Site
    asked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    used: dict[tuple[str, str], str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def read(self, name: str, value: str) -> None:
        """One parameter. Raises where it cannot be understood, and then leaves nothing behind."""
        if len(value) > MAX_LENGTH:
            raise Invalid(
                f"`{name[:64]}` has {len(value)} characters; at most {MAX_LENGTH}. "
                "Ask in several searches."
            )
        if not value.strip():
            raise Invalid(f"`{name[:64]}` has no value. Give it one, or leave it out.")
        code = name.partition(":")[0]
        if code in RESULT:
            if code in self.seen and code not in REPEATED:
                raise Invalid(f"`{code}` is given more than once.")
            self.used[name, value] = understood(self.wanted, name, value)
            self.seen.add(code)
            return
        scope = Scope(self.wanted.parameters, self.site, self.wanted.types, criteria.asked)
        self.asked[name, value] = scope.reader(scope, name, value)
        self.used[name, value] = value

    def query(
        self, fixed: Condition, pairs: Sequence[tuple[str, str]], ignored: tuple[Issue, ...]
    ) -> Query:
        wanted = self.wanted
        found = (fixed, *(asked.condition for asked in self.asked.values()))
        parts = merged([part for part in found if part != AllOf()])
        told = [
            (name, self.used[name, value]) for name, value in pairs if (name, value) in self.used
        ]
        return Query(
            types=wanted.types,
            where=parts[0] if len(parts) == 1 else AllOf(parts),
            count=wanted.count,
            cursor=wanted.cursor,
            total=wanted.total,
            summary=wanted.summary,
            elements=wanted.elements,
            sort=wanted.sort,
            includes=wanted.includes,
            asked=tuple((*pair, asked.condition) for pair, asked in self.asked.items()),
            used=tuple(told),
            ignored=ignored,
            locks=self.locks(),
            has_criteria=bool(self.asked),
        )

    def locks(self) -> tuple[int, ...]:
        """By each identifier asked for, so that any two questions about one of them meet; else by
        the criteria as a whole."""
        named = {lock for asked in self.asked.values() for lock in asked.locks}
        if named or not self.asked:
            return tuple(sorted(named))
        told = sorted(f"{name}={value}" for name, value in self.asked)
        return (hash128("\n".join([*self.wanted.types, *told])) >> 65,)
