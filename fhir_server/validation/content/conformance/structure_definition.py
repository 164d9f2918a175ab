"""structure_definition — whether a profile only narrows what it is derived from.

https://hl7.org/fhir/R4/profiling.html#limitations
https://hl7.org/fhir/R4/elementdefinition.html#interpretation
https://hl7.org/fhir/R4/defining-extensions.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.conformance.snapshot import BrokenProfile, Snapshots
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.questionnaire.kinds import value_of
from fhir_server.validation.messages import issue

SYSTEM = "http://hl7.org/fhirpath/System."
STRENGTHS = ("example", "preferred", "extensible", "required")  # R4: each stronger than the last
Elements = dict[object, dict[str, Any]]


def structure_definition(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a StructureDefinition's differential."""
    base = _base(resource, question)
    found: list[Issue] = []
    elements = (resource.get("differential") or {}).get("element") or ()
    for index, element in enumerate(elements):
        place = f"{path}.differential.element[{index}]"
        found.extend(_types(element, place, question))
        found.extend(_own_url(element, resource, place))
        wider = base.get(element.get("path")) if "sliceName" not in element else None
        if wider is not None and ":" not in str(element.get("id", "")):
            found.extend(_narrowed(element, wider, place))
    return found


def _base(resource: Resource, question: Question) -> Elements:
    """The elements of the base that are no slices, by their paths."""
    url = resource.get("baseDefinition")
    if question.canonicals is None or not isinstance(url, str):
        return {}
    if resource.get("derivation") != "constraint":
        return {}
    try:
        elements = Snapshots(question.canonicals).elements(url)
    except BrokenProfile:
        return {}
    whole = [
        one for one in elements if ":" not in str(one.get("id", "")) and "sliceName" not in one
    ]
    return {one.get("path"): one for one in whole}


def _types(element: dict[str, Any], path: str, question: Question) -> Iterator[Issue]:
    known = question.canonicals
    for index, type in enumerate(element.get("type") or ()):
        code = type.get("code")
        if not isinstance(code, str) or code in question.definitions.all_types:
            continue
        if code.startswith(SYSTEM) or (known and known.entry(code, "StructureDefinition")):
            continue
        severity = "warning" if ":" in code else None  # a type of another guide's, perhaps
        yield issue("definition-type", f"{path}.type[{index}].code", severity=severity, code=code)


def _own_url(element: dict[str, Any], resource: Resource, path: str) -> Iterator[Issue]:
    """R4 defining-extensions: an extension's `url` is fixed to that of its definition."""
    if resource.get("type") != "Extension" or element.get("path") != "Extension.url":
        return
    fixed = element.get("fixedUri")
    if fixed is not None and fixed != resource.get("url"):
        said = {"found": fixed, "url": resource.get("url")}
        yield issue("definition-extension-url", f"{path}.fixedUri", **said)


def _narrowed(element: dict[str, Any], base: dict[str, Any], path: str) -> Iterator[Issue]:
    """R4 profiling: a derived profile cannot allow what its base does not."""
    said = {"path": element.get("path")}
    least, most = element.get("min"), element.get("max")
    if isinstance(least, int) and isinstance(base.get("min"), int) and least < base["min"]:
        yield issue("definition-wider.min", f"{path}.min", found=least, base=base["min"], **said)
    if _count(most) > _count(base.get("max")):
        yield issue("definition-wider.max", f"{path}.max", found=most, base=base.get("max"), **said)
    fixed, own = value_of(base, "fixed"), value_of(element, "fixed")
    if fixed is not None and own is not None and fixed != own:
        told = {"found": _shown(own[1]), "base": _shown(fixed[1])}
        yield issue("definition-wider.fixed", path, **told, **said)
    strength, wider = _strength(element), _strength(base)
    if strength is not None and wider is not None and strength < wider:
        told = {"found": STRENGTHS[strength], "base": STRENGTHS[wider]}
        yield issue("definition-wider.binding", f"{path}.binding.strength", **told, **said)


def _count(value: Any) -> float:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:20])
    return float("inf") if value == "*" else -1 if value is None else 0


def _strength(element: dict[str, Any]) -> int | None:
    strength = (element.get("binding") or {}).get("strength")
    return STRENGTHS.index(strength) if strength in STRENGTHS else None


def _shown(value: Any) -> str:
    return "{…}" if isinstance(value, dict) else str(value)
