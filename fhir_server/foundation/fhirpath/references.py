"""references — from a reference to the resource it names, as far as that can be known here.

https://hl7.org/fhir/R4/fhirpath.html#functions
https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.foundation.fhirpath.items import Item, made
from fhir_server.foundation.fhirpath.scope import Scope
from fhir_server.foundation.resource import literal


def _text(item: Item) -> str | None:
    """The reference's text: of a Reference, or of a uri, url or canonical."""
    value: Any = item.value
    if isinstance(value, dict):
        value = value.get("reference")
    return value if isinstance(value, str) else None


def _around(item: Item) -> list[Item]:
    """The items an item is in, from the nearest."""
    found = []
    parent = item.parent
    while parent is not None:
        found.append(parent)
        parent = parent.parent
    return found


def _nearby(scope: Scope, item: Item, reference: str) -> Item | None:
    """What is contained in the same resource, or in an entry of the same Bundle."""
    model = scope.run.model
    for around in _around(item):
        if around.type not in model.definitions.resource_types:
            continue
        if reference == "#" and around.name != "contained":
            return around
        if reference.startswith("#"):
            for contained in model.child(around, "contained"):
                if isinstance(contained.value, dict) and contained.value.get("id") == reference[1:]:
                    return contained
        elif around.type == "Bundle":
            for entry in model.child(around, "entry"):
                if isinstance(entry.value, dict) and entry.value.get("fullUrl") == reference:
                    return next(iter(model.child(entry, "resource")), None)
    return None


def resolved(scope: Scope, focus: list[Item]) -> list[Item]:
    """resolve(): the resources that references name; those that cannot be had are left out."""
    found = []
    for item in focus:
        scope.run.spend(1)
        reference = _text(item)
        if reference is None:
            continue
        target = _nearby(scope, item, reference)
        if target is None and scope.run.resolve is not None and not reference.startswith("#"):
            resource = scope.run.resolve(reference)
            target = None if resource is None else scope.run.model.root(resource)
        if target is not None:
            found.append(target)
    return found


def is_reference_to(scope: Scope, focus: list[Item], type: str) -> list[Item]:
    """`resolve() is Type`, told from the reference itself where it is literal."""
    name = type.rpartition(".")[2]
    truths = []
    for item in focus:
        reference = _text(item)
        target = literal(reference) if reference else None
        if target is not None and target.key.type in scope.run.model.definitions.resource_types:
            truths.append(name in scope.run.model.lineage(target.key.type))
        else:
            truths += [scope.run.model.is_type(found, type) for found in resolved(scope, [item])]
    return [made(truth) for truth in truths[:1]] if len(truths) < 2 else [made(all(truths))]
