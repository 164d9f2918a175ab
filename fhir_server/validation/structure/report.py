"""report — the issues a walk finds, bounded, each under a rule's key.

https://hl7.org/fhir/R4/operationoutcome.html
https://hl7.org/fhir/R4/valueset-issue-type.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.foundation.outcome import Issue
from fhir_server.validation.messages import UNTELLABLE, issue

MAX_ISSUES = 100


class Report:
    """Issues in the order they are met: the first hundred, and how many more there are."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.left_off = 0

    @property
    def full(self) -> bool:
        return len(self.issues) >= MAX_ISSUES

    def add(self, key: str, path: str, *, severity: str | None = None, **said: Any) -> None:
        """What the catalogue says under a key. Nothing is put into words that nobody will read."""
        if self.full:
            self.left_off += 1
        else:
            self.issues.append(issue(key, path, severity=severity, **said))

    def take(self, found: Issue) -> None:
        if self.full:
            self.left_off += 1
        else:
            self.issues.append(found)

    def has_error(self, path: str) -> bool:
        """Whether something at a place, or below it, is known to be wrong."""
        return any(
            each.severity == "error" and (each.expression or "").startswith(path)
            for each in self.issues
        )

    def all(self) -> list[Issue]:
        if not self.left_off:
            return self.issues
        return [*self.issues, issue("more-issues", count=self.left_off)]


def name_shown(name: str) -> str:
    """A property's name within a path."""
    return UNTELLABLE.sub("\ufffd", name[:50])
