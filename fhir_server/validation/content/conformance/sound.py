"""sound — what makes a definition unfit to work with, told of the definition as a resource.

https://hl7.org/fhir/R4/conformance-module.html
https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.conformance.canonicals import of_resource
from fhir_server.conformance.problem import Problem
from fhir_server.conformance.sound import unsound
from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question
from fhir_server.validation.messages import issue


def sound(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The problems of a definition laid over what is known, each at its element."""
    entry = of_resource(resource, "")
    if question.canonicals is None or entry is None:
        return []
    problems = unsound(question.canonicals, entry, question.definitions)
    return [_told(problem, resource, path) for problem in problems]


def _told(problem: Problem, resource: Resource, path: str) -> Issue:
    place = f"{path}{_place(resource, problem.said.get('path'))}"
    return issue(problem.key, place, file=problem.file, **problem.said)


def _place(resource: Resource, path: Any) -> str:
    """Where the element of a path stands in the definition."""
    for part in ("differential", "snapshot"):
        for index, element in enumerate((resource.get(part) or {}).get("element") or ()):
            if path is not None and element.get("path") == path:
                return f".{part}.element[{index}]"
    return ""
