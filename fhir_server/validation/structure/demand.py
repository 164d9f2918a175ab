"""demand — what a place must have, and what excludes one another.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from typing import NamedTuple

from fhir_server.conformance.definitions import Definitions, Field


class Choice(NamedTuple):
    """A `value[x]`: the names it may go by, and the least there must be of it."""

    names: frozenset[str]
    least: int


def fields_by_element(definitions: Definitions, node: str) -> list[list[Field]]:
    """The fields of a place; those of one choice together."""
    elements: dict[str, list[Field]] = {}
    for field in definitions.children(node).values():
        elements.setdefault(field.element.path, []).append(field)
    return list(elements.values())


def demands(definitions: Definitions, node: str) -> tuple[frozenset[str], list[Choice]]:
    """The names a place must have, and its choices."""
    grouped = fields_by_element(definitions, node)
    required = {group[0].name for group in grouped if len(group) == 1 and group[0].element.min}
    choices = [
        Choice(frozenset(field.name for field in group), group[0].element.min)
        for group in grouped
        if len(group) > 1
    ]
    return frozenset(required), choices
