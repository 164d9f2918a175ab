"""document — that a document holds what its Composition names, and nothing else.

https://hl7.org/fhir/R4/documents.html#content
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.within import Within
from fhir_server.validation.messages import issue

# R4 documents#content: "Resources referenced by the Composition as listed below SHALL be included"
LISTED: tuple[tuple[str, ...], ...] = (
    ("subject",),
    ("encounter",),
    ("author",),
    ("attester", "party"),
    ("custodian",),
    ("event", "detail"),
)
OF_A_SECTION = ("author", "focus", "entry")
MAX_DEPTH = 100


def document(resource: Resource, path: str) -> Iterator[Issue]:
    """The issues of a Bundle of type document, where a Composition comes first (bdl-11)."""
    entries = resource.get("entry") or []
    first = entries[0].get("resource") if entries else None
    if not isinstance(first, dict) or first.get("resourceType") != "Composition":
        return
    within = Within(resource)
    full_url = entries[0].get("fullUrl")
    for place, reference in _named(first, f"{path}.entry[0].resource"):
        if not reference.startswith("#") and within.find(reference, full_url) is None:
            yield issue("document-reference", f"{place}.reference", reference=reference)
    yield from _strangers(resource, path, within)


def _named(composition: Resource, path: str) -> Iterator[tuple[str, str]]:
    """The references that must lead to an entry, each with its place."""
    for steps in LISTED:
        yield from _at(composition, steps, path)
    sections = [(section, f"{path}.section[{i}]") for i, section in _each(composition, "section")]
    while sections:
        section, place = sections.pop()
        for name in OF_A_SECTION:
            yield from _at(section, (name,), place)
        inner = _each(section, "section")
        sections.extend((one, f"{place}.section[{i}]") for i, one in inner)


def _each(value: Resource, name: str) -> list[tuple[int, Resource]]:
    listed = value.get(name)
    return [(i, one) for i, one in enumerate(listed or ()) if isinstance(one, dict)]


def _at(value: Any, steps: tuple[str, ...], path: str) -> Iterator[tuple[str, str]]:
    if not steps:
        if isinstance(value, dict) and isinstance(value.get("reference"), str):
            yield path, value["reference"]
        return
    inner = value.get(steps[0]) if isinstance(value, dict) else None
    place = f"{path}.{steps[0]}"
    if isinstance(inner, list):
        for index, one in enumerate(inner):
            yield from _at(one, steps[1:], f"{place}[{index}]")
    elif inner is not None:
        yield from _at(inner, steps[1:], place)


def references(value: Any, depth: int = 0) -> Iterator[str]:
    """Every literal reference in a resource, those of its contained resources included."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        text = value.get("reference")
        if isinstance(text, str):
            yield text
        for inner in value.values():
            if isinstance(inner, dict | list):
                yield from references(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict | list):
                yield from references(inner, depth + 1)


def _strangers(bundle: Resource, path: str, within: Within) -> Iterator[Issue]:
    """R4: a document includes only what its Composition leads to, stylesheets and Provenance.

    Later versions say what R4 leaves open: what leads to the Composition's set is of it, too.
    """
    entries = [entry for entry in bundle["entry"] if isinstance(entry, dict)]
    linked: dict[int, set[int]] = {index: set() for index in range(len(entries))}
    for index, entry in enumerate(entries):
        for reference in references(entry.get("resource")):
            found = within.find(reference, entry.get("fullUrl"))
            if found is not None:
                linked[index].add(found.place)
                linked[found.place].add(index)
    reached, next_ones = {0}, [0]
    while next_ones:
        for index in linked[next_ones.pop()] - reached:
            reached.add(index)
            next_ones.append(index)
    for index, entry in enumerate(entries):
        content = entry.get("resource")
        if index in reached or not isinstance(content, dict):
            continue
        if content.get("resourceType") != "Binary":
            place = f"{path}.entry[{index}]"
            yield issue("document-stranger", place, type=content.get("resourceType"))
