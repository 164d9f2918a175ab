"""filter — which concepts a value set's filters admit.

https://hl7.org/fhir/R4/valueset-filter-operator.html
https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from fhir_server.foundation.fhirpath.patterns import tries
from fhir_server.foundation.fhirpath.texts import matches_full
from fhir_server.foundation.outcome import FhirError, TooCostly
from fhir_server.terminology.concept import Concept
from fhir_server.terminology.system import SNOMED, Filter, System

OF_THE_CODE = frozenset(["concept", "code"])  # what filters call the code itself
OF_ALL = OF_THE_CODE | {"display", "definition", "inactive", "notSelectable"}
MAX_LISTED = 10_000  # codes of an `in`
MAX_TRIES = 100_000  # of a pattern on one text: some milliseconds


def admits(system: System, concept: Concept, filter: Filter) -> bool | None:
    """Whether a filter admits a concept; None where this server cannot tell."""
    own = system.admits(concept.code, filter)
    if own is not None:
        return own
    judge = OPERATORS.get(filter.op)
    if means_otherwise(system, filter):
        return None
    if judge is None or not (filter.property in OF_ALL or system.knows(filter.property)):
        return None
    try:
        return judge(system, concept, filter)
    except TooCostly:
        return None


def means_otherwise(system: System, filter: Filter) -> bool:
    """R4 snomedct#filters: `concept in` names a reference set, of which none is known here."""
    return system.url == SNOMED and filter.property == "concept" and filter.op in ("in", "not-in")


def values(system: System, concept: Concept, property: str) -> list[str]:
    """What a concept has for a property, as filters compare it."""
    if property in STANDARD:
        return STANDARD[property](system, concept)
    its = (value for name, value in concept.properties if name == property)
    told = [text for value in its for text in _as_texts(value)]
    if not told and property in FLAGS:
        return ["true" if FLAGS[property](concept) else "false"]
    return told


STANDARD: dict[str, Callable[[System, Concept], list[str]]] = {
    "concept": lambda _, concept: [concept.code],
    "code": lambda _, concept: [concept.code],
    "display": lambda _, concept: [concept.display] if concept.display else [],
    "definition": lambda _, concept: [concept.definition] if concept.definition else [],
    "parent": lambda system, concept: list(system.parents(concept.code)),
    "child": lambda system, concept: list(system.children(concept.code)),
}
FLAGS: dict[str, Callable[[Concept], bool]] = {
    "inactive": lambda concept: concept.inactive,
    "notSelectable": lambda concept: concept.abstract,
}


def _as_texts(value: Any) -> list[str]:
    """A Coding may be asked for by its code, or with its system: `system#code`, as later versions
    of FHIR have it (R4 does not say)."""
    match value:
        case bool():
            return ["true" if value else "false"]
        case {"system": str(system), "code": str(code)}:
            named = [f"{system}|{value['version']}#{code}"] if "version" in value else []
            return [code, f"{system}#{code}", *named]
        case dict():
            return [str(value.get("code", ""))]
        case int() | Decimal() | float() | str():
            return [str(value)]
        case _:
            return []


def _equal(system: System, concept: Concept, filter: Filter) -> bool | None:
    return filter.value in values(system, concept, filter.property)


def _in(system: System, concept: Concept, filter: Filter) -> bool | None:
    listed = filter.value.split(",", MAX_LISTED)
    return any(each.strip() in values(system, concept, filter.property) for each in listed)


def _exists(system: System, concept: Concept, filter: Filter) -> bool | None:
    return bool(values(system, concept, filter.property)) is (filter.value == "true")


def _regex(system: System, concept: Concept, filter: Filter) -> bool | None:
    told = values(system, concept, filter.property)
    try:
        if any(tries(filter.value, len(value)) > MAX_TRIES for value in told):
            return None
        return any(matches_full(value, filter.value) for value in told)
    except FhirError:  # no pattern, or one that could take too long
        return None


def _not(judge: Callable[[System, Concept, Filter], bool | None]) -> Judge:
    def told(system: System, concept: Concept, filter: Filter) -> bool | None:
        found = judge(system, concept, filter)
        return None if found is None else not found

    return told


def _is_a(system: System, concept: Concept, filter: Filter) -> bool | None:
    if not _tells(system, filter):
        return None
    return system.subsumes(filter.value, concept.code)


def _descendent_of(system: System, concept: Concept, filter: Filter) -> bool | None:
    found = _is_a(system, concept, filter)
    return found and concept.code != filter.value


def _generalizes(system: System, concept: Concept, filter: Filter) -> bool | None:
    if not _tells(system, filter):
        return None
    return system.subsumes(concept.code, filter.value)


def _tells(system: System, filter: Filter) -> bool:
    """Whether the system's hierarchy is known where the filter hangs in it."""
    if filter.property not in OF_THE_CODE or not system.is_a:
        return False
    return system.find(filter.value) is not None or system.lacks(filter.value)


Judge = Callable[[System, Concept, Filter], bool | None]

OPERATORS: dict[str, Judge] = {
    "=": _equal,
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _not(_is_a),
    "regex": _regex,
    "in": _in,
    "not-in": _not(_in),
    "generalizes": _generalizes,
    "exists": _exists,
}
