"""merging — what a differential's element says, laid over the element of the base.

https://hl7.org/fhir/R4/elementdefinition.html#interpretation
https://hl7.org/fhir/R4/profiling.html#limitations

A profile may only narrow: min rises, max falls, constraints are added. Where a differential would
widen, the base's word stands, so that what conforms to a profile conforms to its base.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fhir_server.conformance.snapshot.tree import Definition

# Properties of which an element has one, whatever type it is written with.
ONE_OF = ("fixed", "pattern", "minValue", "maxValue", "defaultValue")
NOT_INHERITED = ("slicing", "sliceName", "sliceIsConstraining")
# R4 terminologies#4.1: coded elements, string and uri.
BINDABLE = {"code", "Coding", "CodeableConcept", "Quantity", "string", "uri"}
KEPT_FROM_BASE = {"id", "path", "base", "sliceName"}


def merged(base: Definition, own: Definition, source: str) -> Definition:
    """`own` laid over `base`; `source` is the profile whose constraints `own`'s are."""
    found = dict(base)
    for name, value in own.items():
        if name in KEPT_FROM_BASE:
            continue
        group = next((group for group in ONE_OF if name.startswith(group)), None)
        if group:
            _drop(found, group)
            if group == "fixed":  # R4 eld-8: not both. A fixed value says all a pattern does
                _drop(found, "pattern")
        merge = MERGES.get(name)
        found[name] = merge(base[name], value) if merge and base.get(name) else value
    if "binding" in found and found.get("type") and not _bindable(found["type"]):
        del found["binding"]  # of an extension's values, say: that is for its own definition
    if own.get("constraint"):
        found["constraint"] = _constraints(base.get("constraint") or [], own["constraint"], source)
    return found


def of_slice(template: Definition, slice: str) -> Definition:
    """What a new slice begins with: all the base asks of the element it slices, but that it must
    be there."""
    found = {name: value for name, value in template.items() if name not in NOT_INHERITED}
    return {**found, "sliceName": slice, "min": 0}


def less(one: str, other: str) -> str:
    """The smaller of two max."""
    if "*" in (one, other):
        return other if one == "*" else one
    return min(one, other, key=int)


def _bindable(types: list[dict[str, Any]]) -> bool:
    return any(type["code"] in BINDABLE for type in types)


def _drop(definition: Definition, group: str) -> None:
    for name in [name for name in definition if name.startswith(group)]:
        del definition[name]


def _types(base: list[dict[str, Any]], own: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The differential's types. What one leaves open (its profiles, its targets) stays as the base
    has it for that type."""
    before = {type["code"]: type for type in base}
    return [{**before.get(type["code"], {}), **type} for type in own]


def _slicing(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A derived profile may add discriminators and close what was open."""
    found = {**base, **own}
    discriminators = _union(base.get("discriminator") or (), own.get("discriminator") or ())
    if discriminators:
        found["discriminator"] = discriminators
    return found


def _constraints(
    base: list[dict[str, Any]], own: list[dict[str, Any]], source: str
) -> list[dict[str, Any]]:
    """The base's constraints, then the profile's. One that is only repeated counts once; the same
    key with another expression is another constraint, and both hold."""
    told = {(c["key"], c.get("expression")) for c in base}
    added = [{"source": source, **c} for c in own if (c["key"], c.get("expression")) not in told]
    return [*base, *added]


def _union(base: Iterable[Any], own: Iterable[Any]) -> list[Any]:
    found = list(base)
    found += [value for value in own if value not in found]
    return found


MERGES: dict[str, Any] = {
    "min": max,
    "max": less,
    "type": _types,
    "slicing": _slicing,
    "condition": _union,
    "mapping": _union,
    "alias": _union,
    "binding": lambda base, own: {**base, **own},
    "mustSupport": lambda base, own: base or own,
    "isModifier": lambda base, own: base or own,
    "isSummary": lambda base, own: base or own,
}
