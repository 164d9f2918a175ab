"""compartment — what belongs to a Patient, an Encounter, a Practitioner, as a condition.

https://hl7.org/fhir/R4/compartmentdefinition.html
https://hl7.org/fhir/R4/http.html#vsearch
"""

from __future__ import annotations

from fhir_server.foundation.outcome import Invalid, NotFound, UnknownType
from fhir_server.foundation.resource import ID, Key
from fhir_server.search.parameters import Parameters
from fhir_server.store.contract import (
    HASH_MASK,
    PARAM_SHIFT,
    AnyOf,
    Condition,
    KeyIs,
    RidIn,
    rid,
)

ITSELF = "{def}"  # R4's word for the resource the compartment is named after


def within(parameters: Parameters, compartment: str, id: str, type: str) -> Condition:
    """True of the resources of `type` that lie in the compartment of `compartment/id`.

    Raises UnknownType where R4 has no such compartment, NotFound where it never holds the type.
    """
    types = parameters.definitions.compartments.get(compartment)
    if types is None:
        known = ", ".join(f"`{name}`" for name in parameters.definitions.compartments)
        raise UnknownType(f"`{compartment[:64]}` is no compartment. R4 has {known}.")
    if not ID.fullmatch(id):
        raise Invalid(f"`{id[:80]}` is no id: 1 to 64 of the characters `A-Z a-z 0-9 - .`.")
    target = rid(Key(compartment, id))
    mine: list[Condition] = [RidIn((target,))] if type == compartment else []
    if type not in types and not mine:
        raise NotFound(f"The compartment of a {compartment} never holds a `{type[:64]}`.")
    found = parameters.of(type)
    for code in types.get(type, ()):
        if code == ITSELF:
            continue
        number = found[code].number
        mine.append(KeyIs(number << PARAM_SHIFT | target & HASH_MASK, target, mask=-1))
    return mine[0] if len(mine) == 1 else AnyOf(tuple(mine))
