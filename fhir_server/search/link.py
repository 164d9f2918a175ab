"""link — the reference parameters by which a criterion goes from one resource to another.

https://hl7.org/fhir/R4/search.html#chaining
https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fhir_server.foundation.outcome import FhirError, Invalid, NotSupported
from fhir_server.search.apart import refuse_apart
from fhir_server.search.closest import closest
from fhir_server.search.criterion import any_of
from fhir_server.search.owner import owned
from fhir_server.search.parameters import Parameter
from fhir_server.search.scope import Scope
from fhir_server.store.contract import Condition, Refers

SHOWN = 5  # types named in a message


def known_type(scope: Scope, type: str, asked: str) -> str:
    """asked: the criterion. Raises Invalid where R4 has no such type; NotSupported."""
    known = scope.parameters.definitions.resource_types
    if type not in known:
        hint = closest(type, sorted(known))
        raise Invalid(f"`{type[:64]}` is no resource type of R4.{hint}")
    refuse_apart((type,), asked)
    return type


def followable(scope: Scope, code: str, types: Sequence[str]) -> tuple[Parameter, ...]:
    """The reference parameter as each of the types has it. Raises Invalid, NotSupported."""
    if not types:
        raise Invalid(not_of_all(code))
    found = [scope.parameters.of(type).get(code) for type in types]
    known = tuple(parameter for parameter in found if parameter is not None)
    if len(known) < len(found):
        raise Invalid(no_parameter(scope, code, types))
    for parameter in known:
        if refusal := leads_on(parameter):
            raise refusal
    return known


def leads_on(parameter: Parameter) -> FhirError | None:
    """Why the parameter cannot be followed; None: it can."""
    named = f"`{parameter.code}` of {parameter.of}"
    if parameter.type != "reference":
        return Invalid(
            f"{named} is a {parameter.type} parameter: it leads to no other resource. Only what "
            "refers to one can be followed by `.`, or stand in `_has`."
        )
    if parameter.types & {"canonical", "uri"}:
        return NotSupported(
            f"{named} names its target by a canonical URL, which is not followed. Search for the "
            f"target first, then for `{parameter.code}=` and its URL."
        )
    if "Resource" in parameter.types:
        return NotSupported(
            f"{named} is a resource within the {parameter.of}, and those are not searched."
        )
    return None


def no_parameter(scope: Scope, code: str, types: Iterable[str]) -> str:
    """That none of the types has it, and which one may be meant."""
    types = tuple(types)
    scope.parameters.demand_ready(types, code)
    codes = {known for type in types for known in scope.parameters.of(type)}
    shown = " or ".join(types[:SHOWN])
    rest = f" or {len(types) - SHOWN} more types" if len(types) > SHOWN else ""
    hint = closest(code, sorted(codes))
    return f"`{code[:64]}` is not a search parameter of {shown}{rest}.{hint}"


def not_of_all(code: str) -> str:
    return f"`{code[:64]}` is not a parameter of all types. Say with `_type` which are searched."


def through(
    scope: Scope,
    links: Sequence[Parameter],
    types: Sequence[str],
    asked: Callable[[Scope], Condition],
) -> Condition:
    """One of these parameters names a resource of `types` of which `asked` holds.

    A Patient is asked for apart, where the resource belongs to the patient it names.
    """
    numbers = tuple(sorted({link.number for link in links}))
    mine = all(owned(scope.parameters, link) for link in links)
    patients = tuple(type for type in types if mine and type == "Patient")
    others = tuple(type for type in types if type not in patients)
    return any_of(
        Refers(numbers, part, asked(scope.linked(part)), owned=part == patients)
        for part in (patients, others)
        if part
    )
