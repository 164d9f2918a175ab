"""content_world — what the tests of content ask with: R4, and definitions of the test's own."""

from __future__ import annotations

from typing import Any

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.definitions import load
from fhir_server.conformance.r4_resources import canonicals_of_r4
from fhir_server.foundation.outcome import Issue
from fhir_server.terminology.terms import Terms
from fhir_server.validation.content import Question, check

R4 = load()


def issues(resource: dict[str, Any], *known: dict[str, Any], thorough: bool = False) -> list[Issue]:
    entries = [entry for each in known if (entry := of_resource(each, "test"))]
    canonicals = canonicals_of_r4().above(entries)
    question = Question(R4, canonicals=canonicals, terms=Terms(canonicals), thorough=thorough)
    return check(resource, resource["resourceType"], question)


def told(
    resource: dict[str, Any], *known: dict[str, Any], thorough: bool = False
) -> list[tuple[str, str | None, str | None]]:
    """Severity, rule and place of each issue."""
    found = issues(resource, *known, thorough=thorough)
    return [(issue.severity, issue.rule, issue.expression) for issue in found]
