"""demand — what a place must have, and what excludes one another.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from fhir_server.conformance.definitions import Definitions, Field


class Choice(NamedTuple):
    """A `value[x]`: the names it may go by, and the least there must be of it."""

    names: frozenset[str]
    least: int


@lru_cache(maxsize=2048)  # R4 has about 900 places
def demanding(definitions: Definitions, node: str) -> list[list[Field]]:
    """The elements of a place that must be there or are a choice, each as its fields."""
    elements: dict[str, list[Field]] = {}
    for field in definitions.children(node).values():
        elements.setdefault(field.element.path, []).append(field)
    return [group for group in elements.values() if len(group) > 1 or group[0].element.min]


def demands(definitions: Definitions, node: str) -> tuple[frozenset[str], list[Choice]]:
    """The names a place must have, and its choices."""
    groups = demanding(definitions, node)
    required = frozenset(group[0].name for group in groups if len(group) == 1)
    choices = [
        Choice(frozenset(field.name for field in group), group[0].element.min)
        for group in groups
        if len(group) > 1
    ]
    return required, choices
