"""codes — the codes that a search for a value set, or for a part of a hierarchy, asks for.

https://hl7.org/fhir/R4/search.html#token
https://hl7.org/fhir/R4/codesystem.html#subsumption

Only the codes, and no more than a search can ask for at once: whatever is larger is refused as
soon as that is clear.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import islice

from fhir_server.foundation.outcome import NotFound, TooCostly, Unprocessable
from fhir_server.terminology.members import Wanted, members
from fhir_server.terminology.system import System
from fhir_server.terminology.systems import Systems
from fhir_server.terminology.value_set import ValueSets

LOOKED_AT = 50_000  # concepts, and filters on them, that one question of a search may look at


def listed(
    sets: ValueSets, value_set: str, at: dt.date, at_most: int
) -> tuple[tuple[str, str], ...]:
    """(system, code) of each member on a day."""
    its = sets.get(value_set)
    if its is None:
        raise NotFound(f"The value set `{value_set[:200]}` is not known here.")
    wanted = Wanted(at=at, steps=[LOOKED_AT])
    found: dict[tuple[str, str], None] = {}
    try:
        for concept in islice(members(sets, its, wanted), at_most + 1):
            found[concept.system, concept.code] = None
    except TooCostly as error:
        if wanted.steps[0] >= 0:
            raise
        raise TooCostly(
            f"To list it, more than {LOOKED_AT:,} concepts would have to be looked at."
        ) from error
    _bounded(len(found), at_most)
    return tuple(found)


def line(systems: Systems, system: str, code: str, *, below: bool, at_most: int) -> tuple[str, ...]:
    """The code, and what is beneath it or above it in any version of its system."""
    versions = systems.versions(system)
    if not versions:
        raise NotFound(
            f"The code system `{system[:200]}` is not known here, or not with its concepts."
        )
    found: dict[str, None] = {}
    for its in versions:
        concept = its.find(code)
        if concept is None:
            continue
        if not its.is_a:
            raise Unprocessable(
                f"The hierarchy of `{system[:200]}` is none of meaning: what stands beneath a code "
                "in it is no kind of that."
            )
        found[concept.code] = None
        onward = its.below(concept.code) if below else _above(its, concept.code)
        found.update(dict.fromkeys(islice(onward, at_most)))
        _bounded(len(found), at_most)
    if not found:
        raise NotFound(f"`{code[:100]}` is no code of `{system[:200]}` that is known here.")
    return tuple(found)


def _above(system: System, code: str) -> Iterator[str]:
    seen, waiting = {code}, [code]
    while waiting:
        for each in system.parents(waiting.pop()):
            if each not in seen:
                seen.add(each)
                waiting.append(each)
                yield each


def _bounded(size: int, at_most: int) -> None:
    if size > at_most:
        raise TooCostly(
            f"It has more than {at_most:,} codes, which is what one search can ask for. Ask for a "
            "part of it."
        )
