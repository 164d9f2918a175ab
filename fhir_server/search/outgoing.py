"""outgoing — what a resource refers to by a search parameter, taken from the resource itself.

https://hl7.org/fhir/R4/search.html#include
https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from fhir_server.conformance.definitions import Definitions
from fhir_server.foundation.resource import Resource
from fhir_server.search.extract import Way, compiled, unfolded
from fhir_server.search.parameters import Parameter

LITERAL = ("x = {v}.get('reference')", "if x: literals.append(x)")
CANONICAL = ("canonicals.append({v})",)
# A Bundle's `composition` and `message` stand in it already: of those nothing is to be fetched.
ENDS: dict[str, Sequence[str]] = {"Reference": LITERAL, "canonical": CANONICAL, "uri": CANONICAL}


class Outgoing(NamedTuple):
    """References as they are written. canonicals: those by a definition's `url`."""

    literals: list[str]
    canonicals: list[str]


def outgoing(
    definitions: Definitions, parameters: Sequence[Parameter]
) -> Callable[[Resource], Outgoing]:
    """A function from a resource of the parameters' type to what it refers to by them."""
    take = _function(definitions, tuple(parameters))

    def found(resource: Resource) -> Outgoing:
        there = Outgoing([], [])
        take(resource, *there)
        return there

    return found


def by_canonical(parameter: Parameter) -> bool:
    """Whether a definition's `url` is among the ways it refers."""
    return not parameter.types.isdisjoint({"canonical", "uri"})


# Parameters are compared as a whole, so that one given anew is not taken for the one before.
@lru_cache(maxsize=1024)
def _function(definitions: Definitions, parameters: tuple[Parameter, ...]) -> Callable[..., Any]:
    ways: list[Way] = [
        (path, ENDS[path.type])
        for parameter in parameters
        for found in parameter.paths
        for path in unfolded(definitions, found, ENDS)
        if path.type in ENDS
    ]
    return compiled("outgoing(r, literals, canonicals)", ways, {})
