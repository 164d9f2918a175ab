"""content — what certain types must say beyond their shape: rules that only code can check.

https://hl7.org/fhir/R4/validation.html
https://hl7.org/fhir/R4/bundle.html
https://hl7.org/fhir/R4/questionnaireresponse.html
"""

from __future__ import annotations

from collections.abc import Callable

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.question import Question

__all__ = ["Question", "check"]

Check = Callable[[Resource, str, Question], list[Issue]]

CHECKS: dict[str, Check] = {}


def check(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a resource's content and of those it contains; its shape is valid already.

    path: where the resource stands, its type where it stands alone (`Bundle.entry[3].resource`).
    Entries of a Bundle and contained resources are checked, too.
    """
    found = CHECKS.get(resource["resourceType"])
    return found(resource, path, question) if found else []
