"""members — the members of a value set, one after another.

https://hl7.org/fhir/R4/valueset.html#expansion
https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fhir_server.foundation.folding import words
from fhir_server.foundation.outcome import NotFound, TooCostly, Unprocessable
from fhir_server.terminology import filter
from fhir_server.terminology.compose import Composed, Part
from fhir_server.terminology.concept import Concept, Standing
from fhir_server.terminology.system import Filter, System
from fhir_server.terminology.value_set import Found, Question, ValueSets

LOOKED_AT = 500_000  # concepts, and filters on them, that one expansion may look at
MAX_DEPTH = 50  # value sets that import one another
CERTAIN = 20_000  # codes that are kept as certain members


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen of a value set, beside the words it is filtered by."""

    versions: tuple[tuple[str, str], ...] = ()  # of systems whose version is not said
    forced: tuple[tuple[str, str], ...] = ()  # of systems, whatever is said
    without: frozenset[str] = frozenset()  # systems left out, `url` or `url|version`
    selectable: bool = False  # abstract concepts are left out


WHATEVER = Choice()


@dataclass(slots=True)
class Wanted:
    """What an expansion is asked for."""

    at: dt.date
    words: tuple[str, ...] = ()  # of the filter, folded
    active_only: bool = False
    choice: Choice = WHATEVER
    trail: tuple[str, ...] = ()
    used: dict[str, None] = field(default_factory=dict)
    steps: list[int] = field(default_factory=lambda: [LOOKED_AT])

    @property
    def key(self) -> tuple[object, ...]:
        """What an expansion depends on."""
        return self.at, self.words, self.active_only, self.choice

    def version(self, part: Part) -> str | None:
        url = part.system or ""
        forced, versions = dict(self.choice.forced), dict(self.choice.versions)
        return forced.get(url) or part.version or versions.get(url)

    def uses(self, url: str, version: str | None) -> bool:
        """Whether a version of a system is wanted; it is noted as used."""
        named = f"{url}|{version}" if version else url
        if url in self.choice.without or named in self.choice.without:
            return False
        self.used[named] = None
        return True

    def spend(self, steps: int = 1) -> None:
        self.steps[0] -= steps
        if self.steps[0] < 0:
            raise TooCostly(
                "The value set is too large to be expanded as a whole. Give a longer `filter`."
            )


def members(sets: ValueSets, value_set: Composed, wanted: Wanted) -> Iterator[Concept]:
    """The members in the order of the includes, each once. Raises FhirError where they cannot
    be told: an unknown import or system, a cycle, a system that cannot be listed."""
    if value_set.locked is not None:
        wanted = replace(wanted, at=value_set.locked)
    if value_set.canonical and value_set.canonical in wanted.trail:
        raise Unprocessable(f"The value set `{value_set.canonical}` includes itself.")
    if len(wanted.trail) > MAX_DEPTH:
        raise TooCostly(f"More than {MAX_DEPTH} value sets import one another.")
    if not value_set.includes:
        yield from _carried(value_set, wanted)
        return
    wanted = replace(wanted, trail=(*wanted.trail, value_set.canonical))
    seen = set[tuple[str, str]]()
    for part in value_set.includes:
        for concept in _part(sets, part, wanted):
            key = concept.system, concept.code
            if key in seen or (value_set.inactive is False and concept.inactive):
                continue
            seen.add(key)
            if not (value_set.excludes and _excluded(sets, value_set, concept, wanted)):
                yield concept


def _carried(value_set: Composed, wanted: Wanted) -> Iterator[Concept]:
    if value_set.carried is None or not value_set.carried_whole:
        raise Unprocessable(
            f"The value set `{value_set.canonical}` says neither what it is composed of nor all"
            " that is in it."
        )
    for concept in value_set.carried:
        wanted.spend()
        if _wanted(concept, wanted):
            yield concept


def _excluded(sets: ValueSets, value_set: Composed, concept: Concept, wanted: Wanted) -> bool:
    only = replace(value_set, includes=value_set.excludes, excludes=(), inactive=None)
    question = Question(concept.code, concept.system, concept.version, wanted.at)
    question.steps = wanted.steps
    standing = sets.find(only, question).standing
    wanted.spend()
    if standing is Standing.UNKNOWN:
        raise Unprocessable(
            f"What `{value_set.canonical}` excludes cannot be told here: a code system or value"
            " set it names is not known."
        )
    return standing is not Standing.NOT_MEMBER


def _part(sets: ValueSets, part: Part, wanted: Wanted) -> Iterator[Concept]:
    imports = [_imported(sets, each) for each in part.imports]
    if part.system is not None:
        found = _of_system(sets, part, wanted)
    elif imports:
        found, imports = members(sets, imports[0], wanted), imports[1:]
    else:
        return
    for concept in found:
        question = Question(concept.code, concept.system, concept.version, wanted.at)
        question.trail, question.steps = wanted.trail, wanted.steps
        wanted.spend()
        if all(_holds(sets.find(each, question), each, wanted) for each in imports):
            yield concept


def _imported(sets: ValueSets, canonical: str) -> Composed:
    found = sets.get(canonical)
    if found is None:
        raise NotFound(f"The value set `{canonical}` is not known here.")
    return found


def _holds(found: Found, value_set: Composed, wanted: Wanted) -> bool:
    wanted.spend()
    if found.standing is Standing.UNKNOWN:
        raise Unprocessable(
            f"Whether a code is in `{value_set.canonical}` cannot be told here: `{found.missing}`"
            " is not known."
        )
    return found.standing is Standing.MEMBER


# --- the concepts of a system --------------------------------------------------------------------


def _of_system(sets: ValueSets, part: Part, wanted: Wanted) -> Iterator[Concept]:
    url = part.system or ""
    version = wanted.version(part)
    if part.concepts is not None:
        yield from _listed(sets, part, part.concepts, wanted)
        return
    system = sets.systems.version(url, version, wanted.at)
    if system is None:
        named = f"{url}|{version}" if version else url
        if sets.systems.versions(url) and not version:
            return  # no version of it was in force that day
        raise NotFound(f"The code system `{named}` is not known here, or not with its concepts.")
    if not wanted.uses(url, system.version):
        return
    for code in _candidates(system, part, wanted):
        wanted.spend()
        concept = system.find(code)
        if concept is not None and _admitted(system, concept, part, wanted):
            yield concept


def _candidates(system: System, part: Part, wanted: Wanted) -> Iterator[str]:
    """The fewest codes to look at that hold all that are wanted."""
    found = _by_code(system, part.filters)
    if found is None and wanted.words:
        found = system.matching(wanted.words)
    for each in part.filters:
        found = system.having(each) if found is None else found
    found = system.codes() if found is None else found
    if found is None:
        raise TooCostly(
            f"The codes of `{system.url}` are made by rules and cannot be listed; `$validate-code`"
            " tells whether a code is one."
        )
    return found


def _by_code(system: System, filters: Sequence[Filter]) -> Iterator[str] | None:
    for each in filters:
        if each.property not in filter.OF_THE_CODE or filter.means_otherwise(system, each):
            continue
        match each.op:
            case "=":
                return iter([each.value])
            case "in":
                return iter(dict.fromkeys(part.strip() for part in each.value.split(",")))
            case "is-a" | "descendent-of" if system.is_a:
                below = system.below(each.value)
                return iter((each.value, *below)) if each.op == "is-a" else below
    return None


def _admitted(system: System, concept: Concept, part: Part, wanted: Wanted) -> bool:
    wanted.spend(len(part.filters))
    for each in part.filters:
        admitted = filter.admits(system, concept, each)
        if admitted is None:
            raise Unprocessable(
                f"The filter `{each.property} {each.op} {each.value[:100]}` on `{system.url}`"
                " cannot be applied here."
            )
        if not admitted:
            return False
    return concept.in_force(wanted.at) and _wanted(concept, wanted)


def _listed(
    sets: ValueSets, part: Part, concepts: dict[str, Concept], wanted: Wanted
) -> Iterator[Concept]:
    """The concepts a value set lists itself, told more of by their system where it is known."""
    url = part.system or ""
    version = wanted.version(part)
    system = sets.systems.version(url, version, wanted.at)
    if system is None and sets.systems.versions(url) and not version:
        return  # no version of it was in force that day
    if not wanted.uses(url, system.version if system is not None else version):
        return
    for listed in concepts.values():
        wanted.spend()
        known = system.find(listed.code) if system is not None else None
        concept = known_as(known, listed)
        if concept.in_force(wanted.at) and _wanted(concept, wanted):
            yield concept


def known_as(known: Concept | None, listed: Concept) -> Concept:
    """A concept with the display and designations that a value set gives it."""
    if known is None:
        return listed
    if not listed.display and not listed.designations:
        return known
    return replace(
        known,
        display=listed.display or known.display,
        designations=(*listed.designations, *known.designations),
        abstract=known.abstract or listed.abstract,
        inactive=known.inactive or listed.inactive,
    )


def _wanted(concept: Concept, wanted: Wanted) -> bool:
    if (wanted.active_only and concept.inactive) or (wanted.choice.selectable and concept.abstract):
        return False
    return not wanted.words or has_words(concept, wanted.words)


def has_words(concept: Concept, asked: Sequence[str]) -> bool:
    """Whether each word begins a word of what the concept is called, or the code."""
    texts = [concept.display or "", *(value for _, _, value in concept.designations)]
    its = [*words(concept.code), concept.code.casefold()]
    for text in texts:
        its.extend(words(text))
    return all(any(word.startswith(each) for word in its) for each in asked)


# --- members that need no date -------------------------------------------------------------------


def certain(sets: ValueSets, value_set: Composed) -> frozenset[tuple[str, str]] | None:
    """Codes that are members on any day; None where none can be told at little cost.

    There may be members besides. Nothing is certain of a value set whose excludes are not.
    """
    found = _certain(sets, value_set, (), [CERTAIN])
    return found or None


def _certain(
    sets: ValueSets, value_set: Composed, trail: tuple[str, ...], room: list[int]
) -> frozenset[tuple[str, str]]:
    none: frozenset[tuple[str, str]] = frozenset()
    excluded = _surely_excluded(value_set)
    is_deep = len(trail) > MAX_DEPTH
    if value_set.locked is not None or value_set.canonical in trail or excluded is None or is_deep:
        return none
    trail = (*trail, value_set.canonical)
    every = [_certain_part(sets, each, value_set, trail, room) for each in value_set.includes]
    return none.union(*every) - excluded


def _surely_excluded(value_set: Composed) -> frozenset[tuple[str, str]] | None:
    """All that may be excluded, where the value set lists it."""
    found = set[tuple[str, str]]()
    for part in value_set.excludes:
        if part.concepts is None or part.system is None:
            return None
        found.update((part.system, code) for code in part.concepts)
    return frozenset(found)


def _certain_part(
    sets: ValueSets, part: Part, within: Composed, trail: tuple[str, ...], room: list[int]
) -> frozenset[tuple[str, str]]:
    each_import = []
    for canonical in part.imports:
        value_set = sets.get(canonical)
        room[0] -= 1
        if value_set is None or room[0] < 0:
            return frozenset()
        each_import.append(_certain(sets, value_set, trail, room))
    if part.system is not None:
        each_import.append(frozenset(_always(sets, part, within, room)))
    if room[0] < 0 or not each_import:
        return frozenset()
    return frozenset.intersection(*each_import)


def _always(
    sets: ValueSets, part: Part, within: Composed, room: list[int]
) -> Iterator[tuple[str, str]]:
    url = part.system or ""
    versions = sets.systems.versions(url)
    if len(versions) > 1 or any(each.since or each.until for each in versions):
        return
    system = versions[0] if versions else None
    if part.version and (system is None or system.version != part.version):
        system = None
    if part.concepts is not None:
        codes: Iterator[str] | None = iter(part.concepts)
    else:
        codes = system.codes() if system is not None and _is_small(system) else None
    for code in codes or ():
        room[0] -= 1 + len(part.filters)
        if room[0] < 0:
            return
        concept = system.find(code) if system is not None else None
        if concept is None and part.concepts is None:
            continue
        if concept is None or _for_ever(system, concept, part, within):
            yield url, code


def _for_ever(system: System | None, concept: Concept, part: Part, within: Composed) -> bool:
    if concept.since or concept.until or (within.inactive is False and concept.inactive):
        return False
    return system is None or all(
        filter.admits(system, concept, each) is True for each in part.filters
    )


def _is_small(system: System) -> bool:
    size = getattr(system, "__len__", None)
    return size is not None and size() <= CERTAIN
