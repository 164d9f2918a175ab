"""query — a search URL, understood: its criteria as one Condition, its result parameters as values.

https://hl7.org/fhir/R4/search.html
https://hl7.org/fhir/R4/search.html#Summary

Nothing a client wrote is passed over in silence: what cannot be done is refused, all of it at once,
or, under `Prefer: handling=lenient`, left out and told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fhir_server.foundation.outcome import FhirError, Invalid, Issue, NotSupported
from fhir_server.search.criterion import EVERYTHING, Criterion, closest, condition, locks
from fhir_server.search.parameters import Parameters
from fhir_server.search.site import Site
from fhir_server.store.contract import AllOf, Condition, hash128

MAX_PARAMETERS = 100
MAX_LENGTH = 8192  # characters of one parameter's value
SHOWN_REFUSALS = 20

TOTALS = ("none", "estimate", "accurate")
SUMMARIES = ("true", "text", "data", "count", "false")

# What R4 has and this server has not yet. https://hl7.org/fhir/R4/search.html#summary-table
NOT_YET = {
    "_contained": "Contained resources are not searched.",
    "_containedType": "Contained resources are not searched.",
    "_content": "Ask by the parameters of the type.",
    "_filter": "Write the criteria as parameters.",
    "_has": "Search the other type first, then this one by what was found.",
    "_include": "Read what the matches refer to in a second request.",
    "_list": "Read the List, then ask for its members with `_id`.",
    "_query": "Write the criteria as parameters.",
    "_revinclude": "Search the referring type in a second request.",
    "_score": "Matches come by their date, newest first.",
    "_sort": "Matches come by their date, newest first.",
    "_text": "Ask by the parameters of the type.",
}


@dataclass(frozen=True, slots=True)
class Query:
    """types: empty for all. used: what was understood, for the self link. ignored: what was left
    out under lenient handling. locks: what two writers deciding on the same question have in
    common. has_criteria: something narrows the search."""

    types: tuple[str, ...]
    where: Condition
    count: int
    cursor: str | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    used: tuple[tuple[str, str], ...] = ()
    ignored: tuple[Issue, ...] = ()
    locks: tuple[int, ...] = ()
    has_criteria: bool = False


def parse(  # noqa: PLR0913 - each is a thing of its own, and named
    parameters: Parameters,
    types: tuple[str, ...],
    pairs: Sequence[tuple[str, str]],
    *,
    strict: bool = True,
    base_urls: tuple[str, ...] = (),
    zone_minutes: int = 420,
    page_size: int = 50,
    max_page_size: int = 1000,
    fixed: Condition = EVERYTHING,
    now: int | None = None,
) -> Query:
    """The query that `pairs` (already percent-decoded) ask of `types` (empty: of every type).

    fixed: a condition that holds besides (a compartment). now: milliseconds since 1970 UTC, for
    the prefix `ap`. Raises Invalid or NotSupported, with an issue for each thing that is wrong.
    """
    if len(pairs) > MAX_PARAMETERS:
        raise Invalid(f"The search has {len(pairs)} parameters; at most {MAX_PARAMETERS}.")
    reading = _Reading(
        parameters, Site(zone_minutes, base_urls, now), types, min(page_size, max_page_size)
    )
    reading.at_most = max_page_size
    refusals: list[FhirError] = []
    # `_type` first: it says of which types the others are asked
    for name, value in sorted(pairs, key=lambda pair: pair[0] != "_type"):
        try:
            reading.read(name, value)
        except FhirError as refusal:
            refusals.append(_about(refusal, name))
    if refusals and strict:
        issues = [issue for refusal in refusals for issue in refusal.issues]
        raise type(refusals[0])(str(refusals[0]), issues=issues[:SHOWN_REFUSALS])
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
    return type(refusal)(str(refusal), issues=issues)


@dataclass(slots=True)
class _Reading:
    """What has been understood so far."""

    parameters: Parameters
    site: Site
    types: tuple[str, ...]
    count: int
    at_most: int = 1000
    cursor: str | None = None
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    criteria: list[Criterion] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
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
        if name in RESULT:
            if name in self.seen:
                raise Invalid(f"`{name}` is given more than once.")
            told = RESULT[name](self, value)
            self.seen.add(name)
            self.used[name, value] = value if told is None else told
            return
        criterion = self.criterion(name, value)
        self.conditions.append(condition(criterion, self.parameters, self.site))
        self.criteria.append(criterion)
        self.used[name, value] = value

    def criterion(self, name: str, value: str) -> Criterion:
        # R4 search#modifiers:  [name]:[modifier]
        # R4 search#chaining:  [name](:[type])?.[name]
        code, _, modifier = name.partition(":")
        if code in NOT_YET:
            raise NotSupported(f"`{code}` is not supported yet. {NOT_YET[code]}")
        if "." in name:
            raise NotSupported(
                f"`{name[:80]}` is a chain, and chains are not supported yet. Search "
                "the other type first, then this one by what was found."
            )
        found = [self.parameters.of(type).get(code) for type in self.types]
        if not self.types:
            found = [self.parameters.everywhere().get(code)]
        known = tuple(parameter for parameter in found if parameter is not None)
        if not known or len(known) < len(found):
            raise Invalid(self.unknown(code))
        return Criterion(code, modifier or None, value, known, self.types)

    def unknown(self, code: str) -> str:
        """Why there is no such parameter, and which one may be meant."""
        if not self.types:
            codes, whose = set(self.parameters.everywhere()), "all types; give `_type`"
        else:
            of = [set(self.parameters.of(type)) for type in self.types]
            codes, whose = set.intersection(*of), " and ".join(self.types[:5])
        known = sorted(codes | RESULT.keys())
        return f"`{code[:64]}` is not a search parameter of {whose}.{closest(code, known)}"

    def query(
        self, fixed: Condition, pairs: Sequence[tuple[str, str]], ignored: tuple[Issue, ...]
    ) -> Query:
        parts = [part for part in (fixed, *self.conditions) if part != AllOf()]
        told = [
            (name, self.used[name, value]) for name, value in pairs if (name, value) in self.used
        ]
        return Query(
            types=self.types,
            where=parts[0] if len(parts) == 1 else AllOf(tuple(parts)),
            count=self.count,
            cursor=self.cursor,
            total=self.total,
            summary=self.summary,
            elements=self.elements,
            used=tuple(told),
            ignored=ignored,
            locks=self.locks(),
            has_criteria=bool(self.criteria),
        )

    def locks(self) -> tuple[int, ...]:
        """By each identifier asked for, so that any two questions about one of them meet; else by
        the criteria as a whole."""
        named = {lock for criterion in self.criteria for lock in locks(criterion)}
        if named or not self.criteria:
            return tuple(sorted(named))
        asked = sorted({f"{c.code}:{c.modifier or ''}={c.value}" for c in self.criteria})
        return (hash128("\n".join([*self.types, *asked])) >> 65,)


# --- result parameters: R4 search#Summary ---------------------------------------------------------


def _count(reading: _Reading, value: str) -> str:
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise Invalid(f"`_count` is given `{value[:40]}`. It takes a whole number, such as `50`.")
    # R4 search#count: the server may return fewer, "but SHALL NOT return more"
    reading.count = min(int(value), reading.at_most)
    return str(reading.count)


def _cursor(reading: _Reading, value: str) -> None:
    reading.cursor = value


def _total(reading: _Reading, value: str) -> None:
    reading.total = _one_of("_total", value, TOTALS)


def _summary(reading: _Reading, value: str) -> None:
    reading.summary = _one_of("_summary", value, SUMMARIES)


def _elements(reading: _Reading, value: str) -> None:
    names = tuple(name.strip() for name in value.split(","))
    if not all(name.replace(".", "").isalnum() for name in names):
        raise Invalid("`_elements` takes names of elements parted by commas: `name,birthDate`.")
    reading.elements = names


def _type(reading: _Reading, value: str) -> None:
    if reading.types:
        raise Invalid(
            "`_type` is for searches of the whole server (`GET [base]?_type=...`); "
            f"this one is of {' and '.join(reading.types[:5])} already."
        )
    known = reading.parameters.definitions.resource_types
    types = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in types:
        if name not in known:
            hint = closest(name, sorted(known))
            raise Invalid(f"`_type` names `{name[:64]}`, which is no resource type of R4.{hint}")
    reading.types = types


def _told_elsewhere(reading: _Reading, value: str) -> None:
    """`_format` and `_pretty` are for whoever writes the answer."""


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        told = ", ".join(f"`{one}`" for one in allowed)
        raise Invalid(f"`{name}` is given `{value[:40]}`. It takes one of {told}.")
    return value


RESULT: dict[str, Callable[[_Reading, str], str | None]] = {
    "_count": _count,
    "_cursor": _cursor,
    "_elements": _elements,
    "_format": _told_elsewhere,
    "_pretty": _told_elsewhere,
    "_summary": _summary,
    "_total": _total,
    "_type": _type,
}
