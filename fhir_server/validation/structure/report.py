"""report — the issues a walk finds, bounded, each under a rule's key.

https://hl7.org/fhir/R4/operationoutcome.html
https://hl7.org/fhir/R4/valueset-issue-type.html
"""

from __future__ import annotations

import re
from typing import Any

from fhir_server.foundation.outcome import Issue

MAX_ISSUES = 100

# The key of a rule -> its R4 issue type. R4's own keys where it has one.
RULES: dict[str, str] = {
    "resource-type": "structure",
    "unknown-element": "structure",
    "json-type": "structure",
    "array": "structure",
    "null": "structure",
    "empty": "structure",
    "padding": "structure",
    "depth": "too-costly",
    "min": "required",
    "choice": "structure",
    "value": "value",
    "id": "value",
    "binding": "code-invalid",
    "reference": "value",
    "reference-type": "value",
    "ref-1": "invariant",
    "ele-1": "invariant",
    "ext-1": "invariant",
    "contained-id": "required",
    "dom-2": "invariant",
    "dom-3": "invariant",
    "dom-4": "invariant",
    "dom-5": "invariant",
    "txt-1": "invariant",
    "txt-2": "invariant",
}

UNTELLABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Report:
    """Issues in the order they are met: the first hundred, and how many more there are."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.left_off = 0

    @property
    def full(self) -> bool:
        return len(self.issues) >= MAX_ISSUES

    def add(self, rule: str, path: str, told: str, severity: str = "error") -> None:
        self.take(Issue(severity, RULES[rule], told, path, rule))

    def take(self, issue: Issue) -> None:
        if self.full:
            self.left_off += 1
            return
        self.issues.append(issue)

    def all(self) -> list[Issue]:
        if not self.left_off:
            return self.issues
        told = f"{self.left_off} more issues were found and are not listed. Mend these first."
        return [*self.issues, Issue("information", "informational", told)]


def shown(value: Any) -> str:
    """Enough of a client's value to know it by."""
    match value:
        case str():
            text = UNTELLABLE.sub("\ufffd", value[:60])
            return f"`{text[:50]}…`" if len(value) > 50 else f"`{text}`"
        case bool():
            return "`true`" if value else "`false`"
        case None:
            return "`null`"
        case dict():
            return "an object"
        case list():
            return "an array"
        case _:
            return shown(str(value)) if not isinstance(value, int) else _integer(value)


def _integer(value: int) -> str:
    return f"`{value}`" if -(10**40) < value < 10**40 else "a huge number"


def name_shown(name: str) -> str:
    """A property's name within a message or a path."""
    return UNTELLABLE.sub("\ufffd", name[:50])
