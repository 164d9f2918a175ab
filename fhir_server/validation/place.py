"""place — issues in the order of what they are about, at most a hundred of them.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

import re
from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.messages import issue

MAX_ISSUES = 100
STEP = re.compile(r"([^.\[\]]+)(?:\[(\d+)\])?")
AFTER = 1 << 30  # what is not there is told after what is


def in_order(issues: list[Issue], resource: Resource) -> list[Issue]:
    """The issues by their place in the resource, none twice; of many the first hundred."""
    seen: set[tuple[str | None, str, str | None]] = set()
    kept: list[Issue] = []
    for each in issues:
        key = each.expression, each.diagnostics, each.severity
        if key not in seen:
            seen.add(key)
            kept.append(each)
    if len(kept) > 1:
        kept.sort(key=lambda each: _place(each.expression, resource))
    if len(kept) <= MAX_ISSUES + 1:  # a walk of the structure tells itself what it left off
        return kept
    more = len(kept) - MAX_ISSUES
    serious = [each for each in kept if each.severity in ("fatal", "error")]
    first = kept[:MAX_ISSUES]
    if serious and not any(each.severity in ("fatal", "error") for each in first):
        first[-1] = serious[0]  # a hundred warnings must not hide that it is refused
    return [*first, issue("more-issues", count=more)]


def _place(expression: str | None, resource: Resource) -> list[int]:
    """Where an element stands: the number of each step among its siblings."""
    if expression is None:
        return [AFTER]
    value: Any = resource
    place: list[int] = []
    for found in STEP.finditer(expression.partition(".")[2]):
        name, index = found[1], found[2]
        number, value = _child(value, name)
        place.append(number)
        if index is not None:
            place.append(int(index))
            there = isinstance(value, list) and int(index) < len(value)
            value = value[int(index)] if there else None
    return place


def _child(owner: Any, name: str) -> tuple[int, Any]:
    if not isinstance(owner, dict):
        return AFTER, None
    for number, key in enumerate(owner):
        bare = key.removeprefix("_")
        if bare == name or (bare.startswith(name) and bare[len(name) :][:1].isupper()):
            return number, owner[key]
    return AFTER, None
