"""content — what certain types must say beyond their shape: rules that only code can check.

https://hl7.org/fhir/R4/validation.html
https://hl7.org/fhir/R4/bundle.html
https://hl7.org/fhir/R4/questionnaireresponse.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from fhir_server.foundation.outcome import Issue
from fhir_server.foundation.resource import Resource
from fhir_server.validation.content.bundle import bundle
from fhir_server.validation.content.conformance.canonical import TYPES, canonical
from fhir_server.validation.content.conformance.code_system import code_system
from fhir_server.validation.content.conformance.search_parameter import search_parameter
from fhir_server.validation.content.conformance.sound import sound
from fhir_server.validation.content.conformance.structure_definition import structure_definition
from fhir_server.validation.content.conformance.value_set import value_set
from fhir_server.validation.content.ids import ids
from fhir_server.validation.content.measure import measure_report
from fhir_server.validation.content.question import Question
from fhir_server.validation.content.questionnaire import questionnaire
from fhir_server.validation.content.response import response

__all__ = ["Question", "check"]

Check = Callable[[Resource, str, Question], list[Issue]]

OF_TYPE: dict[str, tuple[Check, ...]] = {
    "Bundle": (bundle,),
    "CodeSystem": (code_system,),
    "MeasureReport": (ids, measure_report),
    "Questionnaire": (ids, questionnaire),
    "QuestionnaireResponse": (ids, response),
    "SearchParameter": (sound, search_parameter),
    "StructureDefinition": (sound, structure_definition),
    "ValueSet": (sound, value_set),
}
CHECKS: dict[str, tuple[Check, ...]] = OF_TYPE | {
    type: (canonical, *OF_TYPE.get(type, ())) for type in TYPES
}
MAX_DEPTH = 5  # Bundles within Bundles


def check(resource: Resource, path: str, question: Question) -> list[Issue]:
    """The issues of a resource's content, of those it contains and of a Bundle's entries.

    Asked of what has a valid shape. path: where the resource stands, its type where it stands
    alone (`Bundle.entry[3].resource`).
    """
    type = resource["resourceType"]
    if type not in CHECKS and "contained" not in resource:
        return []
    return list(_all(resource, path, question, 0))


def _all(resource: Resource, path: str, question: Question, depth: int) -> Iterator[Issue]:
    type = resource["resourceType"]
    for found in CHECKS.get(type, ()):
        yield from found(resource, path, question)
    within = replace(question, container=resource) if "contained" in resource else question
    for index, inner in enumerate(resource.get("contained") or ()):
        if inner["resourceType"] in CHECKS:
            yield from _all(inner, f"{path}.contained[{index}]", within, depth + 1)
    if type != "Bundle" or depth >= MAX_DEPTH:
        return
    for index, entry in enumerate(resource.get("entry") or ()):
        inner = entry.get("resource")
        if inner is not None and (inner["resourceType"] in CHECKS or "contained" in inner):
            place = f"{path}.entry[{index}].resource"
            yield from _all(inner, place, question, depth + 1)
