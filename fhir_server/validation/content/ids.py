"""ids — the ids of elements, by which extensions and narratives refer to them.

https://hl7.org/fhir/R4/element-definitions.html#Element.id
"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.messages import issue

MAX_DEPTH = 100


def ids(resource: Resource, path: str, _: Question) -> list[Issue]:
    """R4: an element's id is unique within a resource; a contained one is a resource of its own."""
    seen: set[str] = set()
    found: list[Issue] = []
    waiting = [(resource, path, 0)]
    while waiting:
        value, place, depth = waiting.pop()
        for name, item in value.items():
            if name == "contained" or depth > MAX_DEPTH:
                continue
            for step, inner in _objects(name, item):
                waiting.append((inner, f"{place}.{step}", depth + 1))
        id = value.get("id")
        if value is not resource and isinstance(id, str):
            if id in seen:
                found.append(issue("element-id", f"{place}.id", id=id))
            seen.add(id)
    return found


def _objects(name: str, item: object) -> Iterator[tuple[str, Resource]]:
    """The elements under a name; those beside primitives stand in `_name`."""
    step = name.removeprefix("_")
    if isinstance(item, dict):
        yield step, item
    elif isinstance(item, list):
        for index, one in enumerate(item):
            if isinstance(one, dict):
                yield f"{step}[{index}]", one
